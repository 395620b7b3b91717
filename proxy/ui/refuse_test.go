package ui

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/ui/browse"
)

// TestTold: each fault in words, and none of its cause.
func TestTold(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.1")
	for _, test := range []struct {
		status int
		retry  time.Duration
		cause  error
		want   string
	}{
		{http.StatusBadGateway, 0, cause, "registry cannot be reached"},
		{http.StatusGatewayTimeout, 0, cause, "did not answer in time"},
		{http.StatusTooManyRequests, time.Second, cause, "Try again in a second."},
		{http.StatusServiceUnavailable, 5 * time.Second, cause, "not available now. Try again in 5 seconds."},
		{http.StatusServiceUnavailable, time.Minute, authn.ErrUnavailable, "The directory that knows you"},
		{http.StatusMisdirectedRequest, 0, cause, "Misdirected Request."},
	} {
		f := Told(test.status, "CODE", test.retry, test.cause)
		if !strings.Contains(f.Message, test.want) || strings.Contains(f.Message, "10.0.0.1") || !errors.Is(f, test.cause) || !strings.Contains(f.Error(), test.cause.Error()) {
			t.Errorf("%d: %q %v", test.status, f.Message, f)
		}
	}
}

// TestUnread: what kept the registry from showing something, for strangers and for others.
func TestUnread(t *testing.T) {
	s := newSite(t, nil)
	s.push("public/app", configOf("x"), nil, "1")
	for name, faults := range map[string]map[error]int{
		"": {browse.ErrAbsent: 303, browse.ErrSlow: 504, browse.ErrAnswer: 502,
			errors.New("down"): 502, &browse.Denied{Rule: "c.yaml:9"}: 303},
		"alice": {browse.ErrAbsent: 404, browse.ErrSlow: 504, browse.ErrAnswer: 502,
			errors.New("down"): 502, &browse.Denied{Rule: "c.yaml:9"}: 404},
	} {
		s.jar = map[string]string{}
		if name != "" {
			s.login(name)
		}
		for fault, status := range faults {
			s.memory = nil
			s.reload(nil)
			s.shelf.set(fault, nil)
			if got := s.get("/ui/r/public/app"); got.StatusCode != status {
				t.Errorf("%q: %v: %d, want %d", name, fault, got.StatusCode, status)
			}
			s.shelf.set(nil, nil)
		}
	}
}
