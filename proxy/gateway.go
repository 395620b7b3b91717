// Package proxy is the HTTP side of Gatehouse: it classifies a request, asks who
// is speaking and what he may do, and streams what is allowed to the registry
// behind. It answers the token realm and the catalog itself.
//
// Read Gateway.serve: the whole way of a request stands there, in order. Every
// refusal is an error that one table (errors.go) turns into a status; nothing
// reaches the upstream before all refusals are behind us, and the request that
// does is built from the parsed route (route.go), never copied from the client.
package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// expiryGrace is how long a token is good after its advertised end: a client
// whose clock or network is slow must not lose a push for it.
const expiryGrace = 60 * time.Second

// Gateway is the http.Handler of the public listener: one immutable snapshot of
// the configuration. It is safe for concurrent use.
type Gateway struct {
	edge        *listener.Edge
	door        listener.Door
	health      health
	upstream    *upstream.Upstream
	buffers     sync.Pool // of *[]byte, for answers
	service     string
	basic       bool
	uploadGrace time.Duration
	limits      Limits
	load        *Load
	keyring     *tokens.Keyring
	granter     *tokens.Granter
	chain       *authn.Chain
	policy      *authz.Policy
	metrics     *metrics.Metrics
	access      *slog.Logger
	audit       *slog.Logger
	logger      *slog.Logger

	catalogLimit time.Duration // of a listing over all the upstream's pages
}

// New checks the config. Its error joins *authn.KeyError values whose keys are
// the config file's (`listen.public_urls[0]`, `upstream.url`). It dials nothing.
func New(cfg Config) (*Gateway, error) {
	e, listenFaults := listener.NewEdge(cfg.Listen)
	u, upstreamFaults := upstream.New(cfg.Upstream, cfg.Metrics)
	if err := errors.Join(under("listen", listenFaults), under("upstream", upstreamFaults)); err != nil {
		return nil, err
	}
	g := &Gateway{edge: e, upstream: u, service: cfg.Service, basic: cfg.Listen.Basic, uploadGrace: cfg.UploadGrace,
		limits: cfg.Limits, load: cfg.Load, keyring: cfg.Keyring, granter: cfg.Granter, chain: cfg.Chain, policy: cfg.Policy,
		metrics: cfg.Metrics, access: cfg.Access, audit: cfg.Audit, logger: cfg.Logger, catalogLimit: catalogLimit}
	g.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	if g.limits == (Limits{}) {
		g.limits = DefaultLimits()
	}
	if g.load == nil {
		g.load = NewLoad()
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	g.health = health{cfg.Listen.HealthPath, cfg.Healthy}
	g.door = listener.Door{Edge: e, Limits: &g.limits.Limits, Open: g.load.open, Metrics: g.metrics, Logger: g.logger}
	return g, nil
}

// Close lets go of idle connections to the upstream. Requests that still run
// end normally.
func (g *Gateway) Close() { g.upstream.Close() }

// Ready asks whether the upstream answers as a registry does.
func (g *Gateway) Ready(ctx context.Context) error { return g.upstream.Ready(ctx) }

// Accepted takes a connection of the public listener under the limits, or closes it
// and returns nil; see listener.Door.
func (g *Gateway) Accepted(raw net.Conn) net.Conn { return g.door.Take(raw) }

// exchange is one request on its way, with all that was found out about it.
type exchange struct {
	w      *recorder
	r      *http.Request
	peer   listener.Peer
	origin listener.Origin
	route  route.Route
	caller caller
	event  event

	held []holding // see Gateway.hold
}

// underAPI says whether the request's target is under /v2/, parsed or not.
func (x *exchange) underAPI() bool { return x.route.Kind != route.Realm }

// caller is who speaks, and what his token lets through; a caller with Basic
// credentials has no token, and no ceiling but the policy.
type caller struct {
	identity authn.Identity
	scope    authz.Scope
	basic    bool
}

// known tells the request's connection that somebody is known on it.
func (x *exchange) known() {
	if c := listener.Of(x.r); c != nil && !x.caller.identity.Anonymous() {
		c.Known()
	}
}

func (c caller) carries(a route.Access) bool {
	return c.basic || c.scope.Allows(a.Repository, a.Action)
}

// ServeHTTP answers one request and leaves one record of it.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := listener.Of(r); c != nil {
		defer c.Enter()()
	}
	r, body := watch(r)
	g.answer(&recorder{ResponseWriter: w, body: body}, r)
	if body.pending() {
		body.linger(w)
	}
}

// answer goes the way of a request, whatever its end.
func (g *Gateway) answer(w *recorder, r *http.Request) {
	x := &exchange{w: w, r: r, route: route.Unknown(r.Method), event: event{start: time.Now()}}
	g.metrics.RequestStarted()
	defer g.emit(x)
	defer g.release(x)
	x.peer = g.edge.Peer(r)
	g.tellUnreadable(x.peer)
	x.event.requestID = requestID(x)
	if err := g.serve(x); err != nil {
		g.refuse(x, err)
	}
}

// abort ends an exchange whose answer is cut, so that the client cannot take it for
// the whole. To an HTTP/1.0 client the end of the connection is the end of the
// answer, and only a reset is another.
func (x *exchange) abort() {
	if c := listener.Of(x.r); c != nil && !x.r.ProtoAtLeast(1, 1) {
		c.Reset()
	}
	panic(http.ErrAbortHandler)
}

// tellUnreadable names a trusted proxy whose clients have no address, now and then.
func (g *Gateway) tellUnreadable(p listener.Peer) {
	if p.Via().IsValid() && g.load.unreadable.Allow() {
		g.logger.Warn("a trusted proxy sends X-Forwarded-For without an address that can be read, so its client has none: rules with networks do not allow it, and those that deny do",
			"proxy", p.Direct.String())
	}
}

// requestID is the one a trusted proxy gave, or a new one of 130 random bits.
func requestID(x *exchange) string {
	if id := x.r.Header.Get("X-Request-Id"); x.peer.Trusted && len(id) >= 8 && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	}) {
		return id
	}
	return rand.Text()
}

// serve is the way of a request. The order is the contract's: what can be
// refused without knowing the caller comes first, what needs the upstream last.
func (g *Gateway) serve(x *exchange) (err error) {
	if err := g.limits.checkHeader(x.r); err != nil {
		return err
	}
	if g.health.asked(x.r) {
		return g.health.answer(x)
	}
	if x.origin, err = g.edge.Admit(x.r, x.peer); err != nil {
		return err
	}
	if err = checkFields(x.r); err != nil {
		return err
	}
	if x.route, err = route.Parse(x.r.Method, x.r.RequestURI); err != nil {
		return err
	}
	if x.route.Kind == route.Realm {
		return g.realm(x)
	}
	if err = g.checkBody(x); err != nil {
		return err
	}
	if err = g.identify(x); err != nil {
		return err
	}
	if x.route.Kind == route.Base {
		return g.base(x)
	}
	if err = g.decide(x); err != nil {
		return err
	}
	if err = g.holdRequest(x); err != nil {
		return err
	}
	if x.route.Kind == route.Catalog {
		return g.catalog(x)
	}
	g.settleMount(x)
	return g.forward(x)
}

// checkBody refuses a body where the protocol has none. No content is no body,
// however it is framed: proxies and HTTP/2 clients end a request with a lone last
// chunk or an empty DATA frame. It must come in the time of a header.
func (g *Gateway) checkBody(x *exchange) error {
	if x.route.CarriesBody() || x.r.ContentLength == 0 {
		return nil
	}
	if x.r.ContentLength > 0 {
		return errBody
	}
	body := newRequestBody(x.w, x.r.Body)
	body.needed, body.left = math.MaxInt, g.limits.HeaderTimeout
	defer body.finish()
	n, err := io.ReadFull(body, make([]byte, 1))
	switch {
	case n > 0:
		return errBody
	case err != io.EOF:
		return brokenBody(err)
	}
	x.r.ContentLength, x.r.Body = 0, http.NoBody
	return nil
}

// ownHeaders are on everything that we answer.
func (g *Gateway) ownHeaders(x *exchange) {
	h := x.w.Header()
	h.Set("X-Request-Id", x.event.requestID)
	h.Set("X-Content-Type-Options", "nosniff")
	if x.underAPI() {
		h.Set("Docker-Distribution-Api-Version", "registry/2.0")
		h.Set("Vary", "Authorization") // for a cache that is not ours and does not heed private
	}
	if x.route.Kind.Content() {
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		h.Set("Cache-Control", "private")
	}
}

// base answers /v2/ (end-1): the token is good, and that is all it says.
func (g *Gateway) base(x *exchange) error {
	g.writeJSON(x, []byte("{}"))
	return nil
}

// writeJSON answers with a document of our own.
func (g *Gateway) writeJSON(x *exchange, body []byte) {
	g.ownHeaders(x)
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		x.w.Write(body)
	}
}

// identify finds out who speaks: the token is verified, and his directory says
// whether he is still there, who he was, and in which groups.
func (g *Gateway) identify(x *exchange) error {
	scheme, credentials, ok := strings.Cut(x.r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && g.basic && ok:
		return g.identifyBasic(x)
	case !strings.EqualFold(scheme, "Bearer"):
		return errNoToken
	}
	token, late, err := g.verify(credentials, x.route.Kind)
	x.event.tokenID = token.ID
	x.event.identity = authn.Identity{Directory: token.Subject.Directory, Username: token.Subject.Username}
	if err != nil {
		g.metrics.TokenValidation(validation(err))
		return err
	}
	id, err := g.keyring.Identify(x.r.Context(), g.chain, token, false)
	g.metrics.TokenValidation(liveness(err))
	if err != nil {
		return err
	}
	x.event.identity = id
	x.caller = caller{identity: id, scope: token.Scope}
	x.known()
	if late && !token.Scope.Allows(x.route.Repository, authz.Push) {
		return fmt.Errorf("%w: the grace after its end is for uploads it carries push for", tokens.ErrExpired)
	}
	return nil
}

// verify takes a token that is good, or one on an upload session that is late: it
// lives on the upload grace alone. The keyring's clock decides both.
func (g *Gateway) verify(text string, where route.Kind) (token tokens.Token, late bool, err error) {
	token, err = g.keyring.Verify(text, tokens.Access, expiryGrace)
	if where != route.Session || !errors.Is(err, tokens.ErrExpired) {
		return token, false, err
	}
	token, err = g.keyring.Verify(text, tokens.Access, g.uploadGrace)
	return token, true, err
}

func validation(err error) string {
	switch {
	case errors.Is(err, tokens.ErrExpired):
		return "expired"
	case errors.Is(err, tokens.ErrRevoked):
		return "revoked"
	}
	return "invalid"
}

func liveness(err error) string {
	switch {
	case err == nil:
		return "valid"
	case errors.Is(err, tokens.ErrInvalidToken):
		return "gone"
	}
	return "unavailable"
}

// identifyBasic takes a password under /v2/, throttled as at the realm.
func (g *Gateway) identifyBasic(x *exchange) error {
	attempt, err := basicCredentials(x.r.Header.Get("Authorization"), x.peer)
	if err != nil {
		return err
	}
	if attempt == nil {
		return errNoToken
	}
	x.event.login = true
	attempt.Admit = g.keyring.Admit
	id, err := g.chain.Authenticate(x.r.Context(), *attempt)
	x.event.identity = id
	if err != nil {
		return err
	}
	x.caller = caller{identity: id, basic: true}
	x.known()
	return nil
}

// decide holds the need against the policy and the token. One rule to remember:
// 401 says that a better token would help, 403 that none would.
func (g *Gateway) decide(x *exchange) error {
	need, d := x.route.Need, g.ask(x)
	x.event.rule = d.Rule
	switch {
	case !d.Allowed && x.caller.identity.Anonymous():
		return g.decided(x, "denied", errLogin)
	case !d.Allowed:
		return g.decided(x, "denied", denied(x, d))
	case !x.caller.carries(need):
		return g.decided(x, "insufficient_scope", errNarrow)
	}
	return g.decided(x, "allowed", nil)
}

func (g *Gateway) ask(x *exchange) authz.Decision {
	need := x.route.Need
	if need.Action == authz.Catalog {
		return g.policy.Catalog(x.caller.identity)
	}
	return g.policy.Decide(x.caller.identity, authz.Request{Repository: need.Repository, Action: need.Action,
		Tags: x.route.Tags, Source: x.peer.Client})
}

func (g *Gateway) decided(x *exchange, result string, err error) error {
	x.event.decision = result
	g.metrics.Decision(string(x.route.Need.Action), result)
	return err
}

// denied is the 403 that a signed-in caller gets, with the rule to show his admin.
func denied(x *exchange, d authz.Decision) *apiError {
	need := x.route.Need
	e := &apiError{status: http.StatusForbidden, code: "DENIED", rule: d.Rule}
	what := fmt.Sprintf("%s of %s", need.Action, need.Repository)
	if need.Action == authz.Catalog {
		what = "listing the catalog"
	}
	if e.rule == "" {
		e.rule = "none"
		e.message = fmt.Sprintf("no rule of the policy allows %s to %s", what, x.caller.identity.Username)
		return e
	}
	e.message = fmt.Sprintf("the policy (%s) denies %s to %s", d.Rule, what, x.caller.identity.Username)
	return e
}
