package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// maxHeaderBytes bounds the header of an answer, with those of the 1xx before it.
const maxHeaderBytes = 64 << 10

var errHeader = fmt.Errorf("the header of the answer has more than %d bytes", maxHeaderBytes)

// wireBuffer is how much of an answer is read ahead, in bytes: a header and a small
// body. Larger bodies are read past it.
const wireBuffer = 8 << 10

// wire is a connection of a client's. One request uses it at a time.
type wire struct {
	net.Conn // TLS, or the socket
	pool     *pool
	socket   net.Conn
	raw      syscall.RawConn // of the socket; nil: it cannot be looked at, so it is not kept
	reader   *bufio.Reader   // of this wire
	left     int64           // how many bytes may still come
	patience time.Duration   // how long each read may take; 0: the deadline is set
	heard    bool            // a byte of the answer came
	since    time.Time       // when it became idle
	cut      func()          // ends it, at any time
	look     func(fd uintptr) bool
	silent   bool // what look found
}

func newWire(socket net.Conn, p *pool) *wire {
	w := &wire{Conn: socket, socket: socket, pool: p}
	w.reader = bufio.NewReaderSize(w, wireBuffer)
	w.cut = func() { w.socket.Close() }
	w.look = func(fd uintptr) bool {
		var b [1]byte
		n, err := syscall.Read(int(fd), b[:])
		w.silent = n < 0 && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR))
		return true
	}
	if s, ok := socket.(syscall.Conn); ok {
		w.raw, _ = s.SyscallConn()
	}
	return w
}

// Read is the reader's, and holds what it reads to its bounds.
func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, errHeader
	}
	if w.patience > 0 {
		if err := w.SetReadDeadline(time.Now().Add(w.patience)); err != nil {
			return 0, err
		}
	}
	n, err := w.Conn.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	w.heard = w.heard || n > 0
	return n, err
}

// quiet reports whether nothing came on an idle connection: not its end, nor bytes
// that nobody asked for, which would be taken for the next answer (response splitting).
func (w *wire) quiet() bool { return w.raw != nil && w.raw.Read(w.look) == nil && w.silent }

// ask writes a request and reads the header of its answer by the deadline that is set.
// Whatever fails, the connection is closed.
func (w *wire) ask(ctx context.Context, head []byte, r *http.Request) (*http.Response, error) {
	w.left, w.patience, w.heard = maxHeaderBytes, 0, false
	stop := context.AfterFunc(ctx, w.cut)
	resp, err := w.exchange(head, r)
	if err != nil {
		stop()
		w.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errSilent
		}
		return nil, err
	}
	w.left, w.patience = math.MaxInt64, progressWindow
	body := &wireBody{wire: w, body: resp.Body, left: resp.ContentLength, stop: stop, ended: resp.Body == http.NoBody,
		kept: !resp.Close && resp.StatusCode >= 200 && w.raw != nil}
	resp.Body = body
	return resp, nil
}

// exchange leaves interim answers out (RFC 9110 section 15.2); they share the bound of
// the header. A switch of protocols is an answer, which does not pass.
func (w *wire) exchange(head []byte, r *http.Request) (*http.Response, error) {
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(w.reader, r)
		if err != nil || resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode < 100 || resp.StatusCode > 199 {
			return resp, err
		}
	}
}

// wireBody is an answer's body. It gives the connection back at its end, whole, and
// else closes it.
type wireBody struct {
	wire  *wire // nil: closed
	body  io.Reader
	left  int64       // bytes that are still to come; 0 or less: not known
	stop  func() bool // ends the cutting; false: it was cut
	ended bool        // all of it was read
	kept  bool        // the connection can be used again after that
}

// Read waits for the upstream for no longer than the progress window. Where it stops
// before the end that the header told, the error is io.ErrUnexpectedEOF.
func (b *wireBody) Read(p []byte) (int, error) {
	if b.wire == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	if err == io.EOF {
		b.ended = true
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errStalled
	}
	return n, err
}

// moved is how many bytes are moved at once.
const moved = 256 << 10

// Mover is a body of an answer that the kernel may be able to move.
type Mover interface {
	// Move moves the rest of the body by the kernel, where all of it will come on a socket
	// as it is: a part at a time, each announced by its size in bytes and then given to
	// to. announce says until when the client has time for it. Move reports whether it
	// did; else the body is to be read.
	Move(announce func(n int) (until time.Time), to io.ReaderFrom) (did bool, err error)
}

// Move is that of a Mover.
func (b *wireBody) Move(announce func(n int) (until time.Time), to io.ReaderFrom) (did bool, err error) {
	if b.wire == nil || b.wire.reader.Buffered() > 0 || b.left <= moved {
		return false, nil
	}
	socket, plain := b.wire.Conn.(*net.TCPConn)
	if !plain {
		return false, nil
	}
	for b.left > 0 && err == nil {
		err = b.move(socket, announce, to)
	}
	b.ended = err == nil
	return true, err
}

// move moves one part. The upstream's time is over earlier than the client's, so that
// it can be told whose it was; and then nothing is on its way between them.
func (b *wireBody) move(socket *net.TCPConn, announce func(n int) time.Time, to io.ReaderFrom) error {
	part := &io.LimitedReader{R: socket, N: min(b.left, moved)}
	until := announce(int(part.N))
	if err := socket.SetReadDeadline(earlier(time.Now().Add(progressWindow), until)); err != nil {
		return err
	}
	n, err := to.ReadFrom(part)
	b.left -= n
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(until) && n > 0:
		return nil // it is slow, and moves
	case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(until):
		return errStalled
	case err == nil && part.N > 0:
		return io.ErrUnexpectedEOF
	}
	return err
}

// earlier is the upstream's time within the client's.
func earlier(own, clients time.Time) time.Time {
	if most := clients.Add(-progressWindow / 12); own.After(most) {
		return most
	}
	return own
}

// Close never reads on: what is left may be large, or never come.
func (b *wireBody) Close() error {
	w := b.wire
	if w == nil {
		return nil
	}
	b.wire = nil
	if b.stop() && b.ended && b.kept {
		w.pool.put(w)
		return nil
	}
	return w.Close()
}
