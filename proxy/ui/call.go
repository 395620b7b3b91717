package ui

import (
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/shadow"
	"gatehouse/proxy/ui/browse"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// Options is what a UI is made of.
type Options struct {
	// Config is the section `ui`.
	Config Config
	// Admins are those of Config.
	Admins *authz.Audience
	// Version is the gateway's, for the footer.
	Version string
	// Keyring signs sessions.
	Keyring *tokens.Keyring
	// Chain checks passwords.
	Chain *authn.Chain
	// Policy is asked for everything that is shown.
	Policy *authz.Policy
	// Registry is the way to the registries.
	Registry browse.Registry
	// Memory is kept over reloads.
	Memory *Memory
	// Tokens is where people make tokens of their own; nil: there are none.
	Tokens *personal.Desk
	// Revoker ends sessions and tokens, on all gateways of the same store.
	Revoker *tokens.Revoker
	// Shared says that there is a store: a logout is told to it.
	Shared bool
	// Lasting is how long what a password gave lasts at most.
	Lasting time.Duration
	// Freeze is what is closed to pushes and deletes; nil: nothing.
	Freeze *freeze.State
	// Counts are how many requests each rule decided; nil: nothing is counted.
	Counts *authz.Counts
	// Trial is where a policy that is tried would decide otherwise; nil: none is.
	Trial *shadow.Table
	// Inside tells of the gateway itself; nil: nothing is known.
	Inside func() Inside
	// Metrics counts logins; nil: none.
	Metrics *metrics.Metrics
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// UI answers requests for pages. It is immutable and safe for concurrent use.
type UI struct {
	o          Options
	protection *http.CrossOriginProtection
	pages      pages
}

// pages are the templates, by the name of their file without .html.
type pages map[string]*template.Template

func (u *UI) now() time.Time { return u.o.Now() }

// Call is one request for a page on its way.
type Call struct {
	// Client is the visitor's address, Via the proxy that did not say it; see listener.Peer.
	Client, Via netip.Addr
	// Origin is the name by which they know us.
	Origin listener.Origin
	// Place stands for the upstreams that the origin leads to.
	Place string
	// RequestID is the one in the log.
	RequestID string
	// Seen is what the record of the request has of it.
	Seen Seen

	target  target
	form    url.Values
	visitor visitor
	next    string // where a login goes on
	login   string // the name that was typed
	settled bool   // the answer has a cookie of its own
}

// Seen is what a request for a page turned out to be.
type Seen struct {
	// Identity is the visitor's, as far as known.
	Identity authn.Identity
	// SessionID is the session's, which is no secret.
	SessionID string
	// Repository, Reference and Tag are what the page is about.
	Repository, Reference string
	// Tag says that Reference is a tag.
	Tag bool
	// Action is what was asked for there; empty: nothing.
	Action authz.Action
	// Decision is denied where the policy refused the page, else empty; Rule is the one
	// that did.
	Decision, Rule string
	// Login says that somebody tried to log in, Logout that a session was ended.
	Login, Logout bool
	// Credential is what was shown at a login.
	Credential tokens.Credential
	// Change is what became of a personal token.
	Change Change
	// Ended are the personal tokens that ended beside what the page was asked for.
	Ended []Change
}

// Change is a personal token that was made or ended.
type Change struct {
	// ID is its id; empty: there is no change.
	ID string
	// Name is what its owner calls it.
	Name string
	// By is owner or admin.
	By string
	// Ended says that it was ended; else it was made.
	Ended bool
}

// visitor is who asks for a page.
type visitor struct {
	identity authn.Identity
	session  tokens.Token // zero: there is none
	ended    bool         // the browser brought one that is none any more
}

// open reports whether a page is for everybody, with a session or without.
func (c *Call) open() bool {
	return c.target.place == atLogin || c.target.place == atHelp || c.target.place == atTheme || c.target.place == atLogout
}

// visit is the caller's look at the registry.
func (u *UI) visit(c *Call) *browse.Visit {
	return u.o.Memory.library.Visit(u.o.Registry, u.o.Policy, browse.Caller{Identity: c.visitor.identity, Source: c.Client, Origin: c.Origin,
		Place: c.Place, RequestID: c.RequestID})
}

// decided counts a page for the rule by which it is for the visitor, or is not, as a request
// under /v2/ is.
func (u *UI) decided(d authz.Decision) { u.o.Counts.Add(d, u.now()) }

// toLogin leads to the login, which leads back.
func (u *UI) toLogin(w http.ResponseWriter, c *Call) {
	next, _ := nextOf(c.target.canonical())
	lead(w, loginPath(next))
}
