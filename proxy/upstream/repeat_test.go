package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/proxy/route"
)

// stale is a registry that answers the first request of each connection, and ends
// the connection at the second, having read it or not.
type stale struct {
	*httptest.Server
	mu     sync.Mutex
	served map[string]int // requests by connection
	seen   []string
}

func newStale(t *testing.T, reset bool) *stale {
	s := &stale{served: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.served[r.RemoteAddr]++
		n := s.served[r.RemoteAddr]
		s.mu.Unlock()
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		s.mu.Lock()
		s.seen = append(s.seen, fmt.Sprintf("%s %d", r.Method, len(body)))
		s.mu.Unlock()
		if n > 1 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				if reset {
					conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}
			return
		}
		if r.Header.Get("Idempotency-Key") != "" || len(r.Header["Idempotency-Key"]) > 0 {
			t.Error("the upstream saw net/http's sign")
		}
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(s.Close)
	return s
}

// TestOnceMore (row H4): a request that meets a connection which the other side has
// just closed is sent once more where nothing of it can have taken effect.
func TestOnceMore(t *testing.T) {
	const app = "/v2/team/app/"
	for _, c := range []struct {
		method, target string
		body           io.Reader
		length         int64
		again          bool
	}{
		{"GET", app + "manifests/dev", nil, 0, true},
		{"HEAD", app + "blobs/" + digestA, nil, 0, true},
		{"GET", app + "blobs/uploads/u", nil, 0, true},
		{"POST", app + "blobs/uploads/", nil, 0, true},
		{"POST", app + "blobs/uploads/?mount=" + digestA + "&from=team/lib", nil, 0, true},
		{"DELETE", app + "manifests/dev", nil, 0, true},
		{"DELETE", app + "blobs/uploads/u", nil, 0, true},
		{"PUT", app + "manifests/dev", bytes.NewReader([]byte("{}")), 2, true},
		{"PUT", app + "manifests/dev", bytes.NewReader(make([]byte, 900<<10)), 900 << 10, true},
		{"PUT", app + "manifests/dev", strings.NewReader("{}"), 2, false}, // not held whole
		{"PUT", app + "blobs/uploads/u?digest=" + digestA, nil, 0, false},
		{"PUT", app + "blobs/uploads/u?digest=" + digestA, bytes.NewReader([]byte("x")), 1, false},
		{"PATCH", app + "blobs/uploads/u", bytes.NewReader([]byte("x")), 1, false},
		{"PATCH", app + "blobs/uploads/u", strings.NewReader("x"), 1, false},
		{"POST", app + "blobs/uploads/?digest=" + digestA, bytes.NewReader([]byte("x")), 1, false},
	} {
		test := func(t *testing.T, reset bool) {
			body := c.body
			if whole, ok := body.(*bytes.Reader); ok {
				body = bytes.NewReader(make([]byte, whole.Len()))
			} else if body != nil {
				body = strings.NewReader("{}"[:c.length])
			}
			s := newStale(t, reset)
			u, err := New(Config{URL: s.URL}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			rt, err := route.Parse(c.method, c.target)
			if err != nil {
				t.Fatal(err)
			}
			before := Request{Route: route.Route{Kind: route.Base, Method: "GET"}}
			if byBodies := body != nil || !c.again; byBodies { // those have connections of their own
				before = Request{Route: route.Route{Kind: route.Session, Method: "PATCH", Repository: "team/app", Reference: "u"}, Body: strings.NewReader("x"), Length: 1}
			}
			first, err := u.Do(t.Context(), before)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, first.Body)
			first.Body.Close()
			resp, err := u.Do(t.Context(), Request{Route: rt, Body: body, Length: c.length})
			s.mu.Lock()
			defer s.mu.Unlock()
			if want := fmt.Sprintf("%s %d", c.method, c.length); c.again && (err != nil || len(s.seen) != 3 || s.seen[2] != want) {
				t.Errorf("%v, the upstream saw %q", err, s.seen)
			}
			if c.again && err == nil {
				resp.Body.Close()
			}
			var failed *Error
			if !c.again && (!errors.As(err, &failed) || failed.Reason != ErrUnreachable || !failed.Sent || len(s.seen) != 2) {
				t.Errorf("%v, the upstream saw %q", err, s.seen)
			}
		}
		t.Run(c.method+" "+c.target+", reset", func(t *testing.T) { test(t, true) })
		t.Run(c.method+" "+c.target+", closed", func(t *testing.T) { test(t, false) })
	}
}

// TestNotTwice (row H4): on a new connection nothing is sent twice.
func TestNotTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conns := make(chan int, 10)
	go func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(conn))
			conns <- n
			conn.Close()
		}
	}()
	u, err := New(Config{URL: "http://" + l.Addr().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for _, method := range []string{"GET", "DELETE"} {
		rt, _ := route.Parse(method, "/v2/team/app/manifests/dev")
		if _, err := u.Do(t.Context(), Request{Route: rt}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if len(conns) != 2 {
		t.Errorf("%d connections for 2 requests", len(conns))
	}
}

// TestIdle (row H4): an idle connection is kept for idle_timeout and no longer.
func TestIdle(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 45 * time.Second, time.Second: time.Second, 10 * time.Minute: 10 * time.Minute} {
		u, err := New(Config{URL: "http://127.0.0.1:1", IdleTimeout: given}, nil)
		if err != nil || u.transport.bodies.IdleConnTimeout != want {
			t.Errorf("%s: %s %v", given, u.transport.bodies.IdleConnTimeout, err)
		}
	}
}
