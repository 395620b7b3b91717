package proxy

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"gatehouse/proxy/audit"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/ui/browse"
	"gatehouse/tokens"
)

// pages are those for people, under /ui/.
type pages struct {
	ui     *ui.UI // nil: there are none
	config *ui.Config
	memory *ui.Memory
	load   *Load
	at     destinations
	within time.Duration // all of a form has to come
}

// newPages takes what is kept over reloads, where there are pages.
func newPages(cfg *Config, l *Load, at destinations, r *reader, within time.Duration) pages {
	p := pages{config: cfg.UI, load: l, at: at, within: within}
	if cfg.UI == nil {
		return p
	}
	if p.memory = l.pages(); p.memory == nil {
		p.memory = ui.NewMemory(*cfg.UI, cfg.Metrics)
	}
	p.ui = ui.New(ui.Options{Config: *cfg.UI, Admins: cfg.UIAdmins, Version: cfg.Version, Keyring: cfg.Keyring, Chain: cfg.Chain, Policy: cfg.Policy,
		Registry: r, Memory: p.memory, Tokens: cfg.Personal, Metrics: cfg.Metrics,
		Revoker: cfg.Revoker, Shared: cfg.Shared, Lasting: cfg.Lasting, Freeze: &l.freeze, Counts: &l.counts, Trial: &l.trial, Inside: cfg.UIInside})
	return p
}

// take makes the config count for what is kept.
func (p *pages) take() {
	if p.ui != nil {
		p.load.keepPages(p.memory)
		p.memory.Take(*p.config)
	}
}

// asked reports whether a request is one for a page.
func (p *pages) asked(r *http.Request) bool { return p.ui != nil && ui.Serves(r.RequestURI) }

// serve answers with a page. What was found out goes into the record in any case.
func (p *pages) serve(x *exchange) error {
	x.route = route.Route{Kind: route.UI, Method: x.r.Method, Page: -1}
	x.page = &ui.Call{Client: x.peer.Client, Via: x.peer.Via(), Origin: x.origin, Place: p.at.place(x), RequestID: x.event.requestID}
	if err := checkFields(x.r, "Content-Type"); err != nil { // Authorization counts for nothing here
		return err
	}
	if x.r.Method == http.MethodPost {
		body := newRequestBody(x.w, x.r.Body)
		body.needed, body.left = math.MaxInt, p.within
		defer body.finish()
		x.r.Body = body
	} else if err := checkBody(x, p.within); err != nil {
		return err
	}
	err := p.ui.Serve(x.w, x.r, x.page)
	p.note(x)
	return err
}

// note takes what the page turned out to be into the record.
func (p *pages) note(x *exchange) {
	seen, e := &x.page.Seen, &x.event
	x.route.Repository, x.route.Reference, x.route.Tag = seen.Repository, seen.Reference, seen.Tag
	x.route.Need = route.Access{Repository: seen.Repository, Action: seen.Action}
	e.identity, e.tokenID, e.credential, e.logout = seen.Identity, seen.SessionID, seen.Credential, seen.Logout
	e.take(seen.Change)
	if seen.Decision != "" {
		e.decision, e.rule = seen.Decision, seen.Rule
	}
	if seen.Login {
		e.grant = "ui"
		return // whose name it was is in the identity; nobody is known before the answer
	}
	x.caller.identity = seen.Identity
	x.known()
}

// take notes what became of a personal token, if anything did.
func (e *event) take(c ui.Change) {
	if c.ID == "" {
		return
	}
	e.credential = tokens.Credential{Kind: tokens.FromPersonal, ID: c.ID}
	e.change = credentialChange{result: map[bool]audit.Result{false: audit.Created, true: audit.Revoked}[c.Ended], by: c.By, name: c.Name, reason: "on a page"}
}

// endings leaves a record of each personal token that ended beside what a page was asked for.
func (r *records) endings(x *exchange, status int) {
	if x.page == nil {
		return
	}
	for _, c := range x.page.Seen.Ended {
		one := &exchange{w: x.w, r: x.r, route: x.route, origin: x.origin, peer: x.peer, caller: x.caller,
			event: event{start: x.event.start, requestID: x.event.requestID, identity: x.event.identity}}
		one.event.take(c)
		one.event.change.reason = "signed out everywhere"
		auditRequest(context.Background(), r.audit, r.allOf, one, status)
	}
}

// refuse answers with a page that says why not.
func (p *pages) refuse(x *exchange, e *apiError) {
	var fault *ui.Fault
	if !errors.As(e, &fault) {
		fault = ui.Told(e.status, e.code, e.retry, e)
	}
	p.ui.Refuse(x.w, x.r, x.page, fault)
}

// changed tells the pages what was changed at a registry; of a request before its client
// hears of it.
func (p *pages) changed(c *change) {
	switch {
	case p.ui == nil || c.Kind != route.Manifest:
	case c.Deletes:
		p.memory.Deleted(c.Place, c.Repository)
	default:
		p.memory.Pushed(c.Place, c.Repository)
	}
}

// refusal remembers a request that was refused, for those who look after the gateway.
func (p *pages) refusal(x *exchange, status int) {
	e := &x.event
	if p.ui == nil || e.err == nil && e.decision != "denied" {
		return
	}
	if event, _ := x.auditEvent(status); event == "" || event.Changes() {
		return
	}
	r := ui.Refusal{At: e.start, User: e.identity.Username, Directory: e.identity.Directory, Action: string(x.route.Need.Action),
		Repository: x.route.Repository, Reference: x.route.Reference, Rule: e.rule, RequestID: e.requestID}
	if x.peer.Client.IsValid() {
		r.Address = x.peer.ClientText()
	}
	var denied *browse.Denied
	switch {
	case errors.As(e.cause(), &denied): // which its visitor was not told
		r.Reason = denied.Error()
	case e.err != nil:
		r.Reason = e.err.message
	}
	p.memory.Refuse(r)
}
