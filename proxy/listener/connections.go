package listener

import (
	"container/list"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Connections are those that are open at this moment. They outlive reloads; the caps
// that they are held against are those of the Door that asks. It is safe for
// concurrent use.
type Connections struct {
	tell *rate.Limiter // of the log's lines about refused connections

	mu        sync.Mutex
	all       int
	addresses map[netip.Addr]int
	idle      [2]*list.List // *Conn, longest idle first: of strangers, and of those who showed a good token
}

// The lists of idle connections.
const (
	strangers = iota
	known
)

// NewConnections returns none.
func NewConnections() *Connections {
	return &Connections{addresses: map[netip.Addr]int{}, tell: rate.NewLimiter(0.2, 5), idle: [2]*list.List{list.New(), list.New()}}
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
	for _, idle := range c.idle {
		for e := idle.Front(); e != nil; e = e.Next() {
			if conn := e.Value.(*Conn); will(conn) {
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
	conn.list = c.idle[strangers]
	if conn.known.Load() {
		conn.list = c.idle[known]
	}
	conn.place = conn.list.PushBack(conn)
}

// busyLocked takes a connection off the list that it is on.
func (c *Connections) busyLocked(conn *Conn) {
	if conn.place != nil {
		conn.list.Remove(conn.place)
		conn.list, conn.place = nil, nil
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
