package proxy

import (
	"context"
	"net/http"
	"sync"

	"gatehouse/proxy/content"
	"gatehouse/proxy/route"
)

// Gossip tells gateways that share the store what this one changes, and hears what they
// change, until ctx ends. current calls with the Gateway of the moment.
func (l *Load) Gossip(ctx context.Context, current func(func(*Gateway))) {
	s := l.holds.shared.Load()
	if s == nil {
		return
	}
	var telling sync.WaitGroup
	telling.Go(func() { l.news.tell(ctx, s) })
	s.Hear(ctx, func(message string) {
		if c := l.news.hear(message); c != nil {
			current(func(g *Gateway) { g.heard(c) })
		}
	})
	telling.Wait()
}

// heard forgets what a change of another gateway makes void.
func (g *Gateway) heard(c *change) {
	for _, d := range g.upstreams {
		if d.Name() == c.Upstream {
			kind := content.Manifest
			if c.Kind == string(route.Blob) {
				kind = content.Blob
			}
			g.cache.content.Changed(content.Subject{Upstream: d.Identity(), Repository: c.Repository, Kind: kind}, c.Tags, c.Deletes)
		}
	}
	switch {
	case g.pages.ui == nil || c.Kind != string(route.Manifest):
	case c.Deletes:
		g.pages.memory.Deleted(c.Place, c.Repository)
	default:
		g.pages.memory.Pushed(c.Place, c.Repository)
	}
}

// tell tells others what a request has changed, or may have: a manifest, or a blob that is
// gone.
func (g *Gateway) tell(x *exchange) {
	deletes := x.route.Method == http.MethodDelete
	if event, _ := x.change(); event == "" || x.route.Kind != route.Manifest && !deletes {
		return
	}
	g.load.news.add(change{Place: g.upstreams.place(x), Upstream: x.upstream.Name(), Repository: x.route.Repository,
		Kind: string(x.route.Kind), Tags: x.route.Tags, Deletes: deletes})
}
