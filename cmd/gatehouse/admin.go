package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"
)

// adminHandler answers health and metrics, and profiles where the config of the
// moment wants them. Nothing of it is ever on the public listener.
func (s *server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.shared.Metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", s.profiled(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", s.profiled(pprof.Cmdline))
	mux.HandleFunc("GET /debug/pprof/profile", s.profiled(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", s.profiled(pprof.Symbol))
	mux.HandleFunc("GET /debug/pprof/trace", s.profiled(pprof.Trace))
	return mux
}

// profiled is 404 unless admin.pprof is true.
func (s *server) profiled(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sn := s.acquire()
		on := sn.Config.Admin.Pprof
		sn.Release()
		if !on {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}
}

func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the asker is gone
}

// readyz tells whether requests can be served.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	checks := s.checks(r.Context())
	var verbose strings.Builder
	for _, c := range checks {
		mark, note := "+", "ok"
		if c.problem != "" {
			mark, note = "-", c.problem
		}
		fmt.Fprintf(&verbose, "[%s] %s: %s\n", mark, c.name, note)
	}
	status, text := http.StatusOK, "ok\n"
	if failed := failures(checks); len(failed) > 0 {
		status = http.StatusServiceUnavailable
		text = "not ready: " + strings.Join(failed, ", ") + "\n"
	}
	if r.URL.Query().Has("verbose") {
		text = verbose.String() + text
	}
	say(w, status, text)
}
