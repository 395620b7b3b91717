package proxy

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"gatehouse/proxy/upstream"
)

// merge fills a page from the catalogs of several upstreams, sorted by bytes. They may
// sort in different ways, and none need know a name of another, so each is read whole:
// from the middle on names could be missed.
func (c *catalog) merge(ctx context.Context, x *exchange, q question, page *catalogPage) error {
	first := smallest{after: x.route.Last, most: page.limit + 1}
	for _, d := range q.at {
		if err := c.collect(ctx, d.Catalog(q.header.Clone(), "", q.within), q.visible(d.Registry), &first); err != nil {
			return c.incomplete(x, d.Name(), err)
		}
		x.event.upstreamStatus = http.StatusOK
	}
	page.add(first.sorted(), func(string) bool { return true }, false)
	if page.more {
		q.tried.cut(page.names[len(page.names)-1])
	}
	return nil
}

// collect reads one upstream's catalog to its end.
func (c *catalog) collect(ctx context.Context, of *upstream.Listing, visible func(string) bool, into *smallest) error {
	for {
		theirs, err := of.Next(ctx)
		if err != nil {
			return err
		}
		if theirs.Refusal != nil {
			theirs.Refusal.Body.Close()
			return &upstream.Error{Reason: upstream.ErrAnswer, Status: theirs.Refusal.Status, Sent: true, Cause: fmt.Errorf("it does not list its catalog: status %d", theirs.Refusal.Status)}
		}
		for _, name := range theirs.Names {
			if name > into.after && visible(name) {
				into.add(name)
			}
		}
		if !theirs.More {
			return nil
		}
	}
}

// incomplete is the error of a listing that lacks an upstream's part.
func (c *catalog) incomplete(x *exchange, name string, err error) error {
	_ = x.unanswered(err) // which is noted; the answer is the same for all of them
	if x.r.Context().Err() != nil {
		return err
	}
	return &apiError{status: http.StatusBadGateway, code: "UNAVAILABLE", message: "not all registries list their repositories now", cause: fmt.Errorf("upstream %s: %w", name, err)}
}

// smallest keeps the first names in the order of bytes, each once.
type smallest struct {
	after string // names have to come after it
	most  int    // how many are needed
	names []string
}

func (s *smallest) add(name string) {
	if s.names = append(s.names, name); len(s.names) >= 4*s.most {
		s.names = s.sorted()
	}
}

func (s *smallest) sorted() []string {
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	return s.names[:min(len(s.names), s.most)]
}
