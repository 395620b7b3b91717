package authn

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flight is one question that runs, for all who wait for its answer. It runs on
// a context of its own: only close ends it early, and only if nobody waits.
type flight struct {
	asked   time.Time
	cancel  context.CancelFunc
	waiting int           // under the lock
	done    chan struct{} // closed when id and err are set
	id      Identity
	err     error
}

// failed reports whether the answer, where there is one by now, was a fault.
func (f *flight) failed() bool {
	select {
	case <-f.done:
		return f.err != nil && !refused(f.err)
	default:
		return false
	}
}

// flights are the questions that run, one at a time for each key.
type flights[K comparable] struct {
	lock    sync.Locker   // its user's, which guards what is here
	limit   time.Duration // of all steps of one question; 0: none
	running map[K]*flight
	closed  bool
}

// question says how to ask, on the flight's own context, and what to do with the
// answer: keep is called under the lock, and after, where keep returns one, later.
type question struct {
	ask  func(context.Context) (Identity, error)
	keep func(*flight) (after func())
}

// joinLocked joins the question that runs under the key, or starts it, and reports
// whether it ran already. The flight is nil for one in the background that is not
// started because the flights are closed.
func (s *flights[K]) joinLocked(key K, wait bool, q question) (f *flight, shared bool) {
	f, shared = s.running[key]
	if !shared {
		if s.closed && !wait {
			return nil, false
		}
		ctx, cancel := s.context()
		f = &flight{asked: time.Now(), cancel: cancel, done: make(chan struct{})}
		s.running[key] = f
		go s.run(ctx, key, f, q)
	}
	if wait {
		f.waiting++
	}
	return f, shared
}

func (s *flights[K]) context() (context.Context, context.CancelFunc) {
	if s.limit > 0 {
		return context.WithTimeoutCause(context.Background(), s.limit, fmt.Errorf("no answer within %s", s.limit))
	}
	return context.WithCancel(context.Background())
}

func (s *flights[K]) run(ctx context.Context, key K, f *flight, q question) {
	defer f.cancel()
	f.id, f.err = q.ask(ctx)
	f.err = classified(f.err)
	if after := s.land(key, f, q); after != nil {
		after()
	}
}

func (s *flights[K]) land(key K, f *flight, q question) (after func()) {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.running, key)
	defer close(f.done)
	return q.keep(f)
}

// wait waits for the answer, but not longer than the caller does.
func (s *flights[K]) wait(ctx context.Context, f *flight) (Identity, error) {
	defer s.leave(f)
	select {
	case <-f.done:
		return f.id, f.err
	case <-ctx.Done():
		return Identity{}, fmt.Errorf("%w: the caller stopped waiting: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (s *flights[K]) leave(f *flight) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if f.waiting--; f.waiting == 0 && s.closed {
		f.cancel()
	}
}

// closeLocked ends the questions that nobody waits for, now and later.
func (s *flights[K]) closeLocked() {
	s.closed = true
	for _, f := range s.running {
		if f.waiting == 0 {
			f.cancel()
		}
	}
}
