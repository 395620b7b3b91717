package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/metrics"
)

// Conn is a connection that was taken. Until its first request has begun every read
// ends at one moment, whatever deadlines the server sets and clears on the way:
// else each part (handshake, HTTP/2 preface, header) could be stretched again.
type Conn struct {
	net.Conn
	open    *Connections // not the Door: a connection may live longer than its config
	metrics *metrics.Metrics
	from    netip.Addr // an address, or an IPv6 /64; guarded by open.mu
	trusted bool       // from is a trusted proxy's; guarded by open.mu
	until   time.Time
	most    int32        // streams
	streams atomic.Int32 // requests that run on it
	begun   atomic.Bool
	known   atomic.Bool // somebody showed a good token on it
	late    sync.Once
	closed  sync.Once

	// Guarded by open.mu.
	list       *idle // of idle connections that it is on; nil: none
	next, prev *Conn // there: idle for a shorter time, for longer
	gone       bool  // it is not counted any more

	intro *introduction // by a PROXY header; nil: its address is its own

	writing  sync.Mutex // the turn to write what was gathered, or to gather more
	gathered *[]byte    // what is to be written in one piece; nil: it is written as it comes
}

// Door takes connections under the limits of one config.
type Door struct {
	Edge    *Edge            // who is a trusted proxy
	Limits  *Limits          // of connections
	Open    *Connections     // those that are open
	Metrics *metrics.Metrics // nil: none
	Logger  *slog.Logger     // of refused connections
}

// Take takes a connection of the public listener, or closes it and returns nil where
// a limit is reached and no connection is idle that could be closed for it. What it
// returns has to be what the server is given, or what lies below its TLS.
func (d *Door) Take(raw net.Conn) net.Conn {
	addr := addressOf(raw.RemoteAddr().String())
	c := &Conn{Conn: raw, open: d.Open, metrics: d.Metrics, from: NetworkOf(addr), trusted: d.Edge.trusts(addr),
		until: time.Now().Add(d.Limits.HeaderTimeout), most: int32(d.Limits.HTTP2Streams)}
	if within(d.Edge.proxied, addr) {
		c.trusted, c.intro = true, &introduction{door: d} // until it is known who it is
	}
	if over := d.admit(func() (string, *Conn) { return d.Open.add(c, d.Limits, d.reserve()) }); over != "" {
		d.refuse(raw, over, addr)
		return nil
	}
	c.SetReadDeadline(c.until)
	return c
}

// admit counts a connection by count, and closes idle ones as long as it says which;
// over: the limit that is reached.
func (d *Door) admit(count func() (over string, idle *Conn)) (over string) {
	for {
		over, idle := count()
		if over == "" {
			return ""
		}
		d.Metrics.LimitReached(over)
		if idle == nil {
			return over
		}
		idle.Close()
	}
}

// reserve is how many places are kept for trusted proxies: each speaks for many.
func (d *Door) reserve() int {
	if len(d.Edge.trusted) == 0 {
		return 0
	}
	return d.Limits.Connections / 20
}

func (d *Door) refuse(raw net.Conn, over string, addr netip.Addr) {
	if d.Open.tell.Allow() { // the metric counts them all; the log names some
		d.Logger.Warn("a connection was refused", "limit", over, "client_ip", addr.String())
	}
	raw.Close()
}

// Read reads what follows the PROXY header, where there has to be one.
func (c *Conn) Read(p []byte) (int, error) {
	if c.intro == nil {
		return c.read(p)
	}
	return c.readIntroduced(p)
}

// read counts the connections that end because nothing came in time.
func (c *Conn) read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !c.begun.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		c.late.Do(func() { c.metrics.LimitReached("header_timeout") })
	}
	return n, err
}

// Together has what write writes go out in one piece. TLS makes records of 16 KiB, each of
// which would be a system call of its own.
func (c *Conn) Together(write func() (int, error)) (int, error) {
	piece := c.open.piece()
	defer c.open.pieces.Put(piece)
	c.gather(piece)
	n, err := write()
	if fault := c.send(); err == nil && fault != nil {
		return 0, fault
	}
	return n, err
}

func (c *Conn) gather(piece *[]byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.gathered = piece
}

// send writes what was gathered. Whoever else has a record to write comes after it.
func (c *Conn) send() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	piece := c.gathered
	c.gathered = nil
	if len(*piece) == 0 {
		return nil
	}
	_, err := c.Conn.Write(*piece)
	*piece = (*piece)[:0]
	return err
}

// Write writes, or keeps for Together.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	if c.gathered != nil {
		*c.gathered = append(*c.gathered, p...)
		c.writing.Unlock()
		return len(p), nil
	}
	c.writing.Unlock()
	return c.Conn.Write(p)
}

// ReadFrom lets the kernel move what comes from a file or a connection.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// Close gives the connection's place back.
func (c *Conn) Close() error {
	c.closed.Do(func() { c.open.remove(c) })
	return c.Conn.Close()
}

// Reset ends the connection by a reset (RST), with whatever the server does later.
func (c *Conn) Reset() {
	if tcp, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0) // what is closed already cannot look whole either
	}
	c.Close()
}

// SetReadDeadline keeps the moment until which the first request must have begun.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.clamp(t)) }

// SetDeadline does so too.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

func (c *Conn) clamp(t time.Time) time.Time {
	if !c.begun.Load() && (t.IsZero() || t.After(c.until)) {
		return c.until
	}
	return t
}

// begin notes that a request's header is in. From here on the server's own
// deadlines count.
func (c *Conn) begin() {
	if c.begun.CompareAndSwap(false, true) {
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// Enter counts a request that runs on the connection, until Leave. A request's header is
// in then.
func (c *Conn) Enter() {
	c.begin()
	if c.streams.Add(1) == c.most {
		c.metrics.LimitReached("http2_streams")
	}
}

// Leave ends what Enter began.
func (c *Conn) Leave() { c.streams.Add(-1) }

// Known notes that somebody showed a good token or password on the connection: where
// one has to be closed, strangers' go first.
func (c *Conn) Known() { c.known.Store(true) }

type connKey struct{}

// own is the Conn in or below what the server was given; nil: the listener is another's.
func own(c net.Conn) *Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	conn, _ := c.(*Conn)
	return conn
}

// withConn puts the connection where its requests find it.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if c := own(c); c != nil {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// noteState is told what a connection of the server does.
func noteState(c net.Conn, state http.ConnState) {
	if c := own(c); c != nil && state != http.StateClosed {
		c.open.state(c, state)
	}
}

// Of is the request's connection; nil where the listener is another's.
func Of(r *http.Request) *Conn {
	c, _ := r.Context().Value(connKey{}).(*Conn)
	return c
}
