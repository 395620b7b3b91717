package proxy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/audit"
)

// records are where what became of requests is told.
type records struct {
	metrics *metrics.Metrics
	access  *slog.Logger    // one record a request; nil: none
	allOf   *authz.Audience // whose every request is in it
	audit   *slog.Logger    // of what package audit knows; nil: none
	pages   *pages
	lines   sync.Pool // *line, of the access log
}

// line is an empty one.
func (r *records) line() *line {
	if l, ok := r.lines.Get().(*line); ok {
		*l = (*l)[:0]
		return l
	}
	l := make(line, 0, 24)
	return &l
}

// emit writes the record and counts the request.
func (r *records) emit(x *exchange) {
	e, now := &x.event, time.Now()
	took := now.Sub(e.start)
	status := x.w.status
	if e.err != nil && e.err.status == statusClientGone || x.r.Context().Err() != nil && !x.w.wrote {
		status = statusClientGone
	}
	r.metrics.RequestDone(e.requestID, x.route.Kind.Label(), x.r.Method, status, took)
	r.pages.refusal(x, status)
	auditRequest(context.Background(), r.audit, r.allOf, x, status)
	r.endings(x, status)
	if r.access == nil {
		return
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	l := r.line()
	defer r.lines.Put(l)
	l.request(x)
	l.text("method", x.r.Method)
	l.text("host", x.r.Host)
	l.text("path", x.r.URL.Path)
	l.text("route", x.route.Kind.Label())
	l.text("decision", e.decision)
	*l = append(*l, slog.Int("status", status), slog.Int64("bytes_in", e.bytesIn), slog.Int64("bytes_out", x.w.bytes),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	if x.upstream != nil {
		l.text("upstream", x.upstream.Name())
	}
	if e.upstreamStatus != 0 {
		*l = append(*l, slog.Int("upstream_status", e.upstreamStatus))
	}
	l.text("cache", e.cache)
	l.text("note", e.note)
	if e.err != nil {
		l.text("error", e.err.Error())
	}
	audit.Record(r.access.Handler(), now, level, "request", *l)
}
