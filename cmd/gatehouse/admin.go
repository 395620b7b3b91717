package main

import (
	"context"
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
	mux.Handle("GET /metrics", s.parts.metrics.Handler())
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
		on := sn.cfg.Admin.Pprof
		sn.release()
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

// health is one check of /readyz. One for information never makes it 503.
type health struct {
	name        string
	problem     string
	information bool
}

// readyz says whether requests can be served.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	checks := s.checks(r.Context())
	status, failed := http.StatusOK, []string{}
	var verbose strings.Builder
	for _, c := range checks {
		mark, note := "+", "ok"
		if c.problem != "" {
			mark, note = "-", c.problem
			if !c.information {
				status, failed = http.StatusServiceUnavailable, append(failed, c.name)
			}
		}
		fmt.Fprintf(&verbose, "[%s] %s: %s\n", mark, c.name, note)
	}
	text := "ok\n"
	if status != http.StatusOK {
		text = "not ready: " + strings.Join(failed, ", ") + "\n"
	}
	if r.URL.Query().Has("verbose") {
		text = verbose.String() + text
	}
	say(w, status, text)
}

// checks are made on the snapshot of the moment. Without one there would be no
// config and no keys, so those two always hold here.
func (s *server) checks(ctx context.Context) []health {
	sn := s.acquire()
	defer sn.release()
	list := []health{{name: "config"}, {name: "keys"}, {name: "upstream"}, {name: "draining"}}
	if s.draining.Load() {
		list[3].problem = "the gateway is being shut down"
	} else if err := s.ready.ask(ctx, sn); err != nil {
		list[2].problem = err.Error()
	}
	for _, d := range sn.directories {
		h := health{name: "directory " + d.name, information: true}
		if d.ldap != nil && !d.ldap.Available() {
			h.problem = "at fault"
		}
		list = append(list, h)
	}
	return list
}
