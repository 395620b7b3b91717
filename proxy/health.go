package proxy

import (
	"context"
	"io"
	"net/http"
	"strconv"
)

// health answers the listener's health path: a word for a load balancer, which knows
// no Host of ours and often speaks plain HTTP.
type health struct {
	path    string // empty: there is none
	healthy func(context.Context) bool
}

// asked reports whether a request is for it.
func (h *health) asked(r *http.Request) bool { return h.path != "" && r.URL.Path == h.path }

func (h *health) answer(x *exchange) error {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return &apiError{status: http.StatusMethodNotAllowed, code: "UNSUPPORTED", message: "the endpoint lacks that method", allow: []string{"GET", "HEAD"}}
	}
	status, word := http.StatusOK, "ok\n"
	if h.healthy != nil && !h.healthy(x.r.Context()) {
		status, word = http.StatusServiceUnavailable, "unavailable\n"
	}
	header := x.w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Request-Id", x.event.requestID)
	header.Set("Content-Length", strconv.Itoa(len(word)))
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodGet {
		_, _ = io.WriteString(x.w, word) // the asker is gone
	}
	return nil
}
