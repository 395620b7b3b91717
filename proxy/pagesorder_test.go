package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/proxy/ui"
)

// TestPagesOrder: what stands before a page is what stands before everything else.
func TestPagesOrder(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		var cfg ui.Config
		cfg.Defaults()
		c.UI = &cfg
		c.Listen.PublicURLs = []string{"https://registry.example.com", "http://registry.example.com"}
		c.Limits = DefaultLimits()
		c.Limits.HeaderFields = 20
	})
	for _, test := range []struct {
		what   string
		change func(*http.Request)
		status int
		json   bool // it is answered as under /v2/
	}{
		{"a page", func(r *http.Request) {}, http.StatusOK, false},
		{"plain HTTP from afar", func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1" }, http.StatusForbidden, true},
		{"another host", func(r *http.Request) { r.Host = "other.example.com" }, http.StatusMisdirectedRequest, true},
		{"too many fields", func(r *http.Request) {
			for i := range 30 {
				r.Header.Set("X-Field-"+string(rune('a'+i%26))+strings.Repeat("x", i), "1")
			}
		}, http.StatusRequestHeaderFieldsTooLarge, true},
		{"two Authorization fields", func(r *http.Request) { r.Header["Authorization"] = []string{"Basic x", "Basic y"} }, http.StatusOK, false},
		{"two types", func(r *http.Request) { r.Header["Content-Type"] = []string{formType, formType} }, http.StatusBadRequest, false},
		{"a length that is none", func(r *http.Request) { r.Header["Content-Length"] = []string{"x"} }, http.StatusBadRequest, false},
		{"Authorization counts for nothing", func(r *http.Request) { r.SetBasicAuth("alice", "alice-secret") }, http.StatusOK, false},
		{"a body", func(r *http.Request) { r.ContentLength = 3; r.Body = http.NoBody }, http.StatusBadRequest, false},
		{"another method", func(r *http.Request) { r.Method = http.MethodPatch }, http.StatusMethodNotAllowed, false},
		{"a dot segment", func(r *http.Request) { r.RequestURI = "/ui/../v2/" }, http.StatusBadRequest, false},
		{"an encoded slash", func(r *http.Request) { r.RequestURI = "/ui/r/a%2Fb" }, http.StatusBadRequest, false},
		{"an encoded beginning", func(r *http.Request) { r.RequestURI = "/%75i/help" }, http.StatusBadRequest, true},
		{"a doubled slash", func(r *http.Request) { r.RequestURI = "//ui/help" }, http.StatusBadRequest, true},
		{"a neighbour", func(r *http.Request) { r.RequestURI = "/uix" }, http.StatusNotFound, true},
		{"in capitals", func(r *http.Request) { r.RequestURI = "/UI/" }, http.StatusNotFound, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/ui/help", nil)
		r.Host, r.RemoteAddr = "registry.example.com", "127.0.0.1:1"
		test.change(r)
		w := httptest.NewRecorder()
		h.gateway.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s: %d, want %d", test.what, w.Code, test.status)
		}
		if got := strings.HasPrefix(w.Header().Get("Content-Type"), "application/json"); got != test.json {
			t.Errorf("%s: %s", test.what, w.Header().Get("Content-Type"))
		}
		if ui.Serves(r.RequestURI) {
			guarded(t, test.what, w.Header())
		}
		if w.Header().Get("X-Request-Id") == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", test.what, w.Header())
		}
	}
	if seen := h.upstream.take(); len(seen) > 0 {
		t.Errorf("%d requests reached the upstream", len(seen))
	}
}

// guarded holds what every answer under /ui/ has against one, whatever refused it.
func guarded(t *testing.T, what string, h http.Header) {
	t.Helper()
	for key, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "Docker-Distribution-Api-Version": ""} {
		if got := h.Get(key); got != value {
			t.Errorf("%s: %s: %q", what, key, got)
		}
	}
	if policy := h.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("%s: %s", what, policy)
	}
}

// TestServes: which targets are pages'.
func TestServes(t *testing.T) {
	for target, want := range map[string]bool{
		"/":          true,
		"/?x":        true,
		"/ui":        true,
		"/ui?x":      true,
		"/ui/":       true,
		"/ui/r/a":    true,
		"/uix":       false,
		"/ui2/":      false,
		"/v2/":       false,
		"/auth":      false,
		"":           false,
		"/UI/":       false,
		"//ui/":      false,
		"*":          false,
		"/v2/ui/a/b": false,
	} {
		if got := ui.Serves(target); got != want {
			t.Errorf("%q: %v", target, got)
		}
	}
}
