package content

import (
	"context"
	"time"
)

// resolve asks what a tag names. Where the cache can give out what it named last, that
// need not be sent again.
func (c *Cache) resolve(ask Ask, q Question, m moment) outcome {
	known := c.known(&q)
	if known == nil {
		return c.fill(ask, q, m)
	}
	q.Unless = known.Digest
	a, err := c.ask(context.Background(), ask, q)
	if statusOf(a) != 304 || err != nil {
		return c.take(ask, &q, a, err, m)
	}
	a.Close()
	if !saysSame(a.Header, known.Digest) { // it is the same as nobody asked for
		q.Unless = ""
		return c.fill(ask, q, m)
	}
	c.heard(q.Subject.Upstream, a.Status, m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ledger.counts(&q.Subject, m) || c.ledger.standing(&q.Subject, known.Digest) == nil {
		return outcome{verdict: void}
	}
	last, _ := c.ledger.hint(&q.Subject, q.Reference)
	c.ledger.name(&q.Subject, q.Reference, known.Digest, m, last.made && mayBeMade(q.Accept, known.Header))
	return outcome{verdict: kept, entry: known, asked: true, counts: true}
}

// known is what a tag named last, where it may be given out to who accepts so; nil: it
// may not.
func (c *Cache) known(q *Question) *Entry {
	c.mu.Lock()
	h, ok := c.ledger.hint(&q.Subject, q.Reference)
	var f found
	if ok {
		f = c.findLocked(&q.Subject, h.digest, time.Now())
	}
	c.mu.Unlock()
	if f.state != fresh {
		return nil
	}
	e := f.entry(h.digest)
	if !accepts(q.Accept, q.Subject.Kind, e.Header.get("Content-Type")) {
		return nil
	}
	return e
}
