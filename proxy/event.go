package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

// event is the one record of a request: filled as the request goes its way, and
// emitted once at its end, whatever happened.
type event struct {
	start          time.Time
	requestID      string
	identity       authn.Identity
	tokenID        string
	refreshID      string // realm only
	decision       string
	rule           string
	bytesIn        int64
	upstreamStatus int
	sent           bool   // all of it may have reached the upstream
	login          bool   // a password was presented under /v2/
	grant          string // realm only: basic, password, refresh, anonymous
	note           string // what the operator should know of a good answer
	err            *apiError
}

// emit writes the record and counts the request.
func (g *Gateway) emit(x *exchange) {
	e, took := &x.event, time.Since(x.event.start)
	status := x.w.status
	if e.err != nil && e.err.status == statusClientGone || x.r.Context().Err() != nil && !x.w.wrote {
		status = statusClientGone
	}
	g.metrics.RequestDone(x.route.Kind.Label(), x.r.Method, status, took)
	g.auditRequest(context.WithoutCancel(x.r.Context()), x, status)
	if g.access == nil {
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
	g.access.LogAttrs(context.WithoutCancel(x.r.Context()), level, "request", l...)
}

// line is the fields of one record; those that do not apply are left out.
type line []slog.Attr

func (l *line) text(key, value string) {
	if value != "" {
		*l = append(*l, slog.String(key, clip(value)))
	}
}

// request adds who asked for what, and which rule decided: the log and the audit
// stream say it in the same words.
func (l *line) request(x *exchange) {
	e := &x.event
	l.text("request_id", e.requestID)
	if x.peer.Client.IsValid() {
		l.text("client_ip", x.peer.Client.String())
	}
	l.text("user", e.identity.Username)
	l.text("directory", e.identity.Directory)
	l.text("grant", e.grant)
	l.text("token_id", e.tokenID)
	l.text("refresh_token_id", e.refreshID)
	l.text("actions", string(x.route.Need.Action))
	l.text("repository", x.route.Repository)
	if x.route.Kind != route.Session {
		l.text("reference", x.route.Reference)
	}
	l.named(&x.route)
	l.text("rule", e.rule)
}

// named adds what the query names beside the path: the tags of a manifest, and the
// repository that a blob is to be mounted from.
func (l *line) named(rt *route.Route) {
	if len(rt.Tags) > 1 || len(rt.Tags) == 1 && !rt.Tag {
		*l = append(*l, slog.Any("tags", rt.Tags))
	}
	l.text("from", rt.Source)
}

// clip keeps a field that a client wrote from filling the log.
func clip(s string) string {
	const most = 1024
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// recorder remembers what was answered. It hides every other ability of the
// ResponseWriter but those that http.ResponseController finds by Unwrap.
type recorder struct {
	http.ResponseWriter
	body   *source
	status int
	bytes  int64
	wrote  bool
}

// WriteHeader sends the status, once.
func (w *recorder) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.status, w.wrote = status, true
	w.deadline(progressWindow)
	if w.body.pending() {
		w.Header().Set("Connection", "close") // else the server would read the body first, and wait for it without limit
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *recorder) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// deadline is for the writes that follow: a client that takes nothing must not
// hold on to the request. It is set anew by each answer, so it need not be cleared.
func (w *recorder) deadline(d time.Duration) {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(d)) // no connection, no deadline
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
