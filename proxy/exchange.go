package proxy

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// exchange is one request on its way, with all that was found out about it.
type exchange struct {
	w      *recorder
	r      *http.Request
	peer   listener.Peer
	origin listener.Origin
	route  route.Route
	caller caller
	event  event

	by       authz.Decision     // what the policy says
	page     *ui.Call           // nil: it is no request for a page
	upstream *upstream.Registry // where the repository is; nil: not known yet, or there is none

	// Of a manifest under tags, where the policy tells the halves of a push apart.
	guarded bool              // its tags are held until it is answered
	open    []authz.Halves    // the tags of which what they name decides
	names   map[string]string // what is known of that, for the trial
	tried   tried

	held   []holding // see caps.hold
	shares []share   // see caps.share
	ended  func()    // tells freeze.State of a push that it noted; nil: it noted none

	// own are parts that stand here so that a request is one allocation.
	own struct {
		recorder recorder
		source   source
		held     [2]holding // where most of held has its place
		shares   [2]share   // and most of shares
		id       [1]string  // the value of X-Request-Id
		question content.Request
	}
}

// found notes what the policy says.
func (x *exchange) found(d authz.Decision) { x.by, x.event.rule = d, d.Rule }

// name notes the digest that a tag names.
func (x *exchange) name(tag, digest string) {
	if x.names == nil {
		x.names = map[string]string{}
	}
	x.names[tag] = digest
}

// tried is what the policy that is tried says of a request.
type tried struct {
	decision authz.Decision
	open     []authz.Halves // the tags of which what they name decides
}

// underAPI reports whether the request's target is under /v2/, parsed or not.
func (x *exchange) underAPI() bool { return !x.route.Kind.Auth() && x.route.Kind != route.UI }

// caller is who speaks, and what their token lets through; a caller with Basic
// credentials has no token, and no ceiling but the policy.
type caller struct {
	identity authn.Identity
	scope    authz.Scope
	basic    bool
}

func (c caller) carries(a route.Access) bool {
	return c.basic || c.scope.Allows(a.Repository, a.Action)
}

// known tells the request's connection that somebody is known on it.
func (x *exchange) known() {
	if c := listener.Of(x.r); c != nil && !x.caller.identity.Anonymous() {
		c.Known()
	}
}

// event is the one record of a request: filled as the request goes its way, and
// emitted once at its end, whatever happened.
type event struct {
	start          time.Time
	requestID      string
	identity       authn.Identity
	tokenID        string
	refreshID      string            // realm only
	credential     tokens.Credential // what was shown, or what the token was issued for
	decision       string
	rule           string
	bytesIn        int64
	upstreamStatus int
	sent           bool   // all of it may have reached the upstream
	login          bool   // a password was presented under /v2/
	grant          string // basic, password, refresh, anonymous, or the kind of token; ui: a login at the pages
	via            string // ui: a page did it
	logout         bool   // a session was ended
	cache          string // what became of it at the content cache
	change         credentialChange
	note           string // what the operator should know of a good answer
	err            *apiError
}

// credentialChange is what became of a long-lived token by a request, for the audit stream.
type credentialChange struct {
	result audit.Result // empty: nothing
	by     string       // holder, owner or admin
	name   string       // the token's
	reason string       // of its end: in which way it was ended
}

// ids are the ids of requests. Their zero is ready.
type ids struct{ rest sync.Pool } // *string, of which the next ones are cut

const (
	idLength = 26 // of base32: 130 random bits
	idBatch  = 64 // how many are made at once
)

// next is a new one.
func (i *ids) next() string {
	rest, ok := i.rest.Get().(*string)
	if !ok {
		rest = new(string)
	}
	if *rest == "" {
		text := make([]byte, idBatch*idLength)
		_, _ = rand.Read(text) // it never fails
		for i, b := range text {
			text[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[b%32]
		}
		*rest = string(text)
	}
	id := (*rest)[:idLength]
	*rest = (*rest)[idLength:]
	i.rest.Put(rest)
	return id
}

// of is the one that a trusted proxy gave, or a new one.
func (i *ids) of(x *exchange) string {
	if id := x.r.Header.Get("X-Request-Id"); x.peer.Trusted && len(id) >= 8 && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	}) {
		return id
	}
	return i.next()
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

// holder is the caller under a limit; of anonymous ones their network.
func (x *exchange) holder(limit string) holder {
	if id := &x.caller.identity; !id.Anonymous() {
		return holder{limit: limit, directory: id.Directory, username: id.Username}
	}
	return holder{limit: limit, network: listener.NetworkOf(x.peer.Client), via: x.peer.Via()}
}

// ownHeaders are on everything that we answer.
func (x *exchange) ownHeaders() {
	h := x.w.Header()
	x.own.id[0] = x.event.requestID
	h["X-Request-Id"] = x.own.id[:]
	h["X-Content-Type-Options"] = noSniff
	if x.underAPI() {
		h["Docker-Distribution-Api-Version"] = apiVersion
		h["Vary"] = varies
	}
	if x.route.Kind.Content() {
		h["Content-Security-Policy"] = sandbox
		h["Cache-Control"] = private
	}
}

// The values of fields that are the same on every answer. The server only reads them.
var (
	noSniff    = []string{"nosniff"}
	apiVersion = []string{"registry/2.0"}
	varies     = []string{"Authorization"} // for a cache that is not ours and does not heed private
	sandbox    = []string{"default-src 'none'; sandbox"}
	private    = []string{"private"}
	noStore    = []string{"private, no-store"}
)

// writeValue answers with a value of our own.
func (x *exchange) writeValue(status int, value any) error {
	body, err := json.Marshal(value)
	if err == nil {
		x.writeStatus(status, body)
	}
	return err
}

// writeJSON answers with a document of our own.
func (x *exchange) writeJSON(body []byte) { x.writeStatus(http.StatusOK, body) }

func (x *exchange) writeStatus(status int, body []byte) {
	x.ownHeaders()
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.w.Write(body)
	}
}
