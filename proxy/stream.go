package proxy

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/proxy/upstream"
)

// Bodies have no time limit in all, since a layer may take an hour; but each has
// to make progress: a client's as many bytes in each window as the limits say.
const (
	progressWindow = 60 * time.Second
	progressBytes  = 60 << 10
)

// writeAllowance is how long one write of n bytes may take under that rule.
func writeAllowance(n, needed int) time.Duration {
	if needed <= 0 {
		return progressWindow
	}
	return progressWindow + time.Duration(n)*progressWindow/time.Duration(needed)
}

// abandonLimit is how long the rest of a body is taken that was read in part.
const abandonLimit = 5 * time.Second

// requestBody is a client's body as it comes: it counts, and cuts a client that makes
// no progress.
type requestBody struct {
	io.ReadCloser
	control *http.ResponseController // nil: no deadlines
	needed  int                      // bytes in a progress window
	left    time.Duration            // of the progress window, waiting in Read only
	got     int
	count   atomic.Int64

	mu       sync.Mutex
	finished bool
}

// newRequestBody wraps a body; with w the deadlines of its connection are used.
func newRequestBody(w http.ResponseWriter, body io.ReadCloser) *requestBody {
	b := &requestBody{ReadCloser: body, needed: progressBytes, left: progressWindow}
	if w != nil {
		b.control = http.NewResponseController(w)
	}
	return b
}

// Read is called by the transport's goroutine.
func (b *requestBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.deadline(start.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	b.count.Add(int64(n))
	b.left -= time.Since(start)
	if b.got += n; n > 0 && b.got >= b.needed {
		b.got, b.left = 0, progressWindow
	}
	if err != nil {
		b.close(err == io.EOF)
	}
	return n, err
}

// deadline sets the connection's read deadline while the body is being read;
// afterwards the deadline would end the request that is being answered.
func (b *requestBody) deadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control != nil && !b.finished {
		b.control.SetReadDeadline(t)
	}
}

// finish ends the reading, wherever it is.
func (b *requestBody) finish() { b.close(false) }

// close takes the deadline off the connection. Where the body is not at its end
// the server will throw the rest away, and must not wait for that without end.
func (b *requestBody) close(atEnd bool) {
	limit := time.Time{}
	if !atEnd {
		limit = time.Now().Add(abandonLimit)
	}
	b.deadline(limit)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = true
}

const (
	firstRead  = 4 << 10  // how much of an answer is read before it gets a large buffer
	smallReads = 3        // after which what was read ahead is used up
	copyBuffer = 64 << 10 // clients decide how many are in use at once
)

// buffers are those of answers: a small one to begin with, a large one for the rest.
type buffers struct{ first, rest sync.Pool }

func newBuffers() *buffers {
	sized := func(n int) func() any { return func() any { b := make([]byte, n); return &b } }
	return &buffers{first: sync.Pool{New: sized(firstRead)}, rest: sync.Pool{New: sized(copyBuffer)}}
}

// stream copies an answer, or has the kernel move it. It takes a large buffer once the
// answer has begun and is no small one: an upstream that is slow to begin holds none. A client that takes
// nothing is cut by a write deadline.
func (of *buffers) stream(w *recorder, body io.Reader, needed int) error {
	first := of.first.Get().(*[]byte)
	defer of.first.Put(first)
	buffer := *first
	for reads := 1; ; reads++ {
		n, rerr := body.Read(buffer)
		if n > 0 {
			w.deadline(writeAllowance(n, needed))
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if rerr == io.EOF {
			if reads > 1 || n == 0 { // else its deadline was just set
				w.deadline(progressWindow) // for what is still in the server's buffer
			}
			return nil
		}
		if rerr != nil {
			return rerr
		}
		if did, err := of.move(w, body, needed); did {
			return err
		}
		if reads == smallReads {
			large := of.rest.Get().(*[]byte)
			defer of.rest.Put(large)
			buffer = *large
		}
	}
}

// move moves the rest of an answer without copying it, where both ends allow it.
func (of *buffers) move(w *recorder, body io.Reader, needed int) (did bool, err error) {
	from, ok := body.(upstream.Mover)
	to := w.byKernel()
	if !ok || to == nil {
		return false, nil
	}
	did, err = from.Move(func(n int) time.Time {
		w.deadline(writeAllowance(n, needed))
		return w.until
	}, to)
	if did && err == nil {
		w.deadline(progressWindow)
	}
	return did, err
}
