// Package freeze closes repositories to pushes and deletes for a time: for a registry's
// garbage collection, a move, an incident.
package freeze

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/authz"
)

// Order is one freeze, from its beginning to a thaw or its own end.
type Order struct {
	Reason       string     `json:"reason"`       // for people, in refusals
	Repositories []string   `json:"repositories"` // patterns without placeholders; empty: all
	Since        time.Time  `json:"since"`        // when it began
	Until        *time.Time `json:"until"`        // its end; nil: the thaw

	patterns []authz.Pattern
	unsure   bool
}

// unsureFor is when to ask again while it is not known whether there is a freeze.
const unsureFor = 5 * time.Second

// Unsure is the order of a gateway that could not find out, since it started, whether others
// have begun a freeze: it stops everything, as a push amid a garbage collection does harm.
func Unsure(now time.Time) *Order {
	return &Order{Reason: "the store has not said since the start whether there is a freeze", Since: now, unsure: true}
}

// The bounds of an order.
const (
	maxReason   = 500 // bytes
	maxPatterns = 100
)

// Check makes the order ready to be asked; its error says what is wrong with it.
func (o *Order) Check(now time.Time) error {
	o.Reason = strings.TrimSpace(o.Reason)
	switch {
	case o.Reason == "":
		return errors.New("a reason is needed: whoever is refused is shown it")
	case len(o.Reason) > maxReason:
		return fmt.Errorf("the reason is longer than %d bytes", maxReason)
	case strings.ContainsFunc(o.Reason, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }):
		return errors.New("the reason has characters that are no text; it is one line")
	case len(o.Repositories) > maxPatterns:
		return fmt.Errorf("there are more than %d repositories", maxPatterns)
	case o.over(now):
		return fmt.Errorf("until %s is over", o.Until.Format(time.RFC3339))
	}
	o.patterns = nil
	for _, text := range o.Repositories {
		p, err := authz.NewPattern(text)
		if err != nil {
			return err
		}
		if strings.ToLower(text) != text {
			return fmt.Errorf("pattern %q can never match, so nothing would be frozen: repository names have no upper-case letters", text)
		}
		o.patterns = append(o.patterns, p)
	}
	return nil
}

// over reports whether its time is up.
func (o *Order) over(now time.Time) bool { return o.Until != nil && !o.Until.After(now) }

// covers reports whether a repository is closed.
func (o *Order) covers(repository string) bool {
	for _, p := range o.patterns {
		if p.Match(repository) {
			return true
		}
	}
	return len(o.patterns) == 0
}

// Left is how long it goes on; zero: until the thaw. That of Unsure is a guess.
func (o *Order) Left(now time.Time) time.Duration {
	switch {
	case o.unsure:
		return unsureFor
	case o.Until == nil:
		return 0
	}
	return o.Until.Sub(now)
}

// Read reads an order that is kept as JSON, whether or not its time is up; nil: none.
func Read(text []byte) (o *Order, err error) {
	if err := json.Unmarshal(text, &o); err != nil || o == nil {
		return nil, err
	}
	return o, o.Check(time.Time{})
}

// String is the order in one line; of nil it is none.
func (o *Order) String() string {
	if o == nil {
		return "none"
	}
	text := "frozen since " + o.Since.UTC().Format(time.RFC3339)
	if o.Until != nil {
		text += " until " + o.Until.UTC().Format(time.RFC3339)
	}
	if len(o.Repositories) > 0 {
		text += " (" + strings.Join(o.Repositories, ", ") + ")"
	}
	return text + ": " + o.Reason
}

// State is the order that counts, if any. It outlives reloads, is safe for concurrent
// use, and its zero value is no order.
type State struct {
	order atomic.Pointer[Order]

	mu      sync.Mutex
	running map[chan struct{}]struct{} // of pushes that may be let through; each is closed at its end
}

// Begin notes a push that may be let through, until end, which is called once. It comes
// before the question whether its repository is closed, so that Quiet misses none.
func (s *State) Begin() (end func()) {
	ended := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = map[chan struct{}]struct{}{}
	}
	s.running[ended] = struct{}{}
	return func() {
		s.mu.Lock()
		delete(s.running, ended)
		s.mu.Unlock()
		close(ended)
	}
}

// Quiet waits until all that began before have ended, however often it was asked; false:
// ctx ended first.
func (s *State) Quiet(ctx context.Context) bool {
	s.mu.Lock()
	before := slices.Collect(maps.Keys(s.running))
	s.mu.Unlock()
	for _, ended := range before {
		select {
		case <-ended:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Set makes an order the one that counts; it was checked. nil: none.
func (s *State) Set(o *Order) { s.order.Store(o) }

// Seen is the order as it was set, whether or not its time is up; for Follow.
func (s *State) Seen() *Order { return s.order.Load() }

// Follow is Set, unless another was set since before was seen; changed: another order
// counts from now on, or none does any more.
func (s *State) Follow(before, o *Order) (changed bool) {
	now := time.Now()
	return s.order.CompareAndSwap(before, o) && before.inForce(now) != o.inForce(now)
}

// inForce is an order that counts in one line; empty: there is none.
func (o *Order) inForce(now time.Time) string {
	if !o.counts(now) {
		return ""
	}
	return o.String()
}

// counts reports whether there is an order whose time is not up.
func (o *Order) counts(now time.Time) bool { return o != nil && !o.over(now) }

// Held reports whether it counts, and is one that somebody gave.
func (o *Order) Held(now time.Time) bool { return o.counts(now) && !o.unsure }

// Now is the order that counts at this moment; nil: none.
func (s *State) Now() *Order {
	if o := s.order.Load(); o.counts(time.Now()) {
		return o
	}
	return nil
}

// Closes is the order that closes a repository now; nil: none does.
func (s *State) Closes(repository string) *Order {
	if o := s.Now(); o != nil && o.covers(repository) {
		return o
	}
	return nil
}
