package content

import (
	"bytes"
	"context"
	"io"
	"time"
)

// role keeps the keys of questions about one digest apart.
const (
	roleFill    = "fill"
	roleConfirm = "confirm"
	roleTag     = "tag"
)

// mayJoin says how a request that comes now joins a running question: what was sent before a
// change of the repository, or before a no, does not count for it, and is not waited for.
func (c *Cache) mayJoin(of *subject, digest string) func(*flight) way {
	return func(f *flight) way { // under the lock
		switch {
		case !c.ledger.countsFor(of, digest, f.moment):
			return beside
		case !c.ledger.within(f.moment, c.cfg.FreshFor, time.Now()):
			return after
		}
		return with
	}
}

// joinConfirm asks whether the registry still has a digest there.
func (c *Cache) joinConfirm(r *Request, digest, mediaType string) (*flight, bool) {
	of, ask := r.Subject, r.Asker.Ask()
	q := Question{Head: true, Subject: of, Reference: digest}
	if of.Kind == Manifest {
		q.Accept = []string{mediaType}
	}
	return c.flights.join(keyOf(roleConfirm, of.Upstream, of.Repository, string(of.Kind), digest), c.mayJoin(&of, digest),
		func(m moment) outcome { return c.confirm(ask, q, m) })
}

// confirm asks by HEAD. It renews a standing and makes none.
func (c *Cache) confirm(ask Ask, q Question, m moment) outcome {
	a, _ := c.ask(context.Background(), ask, q) // no answer decides nothing
	defer a.Close()
	o := outcome{verdict: c.confirmed(&q, a, m)}
	result := "fault"
	switch o.verdict {
	case kept:
		result = "yes"
	case gone:
		result = "no"
	}
	c.metrics.ContentConfirmation(result)
	return o
}

func (c *Cache) confirmed(q *Question, a *Answer, m moment) verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch status := statusOf(a); {
	case refuses(status):
		return gone
	case status != 200 || !names(a.Header, q.Reference):
		return away
	case c.ledger.renew(&q.Subject, q.Reference, m, a.Header), c.renewGrowthLocked(&q.Subject, q.Reference, m, a.Header):
		return kept
	}
	return away
}

// joinFill asks for a digest by a full GET.
func (c *Cache) joinFill(r *Request) (*flight, bool) {
	of, ask := r.Subject, r.Asker.Ask()
	q := Question{Subject: of, Reference: r.Reference, Accept: r.Accept}
	return c.flights.join(keyOf(roleFill, of.Upstream, of.Repository, string(of.Kind), r.Reference), c.mayJoin(&of, r.Reference),
		func(m moment) outcome { return c.fill(ask, q, m) })
}

// fill asks by GET, and keeps the answer where it can.
func (c *Cache) fill(ask Ask, q Question, m moment) outcome {
	a, err := c.ask(context.Background(), ask, q)
	return c.take(ask, &q, a, err, m)
}

// take keeps an answer to a GET, or finds out what else it is.
func (c *Cache) take(ask Ask, q *Question, a *Answer, err error, m moment) outcome {
	status := statusOf(a)
	c.heard(q.Subject.Upstream, status, m)
	switch {
	case Faulty(status):
		c.metrics.ContentFill("fault")
		return outcome{verdict: away, answer: a, err: err}
	case lies(q, a):
		a.Close()
		c.suspectAnswer(q, a.Header)
		return outcome{verdict: wrong, err: ErrMismatch}
	}
	if err == nil && keepable(q, a) {
		if o, ok := c.keep(ask, q, a, m); ok {
			return o
		}
	} else {
		c.metrics.ContentFill("unkept")
	}
	o := outcome{verdict: other, answer: a, err: err}
	readable := q.Subject.Kind == Manifest || c.fits(q.Subject.Kind, a) // but has no length, or found no room
	o.streams = err == nil && status == 200 && !(readable && verifies(q, a, func() { c.suspectAnswer(q, a.Header) }))
	return o
}

// keep keeps an answer where it has room.
func (c *Cache) keep(ask Ask, q *Question, a *Answer, m moment) (o outcome, ok bool) {
	if c.fits(q.Subject.Kind, a) {
		if release, ok := c.hold(a.Header.length()); ok {
			defer release()
			return c.readWhole(q, a, m), true
		}
	} else if q.Subject.Kind == Blob && c.disk != nil {
		o, err := c.large(ask, q, a, m)
		if err != nil {
			c.notKept(a.Header.length(), err)
		}
		return o, err == nil
	}
	c.metrics.ContentFill("unkept")
	return outcome{}, false
}

// deny notes that the registry does not have what it was asked for.
func (c *Cache) deny(q *Question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.Tag {
		c.ledger.unname(&q.Subject, q.Reference)
		return
	}
	c.ledger.refuse(&q.Subject, q.Reference)
}

// lies reports whether an answer is, by its own words, not the digest that was asked for.
func lies(q *Question, a *Answer) bool {
	return !q.Tag && a.Status == 200 && belies(a.Header, q.Reference)
}

// keepable reports whether an answer is content in a form to keep, or at least, where it is
// signed, to verify.
func keepable(q *Question, a *Answer) bool {
	return a.Status == 200 && a.Body != nil && !encoded(a.Header) && (!q.Tag || vouched(q, a.Header)) && a.Header.length() >= 0
}

// vouched reports whether something speaks for what a tag is said to name: the digest that the answer
// names, by which it can be verified, or without one that it has a type which was asked for.
func vouched(q *Question, h Header) bool {
	named := h.get("Docker-Content-Digest")
	return Known(named) || named == "" && accepts(q.Accept, q.Subject.Kind, h.get("Content-Type"))
}

// fits reports whether an answer is one to read whole.
func (c *Cache) fits(kind Kind, a *Answer) bool {
	n := a.Header.length()
	if kind == Manifest {
		return n <= MaxManifest
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n <= int64(c.cfg.Small)
}

// hold takes so many bytes of the room that is there for answers being read.
func (c *Cache) hold(n int64) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filling+n > mostFilling {
		return nil, false
	}
	c.filling += n
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.filling -= n
	}, true
}

// read reads an answer for which there is room.
func read(a *Answer) ([]byte, verdict) {
	body := make([]byte, a.Header.length())
	if _, err := io.ReadFull(a.Body, body); err != nil {
		return nil, void
	}
	if _, err := io.ReadFull(a.Body, make([]byte, 1)); err != io.EOF {
		return nil, void // it is longer than it said, or broke at its very end
	}
	return body, kept
}

// verified is the digest of an answer's content; "": it is not the one that was asked for, or
// that the answer names.
func verified(q *Question, a *Answer, body []byte) string {
	named := a.Header.get("Docker-Content-Digest")
	is := signed(q.Subject.Kind, a.Header)
	if Known(named) && !hasDigest(named, body, is) {
		return ""
	}
	switch {
	case !q.Tag && hasDigest(q.Reference, body, is):
		return q.Reference
	case !q.Tag:
		return ""
	case named != "":
		return named
	}
	return digestOf("sha256", body)
}

func withoutLength(h Header) Header {
	delete(h, "Content-Length")
	return h
}

// readWhole reads an answer, verifies it, and notes what it says.
func (c *Cache) readWhole(q *Question, a *Answer, m moment) outcome {
	defer a.Close()
	body, verdict := read(a)
	if verdict != kept {
		c.metrics.ContentFill("cut")
		c.heard(q.Subject.Upstream, 0, m)
		return outcome{verdict: away}
	}
	digest := verified(q, a, body)
	if digest == "" {
		c.suspectAnswer(q, a.Header)
		return outcome{verdict: wrong, err: ErrMismatch}
	}
	if signed(q.Subject.Kind, a.Header) { // what is kept has its own digest
		c.metrics.ContentFill("unkept")
		return outcome{verdict: other, answer: &Answer{Status: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader(body)), cancel: a.cancel}}
	}
	c.metrics.ContentFill("ok")
	e := &Entry{Digest: digest, Header: withoutLength(a.Header), Size: int64(len(body)), Body: body}
	return outcome{verdict: kept, entry: e, counts: c.note(q, e, m)}
}
