package proxy

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/content"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// cache stands in the place of forwarding: what it answers was decided already, so it
// can widen nothing.
type cache struct {
	content   *content.Cache // nil: everything is forwarded
	config    *content.Config
	load      *Load
	upstreams string // stands for all of them
	policy    *authz.Policy
	forwarder *forwarder
	metrics   *metrics.Metrics
}

// newCache takes the cache that is kept over reloads, where there is one, and tells the
// forwarder of it.
func newCache(cfg *Config, l *Load, to destinations, f *forwarder) cache {
	c := cache{config: cfg.Cache, load: l, policy: cfg.Policy, forwarder: f, metrics: cfg.Metrics}
	if cfg.Cache != nil {
		if c.content = l.content(); c.content == nil {
			c.content = content.New(*cfg.Cache, cfg.Metrics, cfg.Logger)
		}
	}
	for _, d := range to {
		c.upstreams += d.Identity() + "\n"
	}
	f.watcher = watcher{c.content}
	return c
}

// take makes everything due that was kept, and void where the upstreams are others.
func (c *cache) take() {
	c.load.keep(c.content)
	if c.content == nil {
		c.metrics.ContentSize("memory", 0, 0)
		return
	}
	c.content.Take(*c.config, c.upstreams)
}

// serve answers from the cache, or from the upstream.
func (c *cache) serve(x *exchange) error {
	if c.content == nil || !x.route.Kind.Content() || x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return c.forwarder.forward(x)
	}
	if headByTag(x) {
		return c.look(x)
	}
	if !c.takes(x) {
		c.count(x, content.Pass)
		return c.forwarder.forward(x)
	}
	result := c.content.Get(x.r.Context(), questionOf(x))
	c.count(x, result.Outcome)
	return c.answer(x, &result)
}

// questionOf is the request as the cache is asked.
func questionOf(x *exchange) *content.Request {
	x.own.question = content.Request{Subject: subjectOf(x), Reference: x.route.Reference, Tag: x.route.Tag,
		Accept: x.r.Header["Accept"], Partial: x.r.Header["Range"] != nil, Head: x.r.Method == http.MethodHead, Asker: x}
	return &x.own.question
}

func headByTag(x *exchange) bool { return x.r.Method == http.MethodHead && x.route.Tag }

// look forwards a HEAD by tag. While the registry cannot be asked it is answered as a GET would be, as
// containerd begins each pull with one.
func (c *cache) look(x *exchange) error {
	resp, err := c.forwarder.ask(x.r.Context(), x, &outgoing{})
	if err == nil {
		defer resp.Body.Close()
	}
	if e := c.lasting(x, resp, err); e != nil {
		x.event.upstreamStatus = 0
		c.count(x, content.Stale)
		return c.give(x, &content.Result{Outcome: content.Stale, Entry: e})
	}
	c.count(x, content.Pass)
	if err != nil {
		return err
	}
	return c.forwarder.relay(x, resp)
}

// lasting is what may be given out in the place of an answer that says that the registry cannot be
// asked; nil: nothing. Who may push is told nothing that only a cache remembers.
func (c *cache) lasting(x *exchange, resp *upstream.Response, err error) *content.Entry {
	if x.r.Context().Err() != nil || !content.Faulty(upstreamStatus(resp, err)) || !c.takes(x) {
		return nil
	}
	return c.content.Lasting(questionOf(x))
}

// answer gives a client what the cache has brought.
func (c *cache) answer(x *exchange, result *content.Result) error {
	switch {
	case result.Err != nil:
		result.Answer.Close()
		return x.unanswered(result.Err)
	case result.Entry != nil:
		return c.give(x, result)
	case result.Answer != nil:
		return c.pass(x, result.Answer)
	}
	return c.forwarder.forward(x)
}

// count notes what became of a request at the cache.
func (c *cache) count(x *exchange, outcome content.Outcome) {
	name := string(x.route.Kind)
	if x.route.Tag {
		name = "tag"
	}
	x.event.cache = string(outcome)
	c.metrics.CacheRequest(name, string(outcome))
}

// takes reports whether a request is one for the cache. A HEAD of a blob is asked by who
// pushes, and so may be one of a manifest: a push that leaves something out because the
// cache remembers it would break what it pushes.
func (c *cache) takes(x *exchange) bool {
	rt, h := &x.route, x.r.Header
	switch {
	case len(rt.Query) > 0 || !rt.Tag && !content.Known(rt.Reference):
		return false
	case h["If-Modified-Since"] != nil || h["If-Unmodified-Since"] != nil || !takesIdentity(h["Accept-Encoding"]):
		return false
	case x.r.Method == http.MethodHead && (rt.Kind == route.Blob || h["Range"] != nil || c.mayPush(x)):
		return false
	}
	for name := range h {
		if name != "Docker-Distribution-Api-Version" && (strings.HasPrefix(name, "Docker-") || strings.HasPrefix(name, "Oci-")) {
			return false // the upstream may heed it; podman and its kind send that one with everything
		}
	}
	return true
}

// mayPush reports whether the caller may push there.
func (c *cache) mayPush(x *exchange) bool {
	if !x.caller.basic {
		return x.caller.scope.Allows(x.route.Repository, authz.Push)
	}
	asked, err := authz.ParseScope([]string{"repository:" + x.route.Repository + ":push"})
	return err != nil || c.policy.Grant(x.caller.identity, asked, x.peer.Client).Allows(x.route.Repository, authz.Push)
}

// takesIdentity reports whether an Accept-Encoding field takes content as it is (RFC 9110
// section 12.5.3).
func takesIdentity(field []string) bool {
	identity, any := "", ""
	for element := range strings.SplitSeq(strings.ToLower(strings.Join(field, ",")), ",") {
		coding, quality, _ := strings.Cut(strings.Join(strings.Fields(element), ""), ";")
		switch coding {
		case "identity":
			identity = quality + ";"
		case "*":
			any = quality + ";"
		}
	}
	if identity == "" {
		identity = any
	}
	zero, ok := strings.CutPrefix(identity, "q=0")
	return !ok || strings.Trim(zero, ".0;") != ""
}

// Ask makes what asks the upstream in the name of a request, which may be over by then.
func (x *exchange) Ask() content.Ask {
	from, header := x.upstream, http.Header{"Accept-Encoding": {"identity"}}
	if agent := x.r.Header["User-Agent"]; agent != nil {
		header["User-Agent"] = agent
	}
	forwardedHeader(x, header)
	return func(ctx context.Context, q content.Question) (*content.Answer, error) {
		h, rt := maps.Clone(header), route.Unknown(http.MethodGet)
		rt.Kind, rt.Repository, rt.Reference, rt.Tag = route.Blob, q.Subject.Repository, q.Reference, q.Tag
		if q.Subject.Kind == content.Manifest {
			rt.Kind = route.Manifest
		}
		if q.Head {
			rt.Method = http.MethodHead
		}
		if len(q.Accept) > 0 {
			h["Accept"] = q.Accept
		}
		if q.Unless != "" {
			h["If-None-Match"] = []string{`"` + q.Unless + `"`}
		}
		if q.From > 0 {
			h["Range"] = []string{"bytes=" + strconv.FormatInt(q.From, 10) + "-"}
		}
		resp, err := from.Do(ctx, upstream.Request{Route: rt, Header: h})
		if err != nil {
			return saidNo(err), err
		}
		return &content.Answer{Status: resp.Status, Header: content.Header(resp.Header), Body: resp.Body}, nil
	}
}

// pass streams an answer that is not kept.
func (c *cache) pass(x *exchange, a *content.Answer) error {
	defer a.Close()
	defer context.AfterFunc(x.r.Context(), a.Cut)()
	x.event.sent, x.event.upstreamStatus = true, a.Status
	if status := precondition(x.r, named(a, x)); status != 0 && a.Status == http.StatusOK {
		return unsent(x, http.Header(a.Header), status)
	}
	return c.forwarder.relay(x, &upstream.Response{Status: a.Status, Header: http.Header(a.Header), Body: a.Body})
}

// named is the digest of an answer that is not kept.
func named(a *content.Answer, x *exchange) string {
	if !x.route.Tag {
		return x.route.Reference
	}
	return http.Header(a.Header).Get("Docker-Content-Digest")
}

// give answers with what the cache has.
func (c *cache) give(x *exchange, result *content.Result) error {
	e := result.Entry
	if e.File != nil {
		defer e.File.Close()
		if _, err := e.File.Ready(x.r.Context(), 0); err != nil {
			return c.unready(x, err)
		}
	}
	defer c.served(x, result)
	h := x.w.Header()
	maps.Copy(h, http.Header(e.Header))
	x.ownHeaders()
	asTyped(h)
	switch result.Outcome {
	case content.Hit, content.Stale:
		h["Cache-Status"] = cacheHit
	case content.Joined:
	default:
		x.event.sent, x.event.upstreamStatus = true, http.StatusOK
	}
	if status := precondition(x.r, e.Digest); status != 0 {
		return unsent(x, h, status)
	}
	if x.r.Header["Range"] != nil {
		return c.part(x, e)
	}
	if h["Content-Length"] == nil {
		h.Set("Content-Length", strconv.FormatInt(e.Size, 10))
	}
	x.w.WriteHeader(http.StatusOK)
	switch {
	case x.r.Method == http.MethodHead:
		return nil
	case e.File != nil:
		return c.forwarder.file(x, e.File)
	}
	return c.forwarder.body(x, e.Body)
}

// unready is for a download that ended before anything was said. Where it broke, or the folder
// is at fault, the client has an answer of their own.
func (c *cache) unready(x *exchange, err error) error {
	if errors.Is(err, content.ErrMismatch) || x.r.Context().Err() != nil {
		return err
	}
	own := c.content.Alone(x.r.Context(), &x.own.question)
	return c.answer(x, &own)
}

var cacheHit = []string{"gatehouse; hit"} // RFC 9211

// served counts what an answer has sent.
func (c *cache) served(x *exchange, result *content.Result) {
	from := "flight"
	if result.Outcome == content.Hit || result.Outcome == content.Stale {
		if from = "memory"; result.Entry.File != nil {
			from = "disk"
		}
	}
	c.metrics.ContentServed(from, x.w.bytes)
}
