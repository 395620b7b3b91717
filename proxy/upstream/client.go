package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

const dialLimit = 3 * time.Second // for a connection, and for TLS on it

// client asks for what has no body and may be sent again, in the goroutine of who
// asks: it writes, and net/http reads the answer (RFC 9112). Most requests are of that
// kind, and net/http's Transport costs two goroutines and a dozen hand-overs for each.
type client struct {
	address string      // host:port
	host    string      // the field Host
	tls     *tls.Config // nil: in clear text
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	pool    pool
	heads   sync.Pool // *[]byte
}

func newClient(base *url.URL, tlsConfig *tls.Config, dial func(ctx context.Context, network, address string) (net.Conn, error), keep time.Duration) (*client, error) {
	host, err := httpguts.PunycodeHostPort(base.Host)
	if err != nil {
		return nil, err
	}
	c := &client{address: host, host: withoutZone(host), dial: dial, pool: pool{keep: keep}}
	named := url.URL{Host: host}
	if base.Scheme == "https" {
		c.tls = tlsConfig.Clone()
		c.tls.ServerName = named.Hostname()
	}
	if named.Port() == "" {
		c.address = net.JoinHostPort(named.Hostname(), map[string]string{"http": "80", "https": "443"}[base.Scheme])
	}
	return c, nil
}

// withoutZone takes the zone out of an IPv6 address, which means something on this
// machine alone (RFC 6874 section 4).
func withoutZone(host string) string {
	before, rest, found := strings.Cut(host, "%")
	if _, after, closed := strings.Cut(rest, "]"); found && closed && strings.HasPrefix(host, "[") {
		return before + "]" + after
	}
	return host
}

// do sends a request without a body and reads the header of its answer, all within the
// limit. Where an idle connection turns out to be closed before a byte of an answer
// came, the request is sent once more, on a new one. The answer's body must be closed.
func (c *client) do(ctx context.Context, r *http.Request, limit time.Duration) (*http.Response, error) {
	buffer, ok := c.heads.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	defer c.heads.Put(buffer)
	head, err := appendHead((*buffer)[:0], c.host, r)
	*buffer = head
	if err != nil {
		return nil, err
	}
	now := time.Now()
	until := now.Add(limit)
	if w := c.pool.take(now, until); w != nil {
		resp, err := w.ask(ctx, head, r)
		if err == nil || w.heard || ctx.Err() != nil || errors.Is(err, errSilent) {
			return resp, err
		}
	}
	w, err := c.connect(ctx, until)
	if err != nil {
		return nil, err
	}
	return w.ask(ctx, head, r)
}

// connect makes a connection, with its deadline set.
func (c *client) connect(ctx context.Context, until time.Time) (*wire, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, until, errSilent)
	defer cancel()
	socket, err := c.dial(ctx, "tcp", c.address)
	if err == nil {
		w := newWire(socket, &c.pool)
		if err = c.secure(ctx, w); err == nil {
			return w, w.SetDeadline(until)
		}
		w.Close()
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		err = errors.Join(errSilent, err)
	}
	return nil, err
}

// secure begins TLS, where that is spoken.
func (c *client) secure(ctx context.Context, w *wire) error {
	if c.tls == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn := tls.Client(w.Conn, c.tls)
	w.Conn = conn
	return conn.HandshakeContext(ctx)
}

// errRequest: a request that would be another one on the wire. Nothing that a caller
// sends can make one.
var errRequest = errors.New("a request that cannot be written")

// appendHead writes a request (RFC 9112 section 2.1).
func appendHead(b []byte, host string, r *http.Request) ([]byte, error) {
	target := r.URL.RequestURI()
	if !httpguts.ValidHeaderFieldValue(target) || strings.ContainsAny(target, " \t") || !httpguts.ValidHostHeader(host) {
		return b, errRequest
	}
	b = append(append(append(append(b, r.Method...), ' '), target...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
	if r.Method == http.MethodPost {
		b = append(b, "Content-Length: 0\r\n"...) // RFC 9110 section 8.6
	}
	if _, named := r.Header["User-Agent"]; !named {
		b = append(b, "User-Agent: Go-http-client/1.1\r\n"...) // as net/http names itself
	}
	for key, values := range r.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value) {
				return b, errRequest
			}
			if value != "" || key != "User-Agent" {
				b = append(append(append(append(b, key...), ": "...), strings.Trim(value, " \t")...), "\r\n"...)
			}
		}
	}
	return append(b, "\r\n"...), nil
}
