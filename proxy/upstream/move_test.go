package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"gatehouse/proxy/route"
)

// sink takes what is moved, so slowly or only so much as its test wants.
type sink struct {
	bytes.Buffer
	fails error // after the first part
	parts int
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	if s.parts++; s.parts > 1 && s.fails != nil {
		return 0, s.fails
	}
	return s.Buffer.ReadFrom(r)
}

// TestMove: a large body is moved whole, in parts, and its connection is used again; what
// is short or late is an error; what is small or chunked is read as ever.
func TestMove(t *testing.T) {
	const large = 1 << 20
	body := bytes.Repeat([]byte("0123456789abcdef"), large/16)
	for what, c := range map[string]struct {
		head  string
		sends int
		ends  bool // the upstream closes behind it, else it stays silent
		to    sink
		until time.Duration // the client's time
		did   bool
		err   error
	}{
		"whole":            {fmt.Sprintf("Content-Length: %d\r\n\r\n", large), large, false, sink{}, time.Hour, true, nil},
		"cut":              {fmt.Sprintf("Content-Length: %d\r\n\r\n", large), large / 2, true, sink{}, time.Hour, true, io.ErrUnexpectedEOF},
		"silent":           {fmt.Sprintf("Content-Length: %d\r\n\r\n", large), large / 2, false, sink{}, progressWindow/12 + 200*time.Millisecond, true, errStalled},
		"the client fails": {fmt.Sprintf("Content-Length: %d\r\n\r\n", large), large, false, sink{fails: os.ErrClosed}, time.Hour, true, os.ErrClosed},
		"small":            {fmt.Sprintf("Content-Length: %d\r\n\r\n", moved), moved, false, sink{}, time.Hour, false, nil},
		"without a length": {"\r\n", large, true, sink{}, time.Hour, false, nil},
	} {
		t.Run(what, func(t *testing.T) {
			u, conns := serving(t, func(conn net.Conn) {
				io.WriteString(conn, ok+c.head)
				conn.Write(body[:c.sends])
				if c.ends {
					conn.Close()
				}
			})
			resp, err := u.Do(t.Context(), Request{Route: route.Route{Kind: route.Base, Method: "GET"}})
			if err != nil {
				t.Fatal(err)
			}
			begin := make([]byte, 3*wireBuffer)
			if _, err := io.ReadFull(resp.Body, begin); err != nil {
				t.Fatal(err)
			}
			from, movable := resp.Body.(Mover)
			if !movable {
				t.Fatal("the body cannot be moved")
			}
			did, err := from.Move(func(n int) time.Time {
				if n > moved {
					t.Errorf("a part of %d", n)
				}
				return time.Now().Add(c.until)
			}, &c.to)
			if did != c.did || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("did %v, %v", did, err)
			}
			if got := append(begin, c.to.Bytes()...); did && err == nil && !bytes.Equal(got, body) {
				t.Errorf("%d bytes, not those that were sent", len(got))
			}
			resp.Body.Close()
			if did, err := from.Move(nil, &c.to); did || err != nil {
				t.Errorf("closed: %v %v", did, err)
			}
			if did {
				if again, err := u.Do(t.Context(), Request{Route: route.Route{Kind: route.Base, Method: "GET"}}); err == nil {
					again.Body.Close()
				}
				if used := len(conns); (used == 1) != (c.err == nil) {
					t.Errorf("%d connections", used)
				}
			}
		})
	}
}

// serving is an upstream that answers each request of a connection so, and a channel with
// one entry for each connection.
func serving(t *testing.T, answer func(net.Conn)) (*Registry, chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conns := make(chan struct{}, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns <- struct{}{}
			go func() {
				defer conn.Close()
				request := make([]byte, 4<<10)
				for {
					if n, err := conn.Read(request); n == 0 || err != nil {
						return
					}
					answer(conn)
				}
			}()
		}
	}()
	u, err := NewRegistry(Default(Config{URL: "http://" + l.Addr().String(), Timeout: time.Minute}), NewStates(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u, conns
}
