package proxy

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHealthPath: row H11. A load balancer asks by address and in plain text, and gets
// one word; nothing else is answered for it.
func TestHealthPath(t *testing.T) {
	var sick atomic.Bool
	h := newHouse(t, func(c *Config) {
		c.Listen.PublicURLs, c.Listen.HealthPath = []string{"https://registry.example.com"}, "/healthz"
		c.Healthy = func(context.Context) bool { return !sick.Load() }
	})
	for _, c := range []struct {
		method, target, from string
		sick                 bool
		status               int
		body                 string
	}{
		{"GET", "http://10.1.2.3/healthz", "203.0.113.7:1", false, 200, "ok\n"},
		{"GET", "http://10.1.2.3/healthz?x=y", "127.0.0.1:1", false, 200, "ok\n"},
		{"HEAD", "http://10.1.2.3/healthz", "203.0.113.7:1", false, 200, ""},
		{"GET", "http://10.1.2.3/healthz", "203.0.113.7:1", true, 503, "unavailable\n"},
		{"HEAD", "http://10.1.2.3/healthz", "203.0.113.7:1", true, 503, ""},
		{"POST", "http://10.1.2.3/healthz", "203.0.113.7:1", false, 405, ""},
		{"GET", "http://10.1.2.3/healthz/", "203.0.113.7:1", false, 403, ""},
		{"GET", "http://10.1.2.3/v2/", "203.0.113.7:1", false, 403, ""},
		{"GET", "http://10.1.2.3/healthz/x", "127.0.0.1:1", false, 421, ""},
	} {
		sick.Store(c.sick)
		r, w := httptest.NewRequest(c.method, c.target, nil), httptest.NewRecorder()
		r.RemoteAddr = c.from
		h.gateway.ServeHTTP(w, r)
		if w.Code != c.status || c.status%300 == 200 && w.Body.String() != c.body || w.Code == 503 && w.Body.String() != c.body {
			t.Errorf("%s %s from %s: %d %q", c.method, c.target, c.from, w.Code, w.Body)
		}
		if w.Code == 405 && w.Header().Get("Allow") != "GET, HEAD" || w.Code == 200 && (w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")) {
			t.Errorf("%s: %v", c.method, w.Header())
		}
	}
	if got := h.upstream.take(); len(got) != 0 {
		t.Errorf("%d requests reached the upstream", len(got))
	}
}
