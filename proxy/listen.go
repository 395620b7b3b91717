package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/metrics"
)

// conn is an accepted connection. Until its first request has begun every read
// ends at one moment, whatever deadlines the server sets and clears on the way:
// else each part (handshake, HTTP/2 preface, header) could be stretched anew.
type conn struct {
	net.Conn
	load    *Load // not the Gateway: a connection may live longer than its config
	metrics *metrics.Metrics
	from    netip.Addr // zero: a trusted proxy
	until   time.Time
	begun   atomic.Bool
	late    sync.Once
	closed  sync.Once
	streams atomic.Int32 // requests that run on it
}

// Accepted takes a connection of the public listener under the limits, or closes
// it and returns nil where one of them is reached. What it returns has to be what
// the server is given, or what lies below its TLS.
func (g *Gateway) Accepted(raw net.Conn) net.Conn {
	c := &conn{Conn: raw, load: g.load, metrics: g.metrics, until: time.Now().Add(g.limits.HeaderTimeout)}
	addr := addressOf(raw.RemoteAddr().String())
	if !g.edge.isTrusted(addr) {
		c.from = networkOf(addr)
	}
	if over := g.load.connect(c.from, &g.limits); over != "" {
		g.metrics.LimitReached(over)
		if g.load.tell.Allow() { // the metric counts them all; the log names some
			g.logger.Warn("a connection was refused", "limit", over, "client_ip", addr.String())
		}
		raw.Close()
		return nil
	}
	c.SetReadDeadline(c.until)
	return c
}

// Read counts the connections that end because nothing came in time.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !c.begun.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		c.late.Do(func() { c.metrics.LimitReached("header_timeout") })
	}
	return n, err
}

// Close gives the connection's place back.
func (c *conn) Close() error {
	c.closed.Do(func() { c.load.disconnect(c.from) })
	return c.Conn.Close()
}

// reset ends the connection by a reset (RST), with whatever the server does later.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0) // what is closed already cannot look whole either
	}
	c.Close()
}

// SetReadDeadline keeps the moment until which the first request must have begun.
func (c *conn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.clamp(t)) }

// SetDeadline does so too.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

func (c *conn) clamp(t time.Time) time.Time {
	if !c.begun.Load() && (t.IsZero() || t.After(c.until)) {
		return c.until
	}
	return t
}

// begin says that a request's header is in. From here on the server's own
// deadlines count.
func (c *conn) begin() {
	if c.begun.CompareAndSwap(false, true) {
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// enter counts a request that runs on the connection, until the returned
// function is called.
func (c *conn) enter(g *Gateway) (leave func()) {
	c.begin()
	if n := c.streams.Add(1); int(n) == g.limits.HTTP2Streams {
		g.metrics.LimitReached("http2_streams")
	}
	return func() { c.streams.Add(-1) }
}

type connKey struct{}

// withConn puts the connection where its requests find it.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// connOf is the request's connection; nil where the listener is another's.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}
