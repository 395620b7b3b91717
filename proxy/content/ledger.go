package content

import (
	"hash/maphash"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	mostStandings = 100_000
	mostHints     = 10_000
	mostEnded     = 10_000
	places        = 4096
)

// moment is when a question was sent: by the ledger's own count of events, which
// orders it among the changes, and by the clock, from which times are counted.
type moment struct {
	count uint64
	time  time.Time
}

// standing is what the registry said of a digest in one repository.
type standing struct {
	moment             // of the latest question that it answered with 200
	size   int64       // bytes
	label  labelHandle // the header it said
	tried  time.Time   // when it was last asked about in the background
}

// hint is what a tag was last seen to name.
type hint struct {
	moment
	digest string
	made   bool // perhaps by the registry, of a list, for who takes none
}

// ledger is what the registry said of repositories, and what changed them since. It asks
// nobody. The Cache's lock guards it.
//
// Eras are kept by a count of events. A change of a repository (PUT, DELETE) notes the
// count at its place; what a question brings counts only where that was sent later. Two
// repositories that share a place end each other's, which costs a question.
type ledger struct {
	count uint64
	seed  maphash.Seed
	wrote [places]uint64 // the last change: what older questions bring may not be noted
	cut   [places]uint64 // the last deletion: what older questions brought is void
	all   uint64         // the same for every repository
	due   uint64         // what older questions brought is no longer fresh
	dim   uint64         // the latest refusal that is no longer remembered: it may have been of anything

	standings *simplelru.LRU[key, *standing]
	hints     *simplelru.LRU[key, hint]
	ended     *simplelru.LRU[key, uint64] // when the registry last said no
	purged    *simplelru.LRU[key, uint64] // when a digest was to be forgotten
}

func newLedger() *ledger {
	return &ledger{seed: maphash.MakeSeed(), standings: newLRU[key, *standing](mostStandings),
		hints: newLRU[key, hint](mostHints), ended: newLRU[key, uint64](mostEnded), purged: newLRU[key, uint64](mostEnded)}
}

func (l *ledger) place(repository string) int {
	return int(maphash.String(l.seed, repository) % places)
}

// now is the moment of a question that is about to be sent.
func (l *ledger) now() moment { return moment{l.count, time.Now()} }

// event is counted after all questions that were sent.
func (l *ledger) event() uint64 {
	l.count++
	return l.count
}

// change is a PUT or DELETE in a repository: about to be sent, or answered.
func (l *ledger) change(repository string, deletes bool) {
	p, n := l.place(repository), l.event()
	l.wrote[p] = n
	if deletes {
		l.cut[p] = n
	}
}

// expire makes everything due.
func (l *ledger) expire() { l.due = l.event() }

// end makes everything void.
func (l *ledger) end() {
	l.all = l.event()
	l.standings.Purge()
	l.hints.Purge()
}

// counts reports whether what a question brings may still be noted.
func (l *ledger) counts(of *subject, m moment) bool {
	return m.count >= l.wrote[l.place(of.Repository)] && m.count >= l.all
}

// holds reports whether nothing was deleted since.
func (l *ledger) holds(of *subject, m moment) bool {
	return m.count >= l.cut[l.place(of.Repository)] && m.count >= l.all
}

// countsFor is counts, of a digest that was not refused or to be forgotten since.
func (l *ledger) countsFor(of *subject, digest string, m moment) bool {
	return l.counts(of, m) && !l.voided(of, digest, m)
}

// voided reports whether what a question brought of a digest was ended since.
func (l *ledger) voided(of *subject, digest string, m moment) bool {
	no, _ := l.ended.Peek(of.key(digest))
	return m.count < max(no, l.dim) || !l.holds(of, m) || l.wasPurged(of, digest, m)
}

// standing is what is known of a digest; nil: nothing.
func (l *ledger) standing(of *subject, digest string) *standing {
	s, ok := l.standings.Get(of.key(digest))
	if !ok || !l.holds(of, s.moment) || l.wasPurged(of, digest, s.moment) {
		return nil
	}
	return s
}

// remember notes when something happened to a digest, and returns the moment of what there is no
// more room for: whatever is older may have been that, and is to be void.
func (l *ledger) remember(events *simplelru.LRU[key, uint64], k key) (lost uint64) {
	_, oldest, _ := events.GetOldest()
	if events.Add(k, l.event()) {
		return oldest
	}
	return 0
}

// forgetDigest ends what is known of a digest in a repository of any upstream; "": in all of
// them.
func (l *ledger) forgetDigest(repository, digest string) {
	l.all = max(l.all, l.remember(l.purged, keyOf(repository, digest)))
}

// wasPurged reports whether a digest was to be forgotten after that moment.
func (l *ledger) wasPurged(of *subject, digest string, m moment) bool {
	if l.purged.Len() == 0 {
		return false
	}
	everywhere, _ := l.purged.Peek(keyOf("", digest))
	there, _ := l.purged.Peek(keyOf(of.Repository, digest))
	return m.count < max(everywhere, there)
}

// hint is what a tag named when it was last seen.
func (l *ledger) hint(of *subject, tag string) (hint, bool) {
	h, ok := l.hints.Get(of.tagKey(tag))
	return h, ok && l.holds(of, h.moment)
}

// within reports whether a moment is fresh: not longer ago than limit, and not due.
func (l *ledger) within(m moment, limit time.Duration, now time.Time) bool {
	return m.count >= l.due && now.Sub(m.time) < limit
}

// make notes that a full GET, sent at that moment, brought the digest.
func (l *ledger) make(of *subject, digest string, s *standing) {
	if !l.countsFor(of, digest, s.moment) {
		return
	}
	if old := l.standing(of, digest); old != nil && old.time.After(s.time) {
		return
	}
	l.standings.Add(of.key(digest), s)
}

// renew notes that the registry showed the digest once more, with the size and the type
// that it has.
func (l *ledger) renew(of *subject, digest string, m moment, h Header) bool {
	s := l.standing(of, digest)
	if s == nil || !l.counts(of, m) || h.length() != s.size || h.get("Content-Encoding") != "" {
		return false
	}
	if named := h.get("Content-Type"); named != "" && named != unlabel(s.label.Value(), digest).get("Content-Type") {
		return false
	}
	if m.count >= s.count && !m.time.Before(s.time) {
		s.moment = m
	}
	return true
}

// refuse ends a standing, and voids what questions bring that were sent before.
func (l *ledger) refuse(of *subject, digest string) {
	k := of.key(digest)
	l.standings.Remove(k)
	l.dim = max(l.dim, l.remember(l.ended, k))
}

// name notes what a tag names, or what the registry may have made of that.
func (l *ledger) name(of *subject, tag, digest string, m moment, made bool) {
	k := of.tagKey(tag)
	old, known := l.hints.Peek(k)
	if l.counts(of, m) && !(known && old.time.After(m.time)) {
		l.hints.Add(k, hint{m, digest, made})
	}
}

// unname forgets what a tag named.
func (l *ledger) unname(of *subject, tag string) { l.hints.Remove(of.tagKey(tag)) }
