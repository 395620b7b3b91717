package proxy

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/proxy/listener"
)

// TestPlainListener: GET and HEAD go to HTTPS under a host of ours, and nothing else is
// answered; credentials are not looked at, and nothing reaches the upstream.
func TestPlainListener(t *testing.T) {
	public := []string{"http://plain.test:8080", "https://registry.test", "https://port.test:8443", "http://both.test", "https://both.test"}
	for _, c := range []struct {
		public                 []string
		address                string
		method, target, header string
		status                 int
		location               string
	}{
		{public, ":443", "GET", "http://registry.test/v2/a/b?x=%20y&z", "", 308, "https://registry.test/v2/a/b?x=%20y&z"},
		{public, ":443", "HEAD", "http://registry.test/", "", 308, "https://registry.test/"},
		{public, ":443", "GET", "http://REGISTRY.test:80/auth", "", 308, "https://registry.test/auth"},
		{public, ":443", "GET", "http://registry.test.//evil.test/x", "", 308, "https://registry.test//evil.test/x"},
		{public, ":443", "GET", "http://port.test/v2/", "", 308, "https://port.test:8443/v2/"},
		{public, ":443", "GET", "http://both.test/v2/", "", 308, "https://both.test/v2/"},
		{public, ":443", "GET", "http://plain.test/v2/", "", 308, "http://plain.test:8080/v2/"},
		{public, ":443", "GET", "http://plain.test:8080/v2/", "", 421, ""},
		{public, ":443", "GET", "http://other.test/v2/", "", 421, ""},
		{public, ":443", "GET", "http://10.0.0.1/healthz", "", 421, ""},
		{public, ":443", "POST", "http://registry.test/v2/a/blobs/uploads/", "", 403, ""},
		{public, ":443", "PUT", "http://other.test/", "", 403, ""},
		{public, ":443", "OPTIONS", "*", "", 403, ""},
		{public, ":443", "GET", "http://registry.test/v2/", "Basic cm9vdDpyb290LXNlY3JldA==", 308, "https://registry.test/v2/"},
		{public, ":443", "POST", "http://registry.test/auth", "Basic cm9vdDp3cm9uZw==", 403, ""},
		{nil, ":443", "GET", "http://any.test:80/v2/", "", 308, "https://any.test/v2/"},
		{nil, ":5443", "GET", "http://any.test/v2/", "", 308, "https://any.test:5443/v2/"},
		{nil, "[::1]:5443", "GET", "http://[2001:db8::1]:80/v2/", "", 308, "https://[2001:db8::1]:5443/v2/"},
		{nil, ":443", "GET", "http://a%0ab/v2/", "", 421, ""},
	} {
		h := newHouse(t, func(cfg *Config) {
			cfg.Listen.PublicURLs, cfg.Listen.Address, cfg.Listen.HealthPath = c.public, c.address, "/healthz"
		})
		r, w := httptest.NewRequest(c.method, "http://x/", nil), httptest.NewRecorder()
		if r.RemoteAddr = "203.0.113.7:1"; c.target != "*" {
			host, path := splitTarget(c.target)
			r = httptest.NewRequest(c.method, path, nil)
			r.Host = host
		} else {
			r.URL.Path, r.RequestURI = "*", "*"
		}
		r.Header.Set("Authorization", c.header)
		h.gateway.ServePlain(w, r)
		if w.Code != c.status || w.Header().Get("Location") != c.location || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s %s: %d %v, want %d %s", c.method, c.target, w.Code, w.Header(), c.status, c.location)
		}
		if got := h.upstream.take(); len(got) != 0 {
			t.Errorf("%s: %d requests reached the upstream", c.target, len(got))
		}
	}
}

// splitTarget parts a URL as a client writes it on the wire.
func splitTarget(target string) (host, path string) {
	rest := target[len("http://"):]
	for i := range rest {
		if rest[i] == '/' {
			return rest[:i], rest[i:]
		}
	}
	return rest, "/"
}

// TestStrictTransport: it is on every answer over TLS, refusals too, and on no other.
func TestStrictTransport(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Listen.TLS = &listener.TLS{HSTS: 24 * time.Hour} })
	for _, path := range []string{"/v2/", "/v2/_catalog", "/auth", "/nothing", "/v2/public/a/manifests/v1"} {
		for _, state := range []*tls.ConnectionState{nil, {}} {
			r, w := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil), httptest.NewRecorder()
			r.RemoteAddr, r.TLS = "127.0.0.1:1", state
			h.gateway.ServeHTTP(w, r)
			want := ""
			if state != nil {
				want = "max-age=86400"
			}
			if got := w.Header().Get("Strict-Transport-Security"); got != want {
				t.Errorf("%s over TLS %v: %q", path, state != nil, got)
			}
		}
	}
}
