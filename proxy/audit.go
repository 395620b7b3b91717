package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/route"
	"gatehouse/tokens"
)

// What a stranger typed as a name is not in the audit stream, as people type passwords
// there.

// auditRequest writes the request's audit record, if it is one of those.
func auditRequest(ctx context.Context, to *slog.Logger, allOf *authz.Audience, x *exchange, status int) {
	e := &x.event
	if to == nil || !to.Enabled(ctx, slog.LevelInfo) {
		return
	}
	event, result := x.auditEvent(status)
	all := x.route.Kind != route.Other && x.who() && allOf.Has(e.identity)
	if all && !e.identity.Anonymous() { // strangers are not to fill it
		ctx = audit.Always(ctx)
	}
	if event != "" {
		auditEvent(ctx, to, x, event, result, status)
	}
	if all && (event == "" || event == audit.Login && e.login) { // a login by the way is not what was asked for
		auditEvent(ctx, to, x, audit.Request, ended(status), status)
	}
}

// auditEvent writes one of them.
func auditEvent(ctx context.Context, to *slog.Logger, x *exchange, event audit.Event, result audit.Result, status int) {
	e := &x.event
	l := make(line, 0, 20)
	l.text("result", string(result))
	l.request(x)
	l.text("by", e.change.by)
	l.text("name", e.change.name)
	if event == audit.Push {
		l.text("digest", x.w.Header().Get("Docker-Content-Digest"))
	}
	if err := x.event.err; err != nil {
		l.text("limit", err.limit)
		l.text("reason", err.Error())
	} else if event == audit.Credential && result == audit.Revoked {
		l.text("reason", e.change.reason)
	}
	l = append(l, slog.Int("status", status))
	to.LogAttrs(ctx, slog.LevelInfo, string(event), l...)
}

// who reports whether it is known whose request it was: a name with a password that was
// wrong is nobody's.
func (x *exchange) who() bool {
	e := &x.event
	return e.err == nil || e.identity.Anonymous() || !x.caller.identity.Anonymous() || errors.Is(e.err, tokens.ErrExpired)
}

// ended is how a request ended of which nothing but that is told.
func ended(status int) audit.Result {
	switch {
	case status >= 500:
		return audit.Unavailable
	case status >= 400:
		return audit.Refused
	}
	return audit.OK
}

// auditEvent says what of a request belongs into the audit stream: nothing for
// the many that read, or fail on their way.
func (x *exchange) auditEvent(status int) (audit.Event, audit.Result) {
	e := &x.event
	login := e.login || e.grant != "" && e.grant != "anonymous"
	done := status >= 200 && status < 300 || e.grant == "ui" && status == http.StatusSeeOther
	switch {
	case e.err != nil && e.err.limit != "" && status == http.StatusTooManyRequests:
		return audit.Throttle, audit.Refused
	case login && errors.Is(e.cause(), authn.ErrUnavailable):
		return audit.Login, audit.Unavailable
	case login && status == http.StatusUnauthorized && e.decision == "":
		return audit.Login, audit.Refused
	case errors.Is(e.cause(), tokens.ErrInvalidToken) && !errors.Is(e.cause(), tokens.ErrExpired):
		return audit.Token, audit.Refused
	case e.decision == "denied":
		return audit.Denied, audit.Refused
	}
	if e.change.result != "" {
		return audit.Credential, e.change.result
	}
	if e.logout {
		return audit.Logout, audit.OK
	}
	if event, result := x.change(); event != "" {
		return event, result
	}
	if login && done {
		return audit.Login, audit.OK
	}
	return "", ""
}

// change is the event of a request that stored or deleted something, by what the
// registry said of it: a client who leaves before the answer, or an answer that may
// not pass, undoes nothing. unknown: the registry was asked and gave no answer.
func (x *exchange) change() (audit.Event, audit.Result) {
	e, event := &x.event, audit.Event("")
	switch {
	case !e.sent:
	case x.route.Need.Action == authz.Delete:
		event = audit.Delete
	case x.stores():
		event = audit.Push
	}
	switch {
	case event == "":
	case e.upstreamStatus == 0:
		return event, audit.Unknown
	case x.changed(e.upstreamStatus):
		return event, audit.OK
	}
	return "", ""
}

// changed reports whether the status means that the registry did it: any that is
// good, as some answer a manifest with 200 or 202; but 202 to the start of an upload
// means that a session was begun and nothing is stored yet.
func (x *exchange) changed(status int) bool {
	if x.route.Kind == route.Upload {
		return status == http.StatusCreated
	}
	return status >= 200 && status < 300
}

// cause is the error that ended the request; nil: none.
func (e *event) cause() error {
	if e.err == nil {
		return nil
	}
	return e.err
}

// stores reports whether the request is one that puts a manifest or a whole blob into a
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
