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
	upstream *upstream.Upstream
	policy   *authz.Policy
	turns    *turns
	forward  *forwarder    // of the upstream's refusal
	limit    time.Duration // of a listing
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

// fillCatalog reads until the caller's page is full. Where the upstream refuses to
// list anything, that refusal is the answer.
func (c *catalog) fill(ctx context.Context, x *exchange, page *catalogPage) (refusal *upstream.Response, err error) {
	caller, source := c.policy.For(x.caller.identity), x.peer.Client
	visible := func(name string) bool {
		return caller.Decide(authz.Request{Repository: name, Action: authz.Pull, Source: source}).Allowed
	}
	done, err := c.turns.acquire(ctx, x.holder("catalog"))
	if err != nil {
		return nil, err
	}
	defer done()
	header := http.Header{}
	forwardedHeader(x, header)
	listing := c.upstream.Catalog(header, x.route.Last, caller.Prefixes(source))
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
