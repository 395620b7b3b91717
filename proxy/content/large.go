package content

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Use keeps large content in a folder from now on. It is called once at most, before the first
// request, and Tend has to run then.
func (c *Cache) Use(f *Folder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.disk == nil && f != nil {
		c.disk = newDisk(f, c.metrics, &c.mu)
		c.disk.measure(&c.cfg)
	}
}

// keepFree removes what has to go so that, with n more bytes, enough stays free of the
// budget and of the file system.
func (c *Cache) keepFree(n int64) error {
	free, all, err := c.disk.folder.space()
	if err != nil {
		return err
	}
	c.mu.Lock()
	over, lacking := c.disk.makeRoom(n, free, all)
	c.mu.Unlock()
	c.discard(over, "space")
	c.discard(lacking, "free")
	return nil
}

// large keeps an answer that does not fit into memory, if it can: in a file that grows, or it
// is here already and the rest of the answer need not be read. Its error says why it cannot.
func (c *Cache) large(ask Ask, q *Question, a *Answer, m moment) (outcome, error) {
	n := a.Header.length()
	e := &Entry{Digest: q.Reference, Header: withoutLength(a.Header), Size: n}
	if c.same(q, e, m) {
		if n <= pieces {
			_, _ = io.Copy(io.Discard, a.Body) // so that its connection can be used again
		}
		a.Close()
		c.metrics.ContentFill("ok")
		return outcome{verdict: kept, entry: e, asked: true, counts: c.countsStill(q, m)}, nil
	}
	if err := c.grow(ask, q, e, a, m); err != nil {
		a.Header["Content-Length"] = []string{strconv.FormatInt(e.Size, 10)} // it is passed on
		return outcome{}, err
	}
	return outcome{verdict: kept, entry: e, counts: c.countsStill(q, m)}, nil
}

func (c *Cache) countsStill(q *Question, m moment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.countsFor(&q.Subject, q.Reference, m)
}

// same reports whether the content that the registry has just begun to send is here, and notes
// its standing then.
func (c *Cache) same(q *Question, e *Entry, m moment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, size, ok := c.hasLocked(q.Reference, time.Now())
	if !ok || size != e.Size {
		return false
	}
	c.standLocked(q, e, m)
	return true
}

// grow begins to download into a file, where there is room.
func (c *Cache) grow(ask Ask, q *Question, e *Entry, a *Answer, m moment) error {
	if err := c.takes(e.Size); err != nil { // it need not wait for its turn
		return err
	}
	c.disk.room <- struct{}{}
	file, info, err := c.create(e.Size)
	<-c.disk.room
	if err != nil {
		return err
	}
	c.begin(c.newGrowth(ask, q, e, a, m, file, info))
	return nil
}

// takes is nil where content of that size may be kept.
func (c *Cache) takes(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk.takes(n, time.Now())
}

// create makes a file for so many bytes, and room for them, of which nothing is left where it fails.
func (c *Cache) create(n int64) (*os.File, os.FileInfo, error) {
	if err := c.reserveDisk(n); err != nil {
		return nil, nil, err
	}
	file, info, err := c.disk.folder.create(n)
	if c.makeWay(n, err) {
		file, info, err = c.disk.folder.create(n)
	}
	if err != nil {
		c.release(n)
		if !full(err) {
			c.faultyDisk(err)
		}
	}
	return file, info, err
}

func (c *Cache) newGrowth(ask Ask, q *Question, e *Entry, a *Answer, m moment, file *os.File, info os.FileInfo) *growth {
	_, last := c.disk.folder.place(q.Reference)
	g := &growth{q: *q, entry: e, file: file, info: info, last: last, first: m, moment: m, changed: make(chan struct{}), answer: a}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.ask = func(from int64) (*Answer, error) {
		rest := g.q
		rest.From = from
		return c.ask(ctx, ask, rest)
	}
	g.drop = func() { c.drop(q.Reference, nil, errShort) }
	e.growth = g
	return g
}

// begin lets a download for which there is room run. Where the cache has begun to close meanwhile it
// ends at once.
func (c *Cache) begin(g *growth) {
	c.mu.Lock()
	c.growing[g.q.Subject.key(g.q.Reference)] = g
	c.growths[g] = true
	c.flights.n++
	late := c.closing
	c.mu.Unlock()
	go c.raise(g)
	if late {
		g.stop()
	}
}

// raise downloads to the end, and says what became of it.
func (c *Cache) raise(g *growth) {
	time.AfterFunc(patience, g.leaveAlone)
	err := g.download()
	g.answer.Close()
	g.cancel()
	c.grown(g, err)
	var i *item
	if err == nil {
		i = c.store(g)
	}
	if i == nil {
		_ = os.Remove(g.file.Name()) // else the next start does
	}
	g.file.Close()
	c.ended(g, i, err == nil)
}

// makeWay removes what takes so many bytes, where the file system has no room though it said so: its
// quota is used up, or all its names are. It reports whether that was the case.
func (c *Cache) makeWay(n int64, err error) bool {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return false
	}
	c.mu.Lock()
	var gone []string
	if n <= c.disk.bytes() {
		gone = c.disk.shrink(n)
	}
	c.mu.Unlock()
	c.discard(gone, "free")
	return len(gone) > 0
}

// reserveDisk takes room in the budget, which release gives back, or ended.
func (c *Cache) reserveDisk(n int64) error {
	if err := c.takes(n); err != nil {
		return err
	}
	if err := c.keepFree(n); err != nil {
		c.faultyDisk(err)
		return err
	}
	free, all, err := c.disk.folder.space()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return errNotForUs
	}
	if c.disk.lacks(n, free, all) > 0 || c.disk.bytes()+c.disk.reserved+n > c.disk.most {
		return errNoRoom
	}
	c.disk.reserved += n
	c.grows.Add(1)
	return nil
}

// notKept says why large content is not kept.
func (c *Cache) notKept(n int64, err error) {
	switch {
	case errors.Is(err, errNotForUs):
		c.metrics.ContentFill("unkept")
	case full(err):
		c.metrics.ContentFill("nospace")
		c.tellNoRoom(n)
	default:
		c.metrics.ContentFill("fault")
	}
}

// tellNoRoom says once in a while that there is no room.
func (c *Cache) tellNoRoom(n int64) {
	c.mu.Lock()
	now := time.Now()
	tell := now.After(c.disk.ill) && now.Sub(c.disk.told) >= illPause
	if tell {
		c.disk.told = now
	}
	c.mu.Unlock()
	if tell {
		c.logger.Warn("the cache's folder has no room for a blob; it is not kept", "bytes", n)
	}
}

func (c *Cache) release(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disk.reserved -= n
	c.grows.Done()
}

// faultyDisk notes a fault of the folder: nothing is written there for a while, and answers
// stream through.
func (c *Cache) faultyDisk(err error) {
	c.mu.Lock()
	now := time.Now()
	tell := now.After(c.disk.ill)
	c.disk.ill, c.disk.cause = now.Add(illPause), err
	c.mu.Unlock()
	if tell {
		c.logger.Error("the cache's folder cannot be written; large blobs are not kept for a minute", "error", err.Error())
	}
}

// grown says what became of a download, before anything else is done with it.
func (c *Cache) grown(g *growth, err error) {
	switch {
	case err == nil:
		c.metrics.ContentFill("ok")
		g.settle(nil)
		return
	case errors.Is(err, ErrMismatch):
		c.suspectAnswer(&g.q, g.entry.Header)
	case errors.Is(err, errStorage) && full(err):
		c.metrics.ContentFill("nospace")
		c.faultyDisk(err)
	case errors.Is(err, errStorage):
		c.metrics.ContentFill("fault")
		c.faultyDisk(err)
	default:
		c.metrics.ContentFill("cut")
	}
	c.mu.Lock()
	c.forgetGrowthLocked(g)
	c.mu.Unlock()
	g.settle(err)
}

func (c *Cache) forgetGrowthLocked(g *growth) {
	k := g.q.Subject.key(g.q.Reference)
	if c.growing[k] == g {
		delete(c.growing, k)
	}
}

// mayName reports whether a whole download is to have its name: no other one of the same content
// has it. It waits while that is being given, or a file of that name removed. What was not believed
// by that name goes.
func (c *Cache) mayName(g *growth) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	digest := g.q.Reference
	for c.disk.naming[digest] {
		c.disk.nameFree.Wait()
	}
	if old := c.disk.peek(digest); old != nil && !old.suspect {
		c.hereLocked(g) // before its file goes
		return false
	}
	c.disk.forget(digest)
	c.disk.naming[digest] = true
	return true
}

// store gives a whole download its name; nil: it has none. Nobody waits for it.
func (c *Cache) store(g *growth) *item {
	if !c.mayName(g) {
		return nil
	}
	looks, err := c.disk.folder.keep(g.file, g.q.Reference)
	if err == nil {
		return &item{digest: g.q.Reference, stamp: looks, checked: time.Now().UnixNano()}
	}
	c.faultyDisk(err)
	c.disk.folder.remove(g.q.Reference) // where it has its name, but may not last, or another one had it
	c.named(g.q.Reference)
	return nil
}

// ended gives back what a download held, and makes it what the cache has.
func (c *Cache) ended(g *growth, i *item, whole bool) {
	c.mu.Lock()
	c.disk.reserved -= g.entry.Size
	c.flights.n--
	delete(c.growths, g)
	if i != nil {
		c.disk.add(i)
		c.disk.doneNaming(i.digest)
	}
	if whole {
		c.hereLocked(g)
	}
	c.mu.Unlock()
	c.grows.Done()
}

// hereLocked notes that the content of a download is no longer in its file alone.
func (c *Cache) hereLocked(g *growth) {
	if !c.ledger.voided(&g.q.Subject, g.q.Reference, g.first) {
		c.standLocked(&g.q, g.entry, g.moment)
	}
	c.forgetGrowthLocked(g)
}

// follows is the download that runs for a digest, and whether the registry's yes to it still
// counts; due: it has to be asked whether it does.
func (c *Cache) follows(of *subject, digest string) (*growth, state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.growing[of.key(digest)]
	switch {
	case g == nil || c.ledger.voided(of, digest, g.first):
		return nil, absent
	case c.ledger.counts(of, g.moment) && c.ledger.within(g.moment, c.cfg.FreshFor, time.Now()):
		return g, fresh
	}
	return g, due
}

// renewGrowthLocked notes a yes to what is still being downloaded.
func (c *Cache) renewGrowthLocked(of *subject, digest string, m moment, h Header) bool {
	g := c.growing[of.key(digest)]
	if g == nil || c.ledger.voided(of, digest, g.first) || !c.ledger.counts(of, m) || h.length() != g.entry.Size || encoded(h) {
		return false
	}
	if m.count >= g.moment.count && !m.time.Before(g.moment.time) {
		g.moment = m
	}
	return true
}
