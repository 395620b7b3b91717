package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleConnectionsMakeRoom: row A12. Where a cap is reached the connection that has
// been idle for longest is closed for a new one: strangers' before those that showed a
// good token, never one at work, never a trusted proxy's.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	type step struct {
		who  string // the connection, by its first use
		from string
		does string // "asks" without a token, "knows" with one, "works" (until the end), "opens" nothing but the connection
		want string // "served", "refused", or which connection was closed for it
	}
	const a, b, c, d, e, proxy = "203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1", "203.0.113.4:1", "203.0.113.5:1", "10.0.0.1:1"
	for _, test := range []struct {
		name     string
		all, one int
		steps    []step
	}{
		{"the longest idle goes", 3, 3, []step{{"1", a, "asks", ""}, {"2", b, "asks", ""}, {"3", c, "asks", ""}, {"4", d, "asks", "1"}, {"5", e, "asks", "2"}}},
		{"idle since its last request", 3, 3, []step{{"1", a, "asks", ""}, {"2", b, "asks", ""}, {"3", c, "asks", ""}, {"1", a, "asks", ""}, {"4", d, "asks", "2"}}},
		{"strangers first", 3, 3, []step{{"1", a, "knows", ""}, {"2", b, "asks", ""}, {"3", c, "knows", ""}, {"4", d, "asks", "2"}, {"5", e, "knows", "4"}, {"6", e, "asks", "1"}}},
		{"not one at work", 3, 3, []step{{"1", a, "works", ""}, {"2", b, "asks", ""}, {"3", c, "works", ""}, {"4", d, "works", "2"}, {"5", e, "asks", "refused"}}},
		{"not one that has not begun", 2, 2, []step{{"1", a, "opens", ""}, {"2", b, "opens", ""}, {"3", c, "asks", "refused"}}},
		{"one address makes room for itself alone", 10, 2, []step{{"1", b, "asks", ""}, {"2", a, "asks", ""}, {"3", a, "asks", ""}, {"4", a, "asks", "2"}, {"5", c, "asks", ""}}},
		{"a proxy's stays", 2, 2, []step{{"1", proxy, "asks", ""}, {"2", a, "asks", ""}, {"3", b, "asks", "2"}, {"4", proxy, "asks", "3"}, {"5", c, "asks", "refused"}}},
		{"places are kept for proxies", 20, 30, []step{{"x", a, "works", ""}, {"x2", a, "works", ""}, {"x3", a, "works", ""}, {"x4", a, "works", ""}, {"x5", a, "works", ""}, {"x6", a, "works", ""},
			{"x7", a, "works", ""}, {"x8", a, "works", ""}, {"x9", a, "works", ""}, {"x10", a, "works", ""}, {"x11", a, "works", ""}, {"x12", a, "works", ""}, {"x13", a, "works", ""}, {"x14", a, "works", ""},
			{"x15", a, "works", ""}, {"x16", a, "works", ""}, {"x17", a, "works", ""}, {"x18", a, "works", ""}, {"x19", a, "works", ""}, {"x20", a, "works", "refused"}, {"p", proxy, "works", ""}, {"p2", proxy, "works", "refused"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(cfg *Config) {
				cfg.Listen.TrustedProxies = []string{"10.0.0.0/8"}
				cfg.Limits.Connections, cfg.Limits.ConnectionsPerAddress = test.all, test.one
			}, func(b *bubble) {
				release := make(chan struct{})
				b.answer = func(http.ResponseWriter, *http.Request) { <-release }
				open, closed := map[string]net.Conn{}, map[string]bool{}
				token := b.token("alice")
				for i, s := range test.steps {
					if open[s.who] == nil {
						open[s.who] = b.plain(s.from)
						synctest.Wait()
					}
					got := ""
					switch ask := open[s.who]; s.does {
					case "opens":
					case "works":
						if _, err := fmt.Fprintf(ask, "GET /v2/a/manifests/v1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", token); err != nil {
							got = "refused"
						}
					default:
						_, err := fmt.Fprintf(ask, "GET /v2/ HTTP/1.1\r\nHost: h\r\n%s\r\n", map[string]string{"knows": "Authorization: Bearer " + token + "\r\n"}[s.does])
						if err != nil {
							got = "refused"
						} else if status := readStatus(b, bufio.NewReader(ask)); status != 401 && status != 200 {
							t.Errorf("step %d: %d", i, status)
						}
					}
					if got == "refused" {
						closed[s.who] = true
					}
					synctest.Wait()
					for who, conn := range open {
						if !closed[who] && isClosed(conn) {
							closed[who], got = true, got+who
						}
					}
					if got != s.want {
						t.Errorf("step %d, %s %s: %q, want %q", i, s.who, s.does, got, s.want)
					}
					time.Sleep(time.Millisecond)
				}
				close(release)
				for _, conn := range open {
					conn.Close()
				}
			})
		})
	}
}

// isClosed reports whether the other side has closed an idle connection.
func isClosed(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(-time.Second))
	_, err := c.Read(make([]byte, 1))
	c.SetReadDeadline(time.Time{})
	timeout, ok := err.(net.Error)
	return !ok || !timeout.Timeout()
}

// TestIdleHTTP2MakesRoom: row A12 over HTTP/2, where the server tells of idle
// connections in its own way.
func TestIdleHTTP2MakesRoom(t *testing.T) {
	certificate, roots := testPair(t)
	h := newHouse(t, func(c *Config) {
		c.Limits = DefaultLimits()
		c.Limits.Connections = 2
	})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := DefaultLimits().Server(h.gateway, log.New(io.Discard, "", 0))
	go server.Serve(&taking{inner, h.gateway, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}}})
	t.Cleanup(func() { server.Close() })
	for i := range 5 {
		client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}}
		resp, err := client.Get("https://" + inner.Addr().String() + "/v2/")
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != 401 || h.gateway.load.open.Open() > 2 {
			t.Errorf("connection %d: %s %s, %d open", i, resp.Proto, resp.Status, h.gateway.load.open.Open())
		}
	}
}
