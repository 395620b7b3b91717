package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

// script is a server that answers each request with the same bytes, and then keeps the
// connection, closes or resets it.
type script struct {
	net.Listener
	answer atomic.Pointer[string]
	end    atomic.Int32 // keep, closed or reset
	conns  atomic.Int32
	heads  chan *http.Request // of the last requests
}

const (
	keep int32 = iota
	closed
	reset
)

func newScript(t *testing.T) *script {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Listener: l, heads: make(chan *http.Request, 1)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			go s.serve(conn.(*net.TCPConn))
		}
	}()
	return s
}

func (s *script) serve(conn *net.TCPConn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		select {
		case <-s.heads:
		default:
		}
		s.heads <- r
		io.WriteString(conn, *s.answer.Load())
		switch s.end.Load() {
		case closed:
			return
		case reset:
			time.Sleep(time.Millisecond) // what was sent is to arrive
			conn.SetLinger(0)
			return
		}
	}
}

// outcome is all that can be seen of an answer.
type outcome struct {
	Failed, Cut, Unexpected bool // no answer; its body ended with an error; which was io.ErrUnexpectedEOF
	Status                  int
	Length                  int64
	Header, Trailer         http.Header
	Body                    string
	Close                   bool
}

type tripper func(*http.Request) (*http.Response, error)

func (ask tripper) outcome(t fatalist, method, target string) outcome {
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := ask(r)
	if err != nil {
		return outcome{Failed: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return outcome{Cut: err != nil, Unexpected: errors.Is(err, io.ErrUnexpectedEOF), Status: resp.StatusCode, Length: resp.ContentLength,
		Header: resp.Header, Trailer: resp.Trailer, Body: string(body), Close: resp.Close}
}

type fatalist interface{ Fatal(...any) }

// twins are both clients before one server.
func twins(t *testing.T, s *script) (ours, theirs tripper, renew func()) {
	var a *transport
	renew = func() {
		if a != nil {
			a.close()
		}
		base, _ := url.Parse("http://" + s.Addr().String())
		var err error
		if a, err = newTransport(&Config{}, base); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	log.SetOutput(io.Discard) // net/http's words about answers that nobody asked for
	t.Cleanup(func() { a.close(); log.SetOutput(os.Stderr) })
	return func(r *http.Request) (*http.Response, error) { return a.client.do(t.Context(), r, 5*time.Second) },
		func(r *http.Request) (*http.Response, error) { return a.bodies.RoundTrip(r) }, renew
}

const ok = "HTTP/1.1 200 OK\r\n"

// rawAnswers are well-formed, broken and cut.
var rawAnswers = []string{
	ok + "Content-Length: 5\r\n\r\nhello",
	ok + "Content-Length: 0\r\n\r\n",
	ok + "Content-Length: 5\r\nConnection: close\r\n\r\nhello",
	ok + "Content-Length: 5\r\nConnection: Keep-Alive, CLOSE\r\n\r\nhello",
	ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX: y\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
	ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
	ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
	ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
	ok + "Content-Length: 5, 5\r\n\r\nhello",
	ok + "Content-Length: -5\r\n\r\nhello",
	ok + "Content-Length: +5\r\n\r\nhello",
	ok + "Content-Length: 0x5\r\n\r\nhello",
	ok + "Content-Length: 99999999999999999999\r\n\r\nhello",
	ok + "Content-Length : 5\r\n\r\nhello",
	ok + "\r\nhello",
	ok + "Content-Length: 5\n\nhello",
	"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.0 200 OK\r\n\r\nhello",
	"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nEtag: \"x\"\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 5\r\n\r\nhello",
	"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok + "Content-Length: 5\r\n\r\nhello",
	strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("x", 1000)+">\r\n\r\n", 80) + ok + "Content-Length: 5\r\n\r\nhello",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 099 Low\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 999 High\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 20 Short\r\n\r\n",
	"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 abc OK\r\n\r\n",
	"HTP/1.1 200 OK\r\n\r\n",
	"\r\n" + ok + "Content-Length: 5\r\n\r\nhello",
	"\x16\x03\x01\x00\x05hello",
	ok + "No-Colon\r\n\r\n",
	ok + " Leading: x\r\n\r\n",
	ok + "A: b\r\n folded\r\nContent-Length: 5\r\n\r\nhello",
	ok + "A: b\x00c\r\nContent-Length: 5\r\n\r\nhello",
	ok + "A b: c\r\nContent-Length: 5\r\n\r\nhello",
	ok + ": empty\r\nContent-Length: 5\r\n\r\nhello",
	ok + "A: " + strings.Repeat("x", 50<<10) + "\r\nContent-Length: 5\r\n\r\nhello",
	ok + "A: " + strings.Repeat("x", 70<<10) + "\r\nContent-Length: 5\r\n\r\nhello",
	ok + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
	ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 20) + "0\r\n\r\n",
	"",
	"HTTP/1.1 2",
	ok + "Content-Le",
}

// TestLikeTransport: whatever the upstream answers, well-formed, broken or cut, our
// client sees what net/http's Transport sees.
func TestLikeTransport(t *testing.T) {
	s := newScript(t)
	ours, theirs, renew := twins(t, s)
	target := "http://" + s.Addr().String() + "/v2/"
	for _, answer := range rawAnswers {
		s.answer.Store(&answer)
		for _, method := range []string{"GET", "HEAD", "DELETE", "POST"} {
			for _, end := range []int32{closed, reset} { // a cut one would be waited for
				s.end.Store(end)
				renew()
				want, got := theirs.outcome(t, method, target), ours.outcome(t, method, target)
				if end == reset && want.Body != got.Body { // a reset may overtake the rest
					got.Body, got.Cut, got.Unexpected = want.Body, want.Cut, want.Unexpected
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s %.200q, end %d:\ngot  %.300v\nwant %.300v", method, answer, end, got, want)
				}
			}
		}
	}
}

// TestLikeTransportCut: the same of each answer cut anywhere, or with anything changed in it.
func TestLikeTransportCut(t *testing.T) {
	s := newScript(t)
	ours, theirs, renew := twins(t, s)
	target := "http://" + s.Addr().String() + "/v2/"
	s.end.Store(closed)
	rapid.Check(t, func(t *rapid.T) {
		answer := rapid.SampledFrom(rawAnswers).Draw(t, "answer")
		if len(answer) > 2<<10 {
			answer = answer[:2<<10]
		}
		at := rapid.IntRange(0, len(answer)).Draw(t, "at")
		switch rapid.IntRange(0, 2).Draw(t, "change") {
		case 0:
			answer = answer[:at]
		case 1:
			answer = answer[:at] + rapid.SampledFrom([]string{"\r\n", "\n", "\r", " ", "0", "\x00", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", ok}).Draw(t, "more") + answer[at:]
		default:
			answer = answer[:at] + answer[min(len(answer), at+rapid.IntRange(1, 4).Draw(t, "less")):]
		}
		s.answer.Store(&answer)
		method := rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(t, "method")
		renew()
		if want, got := theirs.outcome(t, method, target), ours.outcome(t, method, target); !reflect.DeepEqual(got, want) {
			t.Errorf("%s %q:\ngot  %v\nwant %v", method, answer, got, want)
		}
	})
}

// TestReuse: a connection is used again after a whole answer, and after nothing else.
func TestReuse(t *testing.T) {
	s := newScript(t)
	ours, _, renew := twins(t, s)
	target := "http://" + s.Addr().String() + "/v2/"
	for answer, again := range map[string]bool{
		ok + "Content-Length: 5\r\n\r\nhello":                                                      true,
		ok + "Content-Length: 0\r\n\r\n":                                                           true,
		ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n":                           true,
		"HTTP/1.1 204 No Content\r\n\r\n":                                                          true,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":                                   true,
		"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 5\r\n\r\nhello":                    true,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello":              true,
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello":                                        false,
		ok + "Content-Length: 5\r\nConnection: close\r\n\r\nhello":                                 false,
		ok + "Content-Length: 5\r\n\r\nhello" + ok + "Content-Length: 6\r\n\r\nevil!!":             false,
		ok + "Content-Length: 5\r\n\r\nhello\r\n":                                                  false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello":                                false,
		"HTTP/1.1 304 Not Modified\r\n\r\nhello":                                                   false,
		ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\nhello": false,
	} {
		renew()
		s.answer.Store(&answer)
		before := s.conns.Load()
		first := ours.outcome(t, "GET", target)
		second := ours.outcome(t, "GET", target)
		if used := s.conns.Load() - before; (used == 1) != again || !reflect.DeepEqual(first, second) || first.Failed || first.Cut {
			t.Errorf("%q: %d connections\n%v\n%v", answer, used, first, second)
		}
	}
}

// TestStray: bytes that come on an idle connection are nobody's answer.
func TestStray(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stray, sent := make(chan bool), make(chan bool)
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			http.ReadRequest(bufio.NewReader(conn))
			fmt.Fprintf(conn, ok+"Content-Length: 1\r\n\r\n%d", n)
			if n == 0 {
				<-stray
				io.WriteString(conn, ok+"Content-Length: 4\r\n\r\nevil")
				close(sent)
			}
		}
	}()
	u, err := New(Config{URL: "http://" + l.Addr().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if got := mustRead(t, u); got != "0" {
		t.Errorf("got %q", got)
	}
	close(stray)
	<-sent
	idle := u.transport.client.pool.idle[0]
	if err := idle.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := idle.raw.Read(func(fd uintptr) bool { // until the stray bytes are here, which stay
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, u); got != "1" {
		t.Errorf("got %q", got)
	}
}

func mustRead(t *testing.T, u *Upstream) string {
	t.Helper()
	resp, err := u.Do(t.Context(), Request{Route: route.Route{Kind: route.Base, Method: "GET"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLikeTransportAsks: the upstream sees the request that net/http would send.
func TestLikeTransportAsks(t *testing.T) {
	s := newScript(t)
	ours, theirs, _ := twins(t, s)
	answer := ok + "Content-Length: 0\r\n\r\n"
	s.answer.Store(&answer)
	ask := func(by tripper, method, path string, h http.Header) *http.Request {
		r, err := http.NewRequest(method, "http://"+s.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = h
		resp, err := by(r)
		if err != nil {
			t.Fatal(method, path, h, err)
		}
		resp.Body.Close()
		return <-s.heads
	}
	for _, h := range []http.Header{{}, {"User-Agent": {""}}, {"User-Agent": {"docker/29"}}, {"Accept": {"a/b", "c/d"}, "Empty": {""}, "None": {}},
		{"Accept": {" \tspaced\t "}, "Etag": {"\"ü\""}, "Range": {"bytes=0-1"}}, {"Authorization": {"Basic eDp5"}, "X-Forwarded-Host": {"registry.example.com:8443"}}} {
		for _, method := range []string{"GET", "HEAD", "DELETE", "POST"} {
			for _, path := range []string{"/v2/", "/v2/team/app/manifests/v1", "/v2/a/tags/list?n=3&last=x%2Fy", "/a%2Fb%20c/ü", ""} {
				got, want := ask(ours, method, path, h.Clone()), ask(theirs, method, path, h.Clone())
				if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || got.Proto != want.Proto ||
					!reflect.DeepEqual(got.Header, want.Header) || got.ContentLength != want.ContentLength || len(got.TransferEncoding) > 0 || got.Close != want.Close {
					t.Errorf("%s %q %v:\ngot  %+v\nwant %+v", method, path, h, got, want)
				}
			}
		}
	}
}

// TestRefusesToWrite: nothing that could be read as another request is written.
func TestRefusesToWrite(t *testing.T) {
	for _, h := range []http.Header{{"A": {"b\r\nC: d"}}, {"A": {"b\nc"}}, {"A": {"b\x00"}}, {"A\r\nB": {"c"}}, {"A B": {"c"}}, {"": {"c"}}, {"A": {"\r"}}} {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/v2/"}, Header: h}
		if text, err := appendHead(nil, "registry", r); err == nil {
			t.Errorf("%q is written: %q", h, text)
		}
	}
	for _, u := range []url.URL{{Path: "/v2/", RawQuery: "a b"}, {Path: "/v2/", RawQuery: "a\r\nb"}, {Opaque: "//x/ HTTP/1.1"}} {
		if text, err := appendHead(nil, "registry", &http.Request{Method: "GET", URL: &u}); err == nil {
			t.Errorf("%q is written: %q", u.String(), text)
		}
	}
}

func TestAddress(t *testing.T) {
	for raw, want := range map[string][3]string{ // address, Host, name in TLS
		"http://registry":              {"registry:80", "registry", ""},
		"https://registry":             {"registry:443", "registry", "registry"},
		"https://registry:5000/prefix": {"registry:5000", "registry:5000", "registry"},
		"http://[::1]:5000":            {"[::1]:5000", "[::1]:5000", ""},
		"https://[::1]":                {"[::1]:443", "[::1]", "::1"},
		"http://[fe80::1%25eth0]:5000": {"[fe80::1%eth0]:5000", "[fe80::1]:5000", ""},
		"https://bücher.example":       {"xn--bcher-kva.example:443", "xn--bcher-kva.example", "xn--bcher-kva.example"},
	} {
		base, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newClient(base, &tls.Config{}, nil, time.Minute)
		if err != nil {
			t.Fatal(raw, err)
		}
		got := [3]string{c.address, c.host}
		if c.tls != nil {
			got[2] = c.tls.ServerName
		}
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// piped is an upstream before a server in the same bubble.
func piped(t *testing.T, timeout time.Duration, serve func(net.Conn)) *Upstream {
	u, err := New(Config{URL: "http://registry", Timeout: timeout, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			http.ReadRequest(bufio.NewReader(theirs))
			serve(theirs)
		}()
		return ours, nil
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestTimes: a header has the timeout, a body goes on while anything comes within the
// window, and a caller who leaves ends both at once.
func TestTimes(t *testing.T) {
	base := Request{Route: route.Route{Kind: route.Base, Method: "GET"}}
	synctest.Test(t, func(t *testing.T) {
		hold := func(net.Conn) { time.Sleep(time.Hour) }
		start := time.Now()
		if _, err := piped(t, 7*time.Second, hold).Do(t.Context(), base); !errors.Is(err, ErrSilent) || time.Since(start) != 7*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start = time.Now()
		if _, err := piped(t, 7*time.Second, hold).Do(ctx, base); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		time.Sleep(2 * time.Hour)
	})
	synctest.Test(t, func(t *testing.T) {
		slow := func(conn net.Conn) {
			io.WriteString(conn, ok+"Content-Length: 8\r\n\r\n")
			for range 5 {
				time.Sleep(50 * time.Second)
				io.WriteString(conn, "x")
			}
			time.Sleep(time.Hour)
		}
		for _, leave := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			start := time.Now()
			resp, err := piped(t, time.Second, slow).Do(ctx, base)
			if err != nil {
				t.Fatal(err)
			}
			wants, wait := errStalled, 5*50*time.Second+progressWindow
			if leave {
				wants, wait = io.ErrClosedPipe, 100*time.Second
				time.AfterFunc(wait, cancel)
			}
			text, err := io.ReadAll(resp.Body)
			if !errors.Is(err, wants) || time.Since(start) != wait || len(text) > 5 {
				t.Errorf("%v after %s and %q", err, time.Since(start), text)
			}
			resp.Body.Close()
			if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("after Close: %v", err)
			}
			cancel()
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestPool: what is idle for too long is closed without anybody asking, the one used
// last is used first, and after the end nothing is kept.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{keep: 10 * time.Second}
		wires := make([]*wire, 3)
		for i := range wires {
			a, _ := net.Pipe()
			wires[i] = newWire(a, p)
			p.put(wires[i])
			time.Sleep(4 * time.Second)
		}
		open := func(w *wire) bool { return w.SetDeadline(time.Time{}) == nil }
		idle := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.idle)
		}
		if open(wires[0]) || !open(wires[1]) || p.pop(time.Now()) != wires[2] || idle() != 1 {
			t.Error("after 12 s")
		}
		time.Sleep(3 * time.Second)
		if open(wires[1]) || idle() != 0 || !open(wires[2]) || p.pop(time.Now()) != nil {
			t.Error("after 15 s")
		}
		p.put(wires[2])
		p.close()
		a, _ := net.Pipe()
		late := newWire(a, p)
		if p.put(late); open(wires[2]) || open(late) {
			t.Error("after the end")
		}
	})
}

// TestLeftUnread: a body that is left closes its connection, and does not read on.
func TestLeftUnread(t *testing.T) {
	s := newScript(t)
	ours, _, _ := twins(t, s)
	answer := ok + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000)
	s.answer.Store(&answer)
	for range 3 {
		r, _ := http.NewRequest("GET", "http://"+s.Addr().String()+"/v2/", nil)
		resp, err := ours(r)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil || resp.Body.Close() != nil || resp.Body.Close() != nil {
			t.Error(n, err)
		}
	}
	if n := s.conns.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// TestTLS: certificates are verified, and connections are used again.
func TestTLS(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(file)
	u, err := New(Config{URL: server.URL, CAFile: authn.File{Name: file, Data: text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for range 3 {
		if got := mustRead(t, u); got != "HTTP/1.1" {
			t.Errorf("got %q", got)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	stranger, err := New(Config{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stranger.Do(t.Context(), Request{Route: route.Route{Kind: route.Base, Method: "GET"}})
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("a stranger's certificate: %v", err)
	}
}

// TestTargetOfHead: a target that would end early, or be two lines, is not written.
func TestTargetOfHead(t *testing.T) {
	for query, want := range map[string]bool{"": true, "n=1&last=a%20b": true, "last=ä": true, "a b": false, "a\tb": false, "a\r\nX: y": false, "\x7f": false, "\x00": false} {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/v2/a/tags/list", RawQuery: query}, Header: http.Header{"User-Agent": {""}}}
		head, err := appendHead(nil, "h", r)
		if (err == nil) != want || !want && !errors.Is(err, errRequest) {
			t.Errorf("%q: %v", query, err)
		}
		if line := "GET /v2/a/tags/list"; want && !strings.HasPrefix(string(head), line) {
			t.Errorf("%q", head)
		}
	}
}
