package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// catalogLimit bounds a listing over all the upstream's pages, its turn included.
const catalogLimit = 60 * time.Second

// catalog is the list of what its caller may pull.
type catalog struct {
	upstreams destinations
	policy    *authz.Policy
	trial     *trial
	turns     *turns
	forward   *forwarder    // of the upstream's refusal
	limit     time.Duration // of a listing
}

// serve answers /v2/_catalog: the upstream's pages, as many as are needed for
// the caller's, with only those names that they may pull. The cursor is the last
// name that they were shown, so no header ever tells a hidden one.
func (c *catalog) serve(x *exchange) error {
	page := catalogPage{names: []string{}, limit: x.route.Page}
	if page.limit < 0 {
		page.limit = route.MaxPage
	}
	if page.limit > 0 {
		ctx, cancel := context.WithTimeout(x.r.Context(), c.limit)
		defer cancel()
		refusal, err := c.fill(ctx, x, &page)
		if err != nil {
			return err
		}
		if refusal != nil {
			defer refusal.Body.Close()
			return c.forward.relay(x, refusal)
		}
	}
	body, err := json.Marshal(map[string][]string{"repositories": page.names})
	if err != nil {
		return err
	}
	if page.more {
		next := route.EncodeQuery([]route.Pair{{Key: "last", Value: page.names[len(page.names)-1]}, {Key: "n", Value: strconv.Itoa(page.limit)}})
		x.w.Header().Set("Link", "</v2/_catalog?"+next+`>; rel="next"`)
	}
	x.writeJSON(append(body, '\n'))
	return nil
}

// catalogPage is the page that is being filled.
type catalogPage struct {
	names []string
	limit int
	more  bool
}

// add takes the visible names of one page of the upstream's and reports whether
// ours is full. rest: the upstream has further pages.
func (p *catalogPage) add(names []string, visible func(string) bool, rest bool) (full bool) {
	for _, name := range names {
		if !visible(name) {
			continue
		}
		if len(p.names) == p.limit {
			p.more = true
			return true
		}
		p.names = append(p.names, name)
	}
	// Whether a further page holds a name for this caller is not known without
	// reading it; a page too many is better than a name too few.
	p.more = len(p.names) == p.limit && rest
	return p.more
}

// question is what a listing is about.
type question struct {
	at      destinations // of the request's host
	header  http.Header
	within  []string                                                 // see Registry.Catalog
	tried   *listed                                                  // nil: no policy is tried
	visible func(of *upstream.Registry) func(repository string) bool // to the caller, of what is there
}

// fill reads until the caller's page is full. Where the one upstream refuses to list
// anything, that refusal is the answer.
func (c *catalog) fill(ctx context.Context, x *exchange, page *catalogPage) (refusal *upstream.Response, err error) {
	caller, source := c.policy.For(x.caller.identity), x.peer.Client
	q := question{at: c.upstreams.at(x.origin), header: http.Header{}, within: caller.Prefixes(source), tried: c.trial.listing(x, page)}
	q.visible = func(of *upstream.Registry) func(string) bool {
		return func(name string) bool {
			if q.at.of(x.origin, name) != of {
				return false
			}
			asked := authz.Request{Repository: name, Action: authz.Pull, Source: source}
			d := caller.Decide(asked)
			q.tried.see(asked, d)
			return d.Allowed
		}
	}
	done, err := c.turns.acquire(ctx, x.holder("catalog"))
	if err != nil {
		return nil, err
	}
	defer done()
	forwardedHeader(x, q.header)
	if len(q.at) == 1 {
		refusal, err = c.one(ctx, x, q, page)
	} else {
		err = c.merge(ctx, x, q, page)
	}
	if refusal == nil && err == nil {
		q.tried.note()
	}
	return refusal, err
}

// one fills a page from the catalog of one upstream, in its order.
func (c *catalog) one(ctx context.Context, x *exchange, q question, page *catalogPage) (refusal *upstream.Response, err error) {
	x.upstream = q.at[0].Registry
	listing, visible := x.upstream.Catalog(q.header, x.route.Last, q.within), q.visible(x.upstream)
	for {
		theirs, err := listing.Next(ctx)
		if err != nil {
			return nil, x.unanswered(err)
		}
		if x.event.upstreamStatus = http.StatusOK; theirs.Refusal != nil {
			x.event.upstreamStatus = theirs.Refusal.Status
			return theirs.Refusal, nil
		}
		if page.add(theirs.Names, visible, theirs.More) || !theirs.More {
			return nil, nil
		}
	}
}
