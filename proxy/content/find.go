package content

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

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
	held  *held // nil: on the disk
	size  int64
	label labelHandle
	tried *time.Time // when it was last asked about in the background; nil: that need not be
	again bool       // it is time to ask in the background
	named bool       // of a tag: it is taken to name that still
}

// entry makes it one to give out.
func (f *found) entry(digest string) *Entry {
	if f.held != nil {
		return f.held.as(f.label, digest)
	}
	return &Entry{Digest: digest, Header: unlabel(f.label.Value(), digest), Size: f.size}
}

// hasLocked finds content; h is nil where it is on the disk.
func (c *Cache) hasLocked(digest string, now time.Time) (h *held, size int64, ok bool) {
	if h, ok := c.memory.get(digest); ok {
		return h, int64(len(h.body)), true
	}
	if i := c.disk.use(digest, now); i != nil {
		return nil, i.size, true
	}
	return nil, 0, false
}

// open opens what an entry has in a file; false: that cannot be read, or not in parts yet.
func (c *Cache) open(of *Request, r *Result) bool {
	e := r.Entry
	if e == nil || e.Body != nil {
		return true
	}
	if e.growth != nil && of.Partial {
		return false // how long it will be is not to be seen, nor whether it is right
	}
	var file *File
	var err error
	if e.growth != nil {
		file, err = e.growth.follow()
	} else {
		file, err = c.openFile(e)
	}
	if err != nil {
		return false
	}
	own := *e
	own.File, r.Entry = file, &own
	return true
}

// openFile opens content on the disk. What is not as it was left is removed.
func (c *Cache) openFile(e *Entry) (*File, error) {
	c.mu.Lock()
	i := c.disk.peek(e.Digest)
	c.mu.Unlock()
	if i == nil {
		return nil, fs.ErrNotExist // it went just now
	}
	file, err := c.openItem(i)
	if err != nil {
		c.drop(e.Digest, i, err)
		return nil, err
	}
	c.touch(file, i)
	return &File{File: file, rotten: &i.rotten, size: e.Size, drop: func() { c.drop(e.Digest, i, errShort) }}, nil
}

// openItem opens a file that looks as it was left.
func (c *Cache) openItem(i *item) (*os.File, error) {
	file, looks, err := c.disk.folder.open(i.digest)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	same := i.is(looks)
	c.mu.Unlock()
	if !same {
		file.Close()
		return nil, fmt.Errorf("%s was changed: it has %d bytes of %s", file.Name(), looks.size, time.Unix(0, looks.time).Format(time.RFC3339))
	}
	return file, nil
}

// errShort is that of a file that ended, or broke, while it was read.
var errShort = errors.New("it could not be read to its end")

// tooMany reports whether too many files were open, which says nothing of the one that was to be.
func tooMany(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// drop removes content from the disk that is not as it was left, if it is there. What has come
// again since it was looked at stays; for nil whatever is there goes.
func (c *Cache) drop(digest string, seen *item, err error) {
	if tooMany(err) {
		return
	}
	c.mu.Lock()
	known := (seen == nil || c.disk.peek(digest) == seen) && c.disk.forget(digest)
	c.mu.Unlock()
	if !known {
		return
	}
	c.logger.Error("a file of the cache is not what it was; it is removed", "digest", digest, "error", err.Error())
	c.discard([]string{digest}, "rot")
}

// discard removes files of what is no longer known. What has come again meanwhile stays.
func (c *Cache) discard(gone []string, reason string) {
	for _, digest := range gone {
		if c.mayRemove(digest) {
			c.disk.folder.remove(digest)
			c.named(digest)
		}
	}
	if len(gone) > 0 {
		c.metrics.ContentEvicted("disk", reason, len(gone))
	}
}

// mayRemove reports whether a file is of nothing that is known. Until named is called no download is
// given its name.
func (c *Cache) mayRemove(digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.disk.naming[digest] || c.disk.peek(digest) != nil {
		return false
	}
	c.disk.naming[digest] = true
	return true
}

// named is told when the file of a digest is under its name, or removed, or neither.
func (c *Cache) named(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disk.doneNaming(digest)
}

// touch notes that a file was used, so that the next start knows what was used last.
func (c *Cache) touch(file *os.File, i *item) {
	now := time.Now().Truncate(timeStep)
	c.mu.Lock()
	due := now.UnixNano()-i.time >= int64(usedPeriod)
	if due {
		i.before, i.time = i.time, now.UnixNano()
	}
	c.mu.Unlock()
	if !due {
		return
	}
	t := syscall.NsecToTimeval(now.UnixNano())
	if err := syscall.Futimes(int(file.Fd()), []syscall.Timeval{t, t}); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		i.before, i.time = i.time, i.before
	}
}

// find looks a digest up.
func (c *Cache) find(of *subject, digest string) found {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	f := c.findLocked(of, digest, now)
	f.askAgain(now)
	return f
}

// askAgain settles whether who looked it up is to ask in the background, and notes that.
func (f *found) askAgain(now time.Time) { f.again = f.tried != nil && pausedSince(f.tried, now) }

func (c *Cache) findLocked(of *subject, digest string, now time.Time) found {
	s := c.ledger.standing(of, digest)
	if s == nil {
		return found{}
	}
	h, size, ok := c.hasLocked(digest, now)
	if !ok {
		return found{}
	}
	f := found{state: due, held: h, size: size, label: s.label}
	offline := c.offlineLocked(of.Upstream, now)
	switch {
	case c.ledger.within(s.moment, c.cfg.FreshFor, now):
		f.state = fresh
		if now.Sub(s.time) >= c.cfg.FreshFor/2 {
			f.tried = &s.tried
		}
	case now.Sub(s.time) < c.cfg.StaleFor && offline != nil:
		f.state, f.tried = expired, &offline.tried
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
	if !ok || !h.meant(r.Accept) {
		return "", found{}
	}
	f = c.findLocked(&r.Subject, h.digest, now)
	f.named = c.ledger.within(h.moment, c.cfg.TagsFreshFor, now)
	offline := c.offlineLocked(r.Upstream, now)
	seen := now.Sub(h.time) < c.cfg.StaleFor && offline != nil
	switch {
	case f.state == fresh && !f.named && seen:
		f.state, f.tried = expired, &offline.tried
	case f.state == fresh && !f.named, f.state == expired && !seen:
		f.state, f.tried = due, nil
	}
	f.askAgain(now)
	return h.digest, f
}

// Lasting is what may be given out, of a type that they take, while the registry cannot be asked; nil:
// nothing. The entry is one to be opened yet where it has no Body.
func (c *Cache) Lasting(r *Request) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, digest := time.Now(), r.Reference
	if r.Tag {
		h, ok := c.ledger.hint(&r.Subject, r.Reference)
		if !ok || now.Sub(h.time) >= c.cfg.StaleFor || !h.meant(r.Accept) {
			return nil
		}
		digest = h.digest
	}
	s := c.ledger.standing(&r.Subject, digest)
	held, size, ok := c.hasLocked(digest, now)
	if s == nil || !ok || now.Sub(s.time) >= c.cfg.StaleFor {
		return nil
	}
	e := (&found{held: held, size: size, label: s.label}).entry(digest)
	if !accepts(r.Accept, r.Kind, e.Header.get("Content-Type")) {
		return nil
	}
	return e
}

// since is what a question that was sent at that moment allows to give out.
func (c *Cache) since(of *subject, digest string, m moment) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.ledger.standing(of, digest)
	held, size, ok := c.hasLocked(digest, time.Now())
	if s == nil || !ok || s.count < m.count || s.time.Before(m.time) {
		return nil
	}
	return (&found{held: held, size: size, label: s.label}).entry(digest)
}
