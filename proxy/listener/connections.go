package listener

import (
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Connections are those that are open at this moment. They outlive reloads; the caps
// that they are held against are those of the Door that asks. It is safe for
// concurrent use.
type Connections struct {
	tell   *rate.Limiter // of the log's lines about refused connections
	pieces sync.Pool     // *[]byte, for what Conn.Together gathers

	mu        sync.Mutex
	all       int
	addresses map[netip.Addr]int
	idle      [2]idle // of strangers, and of those who showed a good token
}

// idle are connections that wait for a request. They are chained themselves, as each
// comes and goes with every request.
type idle struct{ longest, latest *Conn }

// push makes it the latest.
func (i *idle) push(c *Conn) {
	c.list, c.prev = i, i.latest
	if i.latest == nil {
		i.longest = c
	} else {
		i.latest.next = c
	}
	i.latest = c
}

// remove takes one of them out.
func (i *idle) remove(c *Conn) {
	if c.prev == nil {
		i.longest = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		i.latest = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.list, c.next, c.prev = nil, nil, nil
}

// The lists of idle connections.
const (
	strangers = iota
	known
)

// NewConnections returns none.
func NewConnections() *Connections {
	return &Connections{addresses: map[netip.Addr]int{}, tell: rate.NewLimiter(0.2, 5)}
}

// piece is room for what package proxy writes at once, as records of TLS.
func (c *Connections) piece() *[]byte {
	if piece, ok := c.pieces.Get().(*[]byte); ok {
		return piece
	}
	piece := make([]byte, 0, 66<<10)
	return &piece
}

// Open is how many are open in all.
func (c *Connections) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// add counts a connection, or names the limit that it is over and, where there is
// one, an idle connection that can be closed for it.
func (c *Connections) add(conn *Conn, limits *Limits, reserve int) (over string, victim *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if over, victim = c.overLocked(conn.from, conn.trusted, c.all, limits, reserve); over != "" {
		return over, victim
	}
	c.all++
	if !conn.trusted {
		c.addresses[conn.from]++
	}
	return "", nil
}

// rename counts a trusted proxy's connection as its client's from now on, in the same way.
func (c *Connections) rename(conn *Conn, from netip.Addr, trusted bool, limits *Limits, reserve int) (over string, victim *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn.gone {
		return "", nil
	}
	if over, victim = c.overLocked(from, trusted, c.all-1, limits, reserve); over != "" {
		return over, victim
	}
	if conn.from, conn.trusted = from, trusted; !trusted {
		c.addresses[from]++
	}
	return "", nil
}

// overLocked is the limit that one more connection beside all the others would be over.
func (c *Connections) overLocked(from netip.Addr, trusted bool, all int, limits *Limits, reserve int) (over string, victim *Conn) {
	most := limits.Connections
	if !trusted {
		most -= reserve
	}
	switch {
	case limits.Connections > 0 && all >= most:
		return "connections", c.longestIdleLocked(func(*Conn) bool { return true })
	case limits.ConnectionsPerAddress > 0 && !trusted && c.addresses[from] >= limits.ConnectionsPerAddress:
		return "connections_per_address", c.longestIdleLocked(func(idle *Conn) bool { return idle.from == from })
	}
	return "", nil
}

// longestIdleLocked takes the connection off its list that has been idle for longest
// among those that will do, strangers' before others'; nil: there is none.
func (c *Connections) longestIdleLocked(will func(*Conn) bool) *Conn {
	for i := range c.idle {
		for conn := c.idle[i].longest; conn != nil; conn = conn.next {
			if will(conn) {
				c.busyLocked(conn)
				return conn
			}
		}
	}
	return nil
}

// remove gives a connection's place back.
func (c *Connections) remove(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busyLocked(conn)
	conn.gone = true
	c.all--
	if conn.trusted {
		return
	}
	if c.addresses[conn.from]--; c.addresses[conn.from] == 0 {
		delete(c.addresses, conn.from)
	}
}

// state is told what a connection does. A trusted proxy's is never closed for
// another: it speaks for many.
func (c *Connections) state(conn *Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busyLocked(conn)
	if state != http.StateIdle || conn.trusted {
		return
	}
	kind := strangers
	if conn.known.Load() {
		kind = known
	}
	c.idle[kind].push(conn)
}

// busyLocked takes a connection off the list that it is on.
func (c *Connections) busyLocked(conn *Conn) {
	if conn.list != nil {
		conn.list.remove(conn)
	}
}

// NetworkOf is what one client can be told apart by: an IPv4 address, or an IPv6 /64.
func NetworkOf(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // fails for no bits that an IPv6 address lacks
	return p.Addr()
}
