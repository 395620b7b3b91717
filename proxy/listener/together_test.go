package listener

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// counting counts the writes to a connection, and fails them when told.
type counting struct {
	net.Conn
	writes atomic.Int32
	broken atomic.Bool
}

func (c *counting) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("broken")
	}
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// together is both ends of TLS over a connection that was taken.
func together(t *testing.T) (below *counting, taken *Conn, server, client *tls.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	edge, _ := NewEdge(Config{})
	limits := DefaultLimits()
	below = &counting{Conn: here}
	taken = (&Door{Edge: edge, Limits: &limits, Open: NewConnections()}).Take(below).(*Conn)
	own := httptest.NewUnstartedServer(nil)
	own.StartTLS()
	t.Cleanup(own.Close)
	server = tls.Server(taken, own.TLS)
	client = tls.Client(there, &tls.Config{InsecureSkipVerify: true})
	t.Cleanup(func() { client.Close(); server.Close() })
	go client.Handshake() // which whoever reads waits for
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	return below, taken, server, client
}

// TestTogether: what is written together is one write of the connection, whole and in order,
// whoever else writes meanwhile; what is written as ever comes as ever.
func TestTogether(t *testing.T) {
	below, taken, server, client := together(t)
	piece := make([]byte, 64<<10)
	_, _ = rand.Read(piece)
	const pieces = 50
	var all sync.WaitGroup
	all.Go(func() {
		for range pieces {
			if n, err := taken.Together(func() (int, error) { return server.Write(piece) }); n != len(piece) || err != nil {
				t.Errorf("%d %v", n, err)
			}
		}
		if _, err := server.Write([]byte("end")); err != nil {
			t.Error(err)
		}
	})
	got := make([]byte, pieces*len(piece)+3)
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if !bytes.Equal(got, append(bytes.Repeat(piece, pieces), "end"...)) {
		t.Error("something else came")
	}
	if n := below.writes.Load(); n > pieces+10 {
		t.Errorf("%d writes of %d pieces", n, pieces)
	}
}

// TestTogetherBeside: a record that somebody else writes while others are gathered, as TLS
// does when a client asks for another key, keeps its place among them.
func TestTogetherBeside(t *testing.T) {
	_, taken, server, client := together(t)
	const rounds = 200
	piece := bytes.Repeat([]byte("p"), 40<<10)
	var all sync.WaitGroup
	all.Go(func() {
		for range rounds {
			if _, err := taken.Together(func() (int, error) { return server.Write(piece) }); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for range rounds {
			if _, err := server.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
	})
	got := make([]byte, rounds*(len(piece)+1)) // TLS refuses records that are out of order
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if n := bytes.Count(got, []byte("x")); n != rounds {
		t.Errorf("%d of %d", n, rounds)
	}
}

// TestTogetherBroken: a connection that does not take what was gathered is an error, and so
// is what the writer says itself; both leave nothing behind.
func TestTogetherBroken(t *testing.T) {
	below, taken, server, _ := together(t)
	below.broken.Store(true)
	if n, err := taken.Together(func() (int, error) { return server.Write(make([]byte, 40<<10)) }); n != 0 || err == nil {
		t.Errorf("%d %v", n, err)
	}
	below.broken.Store(false)
	own := errors.New("own")
	if n, err := taken.Together(func() (int, error) { return 3, own }); n != 3 || err != own {
		t.Errorf("%d %v", n, err)
	}
	if taken.gathered != nil {
		t.Error("it is still gathering")
	}
}
