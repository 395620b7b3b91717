// Package proxy is the HTTP side of Gatehouse: it classifies a request, asks who
// is speaking and what they may do, and streams what is allowed to the upstream. It
// answers the token realm and the catalog itself.
//
// Read Gateway.serve: the whole way of a request stands there, in order. Every
// refusal is an error that one table (errors.go) turns into a status; nothing
// reaches the upstream before all refusals are behind us, and the request that
// does is built from the parsed route (package route), never copied from the client.
package proxy

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/shadow"
)

// Gateway is the http.Handler of the public listener: one immutable snapshot of
// the configuration. It is safe for concurrent use.
type Gateway struct {
	limits     Limits
	load       *Load
	edge       *listener.Edge
	hsts       string                                        // Strict-Transport-Security over TLS; empty: none
	acme       func(http.ResponseWriter, *http.Request) bool // see Config.Answer
	door       listener.Door
	health     health
	caps       caps
	realm      realm
	revoker    revoker
	ownTokens  ownTokens
	identifier identifier
	decider    decider
	mounter    mounter
	catalog    catalog
	forwarder  *forwarder
	cache      cache
	pages      pages
	upstreams  destinations
	ready      readiness
	answers    answers
	records    records
	metrics    *metrics.Metrics
	logger     *slog.Logger
}

// New checks the config. Its error joins *authn.KeyError values whose keys are
// the config file's (`listen.public_urls[0]`, `upstream.url`). It dials nothing.
func New(cfg Config) (*Gateway, error) {
	if cfg.Load == nil {
		cfg.Load = NewLoad()
	}
	e, listenFaults := listener.NewEdge(cfg.Listen)
	to, upstreamFaults := newDestinations(&cfg)
	if err := errors.Join(under("listen", listenFaults), upstreamFaults); err != nil {
		return nil, err
	}
	g := &Gateway{limits: cfg.Limits, load: cfg.Load, edge: e, hsts: cfg.Listen.TLS.StrictTransport(), acme: cfg.Answer, upstreams: to, metrics: cfg.Metrics, logger: cfg.Logger}
	if g.limits == (Limits{}) {
		g.limits = DefaultLimits()
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	g.assemble(cfg)
	return g, nil
}

// assemble makes the parts that know a piece of the way each.
func (g *Gateway) assemble(cfg Config) {
	g.door = listener.Door{Edge: g.edge, Limits: &g.limits.Limits, Open: g.load.open, Metrics: g.metrics, Logger: g.logger}
	g.health = health{cfg.Listen.HealthPath, cfg.Healthy}
	g.caps = caps{&g.limits, g.load}
	g.realm = realm{cfg.Granter, cfg.Chain, &g.caps, g.metrics}
	g.revoker = revoker{&g.realm, cfg.Keyring, cfg.Chain}
	g.ownTokens = ownTokens{cfg.Personal, cfg.Keyring, cfg.Chain, &g.caps, cfg.Metrics}
	g.identifier = identifier{cfg.Keyring, cfg.Chain, cfg.Listen.Basic, cfg.UploadGrace, g.metrics}
	g.decider = decider{cfg.Policy, &g.load.counts, trial{cfg.PolicyNext, &g.load.trial, g.metrics, newPatience()}, g.metrics}
	g.forwarder = newForwarder(&g.caps, g.metrics)
	g.forwarder.guard = tagGuard{&g.decider, &g.load.holds, holdLimit}
	g.cache = newCache(&cfg, g.load, g.upstreams, g.forwarder)
	g.mounter = mounter{g.upstreams, cfg.Policy, &g.decider.trial, g.forwarder.watcher}
	g.catalog = catalog{g.upstreams, cfg.Policy, &g.decider.trial, g.load.turns, g.forwarder, catalogLimit}
	g.answers = answers{cfg.Service, g.metrics, &g.pages}
	g.records = records{metrics: g.metrics, access: cfg.Access, allOf: cfg.AuditAllOf, audit: cfg.Audit, pages: &g.pages}
	g.pages = newPages(&cfg, g.load, g.upstreams, &reader{g.upstreams, &g.decider, g.forwarder.watcher, &g.records, g.frozen, g.tell}, g.limits.HeaderTimeout)
	g.forwarder.changed = g.changed
}

// Close lets go of idle connections to the upstreams. Requests that still run
// end normally.
func (g *Gateway) Close() {
	for _, d := range g.upstreams {
		d.Close()
	}
}

// Take makes the config count for what is kept over reloads. It is called before the first
// request.
func (g *Gateway) Take() {
	g.cache.take()
	g.load.counts.Take(g.decider.policy, time.Now())
	g.load.trial.Take(g.decider.trial.policy.Fingerprint())
	g.pages.take()
}

// Shadow is where the policy that is tried would decide otherwise.
func (g *Gateway) Shadow() shadow.Report { return g.load.trial.Report() }

// Rules are those of the policy, with how many requests each decided.
func (g *Gateway) Rules() []authz.RuleCount { return g.load.counts.Rules(g.decider.policy) }

// Frozen is what is closed to pushes and deletes now; nil: nothing.
func (g *Gateway) Frozen() *freeze.Order { return g.load.freeze.Now() }

// Accepted takes a connection of the public listener under the limits, or closes it
// and returns nil; see listener.Door.
func (g *Gateway) Accepted(raw net.Conn) net.Conn { return g.door.Take(raw) }

// ServeHTTP answers one request and leaves one record of it.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handle(w, r, g.serve) }

// ServePlain does so on the listener of plain HTTP (`listen.http_address`).
func (g *Gateway) ServePlain(w http.ResponseWriter, r *http.Request) { g.handle(w, r, g.redirect) }

func (g *Gateway) handle(w http.ResponseWriter, r *http.Request, serve func(*exchange) error) {
	c := listener.Of(r)
	if c != nil {
		c.Enter()
		defer c.Leave()
	}
	x := &exchange{route: route.Unknown(r.Method), event: event{start: time.Now()}}
	x.w, x.r = &x.own.recorder, x.own.source.watch(r)
	*x.w = recorder{ResponseWriter: w, body: &x.own.source, leaving: &g.load.leaving}
	if r.TLS != nil {
		x.w.hsts = g.hsts
	}
	if r.ProtoMajor == 1 {
		x.w.conn = c
	}
	g.answer(x, serve)
	if x.w.body.pending() {
		x.w.body.linger(w)
	}
}

// answer goes the way of a request, whatever its end.
func (g *Gateway) answer(x *exchange, serve func(*exchange) error) {
	g.metrics.RequestStarted()
	defer g.records.emit(x)
	defer g.caps.release(x)
	defer func() {
		if x.ended != nil {
			x.ended()
		}
	}()
	x.peer = g.edge.Peer(x.r)
	g.tellUnreadable(x.peer)
	x.event.requestID = g.load.ids.of(x)
	if err := serve(x); err != nil {
		g.answers.refuse(x, err)
	}
	if x.r.ProtoMajor > 1 && x.caller.identity.Anonymous() {
		// The server would wait for the reader of what it still buffers after the caps
		// are given back.
		_ = http.NewResponseController(x.w).Flush() // the client is gone
	}
}

// tellUnreadable names a trusted proxy whose clients have no address, now and then.
func (g *Gateway) tellUnreadable(p listener.Peer) {
	if p.Via().IsValid() && g.load.tell(p.Direct) {
		g.logger.Warn("a trusted proxy sends X-Forwarded-For without an address that can be read, so its client has none: rules with networks do not allow it, and those that deny do",
			"proxy", p.Direct.String())
	}
}

// serve is the way of a request. The order is the contract's: what can be
// refused without knowing the caller comes first, what needs the upstream last.
func (g *Gateway) serve(x *exchange) (err error) {
	if err := g.bounded(x); err != nil {
		return err
	}
	if g.health.asked(x.r) {
		return g.health.answer(x)
	}
	if x.origin, err = g.edge.Admit(x.r, x.peer); err != nil {
		return err
	}
	if g.pages.asked(x.r) {
		return g.pages.serve(x)
	}
	if err = checkFields(x.r, "Authorization", "Content-Type"); err != nil {
		return err
	}
	if x.route, err = route.Parse(x.r.Method, x.r.RequestURI); err != nil {
		return err
	}
	if x.route.Kind.Auth() {
		return g.auth(x)
	}
	if err = checkBody(x, g.limits.HeaderTimeout); err != nil {
		return err
	}
	if err = g.identifier.identify(x); err != nil {
		return err
	}
	if x.route.Kind == route.Base {
		return base(x)
	}
	if err = g.decider.decide(x); err != nil {
		g.tryRefused(x)
		return err
	}
	if err = g.frozen(x); err != nil {
		return err
	}
	if err = g.caps.holdRequest(x); err != nil {
		return err
	}
	if x.route.Kind == route.Catalog {
		return g.catalog.serve(x)
	}
	if err = g.decider.direct(x, g.upstreams); err != nil {
		return err
	}
	g.mounter.settle(x)
	return g.cache.serve(x)
}

// auth answers what is under /auth.
func (g *Gateway) auth(x *exchange) error {
	switch x.route.Kind {
	case route.Audience:
		return g.realm.audience(x)
	case route.Revoke:
		return g.revoker.serve(x)
	case route.OwnTokens, route.OwnToken:
		return g.ownTokens.serve(x)
	}
	return g.realm.serve(x)
}

// tryRefused settles what the trial says of a push that is refused anyway. Its body is not
// read, as that would change how it is refused, so a tag that names anything would be
// overwritten.
func (g *Gateway) tryRefused(x *exchange) {
	if len(x.tried.open) == 0 || x.event.decision != "denied" || x.caller.identity.Anonymous() {
		return
	}
	if x.upstream = g.upstreams.of(x.origin, x.route.Repository); x.upstream != nil {
		g.forwarder.guard.try(x, &outgoing{})
		x.upstream = nil // it gets nothing of the request
	}
}

// bounded refuses what is too much of anybody, before anything of it is looked at.
func (g *Gateway) bounded(x *exchange) error {
	if err := g.caps.holdStranger(x); err != nil {
		return err
	}
	return g.limits.checkHeader(x.r)
}

// base answers /v2/ (end-1): the token is good, and that is all.
func base(x *exchange) error {
	x.writeJSON([]byte("{}"))
	return nil
}
