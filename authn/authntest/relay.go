package authntest

import (
	"bufio"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Relay stands between a client and an LDAP server without TLS: it counts what is
// asked, and can hold every answer up as a network does: many at once, each for
// the same time. It ends with the test.
type Relay struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu     sync.Mutex
	delay  time.Duration
	counts map[string]int
	conns  map[net.Conn]bool
	closed bool
}

// StartRelay listens on loopback for connections to the ldap:// URL.
func StartRelay(t testing.TB, server string) *Relay {
	t.Helper()
	to, err := url.Parse(server)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := &Relay{listener: listener, to: to.Host, counts: map[string]int{}, conns: map[net.Conn]bool{}}
	r.running.Go(r.accept)
	t.Cleanup(r.stop)
	return r
}

// URL is the relay's ldap:// address.
func (r *Relay) URL() string { return "ldap://" + r.listener.Addr().String() }

// Delay makes every later answer arrive so much later.
func (r *Relay) Delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// Count is how many operations of a kind have come since the last Reset: bind (of
// people), service (binds of ServiceDN), search.
func (r *Relay) Count(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[kind]
}

// Operations is all that came since the last Reset.
func (r *Relay) Operations() int {
	return r.Count("bind") + r.Count("service") + r.Count("search") + r.Count("starttls") + r.Count("other")
}

// Reset counts from zero again.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.counts)
}

func (r *Relay) stop() {
	r.mu.Lock()
	r.closed = true
	for conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.listener.Close()
	r.running.Wait()
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.to)
		if err != nil || !r.keep(client, server) {
			client.Close()
			continue
		}
		answers := make(chan delayed, 1024)
		r.running.Go(func() { r.ask(client, server) })
		r.running.Go(func() { r.hear(server, answers) })
		r.running.Go(func() { r.answer(client, server, answers) })
	}
}

// keep remembers connections for stop; false: that has been.
func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		r.conns[conn] = true
		if r.closed {
			conn.Close()
		}
	}
	return !r.closed
}

// ask passes the client's requests on, each whole, and counts them.
func (r *Relay) ask(client, server net.Conn) {
	defer server.Close()
	reader := bufio.NewReader(client)
	for {
		packet, err := ber.ReadPacket(reader)
		if err != nil {
			return
		}
		if len(packet.Children) > 1 {
			r.mu.Lock()
			r.counts[kindOf(packet.Children[1])]++
			r.mu.Unlock()
		}
		if _, err := server.Write(packet.Bytes()); err != nil {
			return
		}
	}
}

// delayed is a piece of an answer and when the client may have it.
type delayed struct {
	bytes []byte
	due   time.Time
}

func (r *Relay) hear(server net.Conn, answers chan<- delayed) {
	defer close(answers)
	for {
		buffer := make([]byte, 64<<10)
		n, err := server.Read(buffer)
		if n > 0 {
			r.mu.Lock()
			due := time.Now().Add(r.delay)
			r.mu.Unlock()
			answers <- delayed{buffer[:n], due}
		}
		if err != nil {
			return
		}
	}
}

func (r *Relay) answer(client, server net.Conn, answers <-chan delayed) {
	defer func() {
		client.Close()
		server.Close()
		for range answers { // hear must not wait for us
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, client)
		delete(r.conns, server)
	}()
	for a := range answers {
		time.Sleep(time.Until(a.due)) // the network itself
		if _, err := client.Write(a.bytes); err != nil {
			return
		}
	}
}
