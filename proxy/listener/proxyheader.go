package listener

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/pires/go-proxyproto"
)

// introduction is what a PROXY header says of a connection. It is read by whoever first
// wants to know the address or to read, which is the connection's own goroutine, so that
// a header which is late holds up nobody else.
type introduction struct {
	once   sync.Once
	door   *Door         // nil once the header was read
	reader *bufio.Reader // what was read beyond the header
	remote net.Addr      // the client's
	failed bool          // there was no good header, or no place for the client
}

// RemoteAddr is the client's address. It waits for the PROXY header, where there has to be one.
func (c *Conn) RemoteAddr() net.Addr {
	if c.intro == nil {
		return c.Conn.RemoteAddr()
	}
	c.intro.once.Do(c.introduce)
	return c.intro.remote
}

// readIntroduced reads on behind the header. Without a good one the connection is at its
// end: the server has nothing to say to that.
func (c *Conn) readIntroduced(p []byte) (int, error) {
	c.intro.once.Do(c.introduce)
	switch {
	case c.intro.failed:
		return 0, io.EOF
	case c.intro.reader.Buffered() > 0:
		return c.intro.reader.Read(p)
	}
	return c.read(p)
}

// introduce reads the header and counts the connection as its client's, or closes it.
func (c *Conn) introduce() {
	i, proxy := c.intro, c.Conn.RemoteAddr()
	d := i.door
	i.door, i.reader, i.remote = nil, bufio.NewReader(readFunc(c.read)), proxy
	client, err := readHeader(i.reader)
	if err != nil {
		if i.failed = true; d.Open.tell.Allow() {
			d.Logger.Warn("a connection did not begin with a good PROXY header", "error", err.Error(), "client_ip", addressOf(proxy.String()).String())
		}
		c.Close()
		return
	}
	if client != nil {
		i.remote = client
	}
	addr := addressOf(i.remote.String())
	if over := d.admit(func() (string, *Conn) {
		return d.Open.rename(c, NetworkOf(addr), d.Edge.trusts(addr), d.Limits, d.reserve())
	}); over != "" {
		i.failed = true
		d.refuse(c, over, addr)
	}
}

type readFunc func([]byte) (int, error)

// Read calls the function.
func (f readFunc) Read(p []byte) (int, error) { return f(p) }

const longestHeader1 = 107 // bytes of version 1, its CR and LF included

// readHeader reads a header, version 1 or 2, and nothing beyond it. No address and no
// error: the proxy speaks for itself (LOCAL, UNKNOWN).
func readHeader(r *bufio.Reader) (net.Addr, error) {
	for n := 1; n <= longestHeader1; n++ { // the library wants a header of version 1 in one piece
		if b, err := r.Peek(n); err != nil || b[0] != 'P' || b[n-1] == '\n' {
			break
		}
	}
	header, err := proxyproto.Read(r)
	switch {
	case err != nil:
		return nil, err
	case header.Command.IsLocal() || header.TransportProtocol.IsUnspec():
		return nil, nil
	}
	addr, _, ok := header.TCPAddrs()
	if !ok {
		return nil, errors.New("it names no address of TCP")
	}
	if ip, ok := netip.AddrFromSlice(addr.IP); !ok || ip.IsUnspecified() || ip.IsMulticast() {
		return nil, errors.New("it names no client's address")
	}
	return addr, nil
}
