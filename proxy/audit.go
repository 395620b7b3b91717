package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/route"
	"gatehouse/tokens"
)

// The audit stream tells who came in, who was turned away, and what was changed:
// the events login, token, throttle, denied, push and delete, each with the
// fields that apply. What a stranger typed as his name is not in it, as people
// type passwords there.

// auditRequest writes the request's audit record, if it is one of those.
func (g *Gateway) auditRequest(ctx context.Context, x *exchange, status int) {
	if g.audit == nil || !g.audit.Enabled(ctx, slog.LevelInfo) {
		return
	}
	event, result := x.auditEvent(status)
	if event == "" {
		return
	}
	l := make(line, 0, 20)
	l.text("result", result)
	l.request(x)
	if event == "push" {
		l.text("digest", x.w.Header().Get("Docker-Content-Digest"))
	}
	if err := x.event.err; err != nil {
		l.text("limit", err.limit)
		l.text("reason", err.Error())
	}
	l = append(l, slog.Int("status", status))
	g.audit.LogAttrs(ctx, slog.LevelInfo, event, l...)
}

// auditEvent says what of a request belongs into the audit stream: nothing for
// the many that read, or fail on their way.
func (x *exchange) auditEvent(status int) (event, result string) {
	e := &x.event
	login := e.login || e.grant != "" && e.grant != "anonymous"
	done := status >= 200 && status < 300
	switch {
	case e.err != nil && e.err.limit != "" && status == http.StatusTooManyRequests:
		return "throttle", "refused"
	case login && errors.Is(e.cause(), authn.ErrUnavailable):
		return "login", "unavailable"
	case login && status == http.StatusUnauthorized && e.decision == "":
		return "login", "refused"
	case errors.Is(e.cause(), tokens.ErrInvalidToken) && !errors.Is(e.cause(), tokens.ErrExpired):
		return "token", "refused"
	case e.decision == "denied":
		return "denied", "refused"
	}
	if event, result = x.change(); event == "" && login && done {
		return "login", "ok"
	}
	return event, result
}

// change is the event of a request that stored or deleted something, by what the
// registry said of it: a client who leaves before the answer, or an answer that may
// not pass, undoes nothing. unknown: the registry was asked and gave no answer.
func (x *exchange) change() (event, result string) {
	e := &x.event
	switch {
	case !e.sent:
		return "", ""
	case x.route.Need.Action == authz.Delete:
		event = "delete"
	case x.stores():
		event = "push"
	default:
		return "", ""
	}
	switch {
	case e.upstreamStatus == 0:
		return event, "unknown"
	case e.upstreamStatus == http.StatusCreated, event == "delete" && e.upstreamStatus >= 200 && e.upstreamStatus < 300:
		return event, "ok"
	}
	return "", ""
}

// cause is the error that ended the request; nil: none.
func (e *event) cause() error {
	if e.err == nil {
		return nil
	}
	return e.err
}

// stores says that the request is one that puts a manifest or a whole blob into a
// repository, where the registry takes it.
func (x *exchange) stores() bool {
	switch x.route.Kind {
	case route.Manifest, route.Session:
		return x.route.Method == http.MethodPut
	case route.Upload:
		return x.route.Digest != "" || x.route.Mount != "" // in one request, or mounted
	}
	return false
}
