package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// blunt is an upstream that reads a request's header, answers, and does what then says.
func blunt(t *testing.T, answer string, then func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, answer)
					then(conn)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// listening is a house whose connections are taken as package cmd takes them; own is
// its TLS, nil: none.
func listening(t *testing.T, upstream string, own *tls.Config) (h *house, dial func() net.Conn) {
	h = newHouse(t, func(c *Config) { c.Upstream.URL = upstream })
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := DefaultLimits().Server(h.gateway, nil)
	go server.Serve(&taking{inner, h.gateway, own})
	t.Cleanup(func() { server.Close() })
	return h, func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		return conn
	}
}

type taking struct {
	net.Listener
	gateway *Gateway
	tls     *tls.Config
}

func (l *taking) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := l.gateway.Accepted(raw)
	if l.tls != nil {
		conn = tls.Server(conn, l.tls)
	}
	return conn, nil
}

// TestEarlyAnswer: row A18. Whatever answer comes before the body's end, a client that
// sends all of it before it reads gets the answer, and is told that the connection ends.
func TestEarlyAnswer(t *testing.T) {
	for _, c := range []struct {
		status string
		size   int
	}{{"404 Not Found", 48 << 20}, {"202 Accepted", 48 << 20}, {"404 Not Found", 200 << 20}} {
		status, size := c.status, c.size
		ended := make(chan struct{})
		t.Cleanup(func() { close(ended) })
		h, dial := listening(t, blunt(t, "HTTP/1.1 "+status+"\r\nContent-Length: 2\r\n\r\n{}", func(net.Conn) { <-ended }), nil)
		conn := dial()
		fmt.Fprintf(conn, "PATCH /v2/team/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", h.token("alice", "repository:team/app:pull,push"), size)
		if _, err := io.CopyN(conn, zeros{}, int64(size)); err != nil {
			t.Errorf("%s: the body: %v", status, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", status, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || resp.Status != status || string(body) != "{}" || !resp.Close {
			t.Errorf("%s %q %v, close %t; want %s", resp.Status, body, err, resp.Close, status)
		}
	}
}

// TestEarlyAnswerWithoutContinue: row A18. Who expects a 100 need not wait for it; a
// client that gets a refusal meanwhile, and sends all the same, reads the refusal.
func TestEarlyAnswerWithoutContinue(t *testing.T) {
	_, dial := listening(t, "http://127.0.0.1:1", nil)
	conn, size := dial(), 48<<20
	fmt.Fprintf(conn, "PATCH /v2/team/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", size)
	if _, err := io.CopyN(conn, zeros{}, int64(size)); err != nil {
		t.Errorf("the body: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 401 || !resp.Close {
		t.Fatalf("%v %v; want 401 and no 100", resp, err)
	}
}

// TestWholeBodyKeepsConnection: an answer that comes after the body's end ends nothing.
func TestWholeBodyKeepsConnection(t *testing.T) {
	h := newHouse(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	token, answers := h.token("alice", "repository:team/app:pull,push"), bufio.NewReader(conn)
	for _, c := range []struct{ framing, body string }{
		{"Content-Length: 3\r\n", "abc"},
		{"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
		{"Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"},
	} {
		fmt.Fprintf(conn, "PATCH /v2/team/app/blobs/uploads/u HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n%s", token, c.framing, c.body)
		resp, err := http.ReadResponse(answers, nil)
		if err == nil && resp.StatusCode == 100 {
			resp, err = http.ReadResponse(answers, nil)
		}
		if err != nil {
			t.Fatalf("%q: %v", c.framing, err)
		}
		if _, err = io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 || resp.Close {
			t.Errorf("%q: %s, close %t, %v", c.framing, resp.Status, resp.Close, err)
		}
	}
}

// TestCutAnswerHTTP10: row A25. An answer that its upstream cuts never ends well for the
// client; over HTTP/1.0 the end of the connection is the end of the answer.
func TestCutAnswerHTTP10(t *testing.T) {
	certificate, roots := testPair(t)
	for _, c := range []struct {
		version string
		tls     *tls.Config
	}{{"1.0", nil}, {"1.1", nil}, {"1.0", &tls.Config{Certificates: []tls.Certificate{certificate}}}} {
		registry := blunt(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\n"+strings.Repeat("x", 0x5000)+"\r\n", func(net.Conn) {})
		h, dial := listening(t, registry, c.tls)
		conn := dial()
		if c.tls != nil {
			conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "example.com"})
		}
		fmt.Fprintf(conn, "GET /v2/team/app/tags/list HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", c.version, h.token("alice", "repository:team/app:pull"))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			continue // cut before its header: nothing that looks whole
		}
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("HTTP/%s, TLS %t: %s, %d bytes and a clean end", c.version, c.tls != nil, resp.Status, n)
		}
	}
}

// TestBlockedUploadBesideFree: row A4. Uploads that the registry does not take hold up
// no other upload of the same HTTP/2 connection, however many they are.
func TestBlockedUploadBesideFree(t *testing.T) {
	const many = 40
	blocked, release := make(chan struct{}, many), make(chan struct{})
	registry := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			io.CopyN(io.Discard, r.Body, 1<<20)
			blocked <- struct{}{}
			<-release
			return
		}
		io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(registry.Close)
	h := newHouse(t, func(c *Config) { c.Upstream.URL = registry.URL })
	certificate, roots := testPair(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	server := DefaultLimits().Server(h.gateway, log.New(io.Discard, "", 0))
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer close(release)
	token := h.token("alice", "repository:team/app:pull,push")
	send := func(ctx context.Context, session string, body io.Reader) error {
		r, err := http.NewRequestWithContext(ctx, "PATCH", "https://"+l.Addr().String()+"/v2/team/app/blobs/uploads/"+session, body)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			return fmt.Errorf("%s %s", resp.Proto, resp.Status)
		}
		return nil
	}
	for range many {
		go send(ctx, "slow", zeros{})
	}
	for range many {
		<-blocked
	}
	limited, stop := context.WithTimeout(ctx, 15*time.Second)
	defer stop()
	if err := send(limited, "quick", io.LimitReader(zeros{}, 64<<20)); err != nil {
		t.Errorf("the free upload: %v", err)
	}
}
