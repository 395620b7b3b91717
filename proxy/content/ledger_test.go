package content

import (
	"strconv"
	"testing"
	"time"
	"unique"
)

// TestLedger: what counts of what questions bring, by the order in which they were sent among
// the changes.
func TestLedger(t *testing.T) {
	digest := digestOf("sha256", []byte("content"))
	other := digestOf("sha256", []byte("other"))
	of, beside := &Subject{"up", "a", Manifest}, &Subject{"up", "b", Manifest}
	label := unique.Make("Content-Type:" + mediaType)
	at := func(l *ledger, m moment) { l.make(of, digest, &standing{moment: m, size: 7, label: label}) }
	later := func(m moment, by time.Duration) moment { m.time = m.time.Add(by); return m }
	header := func(change func(Header)) Header {
		h := Header{"Content-Length": {"7"}, "Content-Type": {mediaType}}
		change(h)
		return h
	}
	for what, c := range map[string]struct {
		happen func(l *ledger)
		stands bool
	}{
		"made":                            {func(l *ledger) { at(l, l.now()) }, true},
		"made after a PUT":                {func(l *ledger) { l.change("a", false); at(l, l.now()) }, true},
		"asked before a PUT":              {func(l *ledger) { m := l.now(); l.change("a", false); at(l, m) }, false},
		"asked before a PUT elsewhere":    {func(l *ledger) { m := l.now(); l.change("b", false); at(l, m) }, true},
		"a PUT afterwards":                {func(l *ledger) { at(l, l.now()); l.change("a", false) }, true},
		"a DELETE afterwards":             {func(l *ledger) { at(l, l.now()); l.change("a", true) }, false},
		"made after a DELETE":             {func(l *ledger) { l.change("a", true); at(l, l.now()) }, true},
		"made again after a DELETE":       {func(l *ledger) { at(l, l.now()); l.change("a", true); at(l, l.now()) }, true},
		"asked before the end":            {func(l *ledger) { m := l.now(); l.end(); at(l, m) }, false},
		"made after the end":              {func(l *ledger) { l.end(); at(l, l.now()) }, true},
		"the end afterwards":              {func(l *ledger) { at(l, l.now()); l.end() }, false},
		"refused":                         {func(l *ledger) { at(l, l.now()); l.refuse(of, digest) }, false},
		"asked before a refusal":          {func(l *ledger) { m := l.now(); l.refuse(of, digest); at(l, m) }, false},
		"made after a refusal":            {func(l *ledger) { l.refuse(of, digest); at(l, l.now()) }, true},
		"another refused":                 {func(l *ledger) { at(l, l.now()); l.refuse(of, other) }, true},
		"purged":                          {func(l *ledger) { at(l, l.now()); l.forgetDigest("", digest) }, false},
		"purged there":                    {func(l *ledger) { at(l, l.now()); l.forgetDigest("a", digest) }, false},
		"purged elsewhere":                {func(l *ledger) { at(l, l.now()); l.forgetDigest("b", digest) }, true},
		"another purged":                  {func(l *ledger) { at(l, l.now()); l.forgetDigest("", other) }, true},
		"asked before a purge":            {func(l *ledger) { m := l.now(); l.forgetDigest("", digest); at(l, m) }, false},
		"made after a purge":              {func(l *ledger) { l.forgetDigest("", digest); at(l, l.now()) }, true},
		"made in another repository":      {func(l *ledger) { l.make(beside, digest, &standing{moment: l.now(), size: 7, label: label}) }, false},
		"made of another digest":          {func(l *ledger) { l.make(of, other, &standing{moment: l.now(), size: 7, label: label}) }, false},
		"a purge, then an older question": {func(l *ledger) { m := l.now(); at(l, m); l.forgetDigest("a", digest); at(l, m) }, false},
	} {
		l := newLedger()
		c.happen(l)
		if stands := l.standing(of, digest) != nil; stands != c.stands {
			t.Errorf("%s: stands %v", what, stands)
		}
		if n := l.standings.Len(); n != 0 && (what == "asked before a purge" || what == "asked before the end") {
			t.Errorf("%s: noted", what)
		}
	}
	for what, c := range map[string]struct {
		ask     func(l *ledger, made moment) moment // the question that shows it again
		header  Header
		renewed bool // and says so
		moves   bool // the standing's time is the question's
	}{
		"later":           {func(l *ledger, m moment) moment { return later(m, time.Second) }, header(func(Header) {}), true, true},
		"after an event":  {func(l *ledger, m moment) moment { l.event(); return later(l.now(), time.Second) }, header(func(Header) {}), true, true},
		"sent earlier":    {func(l *ledger, m moment) moment { return later(m, -time.Second) }, header(func(Header) {}), true, false},
		"without a type":  {func(l *ledger, m moment) moment { return later(m, time.Second) }, header(func(h Header) { delete(h, "Content-Type") }), true, true},
		"another type":    {func(l *ledger, m moment) moment { return later(m, time.Second) }, header(func(h Header) { h["Content-Type"] = []string{"text/html"} }), false, false},
		"another size":    {func(l *ledger, m moment) moment { return later(m, time.Second) }, header(func(h Header) { h["Content-Length"] = []string{"8"} }), false, false},
		"encoded":         {func(l *ledger, m moment) moment { return later(m, time.Second) }, header(func(h Header) { h["Content-Encoding"] = []string{"gzip"} }), false, false},
		"before a change": {func(l *ledger, m moment) moment { l.change("a", false); return later(m, time.Second) }, header(func(Header) {}), false, false},
		"an older count":  {func(l *ledger, m moment) moment { m.count--; return later(m, time.Second) }, header(func(Header) {}), true, false},
	} {
		l := newLedger()
		l.event()
		made := l.now()
		at(l, made)
		asked := c.ask(l, made)
		if renewed := l.renew(of, digest, asked, c.header); renewed != c.renewed {
			t.Errorf("%s: renewed %v", what, renewed)
		}
		if got := l.standing(of, digest).time; got.Equal(asked.time) != c.moves {
			t.Errorf("%s: it counts from %s", what, got.Sub(made.time))
		}
	}
	if l := newLedger(); l.renew(of, digest, l.now(), header(func(Header) {})) {
		t.Error("what was never made is renewed")
	}
}

// TestForgottenEvents: of more purges and refusals than are remembered, none is undone. What is
// older than one that was forgotten does not count; what came after it does.
func TestForgottenEvents(t *testing.T) {
	of := &Subject{"up", "a", Manifest}
	first, second := digestOf("sha256", []byte("first")), digestOf("sha256", []byte("second"))
	made := func(l *ledger, digest string, m moment) bool {
		l.make(of, digest, &standing{moment: m, size: 7, label: unique.Make("Content-Type:" + mediaType)})
		return l.standing(of, digest) != nil
	}
	many := func(happen func(digest string)) {
		for i := range mostEnded {
			happen(strconv.Itoa(i))
		}
	}
	l := newLedger()
	made(l, first, l.now())
	l.forgetDigest("", first)
	made(l, second, l.now())
	many(func(digest string) { l.forgetDigest("", digest) })
	if l.standing(of, first) != nil {
		t.Error("a purge was forgotten")
	}
	if l.standing(of, second) == nil || !made(l, first, l.now()) {
		t.Error("what came after the purge does not count")
	}

	l = newLedger()
	before := l.now()
	l.refuse(of, first)
	after := l.now()
	many(func(digest string) { l.refuse(of, digest) })
	if made(l, first, before) {
		t.Error("a refusal was forgotten")
	}
	if !made(l, first, after) {
		t.Error("what was asked after the refusal does not count")
	}
}

// TestOlderIsNotNewer: what an older question brings does not replace what a newer one did.
func TestOlderIsNotNewer(t *testing.T) {
	of, digest, other := &Subject{"up", "a", Manifest}, digestOf("sha256", nil), digestOf("sha256", []byte{1})
	l := newLedger()
	m := l.now()
	older := moment{m.count, m.time.Add(-time.Second)}
	l.make(of, digest, &standing{moment: m, size: 1})
	l.make(of, digest, &standing{moment: older, size: 2})
	if s := l.standing(of, digest); s.size != 1 {
		t.Errorf("size %d", s.size)
	}
	l.make(of, digest, &standing{moment: moment{m.count, m.time.Add(time.Second)}, size: 3})
	if s := l.standing(of, digest); s.size != 3 {
		t.Errorf("size %d", s.size)
	}
	l.name(of, "v1", digest, m, false)
	l.name(of, "v1", other, older, false)
	if h, ok := l.hint(of, "v1"); !ok || h.digest != digest {
		t.Errorf("v1 names %s", h.digest)
	}
	l.name(of, "v1", other, moment{m.count, m.time.Add(time.Second)}, false)
	if h, ok := l.hint(of, "v1"); !ok || h.digest != other {
		t.Errorf("v1 names %s", h.digest)
	}
}

// TestHints: a tag's meaning ends with a deletion, is not taken from before a change, and is
// each tag's own.
func TestHints(t *testing.T) {
	of, digest := &Subject{"up", "a", Manifest}, digestOf("sha256", nil)
	for what, c := range map[string]struct {
		happen func(l *ledger)
		known  bool
	}{
		"named":               {func(l *ledger) { l.name(of, "v1", digest, l.now(), false) }, true},
		"another named":       {func(l *ledger) { l.name(of, "v2", digest, l.now(), false) }, false},
		"elsewhere":           {func(l *ledger) { l.name(&Subject{"up", "b", Manifest}, "v1", digest, l.now(), false) }, false},
		"at another upstream": {func(l *ledger) { l.name(&Subject{"other", "a", Manifest}, "v1", digest, l.now(), false) }, false},
		"unnamed":             {func(l *ledger) { l.name(of, "v1", digest, l.now(), false); l.unname(of, "v1") }, false},
		"another unnamed":     {func(l *ledger) { l.name(of, "v1", digest, l.now(), false); l.unname(of, "v2") }, true},
		"a DELETE afterwards": {func(l *ledger) { l.name(of, "v1", digest, l.now(), false); l.change("a", true) }, false},
		"a PUT afterwards":    {func(l *ledger) { l.name(of, "v1", digest, l.now(), false); l.change("a", false) }, true},
		"asked before a PUT":  {func(l *ledger) { m := l.now(); l.change("a", false); l.name(of, "v1", digest, m, false) }, false},
		"the end afterwards":  {func(l *ledger) { l.name(of, "v1", digest, l.now(), false); l.end() }, false},
	} {
		l := newLedger()
		c.happen(l)
		if h, known := l.hint(of, "v1"); known != c.known || known && h.digest != digest {
			t.Errorf("%s: %v %s", what, known, h.digest)
		}
	}
}

// TestWithin: a moment is fresh for its time, the end of which is not in it, and until all is due.
func TestWithin(t *testing.T) {
	l := newLedger()
	m := l.now()
	for age, fresh := range map[time.Duration]bool{0: true, time.Minute - 1: true, time.Minute: false} {
		if got := l.within(m, time.Minute, m.time.Add(age)); got != fresh {
			t.Errorf("after %s: %v", age, got)
		}
	}
	l.expire()
	if l.within(m, time.Minute, m.time) {
		t.Error("due, and fresh")
	}
	if m := l.now(); !l.within(m, time.Minute, m.time) {
		t.Error("asked after all was due, and not fresh")
	}
}

// TestWhatOthersChanged: a push or a deletion through somebody else voids what it would through
// us, there and nowhere else; and where there is no cache nothing.
func TestWhatOthersChanged(t *testing.T) {
	digest := digestOf("sha256", []byte("content"))
	of := Subject{"up", "a", Manifest}
	for deletes, stands := range map[bool]bool{false: true, true: false} {
		cache := New(Config{}, nil, nil)
		before := cache.ledger.now()
		cache.ledger.make(&of, digest, &standing{moment: before, size: 7, label: unique.Make("Content-Type:" + mediaType)})
		cache.ledger.name(&of, "v1", digest, before, false)
		cache.ledger.name(&of, "v2", digest, before, false)
		cache.Changed(of, []string{"v1"}, deletes)
		if cache.ledger.standing(&of, digest) != nil != stands || cache.ledger.counts(&of, before) {
			t.Errorf("deletes %v: stands %v, and older questions count: %v", deletes, !stands, cache.ledger.counts(&of, before))
		}
		if _, known := cache.ledger.hint(&of, "v1"); known {
			t.Errorf("deletes %v: the tag's meaning is known", deletes)
		}
		if _, known := cache.ledger.hint(&of, "v2"); known != stands {
			t.Errorf("deletes %v: the other tag is known: %v", deletes, known)
		}
		if beside := (Subject{"up", "b", Manifest}); !cache.ledger.counts(&beside, before) {
			t.Error("elsewhere older questions do not count")
		}
		if !cache.mu.TryLock() {
			t.Fatal("the lock is held")
		}
	}
	var none *Cache
	none.Changed(of, nil, true)
}
