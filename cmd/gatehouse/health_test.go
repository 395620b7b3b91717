package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealthPathIsReadyz: row H11. The public listener's health path says what /readyz
// says, in one word, and is there only where the config has it.
func TestHealthPathIsReadyz(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer registry.Close()
	with := strings.Replace("listen: {address: \"127.0.0.1:0\", health_path: /healthz, public_urls: [\"https://registry.example.com\"]}\nupstream: {url: \"REGISTRY\"}\n", "REGISTRY", registry.URL, 1)
	s, write := newTestServer(t, with)
	defer func() { s.current.Load().Release() }()
	ask := func(want int, word string) {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://192.0.2.1/healthz", nil)
		if s.serveHTTP(w, r); w.Code != want || word != "" && w.Body.String() != word {
			t.Errorf("%d %q, want %d %q", w.Code, w.Body, want, word)
		}
	}
	ask(200, "ok\n")
	s.draining.Store(true)
	ask(503, "unavailable\n")
	s.draining.Store(false)
	registry.Close()
	s.reload() // which forgets the last look
	ask(503, "unavailable\n")
	write(strings.Replace(with, "health_path: /healthz, ", "", 1))
	s.reload()
	ask(403, "")
}
