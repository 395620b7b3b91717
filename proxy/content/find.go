package content

import "time"

// state is how far something may be given out.
type state int

const (
	absent  state = iota // no content, or no standing
	due                  // the registry has to be asked first
	expired              // due, and it cannot be asked just now
	fresh
)

// found is what the cache has of a digest in a repository.
type found struct {
	state state
	body  []byte
	label labelHandle
	again bool // it is time to ask in the background
}

// entry makes it one to give out.
func (f *found) entry(digest string) *Entry {
	return &Entry{Digest: digest, Header: unlabel(f.label.Value(), digest), Body: f.body}
}

// find looks a digest up.
func (c *Cache) find(of *subject, digest string) found {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.findLocked(of, digest, time.Now())
}

func (c *Cache) findLocked(of *subject, digest string, now time.Time) found {
	s := c.ledger.standing(of, digest)
	if s == nil {
		return found{}
	}
	body, ok := c.memory.get(digest)
	if !ok {
		return found{}
	}
	f := found{state: due, body: body, label: s.label}
	offline := c.offlineLocked(of.Upstream, now)
	switch {
	case c.ledger.within(s.moment, c.cfg.FreshFor, now):
		f.state = fresh
		f.again = now.Sub(s.time) >= c.cfg.FreshFor/2 && pausedSince(&s.tried, now)
	case now.Sub(s.time) < c.cfg.StaleFor && offline != nil:
		f.state = expired
		f.again = pausedSince(&offline.tried, now)
	}
	return f
}

// pausedSince reports whether it is time to try once more, and notes that.
func pausedSince(tried *time.Time, now time.Time) bool {
	if now.Sub(*tried) < faultPause {
		return false
	}
	*tried = now
	return true
}

// findNamed looks up what a tag named when it was last seen, and by the times of tags.
func (c *Cache) findNamed(r *Request) (digest string, f found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	h, ok := c.ledger.hint(&r.Subject, r.Reference)
	if !ok {
		return "", found{}
	}
	f = c.findLocked(&r.Subject, h.digest, now)
	named := c.ledger.within(h.moment, c.cfg.TagsFreshFor, now)
	offline := c.offlineLocked(r.Upstream, now)
	seen := now.Sub(h.time) < c.cfg.StaleFor && offline != nil
	switch {
	case f.state == fresh && !named && seen:
		f.state, f.again = expired, pausedSince(&offline.tried, now)
	case f.state == fresh && !named, f.state == expired && !seen:
		f.state, f.again = due, false
	}
	return h.digest, f
}

// lasting is what may be given out while the registry cannot be asked; nil: nothing.
func (c *Cache) lasting(r *Request) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, digest := time.Now(), r.Reference
	if r.Tag {
		h, ok := c.ledger.hint(&r.Subject, r.Reference)
		if !ok || now.Sub(h.time) >= c.cfg.StaleFor {
			return nil
		}
		digest = h.digest
	}
	s := c.ledger.standing(&r.Subject, digest)
	body, ok := c.memory.get(digest)
	if s == nil || !ok || now.Sub(s.time) >= c.cfg.StaleFor {
		return nil
	}
	return (&found{body: body, label: s.label}).entry(digest)
}

// since is what a question that was sent at that moment allows to give out.
func (c *Cache) since(of *subject, digest string, m moment) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.ledger.standing(of, digest)
	body, ok := c.memory.get(digest)
	if s == nil || !ok || s.count < m.count || s.time.Before(m.time) {
		return nil
	}
	return (&found{body: body, label: s.label}).entry(digest)
}
