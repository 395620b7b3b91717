package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"time"
)

// checking is how long a login that is being checked counts for other gateways, unless it
// ends before: one whose gateway dies must not keep anybody out for long.
const checking = 30 * time.Second

// reckoned is how far two reckonings of one moment may lie apart, by what is left of it: an
// answer takes its time.
const reckoned = 2 * time.Second

// Tally counts logins for all gateways that share a store, beside what each counts alone.
// An error says that it does not count at this moment. It is safe for concurrent use, and
// answers within a time that a login can wait.
type Tally interface {
	// Claim takes all places, or none where one of them is in a set that is full.
	Claim(ctx context.Context, places []Place) (Full, error)
	// Note brings the ends of things that are being checked.
	Note(ctx context.Context, notes []Note) error
	// Last is the one entry of a set that holds the last of something, and how long it
	// goes on; 0: there is none.
	Last(ctx context.Context, set string) (member string, left time.Duration, err error)
}

// Place is one more in a set: a thing that is being checked, and may turn out to count.
type Place struct {
	// Set is the set's name.
	Set string
	// Member is the thing.
	Member string
	// Most is how many may count in the set, this one among them.
	Most int
	// Lasting is how long the place is taken, unless a Note ends it.
	Lasting time.Duration
	// Counts: the thing counts from now on, as nothing is to be checked.
	Counts bool
	// Unless is a set of Last; where Known is there, this place is not needed. Empty: it is
	// needed in any case.
	Unless string
	// Known is the entry of Unless that is meant; empty: any.
	Known string
	// Guesses is how often somebody may be told that a set is full, in Window, before Known
	// is told so too; 0: any number.
	Guesses int
	// Window is how long a thing counts.
	Window time.Duration
}

// Full says that a Place was not to be had.
type Full struct {
	// Place is the number of the place; -1: all were taken.
	Place int
	// Wait is how long it takes until there is room; 0: what is being checked may make room
	// any moment.
	Wait time.Duration
}

// Note says what became of a thing.
type Note struct {
	// Set is the set's name.
	Set string
	// Member is the thing.
	Member string
	// End is what became of it.
	End NoteEnd
	// Lasting is how long it counts.
	Lasting time.Duration
}

// NoteEnd is what became of a thing that was being checked.
type NoteEnd string

// The ends.
const (
	NoteCounts   NoteEnd = "counts"    // it counts, since it first did
	NoteAgain    NoteEnd = "again"     // it counts, from now on
	NoteLeaves   NoteEnd = "leaves"    // nothing became of it
	NoteGood     NoteEnd = "good"      // it counts no more
	NoteLast     NoteEnd = "last"      // it is the last of its set
	NoteNotKnown NoteEnd = "not known" // it is no more, but that something was there is known
)

// sharing is what a Throttle counts with others: under a key of all of them, so that the
// digests are the same everywhere and tell nothing where they are kept.
type sharing struct {
	tally Tally
	seal  sealer
}

// Share has the throttle count with other gateways that have the same key, beside what it
// counts alone.
func (t *Throttle) Share(tally Tally, key [32]byte) { t.shared.Store(&sharing{tally, key}) }

// common is one login as it counts for all gateways. A nil *common counts nothing.
type common struct {
	*sharing
	cfg ThrottleConfig
	// password and who are members; the others are names of sets.
	password, who, failures, names, everywhere string
	good                                       []entry // by the person, and by the name as it was typed
}

// entry is the password in the set of the last good one.
type entry struct{ set, member string }

// common is nil where nothing is shared.
func (t *Throttle) common(a Attempt, id Identity) *common {
	s := t.shared.Load()
	if s == nil {
		return nil
	}
	typed := s.text("typed", folded(a.Login))
	c := &common{sharing: s, who: typed}
	if !id.Anonymous() {
		c.who = s.text("person", id.Directory, id.Username)
	}
	network := a.network().String()
	c.failures, c.names = "failures/"+s.text("pair", c.who, network), "names/"+s.text("network", network)
	c.everywhere = "logins/" + c.who
	for _, who := range []string{c.who, typed} {
		c.good = append(c.good, entry{"good/" + s.text("pair", who, network), s.text("password", who, string(a.Password))})
	}
	c.password = c.good[0].member
	t.mu.Lock()
	defer t.mu.Unlock()
	c.cfg = t.cfg
	return c
}

// text is a digest as it stands in a set.
func (s *sharing) text(parts ...string) string {
	d := s.seal.digest(parts...)
	return base64.RawURLEncoding.EncodeToString(d[:])
}

// take refuses what would be one too many of all gateways, by the limit that each place is
// of. While they cannot be asked, what is counted here has to do.
func (s *sharing) take(ctx context.Context, places []Place, limits ...string) error {
	full, err := s.tally.Claim(ctx, places)
	if err != nil || full.Place < 0 {
		return nil
	}
	return &ThrottledError{RetryAfter: max(full.Wait, time.Second), Limit: limits[full.Place]}
}

// claim refuses a login that would be one too many of all gateways.
func (c *common) claim(ctx context.Context) error {
	if c == nil {
		return nil
	}
	var places []Place
	var limits []string
	add := func(limit string, p Place) {
		if p.Lasting, p.Window, p.Unless = checking, c.cfg.Window, c.good[0].set; p.Most > 0 {
			places, limits = append(places, p), append(limits, limit)
		}
	}
	add("failures", Place{Set: c.failures, Member: c.password, Most: c.cfg.Failures, Known: c.password, Guesses: guessesMax})
	add("users_per_source", Place{Set: c.names, Member: c.who, Most: c.cfg.UsersPerSource})
	add("logins_per_user", Place{Set: c.everywhere, Member: c.password, Most: c.cfg.InFlight})
	if len(places) == 0 {
		return nil
	}
	return c.take(ctx, places, limits...)
}

// outcome is what a login came to.
type outcome int

const (
	cameToNothing outcome = iota // a fault, or it had to wait
	wasGood
	wasWrong
	hasLeft // before the answer
)

// end tells the others what the login came to.
func (c *common) end(ctx context.Context, o outcome) {
	if c == nil {
		return
	}
	failures := Note{Set: c.failures, Member: c.password, End: NoteLeaves}
	names := Note{Set: c.names, Member: c.who, End: NoteLeaves}
	logins := Note{Set: c.everywhere, Member: c.password, End: NoteLeaves}
	notes := make([]Note, 0, 5)
	for _, e := range c.good {
		switch o {
		case wasGood:
			notes = append(notes, Note{Set: e.set, Member: e.member, End: NoteLast, Lasting: rememberedGood})
		case wasWrong:
			notes = append(notes, Note{Set: e.set, Member: e.member, End: NoteNotKnown})
		}
	}
	counts := o == wasWrong || o == hasLeft
	switch {
	case o == wasGood:
		failures.End = NoteGood
	case counts && c.cfg.Failures > 0:
		failures.End, failures.Lasting = NoteCounts, c.cfg.Window
	}
	if counts && c.cfg.UsersPerSource > 0 {
		names.End, names.Lasting = NoteAgain, c.cfg.Window
	}
	_ = c.tally.Note(context.WithoutCancel(ctx), append(notes, failures, names, logins)) // it is counted here too
}

// recall reports whether others know the person as one who logged in from there not long
// ago, and the password as the one that was good then.
func (c *common) recall(ctx context.Context) (known, proven bool, at time.Time) {
	if c == nil {
		return false, false, at
	}
	for _, e := range c.good {
		if member, left, err := c.tally.Last(ctx, e.set); err == nil && left > 0 {
			return true, member == e.member, time.Now().Add(left - rememberedGood)
		}
	}
	return false, false, at
}

// learn reports whether others know more good of a login that was refused here; that counts
// here from now on.
func (t *Throttle) learn(ctx context.Context, a Attempt, id Identity, y *try) bool {
	known, proven, at := t.common(a, id).recall(ctx)
	if !known {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, _ := t.good.Peek(y.pair)
	adds := proven && old.password != y.password
	if old.at.After(at.Add(reckoned)) || old.at.After(at.Add(-reckoned)) && !adds {
		return false // here it is known later, or the same is known
	}
	login := goodLogin{at: at}
	if proven {
		login.password = y.password
	}
	t.good.Add(y.pair, login)
	return true
}

// claimToken counts a bad token for all gateways; its error is that of a network that has
// shown too many.
func (t *Throttle) claimToken(ctx context.Context, a Attempt) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	most, window := t.cfg.TokensPerSource, t.cfg.Window
	t.mu.Unlock()
	s := t.shared.Load()
	if s == nil || most <= 0 {
		return nil
	}
	return s.take(ctx, []Place{{Set: "tokens/" + s.text("network", a.network().String()), Member: s.text("token", string(a.Password)),
		Most: most, Lasting: window, Window: window, Counts: true}}, "tokens_per_source")
}

// held reports whether an error is of a login that had to wait.
func held(err error) bool { return errors.As(err, new(*ThrottledError)) }
