package proxy

import (
	"io"
	"net/http"
	"time"

	"gatehouse/proxy/listener"
)

// recorder remembers what was answered. It hides every other ability of the
// ResponseWriter but those that http.ResponseController finds by Unwrap.
type recorder struct {
	http.ResponseWriter
	body    *source
	leaving *listener.Leaving // nil: never
	conn    *listener.Conn    // of HTTP/1.1; nil: another
	hsts    string            // the value of Strict-Transport-Security; empty: none
	status  int
	bytes   int64
	wrote   bool
	until   time.Time // the deadline that is set
}

// WriteHeader sends the status, once.
func (w *recorder) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.status, w.wrote = status, true
	w.deadline(progressWindow)
	if w.body.pending() || w.leaving.Begun() { // what is pending the server would else read first, without limit
		w.Header().Set("Connection", "close")
	}
	if w.hsts != "" {
		w.Header().Set("Strict-Transport-Security", w.hsts)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *recorder) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.write(p)
	w.bytes += int64(n)
	return n, err
}

func (w *recorder) write(p []byte) (int, error) {
	const record = 16 << 10 // of TLS
	if w.conn == nil || w.body.plain() || len(p) <= record {
		return w.ResponseWriter.Write(p)
	}
	return w.conn.Together(func() (int, error) { return w.ResponseWriter.Write(p) })
}

// nearly is by how much deadlines may differ that are as good as the same.
const nearly = 2 * time.Second

// deadline is for the writes that follow: a client that takes nothing must not
// hold on to the request. The server clears it behind each answer.
// One that is set already and is nearly the same stays.
func (w *recorder) deadline(d time.Duration) {
	until := time.Now().Add(d)
	if until.Sub(w.until).Abs() < nearly {
		return
	}
	w.until = until
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(until) // no connection, no deadline
}

// unsent is how much of what was written the client has not taken; 0 where that is not known.
func (w *recorder) unsent() int64 {
	if w.conn == nil {
		return 0
	}
	return w.conn.Unsent()
}

// byKernel is the way of a body that the kernel may move: to HTTP/1.1 in clear text;
// nil where there is none.
func (w *recorder) byKernel() io.ReaderFrom {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok || !w.body.plain() {
		return nil
	}
	return moving{w, to}
}

// moving counts what is moved.
type moving struct {
	w  *recorder
	to io.ReaderFrom
}

// ReadFrom moves all of r.
func (m moving) ReadFrom(r io.Reader) (int64, error) {
	n, err := m.to.ReadFrom(r)
	m.w.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
