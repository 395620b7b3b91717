package audit

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"
)

const (
	queued     = 8 << 20         // bytes of lines that may wait
	flushLimit = 2 * time.Second // for what waits at the end
)

// Lines is a writer of whole lines that never waits: one goroutine, Run, hands them
// to what may block (a pipe that nobody reads, a hung file system). What waits is
// bounded; lines over that are lost. It is safe for concurrent use.
type Lines struct {
	write func(line []byte) // called by Run, one line at a time
	lost  func()            // called for each line that is lost, by whoever wrote it

	mu   sync.Mutex
	jobs []job
	size int
	wake chan struct{} // one token: there is something to do
	turn sync.Mutex    // of who works through the jobs; never held by who writes a line
}

// job is a line, or something to do between two.
type job struct {
	line []byte
	do   func()
}

// NewLines returns a queue in front of write. lost must not block.
func NewLines(write func(line []byte), lost func()) *Lines {
	return &Lines{write: write, lost: lost, wake: make(chan struct{}, 1)}
}

// errFull: so much waits that a line is lost.
var errFull = errors.New("what takes the lines is slower than they come")

// Write queues a copy of a line, or fails at once where too much waits.
func (l *Lines) Write(line []byte) (int, error) {
	if !l.add(bytes.Clone(line)) {
		l.lost()
		return 0, errFull
	}
	l.signal()
	return len(line), nil
}

// add reports whether there was room.
func (l *Lines) add(line []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+len(line) > queued {
		return false
	}
	l.jobs, l.size = append(l.jobs, job{line: line}), l.size+len(line)
	return true
}

// Do queues something that is to be done after the lines that wait.
func (l *Lines) Do(f func()) {
	l.mu.Lock()
	l.jobs = append(l.jobs, job{do: f})
	l.mu.Unlock()
	l.signal()
}

func (l *Lines) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, and then what still waits, if that goes within 2 s.
func (l *Lines) Run(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			l.Flush()
			select {
			case <-l.wake:
			case <-ctx.Done():
			}
		}
		l.Flush()
	}()
	<-ctx.Done()
	select {
	case <-ended:
	case <-time.After(flushLimit):
	}
}

// Flush writes what waits.
func (l *Lines) Flush() {
	l.turn.Lock()
	defer l.turn.Unlock()
	for jobs := l.drain(); len(jobs) > 0; jobs = l.drain() {
		for _, j := range jobs {
			if j.do != nil {
				j.do()
			} else {
				l.write(j.line)
			}
		}
	}
}

// drain is all that waits. Its room is free again at once, so up to
// twice the bound may be held.
func (l *Lines) drain() []job {
	l.mu.Lock()
	defer l.mu.Unlock()
	jobs := l.jobs
	l.jobs, l.size = nil, 0
	return jobs
}
