package content

import (
	"context"
	"fmt"
	"sync"
)

// mostFlights is how many questions may run or wait to run at once.
const mostFlights = 256

// flight is one question, for all who wait for its answer. It runs on a context of its
// own; who stops waiting does not disturb the others.
type flight struct {
	moment                       // when it was sent; the zero moment: it waits for the one before
	next    *flight              // begins when this one ends
	ask     func(moment) outcome // notes what it brings
	done    chan struct{}        // closed when the outcome is set
	outcome outcome
	left    bool // who began it is gone
}

// outcome is what a question brought.
type outcome struct {
	verdict verdict
	entry   *Entry  // kept
	asked   bool    // kept: the content was here, and the registry said that it is the same
	counts  bool    // kept: nothing changed in the repository since it was asked
	answer  *Answer // other and fault: for who began it
	err     error   // where there is no answer

	streams bool // other: its content passes unseen
}

// verdict sorts outcomes.
type verdict int

const (
	other verdict = iota // an answer that is not for the cache
	kept                 // content to give out, or a yes
	gone                 // the registry says no
	wrong                // its digest is another
	void                 // of no use any more: everybody asks for themselves
	away                 // the registry could not be asked
)

// flights are the questions that run, one at a time under each key of those that may be joined.
type flights struct {
	lock    sync.Locker   // its user's, which guards what is here
	now     func() moment // is called with it held
	running map[key]*flight
	n       int // those that wait to run counted
}

// way is how a request joins a question that runs.
type way int

const (
	with   way = iota // it takes what that brings
	after             // it waits for its end, and takes what the next one brings
	beside            // it has another one asked at once, which others join from then on
)

// join joins the question that runs under the key in the way that may says, or starts it;
// leads tells who did. nil: there are too many.
func (s *flights) join(k key, may func(*flight) way, ask func(moment) outcome) (f *flight, leads bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	run, how := s.running[k], beside
	if run != nil {
		how = may(run)
	}
	switch {
	case how == with:
		return run, false
	case how == after && run.next != nil:
		return run.next, false
	case s.n >= mostFlights:
		return nil, false
	}
	s.n++
	f = &flight{ask: ask, done: make(chan struct{})}
	if how == after {
		run.next = f
		return f, true
	}
	s.startLocked(k, f)
	return f, true
}

func (s *flights) startLocked(k key, f *flight) {
	s.running[k] = f
	f.moment = s.now()
	go s.fly(k, f, f.moment)
}

func (s *flights) fly(k key, f *flight, m moment) {
	o := f.ask(m)
	if s.land(k, f, o) {
		o.answer.Close()
	}
}

// land hands the outcome to those who wait, and reports whether nobody is there to take
// the answer.
func (s *flights) land(k key, f *flight, o outcome) (unwanted bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.n--
	if s.running[k] == f {
		delete(s.running, k)
	}
	if f.next != nil {
		s.startLocked(k, f.next)
	}
	f.outcome = o
	close(f.done)
	return f.left
}

// wait waits for the outcome, but no longer than ctx.
func (s *flights) wait(ctx context.Context, f *flight, leads bool) (outcome, error) {
	select {
	case <-f.done:
		return f.outcome, nil
	case <-ctx.Done():
	}
	if leads {
		s.leave(f)
	}
	return outcome{}, fmt.Errorf("the asker stopped waiting: %w", context.Cause(ctx))
}

// leave gives up an answer that may come, or did. It is closed once: here, or where it lands.
func (s *flights) leave(f *flight) {
	if s.leaves(f) {
		f.outcome.answer.Close()
	}
}

// leaves reports whether the answer came before.
func (s *flights) leaves(f *flight) (landed bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	f.left = true
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}
