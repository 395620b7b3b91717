package upstream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstPause = time.Second      // for which an address is put aside
	maxPause   = 30 * time.Second // to which that doubles
	faultsRow  = 3                // so many answers of 5xx, or none, in a row put it aside
)

// States are what is known of addresses: what is in flight there, and which are put
// aside. They outlive reloads. They are safe for concurrent use.
type States struct {
	mu    sync.Mutex
	known map[string]*state
}

// NewStates returns what is known at the start, which is nothing.
func NewStates() *States { return &States{known: map[string]*state{}} }

// of is the state of one address of an upstream.
func (s *States) of(upstream, address string) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := upstream + "\x00" + address
	if s.known[key] == nil {
		s.known[key] = &state{}
	}
	return s.known[key]
}

// state is one address'. It is healthy, or put aside until somebody has seen it answer.
type state struct {
	inFlight atomic.Int64
	blamed   atomic.Pointer[error] // the last fault

	mu    sync.Mutex
	row   int           // faults in a row
	pause time.Duration // of the last time that it was put aside; 0: it was good since
	since time.Time     // it is put aside; zero: it is healthy
	until time.Time     // nobody looks before that
}

// verdict is what a request says of its address.
type verdict int

const (
	nothing verdict = iota // the client left, or its body broke
	good
	fault       // a 5xx, or no answer
	unreachable // no connection could be made
)

// verdictOf is that of a request which ended with err, or was answered with a status.
func verdictOf(ctx context.Context, status int, err error) verdict {
	if err == nil {
		return answered(status)
	}
	failed := new(Error)
	switch {
	case ctx.Err() != nil || !errors.As(err, &failed) || failed.Reason == ErrBody || failed.Reason == context.Canceled:
		return nothing
	case failed.Status == 0 && !failed.Sent:
		return unreachable
	case failed.Status == 0:
		return fault
	}
	return answered(failed.Status)
}

// answered is that of a status.
func answered(status int) verdict {
	if status >= 500 {
		return fault
	}
	return good
}

// blame keeps what went wrong, for those who want to know why an address is put aside.
func (s *state) blame(o verdict, err error) {
	if o == fault || o == unreachable {
		kept := err
		s.blamed.Store(&kept)
	}
}

// why is the last fault, or that none is known.
func (s *state) why() error {
	if err := s.blamed.Load(); err != nil {
		return *err
	}
	return errors.New("the reason is not known")
}

// take counts a request that began at a moment. What began before the address was put
// aside says nothing new, and while it is only the looks at it lengthen that.
func (s *state) take(began time.Time, o verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	aside := !s.since.IsZero()
	switch {
	case o == nothing || aside && began.Before(s.since):
	case o == good:
		s.row, s.pause, s.since, s.until = 0, 0, time.Time{}, time.Time{}
	case aside:
	default:
		if s.row++; o == unreachable || s.row >= faultsRow {
			s.putAsideLocked()
		}
	}
}

// looked counts an active look: where the time aside is over, a good one brings the
// address back. A following fault puts it aside for longer than before, until a request
// was answered well.
func (s *state) looked(o verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch aside := !s.since.IsZero(); {
	case !aside && o == unreachable:
		s.putAsideLocked()
	case !aside || o == nothing || time.Now().Before(s.until):
	case o == good:
		s.row, s.since, s.until = 0, time.Time{}, time.Time{}
	default:
		s.putAsideLocked()
	}
}

func (s *state) putAsideLocked() {
	s.pause = min(max(2*s.pause, firstPause), maxPause)
	s.row, s.since = 0, time.Now()
	s.until = s.since.Add(s.pause)
}

// aside is until when nobody looks at an address that is put aside; zero: it is healthy.
func (s *state) aside() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}
