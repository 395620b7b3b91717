package proxy

import (
	"context"
	"net/http"
	"sync"

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
			g.cache.content.Changed(subjectAt(d.Registry, c.Repository, c.Kind), c.Tags, c.Deletes)
		}
	}
	g.pages.changed(c)
}

// changed tells what was forwarded to those that keep what the registry said before.
func (g *Gateway) changed(x *exchange) {
	if c := g.changeOf(x); c != nil {
		g.pages.changed(c)
		g.load.news.add(*c)
	}
}

// tell tells others what a request of the pages has changed, which know it themselves.
func (g *Gateway) tell(x *exchange) {
	if c := g.changeOf(x); c != nil {
		g.load.news.add(*c)
	}
}

// changeOf is what a request has changed, or may have: a manifest, or a blob that is gone.
// nil: nothing.
func (g *Gateway) changeOf(x *exchange) *change {
	deletes := x.route.Method == http.MethodDelete
	if event, _ := x.change(); event == "" || x.route.Kind != route.Manifest && !deletes {
		return nil
	}
	return &change{Place: g.upstreams.place(x), Upstream: x.upstream.Name(), Repository: x.route.Repository,
		Kind: x.route.Kind, Tags: x.route.Tags, Deletes: deletes}
}
