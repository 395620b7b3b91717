package proxy

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A client that was answered early may go on sending for lingerTime, as long as so many
// bytes come in each window: who sends little takes its place for no longer than one.
const (
	lingerTime   = 30 * time.Second
	lingerWindow = 5 * time.Second
	lingerBytes  = 1 << 20 // in a window
	expectWindow = time.Second
)

// source is a request's body as it comes from the client: it knows how far it was read.
type source struct {
	io.Reader
	r            *http.Request // whose body it was
	begun, ended atomic.Bool
}

// watch makes it that of a request, and puts it in the place of the body, where there is one.
func (s *source) watch(r *http.Request) *http.Request {
	s.Reader, s.r = r.Body, r
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	own := *r
	own.Body = s
	return &own
}

// Read notes the beginning and the end.
func (s *source) Read(p []byte) (int, error) {
	s.begun.Store(true)
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		s.ended.Store(true)
	}
	return n, err
}

// Close leaves the body to the server, which closes it after the request: the
// transport closes it as soon as an early answer is in, and nobody could linger.
func (s *source) Close() error { return nil }

// pending reports whether the client may still be sending its body. HTTP/2 has a
// frame to stop it (RFC 9113 section 8.1).
func (s *source) pending() bool {
	return s.r.ProtoMajor == 1 && s.r.ContentLength != 0 && !s.ended.Load()
}

// window is how long the next bytes may take. Who expects a 100 and saw none has most
// likely sent nothing, but need not wait for it (RFC 9110 section 10.1.1).
func (s *source) window() time.Duration {
	if s.r.Header.Get("Expect") != "" && !s.begun.Load() {
		return expectWindow
	}
	return lingerWindow
}

// plain reports whether the answer goes out as it is: HTTP/1.1 in clear text.
func (s *source) plain() bool { return s.r.ProtoMajor == 1 && s.r.TLS == nil }

// linger reads on for a while after an answer that came before the body's end.
// Closing with bytes unread resets the connection (RFC 9112 section 9.6), and a
// client that sends its whole body before it reads would see that instead of the
// answer.
func (s *source) linger(w http.ResponseWriter) {
	control, end := http.NewResponseController(w), time.Now().Add(lingerTime)
	err := control.Flush()
	for err == nil && time.Now().Before(end) {
		if err = control.SetReadDeadline(time.Now().Add(s.window())); err == nil {
			_, err = io.CopyN(io.Discard, s, lingerBytes)
		}
	}
}
