package upstream

import (
	"sync"
	"time"
)

// maxIdle is how many idle connections are kept.
const maxIdle = 256

// pool is the idle connections, the longest idle first. The one used last is taken
// first, so that those too many grow old. It is safe for concurrent use.
type pool struct {
	keep time.Duration // how long one is kept

	mu     sync.Mutex
	idle   []*wire
	closed bool
	sweep  *time.Timer // runs while there is one
}

// take is an idle connection on which nothing came since its last answer, with its
// deadline set; nil: there is none.
func (p *pool) take(now, until time.Time) *wire {
	for {
		w := p.pop(now)
		if w == nil {
			return nil
		}
		if w.SetDeadline(until) == nil && w.quiet() {
			return w
		}
		w.Close()
	}
}

func (p *pool) pop(now time.Time) *wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 || now.Sub(p.idle[last].since) >= p.keep {
		return nil // the others are older
	}
	w := p.idle[last]
	p.idle[last], p.idle = nil, p.idle[:last]
	return w
}

// put keeps a connection whose answer was read to its end, or closes it.
func (p *pool) put(w *wire) {
	if w.reader.Buffered() > 0 || !p.push(w) { // what nobody asked for would be taken for the next answer
		w.Close()
	}
}

func (p *pool) push(w *wire) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	w.since = time.Now()
	p.idle = append(p.idle, w)
	switch {
	case p.sweep == nil:
		p.sweep = time.AfterFunc(p.keep, p.old)
	case len(p.idle) == 1:
		p.sweep.Reset(p.keep)
	}
	return true
}

// old closes what was idle for long enough.
func (p *pool) old() {
	for _, w := range p.tooOld() {
		w.Close()
	}
}

func (p *pool) tooOld() (over []*wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, now := 0, time.Now()
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= p.keep {
		n++
	}
	over = append(over, p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	clear(p.idle[len(p.idle):cap(p.idle)])
	if len(p.idle) > 0 {
		p.sweep.Reset(p.keep - now.Sub(p.idle[0].since))
	}
	return over
}

// close closes what is idle, and from then on what is put.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, w := range idle {
		w.Close()
	}
}
