package content

import (
	"context"
	"time"
)

// Get answers from the cache, or asks the registry and keeps what it says. It waits no
// longer than ctx.
func (c *Cache) Get(ctx context.Context, r *Request) Result {
	for range 2 { // a file that cannot be read is none, and the registry is asked
		if result := c.get(ctx, r); c.open(r, &result) {
			return result
		}
	}
	return c.ownWay(ctx, r)
}

func (c *Cache) get(ctx context.Context, r *Request) Result {
	if r.Tag {
		return c.byTag(ctx, r)
	}
	return c.byDigest(ctx, r)
}

// byDigest answers a request for a digest.
func (c *Cache) byDigest(ctx context.Context, r *Request) Result {
	f := c.find(&r.Subject, r.Reference)
	if f.state == absent {
		if r.Partial {
			return Result{Outcome: Pass}
		}
		return c.fetch(ctx, r)
	}
	e := f.entry(r.Reference)
	if !accepts(r.Accept, r.Kind, e.Header.get("Content-Type")) {
		return Result{Outcome: Pass}
	}
	if f.again {
		c.askAgain(r, f.state, r.Reference, e.Header.get("Content-Type"))
	}
	switch f.state {
	case fresh:
		return Result{Outcome: Hit, Entry: e}
	case expired:
		return Result{Outcome: Stale, Entry: e}
	}
	return c.askFirst(ctx, r, e.Header.get("Content-Type"))
}

// askFirst gives out what the cache has when the registry says that it still has it too.
func (c *Cache) askFirst(ctx context.Context, r *Request, mediaType string) Result {
	f, leads := c.joinConfirm(r, r.Reference, mediaType)
	if f == nil {
		return Result{Outcome: Pass}
	}
	o, err := c.flights.wait(ctx, f, leads)
	switch {
	case err != nil:
		return stopped(leads, err)
	case o.verdict == gone:
		return c.ownWay(ctx, r)
	case o.verdict == kept:
		if e := c.since(&r.Subject, r.Reference, f.moment); e != nil {
			return Result{Outcome: Hit, Entry: e}
		}
	}
	return c.fetch(ctx, r)
}

// fetch asks for a digest, or joins who does.
func (c *Cache) fetch(ctx context.Context, r *Request) Result {
	if c.suspect(r) {
		return c.Alone(ctx, r)
	}
	if result, ok := c.followOn(ctx, r); ok {
		return result
	}
	f, leads := c.joinFill(r)
	return c.settle(ctx, r, f, leads)
}

// followOn joins a download that runs, where the registry's yes to it counts or is renewed.
func (c *Cache) followOn(ctx context.Context, r *Request) (result Result, ok bool) {
	g, state := c.follows(&r.Subject, r.Reference)
	if g == nil || !accepts(r.Accept, r.Kind, g.entry.Header.get("Content-Type")) {
		return Result{}, false
	}
	if state == due {
		f, leads := c.joinConfirm(r, r.Reference, g.entry.Header.get("Content-Type"))
		if f == nil {
			return Result{Outcome: Pass}, true
		}
		o, err := c.flights.wait(ctx, f, leads)
		switch {
		case err != nil:
			return stopped(leads, err), true
		case o.verdict == gone:
			return c.ownWay(ctx, r), true
		}
		if o.verdict != kept {
			return Result{}, false
		}
	}
	return Result{Outcome: Joined, Entry: g.entry}, true
}

// settle waits for a question, and gives everybody their part of its outcome.
func (c *Cache) settle(ctx context.Context, r *Request, f *flight, leads bool) Result {
	if f == nil {
		return Result{Outcome: Pass}
	}
	o, err := c.flights.wait(ctx, f, leads)
	switch {
	case err != nil:
		return stopped(leads, err)
	case o.verdict == kept && leads && o.asked:
		return Result{Outcome: Hit, Entry: o.entry}
	case o.verdict == kept && leads:
		return Result{Outcome: Miss, Entry: o.entry}
	case o.verdict == kept && o.counts && (r.Tag || accepts(r.Accept, r.Kind, o.entry.Header.get("Content-Type"))):
		return shared(o)
	case o.verdict == kept && o.counts:
		return Result{Outcome: Pass} // for the registry to choose by what they accept
	case !leads && o.verdict == wrong:
		return c.Alone(ctx, r)
	case o.verdict == away:
		if e := c.Lasting(r); e != nil {
			if leads {
				o.answer.Close()
			}
			return Result{Outcome: Stale, Entry: e}
		}
	}
	if leads && (o.answer != nil || o.err != nil) {
		return Result{Outcome: Miss, Answer: o.answer, Err: o.err}
	}
	if o.streams {
		return Result{Outcome: Pass}
	}
	return c.ownWay(ctx, r)
}

// ownWay is that of a request which nobody else's question answers.
func (c *Cache) ownWay(ctx context.Context, r *Request) Result {
	if r.Head || r.Partial {
		return Result{Outcome: Pass}
	}
	return c.Alone(ctx, r)
}

// stopped is the result of who stopped waiting.
func stopped(leads bool, err error) Result {
	if leads {
		return Result{Outcome: Miss, Err: err}
	}
	return Result{Outcome: Joined, Err: err}
}

// shared is the result of those who joined.
func shared(o outcome) Result {
	if o.asked {
		return Result{Outcome: Hit, Entry: o.entry}
	}
	return Result{Outcome: Joined, Entry: o.entry}
}

// suspect reports whether the registry sent something wrong for the request not long ago.
func (c *Cache) suspect(r *Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.suspects.Get(r.key(r.Reference))
	return ok && time.Now().Before(until)
}

// Alone asks for a request that joins nobody, and keeps nothing. What can be verified is.
func (c *Cache) Alone(ctx context.Context, r *Request) Result {
	q := Question{Subject: r.Subject, Reference: r.Reference, Tag: r.Tag, Accept: r.Accept}
	a, err := c.ask(ctx, r.Asker.Ask(), q)
	switch {
	case err != nil:
		return Result{Outcome: Pass, Answer: a, Err: err}
	case lies(&q, a):
		a.Close()
		return Result{Outcome: Pass, Err: ErrMismatch}
	}
	return c.unkept(&q, a)
}

// unkept gives out an answer that nobody keeps: read first, or where it is too large or has no
// length or room, as it passes.
func (c *Cache) unkept(q *Question, a *Answer) Result {
	blobs := q.Subject.Kind == Blob && c.disk != nil // larger ones are for the cache
	n := a.Header.length()
	switch {
	case !keepable(q, a):
		verifies(q, a, nil)
	case c.fits(q.Subject.Kind, a) || blobs && n <= Window:
		if release, ok := c.hold(n); ok {
			defer release()
			defer a.Close()
			return c.whole(q, a)
		}
		verifies(q, a, nil)
	case q.Subject.Kind == Manifest || blobs && !c.verify(q.Reference, a):
		verifies(q, a, nil)
	}
	return Result{Outcome: Pass, Answer: a}
}

// whole gives out an answer that is right.
func (c *Cache) whole(q *Question, a *Answer) Result {
	body, verdict := read(a)
	if verdict != kept {
		return Result{Outcome: Pass, Err: ErrBroken}
	}
	digest := verified(q, a, body)
	if digest == "" {
		return Result{Outcome: Pass, Err: ErrMismatch}
	}
	return Result{Outcome: Pass, Entry: &Entry{Digest: digest, Header: withoutLength(a.Header), Size: int64(len(body)), Body: body}}
}

// askAgain asks in the background: whether a digest is still there, and where the
// registry could not be asked, whether it can be by now.
func (c *Cache) askAgain(r *Request, s state, digest, mediaType string) {
	f, leads := c.joinConfirm(r, digest, mediaType)
	if f == nil || !leads {
		return
	}
	c.flights.leave(f)
	if s != expired {
		return
	}
	again := Request{Subject: r.Subject, Reference: digest, Accept: []string{mediaType}}
	again.Asker = r.Asker.Ask()
	done := c.tries(r.Upstream)
	go func() {
		defer done()
		<-f.done
		if f.outcome.verdict != away {
			c.heard(again.Upstream, 200, f.moment)
			return
		}
		if fill, leads := c.joinFill(&again); leads {
			c.flights.leave(fill)
			<-fill.done
		}
	}()
}

// asNamed gives out what a tag is taken to name; where that is due, when the registry still has
// it. false: what the tag names has to be asked for.
func (c *Cache) asNamed(ctx context.Context, r *Request, digest string, f *found) (result Result, ok bool) {
	e := f.entry(digest)
	mediaType := e.Header.get("Content-Type")
	if !accepts(r.Accept, r.Kind, mediaType) {
		return Result{}, false
	}
	if f.again {
		c.askAgain(r, f.state, digest, mediaType)
	}
	switch f.state {
	case fresh:
		return Result{Outcome: Hit, Entry: e}, true
	case expired:
		return Result{Outcome: Stale, Entry: e}, true
	}
	flight, leads := c.joinConfirm(r, digest, mediaType)
	if flight == nil {
		return Result{}, false
	}
	o, err := c.flights.wait(ctx, flight, leads)
	if err != nil {
		return stopped(leads, err), true
	}
	if o.verdict == kept {
		e = c.since(&r.Subject, digest, flight.moment)
	}
	return Result{Outcome: Hit, Entry: e}, o.verdict == kept && e != nil
}

// byTag answers a request for what a tag names.
func (c *Cache) byTag(ctx context.Context, r *Request) Result {
	if r.Partial {
		return Result{Outcome: Pass}
	}
	digest, f := c.findNamed(r)
	if f.state == fresh || f.state == expired || f.state == due && f.named {
		if result, ok := c.asNamed(ctx, r, digest, &f); ok {
			return result
		}
	}
	if c.suspect(r) {
		return c.Alone(ctx, r)
	}
	of, ask := r.Subject, r.Asker.Ask()
	q := Question{Subject: of, Reference: r.Reference, Tag: true, Accept: r.Accept}
	parts := append([]string{roleTag, of.Upstream, of.Repository, r.Reference}, r.Accept...)
	next := func(*flight) way { return after } // never one that was sent before they came
	flight, leads := c.flights.join(keyOf(parts...), next, func(m moment) outcome { return c.resolve(ask, q, m) })
	return c.settle(ctx, r, flight, leads)
}
