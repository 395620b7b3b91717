package proxy

import (
	"context"
	"log/slog"
	"time"

	"gatehouse/metrics"
)

// records are where what became of requests is told.
type records struct {
	metrics *metrics.Metrics
	access  *slog.Logger // one record a request; nil: none
	audit   *slog.Logger // of what package audit knows; nil: none
}

// emit writes the record and counts the request.
func (r *records) emit(x *exchange) {
	e, took := &x.event, time.Since(x.event.start)
	status := x.w.status
	if e.err != nil && e.err.status == statusClientGone || x.r.Context().Err() != nil && !x.w.wrote {
		status = statusClientGone
	}
	r.metrics.RequestDone(x.route.Kind.Label(), x.r.Method, status, took)
	auditRequest(context.WithoutCancel(x.r.Context()), r.audit, x, status)
	if r.access == nil {
		return
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	l := make(line, 0, 24)
	l.request(x)
	l.text("method", x.r.Method)
	l.text("host", x.r.Host)
	l.text("path", x.r.URL.Path)
	l.text("route", x.route.Kind.Label())
	l.text("decision", e.decision)
	l = append(l, slog.Int("status", status), slog.Int64("bytes_in", e.bytesIn), slog.Int64("bytes_out", x.w.bytes),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	if e.upstreamStatus != 0 {
		l = append(l, slog.Int("upstream_status", e.upstreamStatus))
	}
	l.text("note", e.note)
	if e.err != nil {
		l.text("error", e.err.Error())
	}
	r.access.LogAttrs(context.WithoutCancel(x.r.Context()), level, "request", l...)
}
