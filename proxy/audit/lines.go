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

	gatherTime  = 50 * time.Millisecond // how long a line may wait for others
	gatherBytes = 64 << 10              // with so many bytes they go out
)

// Lines is a writer of whole lines that never waits: one goroutine, Run, hands them
// to what may block (a pipe that nobody reads, a hung file system). What waits is
// bounded; lines over that are lost. It is safe for concurrent use.
type Lines struct {
	write func(line []byte) // called by Run, with one line, or with some that were gathered
	lost  func()            // called for each line that is lost, by whoever wrote it

	mu    sync.Mutex
	jobs  []job
	size  int
	spare [][]byte      // to gather in, written before
	soon  *time.Timer   // wakes for what was gathered
	wake  chan struct{} // one token: there is something to do
	turn  sync.Mutex    // of who works through the jobs; never held by who writes a line
}

// job is a line, or gathered ones, or something to do between two.
type job struct {
	line     []byte
	gathered bool
	do       func()
}

// NewLines returns a queue in front of write. lost must not block.
func NewLines(write func(line []byte), lost func()) *Lines {
	l := &Lines{write: write, lost: lost, wake: make(chan struct{}, 1), spare: make([][]byte, 0, 2)}
	l.soon = time.AfterFunc(gatherTime, l.signal)
	l.soon.Stop()
	return l
}

// errFull: so much waits that a line is lost.
var errFull = errors.New("what takes the lines is slower than they come")

// Write queues a copy of a line, or fails at once where too much waits.
func (l *Lines) Write(line []byte) (int, error) {
	if !l.add(job{line: bytes.Clone(line)}) {
		l.lost()
		return 0, errFull
	}
	l.signal()
	return len(line), nil
}

// Gather is Write for lines that are many: they are written together, after 50 ms or
// with 64 KiB of them, or with the next line that is not gathered.
func (l *Lines) Gather(line []byte) error {
	room, full := l.join(line)
	if !room {
		l.lost()
		return errFull
	}
	if full {
		l.signal()
	}
	return nil
}

// add reports whether there was room.
func (l *Lines) add(j job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addLocked(j)
}

func (l *Lines) addLocked(j job) bool {
	if l.size+len(j.line) > queued {
		return false
	}
	l.jobs, l.size = append(l.jobs, j), l.size+len(j.line)
	return true
}

// join puts a copy of a line behind those that were gathered last, or begins with others; it
// reports whether there was room, and whether those before it are to be written now.
func (l *Lines) join(line []byte) (room, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.jobs); n > 0 && l.jobs[n-1].gathered {
		last := &l.jobs[n-1]
		if len(last.line)+len(line) <= gatherBytes && l.size+len(line) <= queued {
			last.line, l.size = append(last.line, line...), l.size+len(line)
			return true, false
		}
	} else {
		l.soon.Reset(gatherTime)
	}
	full = len(l.jobs) > 0
	return l.addLocked(job{line: append(l.spareLocked(), line...), gathered: true}), full
}

// spareLocked is an empty buffer.
func (l *Lines) spareLocked() []byte {
	last := len(l.spare) - 1
	if last < 0 {
		return make([]byte, 0, gatherBytes)
	}
	spare := l.spare[last]
	l.spare = l.spare[:last]
	return spare[:0]
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
			if j.gathered {
				l.keep(j.line)
			}
		}
	}
}

// keep takes a buffer back. write must not hold on to it.
func (l *Lines) keep(buffer []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spare) < cap(l.spare) {
		l.spare = append(l.spare, buffer)
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
