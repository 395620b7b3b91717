package authn

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// pair is one person, or one unknown name, in one client network.
type pair struct {
	who     digest
	network netip.Prefix
}

// guessesMax is how many further passwords are refused unseen in one window, for
// a person whose failures are used up, before the known-good one is refused too.
// That it passes where others do not tells somebody in the same network which
// one it is: this bounds how many they can try.
const guessesMax = 10_000

// failure is one wrong password.
type failure struct {
	password digest
	at       time.Time
}

// failures are the wrong passwords of one pair.
type failures struct {
	list    []failure // oldest first
	guesses int       // other passwords that were refused unseen
	since   time.Time // when guesses began to count
}

// failureStore keeps failures in the order of the last one, so that what is
// evicted first is what would lapse first. Its user's lock guards it.
type failureStore struct {
	pairs *simplelru.LRU[pair, *failures]
}

func newFailureStore(size int) failureStore { return failureStore{newLRU[pair, *failures](size)} }

// of returns what is known of a pair; what is not may be changed to no effect.
func (s failureStore) of(p pair) *failures {
	if f, ok := s.pairs.Peek(p); ok {
		return f
	}
	return &failures{}
}

// add counts a wrong password, once.
func (s failureStore) add(p pair, password digest, window time.Duration) {
	now := time.Now()
	f := s.of(p)
	if f.list = f.lasting(window, now); !f.has(password) {
		f.list = append(f.list, failure{password, now})
		s.pairs.Add(p, f)
	}
}

// lasting returns the failures that still count, in a new slice.
func (f *failures) lasting(window time.Duration, now time.Time) []failure {
	return slices.DeleteFunc(slices.Clone(f.list), func(f failure) bool { return now.Sub(f.at) >= window })
}

func (f *failures) has(password digest) bool {
	return slices.ContainsFunc(f.list, func(f failure) bool { return f.password == password })
}

// clear forgets one password, which turned out to be good, and no other.
func (f *failures) clear(password digest) {
	f.list = slices.DeleteFunc(f.list, func(f failure) bool { return f.password == password })
}

// guess counts a password that is refused unseen. A stuck job, which sends again
// what counts as a failure already, guesses nothing.
func (f *failures) guess(password digest, window time.Duration, now time.Time) {
	if f.has(password) {
		return
	}
	if now.Sub(f.since) >= window {
		f.guesses, f.since = 0, now
	}
	f.guesses++
}

// guessed reports whether so many passwords were refused unseen that the good one
// must not show.
func (f *failures) guessed(window time.Duration, now time.Time) bool {
	return f.guesses >= guessesMax && now.Sub(f.since) < window
}
