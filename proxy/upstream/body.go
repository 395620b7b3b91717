package upstream

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// progressWindow and minRate: a body has no time limit in all, since a layer may
	// take an hour, but it has to make progress, so many bytes a second.
	progressWindow = 60 * time.Second
	minRate        = 1 << 10
)

// wait ends a request whose response headers do not come within the limit,
// counted from begin: the moment when all of the request was sent.
type wait struct {
	limit time.Duration
	timer *time.Timer
	once  sync.Once
}

func startWait(limit time.Duration, over func()) *wait {
	w := &wait{limit: limit, timer: time.AfterFunc(time.Hour, over)}
	w.timer.Stop()
	return w
}

func (w *wait) begin() { w.once.Do(func() { w.timer.Reset(w.limit) }) }

// stop ends the waiting for good, also where begin comes later.
func (w *wait) stop() {
	w.once.Do(func() {})
	w.timer.Stop()
}

// sentBody is a body on its way up. It keeps the first error, which tells whose fault
// it was, and reports its end.
type sentBody struct {
	io.Reader
	atEnd func()
	err   atomic.Pointer[error]
}

// Read is called by the transport's goroutine.
func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.atEnd()
	} else if err != nil {
		b.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close leaves the reader to who gave it.
func (b *sentBody) Close() error { return nil }

func (b *sentBody) failed() error {
	if b == nil || b.err.Load() == nil {
		return nil
	}
	return *b.err.Load()
}

// answerBody is an answer's body, cut where nothing comes for a progress window.
type answerBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
	idle   *time.Timer
}

// Read waits for the upstream for no longer than the progress window.
func (b *answerBody) Read(p []byte) (int, error) {
	if b.idle == nil {
		b.idle = time.AfterFunc(progressWindow, func() { b.cancel(errStalled) })
	} else {
		b.idle.Reset(progressWindow)
	}
	n, err := b.ReadCloser.Read(p)
	b.idle.Stop()
	return n, err
}

// Close ends the answer, whole or not.
func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
