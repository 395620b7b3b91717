package content

import (
	"context"
	"io"
	"strings"
	"time"
	"unique"
)

// role keeps the keys of questions about one digest apart.
const (
	roleFill    = "fill"
	roleConfirm = "confirm"
	roleTag     = "tag"
)

// mayJoin reports whether what a running question brings will still count for a request
// that comes now.
func (c *Cache) mayJoin(of *subject) func(*flight) bool {
	return func(f *flight) bool { // under the lock
		return c.ledger.counts(of, f.moment) && c.ledger.within(f.moment, c.cfg.FreshFor, time.Now())
	}
}

// joinConfirm asks whether the registry still has a digest there.
func (c *Cache) joinConfirm(r *Request, digest, mediaType string) (*flight, bool) {
	of, ask := r.Subject, r.Ask()
	q := Question{Head: true, Subject: of, Reference: digest}
	if of.Kind == Manifest {
		q.Accept = []string{mediaType}
	}
	return c.flights.join(keyOf(roleConfirm, of.Upstream, of.Repository, string(of.Kind), digest), c.mayJoin(&of),
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
		c.ledger.refuse(&q.Subject, q.Reference)
		return gone
	case status == 200 && names(a.Header, q.Reference) && c.ledger.renew(&q.Subject, q.Reference, m, a.Header):
		return kept
	}
	return away
}

// names reports whether an answer is, by its own words, not another digest.
func names(h Header, digest string) bool {
	named := h.get("Docker-Content-Digest")
	return named == "" || named == digest
}

// joinFill asks for a digest by a full GET.
func (c *Cache) joinFill(r *Request) (*flight, bool) {
	of, ask := r.Subject, r.Ask()
	q := Question{Subject: of, Reference: r.Reference, Accept: r.Accept}
	return c.flights.join(keyOf(roleFill, of.Upstream, of.Repository, string(of.Kind), r.Reference), c.mayJoin(&of),
		func(m moment) outcome { return c.fill(ask, q, m) })
}

// fill asks by GET, and keeps the answer where it can.
func (c *Cache) fill(ask Ask, q Question, m moment) outcome {
	a, err := c.ask(context.Background(), ask, q)
	return c.take(&q, a, err, m)
}

// take keeps an answer to a GET, or finds out what else it is.
func (c *Cache) take(q *Question, a *Answer, err error, m moment) outcome {
	status := statusOf(a)
	c.heard(q.Subject.Upstream, status, m)
	switch {
	case faulty(status):
		c.metrics.ContentFill("fault")
		return outcome{verdict: away, answer: a, err: err}
	case refuses(status):
		c.deny(q)
	}
	if err != nil || !c.fits(q.Subject.Kind, a) || !c.reserve(a) {
		c.metrics.ContentFill("unkept")
		return outcome{verdict: other, answer: a, err: err}
	}
	return c.keep(q, a, m)
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

// fits reports whether an answer is one to read whole.
func (c *Cache) fits(kind Kind, a *Answer) bool {
	encoding, named := a.Header.get("Content-Encoding"), a.Header.get("Docker-Content-Digest")
	n := a.Header.length()
	if schema1 := strings.HasPrefix(a.Header.get("Content-Type"), "application/vnd.docker.distribution.manifest.v1+"); schema1 {
		return false // its digest is of a part of it, without the signatures
	}
	if a.Status != 200 || a.Body == nil || encoding != "" && encoding != "identity" || named != "" && !Known(named) || n < 0 {
		return false
	}
	if kind == Manifest {
		return n <= MaxManifest
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n <= int64(c.cfg.Small)
}

// reserve takes the room that reading an answer needs, which read gives back.
func (c *Cache) reserve(a *Answer) bool {
	n := a.Header.length()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filling+n > mostFilling {
		return false
	}
	c.filling += n
	return true
}

// read reads an answer for which there is room reserved.
func (c *Cache) read(a *Answer) ([]byte, verdict) {
	n := a.Header.length()
	defer func() {
		c.mu.Lock()
		c.filling -= n
		c.mu.Unlock()
	}()
	body := make([]byte, n)
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
	if named != "" && digestOf(named, body) != named {
		return ""
	}
	switch {
	case !q.Tag && digestOf(q.Reference, body) == q.Reference:
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

// keep reads an answer, verifies it, and notes what it says.
func (c *Cache) keep(q *Question, a *Answer, m moment) outcome {
	defer a.Close()
	body, verdict := c.read(a)
	if verdict != kept {
		c.metrics.ContentFill("cut")
		c.heard(q.Subject.Upstream, 0, m)
		return outcome{verdict: away}
	}
	digest := verified(q, a, body)
	if digest == "" {
		c.metrics.ContentFill("mismatch")
		c.logger.Error("the upstream's answer has another digest than the one asked for, or named; it is not passed on",
			"repository", q.Subject.Repository, "reference", q.Reference, "named", a.Header.get("Docker-Content-Digest"))
		c.mu.Lock()
		c.suspects.Add(q.Subject.key(q.Reference), time.Now().Add(suspicion))
		c.mu.Unlock()
		return outcome{verdict: wrong, err: ErrMismatch}
	}
	c.metrics.ContentFill("ok")
	e := &Entry{Digest: digest, Header: withoutLength(a.Header), Body: body}
	return outcome{verdict: kept, entry: e, counts: c.note(q, e, m)}
}

// note keeps verified content, with its standing and what its tag names, and reports
// whether nothing changed in the repository since it was asked for.
func (c *Cache) note(q *Question, e *Entry, m moment) bool {
	text, short := label(e.Header, e.Digest)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.put(e.Digest, e.Body)
	if short {
		c.ledger.make(&q.Subject, e.Digest, &standing{moment: m, size: int64(len(e.Body)), label: unique.Make(text)})
	}
	if q.Subject.Kind == Manifest && short {
		c.manners[q.Subject.Upstream] = text
	}
	if q.Tag {
		c.ledger.name(&q.Subject, q.Reference, e.Digest, m)
	}
	return c.ledger.counts(&q.Subject, m)
}
