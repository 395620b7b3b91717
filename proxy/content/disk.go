package content

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"gatehouse/metrics"
)

const (
	largestShare = 4 // a blob may take one part in so many of the disk
	firstShare   = 5 // what was used once has one part in so many, and what the others leave
	rotPeriod    = 7 * 24 * time.Hour
	usedPeriod   = time.Hour       // how exactly a file's time says when it was used
	timeStep     = 2 * time.Second // what every file system keeps of a time
	illPause     = time.Minute
	mostToCheck  = 1000
	mostItems    = 1_000_000 // each takes some 270 bytes of memory
)

// item is content in the folder. There may be many, so times are in nanoseconds since 1970.
type item struct {
	digest  string
	stamp               // of its file
	before  int64       // the time of its file before it was last set
	checked int64       // when its digest was last seen to be right, by this process
	suspect bool        // no process that ended in order left it so
	waits   bool        // to be checked
	rotten  atomic.Bool // a check found it wrong: who still reads it is cut
}

// is reports whether a file that looks so is as it was left. Its time may be just about to be set.
func (i *item) is(s stamp) bool { return s == i.stamp || s == stamp{i.size, i.before} }

// disk knows what is in the folder. The Cache's lock guards it; what it names to be removed is
// removed without.
//
// What is used a second time moves from once to often, which have four parts in five. Space
// is taken from once first, so that somebody who reads everything one time empties nothing.
type disk struct {
	folder      *Folder
	metrics     *metrics.Metrics
	most, keep  int64 // bytes in all; what is to stay free, of a hundred
	once, often *simplelru.LRU[string, *item]
	onceBytes   int64
	oftenBytes  int64
	reserved    int64           // for what grows
	ill         time.Time       // until then nothing is written
	cause       error           // of that
	told        time.Time       // when the log last said that there is no room
	naming      map[string]bool // digests whose files are being given their names, or removed
	nameFree    *sync.Cond      // one of these is no longer; its lock is the Cache's
	toCheck     []*item
	known       bool          // what was in the folder at the start
	early       []string      // what was to be forgotten before that: digests, or everything for ""
	wake        chan struct{} // something is to be checked
	room        chan struct{} // full while a download makes room for itself: what it frees no other one takes
}

func newDisk(f *Folder, m *metrics.Metrics, lock sync.Locker) *disk {
	return &disk{folder: f, metrics: m, nameFree: sync.NewCond(lock), once: newLRU[string, *item](math.MaxInt), often: newLRU[string, *item](math.MaxInt), naming: map[string]bool{}, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// measure takes the config's sizes.
func (d *disk) measure(cfg *Config) {
	if d != nil {
		d.most, d.keep = int64(cfg.Disk), int64(cfg.Free)
	}
}

// peek is what is known of content, without using it; nil: it is not here.
func (d *disk) peek(digest string) *item {
	if d == nil {
		return nil
	}
	if i, ok := d.often.Peek(digest); ok {
		return i
	}
	i, _ := d.once.Peek(digest)
	return i
}

// use is content that can be believed; nil: it is not here. What was not looked at for long
// will be.
func (d *disk) use(digest string, now time.Time) *item {
	i := d.peek(digest)
	if i == nil {
		return nil
	}
	if i.suspect || now.UnixNano()-i.checked >= int64(rotPeriod) {
		d.check(i)
	}
	if i.suspect {
		return nil
	}
	d.promote(i)
	return i
}

// check has content hashed again.
func (d *disk) check(i *item) {
	if i.waits || len(d.toCheck) >= mostToCheck {
		return
	}
	i.waits = true
	d.toCheck = append(d.toCheck, i)
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// promote notes that content was used once more.
func (d *disk) promote(i *item) {
	if _, ok := d.often.Get(i.digest); ok || !d.once.Remove(i.digest) {
		return
	}
	d.often.Add(i.digest, i)
	d.onceBytes, d.oftenBytes = d.onceBytes-i.size, d.oftenBytes+i.size
	for d.oftenBytes > d.most-d.most/firstShare {
		_, old, _ := d.often.RemoveOldest()
		d.once.Add(old.digest, old)
		d.onceBytes, d.oftenBytes = d.onceBytes+old.size, d.oftenBytes-old.size
	}
}

// add notes content that is in the folder by now.
func (d *disk) add(i *item) {
	d.forget(i.digest)
	d.once.Add(i.digest, i)
	d.onceBytes += i.size
	d.show()
}

// know adds what was in the folder at the start, but for what has come since, and returns what
// was to be forgotten meanwhile.
func (d *disk) know(found []*item) (purged []string) {
	for _, i := range found {
		switch {
		case d.peek(i.digest) != nil:
		case slices.ContainsFunc(d.early, func(digest string) bool { return digest == "" || digest == i.digest }):
			purged = append(purged, i.digest)
		default:
			d.add(i)
		}
	}
	d.known, d.early = true, nil
	return purged
}

// purge is what has to go for a purge of a digest, or of everything for "". What the folder is not
// known to have yet goes when it is.
func (d *disk) purge(digest string) (gone []string) {
	if d == nil {
		return nil
	}
	if !d.known {
		d.early = append(d.early, digest)
	}
	switch {
	case digest == "":
		return d.shrink(d.bytes())
	case d.forget(digest):
		return []string{digest}
	}
	return nil
}

// forget reports whether content was known.
func (d *disk) forget(digest string) bool {
	i := d.peek(digest)
	switch {
	case i == nil:
		return false
	case d.often.Remove(digest):
		d.oftenBytes -= i.size
	case d.once.Remove(digest):
		d.onceBytes -= i.size
	}
	d.show()
	return true
}

// doneNaming is told when the file of a digest is under its name, or removed, or neither.
func (d *disk) doneNaming(digest string) {
	delete(d.naming, digest)
	d.nameFree.Broadcast()
}

func (d *disk) bytes() int64 { return d.onceBytes + d.oftenBytes }

func (d *disk) entries() int { return d.once.Len() + d.often.Len() }

func (d *disk) show() { d.metrics.ContentSize("disk", d.entries(), d.bytes()) }

// shrink forgets what was not used for the longest time, so many bytes of it, and returns it
// to be removed.
func (d *disk) shrink(bytes int64) (gone []string) {
	for bytes > 0 {
		_, i, ok := d.once.RemoveOldest()
		if ok {
			d.onceBytes -= i.size
		} else if _, i, ok = d.often.RemoveOldest(); ok {
			d.oftenBytes -= i.size
		} else {
			break
		}
		bytes -= i.size
		gone = append(gone, i.digest)
	}
	d.show()
	return gone
}

// fit is what has to go for n more bytes within the budget.
func (d *disk) fit(n int64) (gone []string) {
	if d == nil {
		return nil
	}
	gone = d.shrink(d.bytes() + d.reserved + n - d.most)
	for d.entries() > mostItems {
		gone = append(gone, d.shrink(1)...)
	}
	return gone
}

// errNoRoom is that of content for which there is none.
var errNoRoom = fmt.Errorf("the cache's folder: %w", syscall.ENOSPC)

// errNotForUs is that of content that is too large for the folder, or comes too late.
var errNotForUs = errors.New("it is not for the cache's folder")

// takes is nil where content of that size can be kept, as far as that is known without asking the
// file system.
func (d *disk) takes(n int64, now time.Time) error {
	switch {
	case n <= 0 || n > d.most/largestShare:
		return errNotForUs
	case !now.After(d.ill):
		return d.cause
	case d.reserved+n > d.most:
		return errNoRoom
	}
	return nil
}

// lacks is how many bytes have to go so that, with n more, enough stays free.
func (d *disk) lacks(n, free, all int64) int64 { return n + all/100*d.keep - free }

// makeRoom is what has to go for n more bytes within the budget, and within the file system, of which
// so many bytes are free. Where all of it would not be enough nothing goes for them.
func (d *disk) makeRoom(n, free, all int64) (over, lacking []string) {
	before := d.bytes()
	if d.lacks(n, free, all) > before {
		n = 0
	}
	over = d.fit(n)
	return over, d.shrink(d.lacks(n, free+before-d.bytes(), all))
}

// good is what can be believed.
func (d *disk) good() map[string]stamp {
	list := make(map[string]stamp, d.entries())
	for _, part := range []*simplelru.LRU[string, *item]{d.once, d.often} {
		for _, i := range part.Values() {
			if !i.suspect && !i.rotten.Load() {
				list[i.digest] = i.stamp
			}
		}
	}
	return list
}
