package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// port is an end of a pipe with the address of a client.
type port struct {
	net.Conn
	from string
}

func (p port) RemoteAddr() net.Addr { return addr(p.from) }

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// pipes is a listener without a network, so that time is the bubble's own.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { close(l.closed); return nil }
func (l *pipes) Addr() net.Addr { return addr("192.0.2.1:5000") }

func (l *pipes) dial(from string) net.Conn {
	client, server := net.Pipe()
	l.conns <- port{server, from}
	return client
}

// bubble is a gateway behind its server, without a network: one for a synctest.
type bubble struct {
	*testing.T
	gateway *Gateway
	metrics *metrics.Metrics
	keyring *tokens.Keyring
	key     authn.SecretFile
	plain   func(from string) net.Conn
	secure  func(from string) net.Conn // TCP alone; the client begins TLS
	roots   *x509.CertPool
	answer  http.HandlerFunc // of the upstream
}

// inBubble runs a test on a gateway with these limits in a bubble of its own.
func inBubble(t *testing.T, change func(*Config), test func(b *bubble)) {
	t.Helper()
	certificate, roots := testPair(t)
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, metrics: metrics.New(metrics.BuildInfo{}), roots: roots,
			answer: func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); fmt.Fprint(w, "{}") }}
		upstream, plain, secure := newPipes(), newPipes(), newPipes()
		b.gateway = b.newGateway(func(c *Config) {
			c.Upstream.Dial = func(context.Context, string, string) (net.Conn, error) { return upstream.dial("192.0.2.1:1"), nil }
			if change != nil {
				change(c)
			}
		})
		b.plain, b.secure = plain.dial, secure.dial
		server := b.gateway.limits.Server(b.gateway, log.New(io.Discard, "", 0))
		behind := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.answer(w, r) })}
		go behind.Serve(upstream)
		go server.Serve(&accepting{plain, b.gateway, nil})
		go server.Serve(&accepting{secure, b.gateway, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}})
		defer func() {
			server.Close()
			b.gateway.Close()
			behind.Close()
			time.Sleep(time.Minute) // what dripped notices
			synctest.Wait()
			l := b.gateway.load
			if l.open.Open() != 0 || len(l.held) != 0 {
				t.Errorf("still in flight: %d connections, %v", l.open.Open(), l.held)
			}
			for name, total := range map[string]*total{"connections": &l.connections, "requests": &l.requests, "manifest_bytes": &l.manifestBytes} {
				if n := total.n.Load(); n != 0 {
					t.Errorf("still in flight: %d of all %s", n, name)
				}
			}
		}()
		test(b)
	})
}

// accepting is what package cmd does with a connection.
type accepting struct {
	*pipes
	gateway *Gateway
	tls     *tls.Config
}

func (l *accepting) Accept() (net.Conn, error) {
	for {
		raw, err := l.pipes.Accept()
		if err != nil {
			return nil, err
		}
		if conn := l.gateway.Accepted(raw); conn != nil && l.tls != nil {
			return tls.Server(conn, l.tls), nil
		} else if conn != nil {
			return conn, nil
		}
	}
}

func testPair(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

func (b *bubble) newGateway(change func(*Config)) *Gateway {
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{{Username: "alice", PasswordFile: authn.SecretFile{Secret: "good"}}, {Username: "bob", PasswordFile: authn.SecretFile{Secret: "good"}}, {Username: "carol", PasswordFile: authn.SecretFile{Secret: "good"}}, {Username: "dave", PasswordFile: authn.SecretFile{Secret: "good"}}}})
	if err != nil {
		b.Fatal(err)
	}
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"authenticated"}},
		{Position: "c.yaml:2", Deny: []string{"delete"}, Repositories: []string{"locked"}, To: []string{"authenticated"}},
		{Position: "c.yaml:3", Allow: []string{"pull"}, Repositories: []string{"a"}, To: []string{"everyone"}}}})
	if err != nil {
		b.Fatal(err)
	}
	if b.key, err = tokens.GenerateKey(); err != nil {
		b.Fatal(err)
	}
	b.keyring, err = tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Hour, KeyFiles: []authn.SecretFile{b.key}})
	if err != nil {
		b.Fatal(err)
	}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{static}})
	cfg := Config{Upstream: upstream.Config{URL: "http://upstream"}, Listen: listener.Config{AllowPlaintext: true}, Service: "gatehouse", Keyring: b.keyring, Chain: chain, Policy: policy,
		Granter: tokens.NewGranter(tokens.GranterConfig{Keyring: b.keyring, Chain: chain, Policy: policy}), Metrics: b.metrics, Limits: DefaultLimits()}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// token is a good one for everything in the repository a; without a user it is the
// anonymous caller's.
func (b *bubble) token(user string) string {
	var id authn.Identity
	if user != "" {
		var err error
		if id, err = b.gateway.identifier.chain.Find(b.Context(), user); err != nil {
			b.Fatal(err)
		}
	}
	scope, _ := authz.ParseScope([]string{"repository:a:pull,push"})
	text, _, err := b.keyring.Issue(tokens.Token{Kind: tokens.Access, Scope: scope, PasswordStamp: id.PasswordStamp,
		Subject: authn.Ref{Directory: id.Directory, Username: id.Username, ID: id.ID}})
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// reached reads the metric of a limit.
func (b *bubble) reached(limit string) int {
	b.Helper()
	w := httptest.NewRecorder()
	b.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	m := regexp.MustCompile(`gatehouse_limit_reached_total\{limit="` + limit + `"\} (\d+)`).FindStringSubmatch(w.Body.String())
	if m == nil {
		b.Fatalf("no metric for %s", limit)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// until reads from a connection to its end, and says what came and how long it took.
func until(c io.Reader) (string, time.Duration) {
	start := time.Now()
	text, _ := io.ReadAll(c)
	return string(text), time.Since(start)
}

// readStatus reads one answer.
func readStatus(b *bubble, r *bufio.Reader) int {
	b.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// dripping writes the text and then a byte each interval until it cannot.
func dripping(c net.Conn, text, drop string, interval time.Duration) {
	_, err := io.WriteString(c, text)
	for err == nil {
		time.Sleep(interval)
		_, err = io.WriteString(c, drop)
	}
}

const client = "203.0.113.7:1234"

// TestH1SlowHeaders: whatever a client stretches, its first header is in by
// header_timeout from accept, or the connection ends.
func TestH1SlowHeaders(t *testing.T) {
	for name, begin := range map[string]func(b *bubble) net.Conn{
		"silence": func(b *bubble) net.Conn { return b.plain(client) },
		"a dripping header": func(b *bubble) net.Conn {
			c := b.plain(client)
			go dripping(c, "GET /v2/ HTTP/1.1\r\nX: ", "x", time.Second)
			return c
		},
		"a silent handshake": func(b *bubble) net.Conn { return b.secure(client) },
		"a dripping handshake": func(b *bubble) net.Conn {
			c := b.secure(client)
			go dripping(c, "\x16\x03\x01\x02\x00", "\x01", time.Second)
			return c
		},
		"a late handshake, a dripping header": func(b *bubble) net.Conn {
			raw := b.secure(client)
			time.Sleep(9 * time.Second)
			c := tls.Client(raw, &tls.Config{RootCAs: b.roots, ServerName: "example.com"})
			if err := c.Handshake(); err != nil {
				b.Error(err)
			}
			go dripping(c, "GET /v2/ HTTP/1.1\r\nX: ", "x", time.Second/2)
			return c
		},
		"HTTP/2 without a request": func(b *bubble) net.Conn {
			c := tls.Client(b.secure(client), &tls.Config{RootCAs: b.roots, ServerName: "example.com", NextProtos: []string{"h2"}})
			if err := c.Handshake(); err != nil {
				b.Error(err)
			}
			go dripping(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong", time.Second)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				start := time.Now()
				c := begin(b)
				until(c)
				if took := time.Since(start); took < 9*time.Second || took > 12*time.Second {
					t.Errorf("ended after %s", took)
				}
				c.Close()
				synctest.Wait()
				if n := b.reached("header_timeout"); n != 1 {
					t.Errorf("counted %d times", n)
				}
			})
		})
	}
}

// TestH1Patience: a client that is slow but honest is not hurt: a late header, a
// body that takes an hour, a pause between requests.
func TestH1Patience(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		c := tls.Client(b.secure(client), &tls.Config{RootCAs: b.roots, ServerName: "example.com"})
		time.Sleep(8 * time.Second)
		r := bufio.NewReader(c)
		const size = 3600 * 2048
		fmt.Fprintf(c, "PATCH /v2/a/blobs/uploads/u HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", b.token("alice"), size)
		for range 3600 {
			time.Sleep(time.Second)
			if _, err := c.Write(make([]byte, 2048)); err != nil {
				t.Fatal(err)
			}
		}
		if s := readStatus(b, r); s != 200 {
			t.Errorf("an upload of an hour: %d", s)
		}
		time.Sleep(2 * time.Minute)
		fmt.Fprint(c, "GET /v2/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
		if s := readStatus(b, r); s != 401 {
			t.Errorf("the next request: %d", s)
		}
		c.Close()
		if n := b.reached("header_timeout") + b.reached("min_rate"); n != 0 {
			t.Errorf("%d limits were reached", n)
		}
	})
}

// TestH2SlowBodies: a body that does not move is cut after a minute, one that
// nobody wants at once, and an answer that nobody takes as well.
func TestH2SlowBodies(t *testing.T) {
	const form = "POST /auth HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9999\r\n\r\n"
	for _, c := range []struct {
		name     string
		head     func(b *bubble) string
		interval time.Duration
		status   string
		from, to time.Duration
		counted  int
	}{
		{"a realm form", func(*bubble) string { return form }, time.Second, "408", 10 * time.Second, 20 * time.Second, 1},
		{"an upload", func(b *bubble) string {
			return "PATCH /v2/a/blobs/uploads/u HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + b.token("alice") + "\r\nContent-Length: 99999\r\n\r\n"
		}, time.Second, "408", 60 * time.Second, 2 * time.Minute, 1},
		{"a manifest", func(b *bubble) string {
			return "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + b.token("alice") + "\r\nContent-Length: 99999\r\n\r\n"
		}, time.Second, "408", 60 * time.Second, 2 * time.Minute, 1},
		{"nobody's upload", func(*bubble) string {
			return "PATCH /v2/a/blobs/uploads/u HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n"
		}, time.Second, "401", abandonLimit, 2 * abandonLimit, 0},
		{"a body on GET", func(*bubble) string { return "GET /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n" }, time.Second, "400", abandonLimit, 2 * abandonLimit, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				conn := b.plain(client)
				go dripping(conn, c.head(b), "x", c.interval)
				text, took := until(conn)
				if !strings.HasPrefix(text, "HTTP/1.1 "+c.status) || took < c.from || took > c.to {
					t.Errorf("ended after %s: %.60q", took, text)
				}
				conn.Close()
				if n := b.reached("min_rate") + b.reached("header_timeout"); n != c.counted {
					t.Errorf("counted %d times", n)
				}
			})
		})
	}
}

// TestH2SlowReaders: an answer that the client does not take ends its request.
func TestH2SlowReaders(t *testing.T) {
	for name, path := range map[string]string{"ours": "/v2/", "the upstream's": "/v2/a/blobs/sha256:" + strings.Repeat("a", 64)} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				b.answer = func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(zeros{}, 1<<20)) }
				c := b.plain(client)
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", path, b.token("alice"))
				start := time.Now()
				for b.gateway.load.open.Open() > 0 { // nobody reads
					time.Sleep(time.Second)
				}
				if took := time.Since(start); took < progressWindow || took > 10*progressWindow {
					t.Errorf("ended after %s", took)
				}
				c.Close()
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestG7Plaintext: over plain HTTP from afar no password is even read, whatever is
// wrong with it; on loopback, and behind a proxy that is trusted, it is.
func TestG7Plaintext(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Listen.AllowPlaintext, cfg.Listen.TrustedProxies = false, []string{"10.0.0.1"} }, func(b *bubble) {
		for _, c := range []struct {
			from, header string
			want         int
		}{
			{client, "Basic YWxpY2U6Z29vZA==", 403}, {client, "Basic YWxpY2U6YmFk", 403}, {client, "Basic !", 403}, {client, "", 403},
			{"127.0.0.1:1", "Basic YWxpY2U6Z29vZA==", 200}, {"127.0.0.1:1", "Basic YWxpY2U6YmFk", 401}, {"10.0.0.1:1", "Basic YWxpY2U6Z29vZA==", 200},
		} {
			conn := b.plain(c.from)
			fmt.Fprintf(conn, "GET /auth HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\nAuthorization: %s\r\n\r\n", c.header)
			start := time.Now()
			if s := readStatus(b, bufio.NewReader(conn)); s != c.want || s == 403 && time.Since(start) != 0 {
				t.Errorf("%s from %s: %d after %s", c.header, c.from, s, time.Since(start))
			}
			conn.Close()
		}
	})
}

// TestH3Headers and the sizes of the realm (H4): each limit at its edge.
func TestH3Headers(t *testing.T) {
	fields := func(n int) string { return strings.Repeat("X: y\r\n", n) }
	scopes := func(n int) string { return strings.Repeat("scope=repository:a:pull&", n) }
	for _, c := range []struct {
		name, request, status, limit string
	}{
		{"100 fields", "GET /v2/ HTTP/1.1\r\nHost: h\r\n" + fields(99) + "\r\n", "401", ""},
		{"101 fields", "GET /v2/ HTTP/1.1\r\nHost: h\r\n" + fields(100) + "\r\n", "431", "header_fields"},
		{"32 KiB", "GET /v2/ HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 32<<10-len("Host: h\r\nX: \r\n")) + "\r\n\r\n", "401", ""},
		{"over 32 KiB", "GET /v2/ HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "431", "header_bytes"},
		{"over 32 KiB of cookies", "GET /v2/ HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("Cookie: "+strings.Repeat("c", 1000)+"\r\n", 33) + "\r\n", "431", "header_bytes"},
		{"1000 scopes", "GET /auth?" + scopes(1000) + " HTTP/1.1\r\nHost: h\r\n\r\n", "200", ""},
		{"1001 scopes", "GET /auth?" + scopes(1001) + " HTTP/1.1\r\nHost: h\r\n\r\n", "400", "scopes"},
		{"1001 scopes in one value", "GET /auth?scope=" + strings.Repeat("repository:a:pull+", 1001) + " HTTP/1.1\r\nHost: h\r\n\r\n", "400", "scopes"},
		{"a query over 128 KiB", "GET /auth?x=" + strings.Repeat("x", 128<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", "413", "form_bytes"},
		{"a form that says it is over 128 KiB", "POST /auth HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000000\r\n\r\n", "413", "form_bytes"},
		{"a form that is", "POST /auth HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n20001\r\n" +
			strings.Repeat("x", 0x20001) + "\r\n0\r\n\r\n", "413", "form_bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				conn := b.plain(client)
				go io.WriteString(conn, c.request)
				line, _ := bufio.NewReader(conn).ReadString('\n')
				if !strings.HasPrefix(line, "HTTP/1.1 "+c.status) {
					t.Errorf("%q", line)
				}
				conn.Close()
				synctest.Wait()
				if c.limit != "" && b.reached(c.limit) != 1 {
					t.Errorf("%s is counted %d times", c.limit, b.reached(c.limit))
				}
			})
		})
	}
}

// TestH8Labels: whatever clients send, the series stay the same.
func TestH8Labels(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		series := func() int {
			w := httptest.NewRecorder()
			b.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			return len(regexp.MustCompile(`(?m)^gatehouse_`).FindAllString(w.Body.String(), -1))
		}
		ask := func(i int) {
			r := httptest.NewRequest("M"+strconv.Itoa(i%997), fmt.Sprintf("http://h%d/v2/r%d/manifests/t%d?q%d=1", i, i, i, i), nil)
			r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)
			r.SetBasicAuth(fmt.Sprint("user", i), "x")
			b.gateway.ServeHTTP(httptest.NewRecorder(), r)
			r = httptest.NewRequest("GET", fmt.Sprintf("http://h/auth?scope=repository:r%d:pull&service=s%d", i, i), nil)
			b.gateway.ServeHTTP(httptest.NewRecorder(), r)
		}
		ask(0)
		ask(1)
		before := series()
		for i := range 10_000 {
			ask(i)
		}
		if after := series(); after != before {
			t.Errorf("%d series, %d before", after, before)
		}
	})
}

// TestH10Connections: the caps on open connections, and who is exempt.
func TestH10Connections(t *testing.T) {
	for _, c := range []struct {
		name     string
		all, one int
		from     func(i int) string
		tries    int
		open     int
		limit    string
	}{
		{"one address", 100, 10, func(int) string { return client }, 20, 10, "connections_per_address"},
		{"many addresses", 15, 10, func(i int) string { return fmt.Sprintf("203.0.113.%d:1", i) }, 20, 15, "connections"},
		{"an IPv6 /64", 100, 10, func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i+1) }, 20, 10, "connections_per_address"},
		{"many /64s", 100, 10, func(i int) string { return fmt.Sprintf("[2001:db8:0:%x::1]:1", i+1) }, 20, 20, ""},
		{"IPv4 in IPv6", 100, 10, func(i int) string { return []string{client, "[::ffff:203.0.113.7]:1"}[i%2] }, 20, 10, "connections_per_address"},
		{"a trusted proxy", 100, 10, func(int) string { return "10.0.0.1:1" }, 20, 20, ""},
		{"a trusted proxy, over all", 15, 10, func(int) string { return "10.0.0.1:1" }, 20, 15, "connections"},
		{"off", 0, 0, func(int) string { return client }, 50, 50, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(cfg *Config) {
				cfg.Listen.TrustedProxies = []string{"10.0.0.0/8"}
				cfg.Limits.Connections, cfg.Limits.ConnectionsPerAddress = c.all, c.one
			}, func(b *bubble) {
				var conns []net.Conn
				for i := range c.tries {
					conns = append(conns, b.plain(c.from(i)))
				}
				synctest.Wait()
				if n := b.gateway.load.open.Open(); n != c.open {
					t.Errorf("%d are open", n)
				}
				if c.limit != "" && b.reached(c.limit) != c.tries-c.open {
					t.Errorf("counted %d times", b.reached(c.limit))
				}
				for _, conn := range conns {
					conn.Close()
				}
				synctest.Wait()
				next := b.plain(c.from(0))
				fmt.Fprint(next, "GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")
				if s := readStatus(b, bufio.NewReader(next)); s != 401 {
					t.Errorf("afterwards: %d", s)
				}
				next.Close()
			})
		})
	}
}

// TestH12Upstream: a registry that does not answer, says too much or stops in the
// middle holds nobody up for ever, and its part never looks like the whole.
func TestH12Upstream(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		status int
		took   time.Duration
	}{
		{"silent", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, 30 * time.Second},
		{"a header of 100 KiB", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat("x", 100<<10)) }, 502, 0},
		{"stops in the middle", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("x", 64<<10))
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 200, progressWindow},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				b.answer = c.answer
				conn := b.plain(client)
				fmt.Fprintf(conn, "GET /v2/a/manifests/v1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n", b.token("alice"))
				start := time.Now()
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if took := time.Since(start); resp.StatusCode != c.status || took != c.took || (err != nil) != (c.status == 200) {
					t.Errorf("%d after %s, and then %v", resp.StatusCode, took, err)
				}
				conn.Close()
			})
		})
	}
}

// TestH13InFlight: what one person may have in flight, and that others, and pulls,
// are not held up by it.
func TestH13InFlight(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Limits.UploadsPerUser = 3; cfg.Limits.RequestsPerUser = 5 }, func(b *bubble) {
		hold := make(chan struct{})
		b.answer = func(w http.ResponseWriter, r *http.Request) { <-hold; fmt.Fprint(w, "{}") }
		alice, bob := b.token("alice"), b.token("bob")
		results := make(chan int, 100)
		send := func(method, path, token string) {
			r := httptest.NewRequest(method, "http://h"+path, nil)
			r.RemoteAddr = client
			r.Header.Set("Authorization", "Bearer "+token)
			go func() {
				w := httptest.NewRecorder()
				b.gateway.ServeHTTP(w, r)
				if w.Code == 429 && (w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "TOOMANYREQUESTS")) {
					t.Errorf("%v %s", w.Header(), w.Body)
				}
				results <- w.Code
			}()
			synctest.Wait()
		}
		want := func(what string, statuses ...int) {
			t.Helper()
			synctest.Wait()
			for _, s := range statuses {
				select {
				case got := <-results:
					if got != s {
						t.Errorf("%s: %d, want %d", what, got, s)
					}
				default:
					t.Errorf("%s: no answer, want %d", what, s)
				}
			}
		}
		for range 3 {
			send("POST", "/v2/a/blobs/uploads/", alice)
		}
		send("POST", "/v2/a/blobs/uploads/", alice)
		want("a fourth upload", 429)
		send("POST", "/v2/a/blobs/uploads/", bob)
		send("GET", "/v2/a/manifests/v1", alice)
		send("GET", "/v2/a/manifests/v1", alice)
		want("pulls beside uploads")
		send("GET", "/v2/a/manifests/v1", alice)
		want("a sixth request", 429)
		send("GET", "/v2/", alice)
		want("the base", 200)
		close(hold)
		want("all that was held", 200, 200, 200, 200, 200, 200)
		send("POST", "/v2/a/blobs/uploads/", alice)
		want("afterwards", 200)
		if u, r := b.reached("uploads_per_user"), b.reached("requests_per_user"); u != 1 || r != 1 {
			t.Errorf("counted %d and %d times", u, r)
		}
	})
}

// TestCapsInFlight: rows A5, A7 and A14. What everybody, an anonymous network and one
// person may have in flight, whatever their connections; and that it is given back.
func TestCapsInFlight(t *testing.T) {
	manifest := func(b *bubble, user string, length int) *http.Request {
		r := httptest.NewRequest("PUT", "http://h/v2/a/manifests/v1", &waiting{})
		r.ContentLength = int64(length)
		r.Header.Set("Authorization", "Bearer "+b.token(user))
		return r
	}
	pull := func(b *bubble, user string) *http.Request {
		r := httptest.NewRequest("GET", "http://h/v2/a/manifests/v1", nil)
		r.Header.Set("Authorization", "Bearer "+b.token(user))
		return r
	}
	form := func(b *bubble) *http.Request {
		r := httptest.NewRequest("POST", "http://h/auth", &waiting{})
		r.ContentLength = 100
		r.Header.Set("Content-Type", formType)
		return r
	}
	anonymous := func(*bubble) *http.Request {
		r := httptest.NewRequest("GET", "http://h/auth?scope=repository:a:pull", nil)
		r.Header.Set("Authorization", "Basic Og==")
		return r
	}
	from := func(r *http.Request, address string) *http.Request { r.RemoteAddr = address; return r }
	const elsewhere = "198.51.100.1:1"
	for _, c := range []struct {
		limit   string
		set     func(*Limits)
		fill    func(b *bubble, i int) *http.Request // three of them fit
		over    func(b *bubble) *http.Request
		notOver func(b *bubble) *http.Request // nil: nobody
	}{
		{limit: "requests", set: func(l *Limits) { l.Requests = 3 }, fill: func(b *bubble, i int) *http.Request { return pull(b, []string{"alice", "bob", ""}[i]) },
			over: func(b *bubble) *http.Request { return from(pull(b, "alice"), elsewhere) }},
		{limit: "anonymous_requests", set: func(l *Limits) { l.AnonymousRequests = 3 }, fill: func(b *bubble, i int) *http.Request { return pull(b, "") },
			over: func(b *bubble) *http.Request { return pull(b, "") }, notOver: func(b *bubble) *http.Request { return from(pull(b, ""), elsewhere) }},
		{limit: "anonymous_requests", set: func(l *Limits) { l.AnonymousRequests = 3 }, fill: func(b *bubble, i int) *http.Request { return pull(b, "") },
			over: func(b *bubble) *http.Request { return pull(b, "") }, notOver: func(b *bubble) *http.Request { return pull(b, "alice") }},
		{limit: "realm_requests", set: func(l *Limits) { l.RealmRequests = 3 }, fill: func(b *bubble, i int) *http.Request { return form(b) },
			over: anonymous, notOver: func(b *bubble) *http.Request { return from(form(b), elsewhere) }},
		{limit: "realm_requests", set: func(l *Limits) { l.RealmRequests = 3 }, fill: func(b *bubble, i int) *http.Request { return form(b) },
			over: anonymous, notOver: func(b *bubble) *http.Request {
				r := anonymous(b)
				r.SetBasicAuth("alice", "good")
				return r
			}},
		{limit: "connections_per_address", set: func(l *Limits) { l.ConnectionsPerAddress = 3 }, fill: func(b *bubble, i int) *http.Request { return form(b) },
			over: anonymous, notOver: func(b *bubble) *http.Request { return from(form(b), elsewhere) }},
		{limit: "connections", set: func(l *Limits) { l.Connections = 3 }, fill: func(b *bubble, i int) *http.Request { return form(b) },
			over: func(b *bubble) *http.Request { return from(anonymous(b), elsewhere) }},
		{limit: "manifest_bytes", set: func(l *Limits) { l.ManifestBytes = 3 * 4 << 20 }, fill: func(b *bubble, i int) *http.Request {
			return manifest(b, []string{"alice", "bob", "carol"}[i], []int{-1, 4 << 20, 4 << 20}[i]) // of an unknown length counts as the largest
		}, over: func(b *bubble) *http.Request { return manifest(b, "dave", 1) }, notOver: func(b *bubble) *http.Request { return pull(b, "dave") }},
		{limit: "manifest_bytes", set: func(l *Limits) { l.ManifestBytes = 3 * 4 * 4 << 20 }, fill: func(b *bubble, i int) *http.Request { return manifest(b, "alice", 4<<20) },
			over: func(b *bubble) *http.Request { return manifest(b, "alice", 1) }, notOver: func(b *bubble) *http.Request { return manifest(b, "bob", 4<<20) }},
	} {
		t.Run(c.limit, func(t *testing.T) {
			inBubble(t, func(cfg *Config) { c.set(&cfg.Limits) }, func(b *bubble) {
				b.answer = func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
				ctx, leave := context.WithCancel(b.Context())
				send := func(r *http.Request, ctx context.Context) chan int {
					if w, ok := r.Body.(*waiting); ok {
						w.ctx = ctx
					}
					status := make(chan int, 1)
					go func() {
						w := httptest.NewRecorder()
						b.gateway.ServeHTTP(w, r.WithContext(ctx))
						status <- w.Code
					}()
					synctest.Wait()
					return status
				}
				answered := func(status chan int) int {
					select {
					case s := <-status:
						return s
					default:
						return 0
					}
				}
				for i := range 3 {
					if s := answered(send(c.fill(b, i), ctx)); s != 0 {
						t.Errorf("within the cap: %d", s)
					}
				}
				if s := answered(send(c.over(b), ctx)); s != 429 || b.reached(c.limit) != 1 {
					t.Errorf("over it: %d, counted %d times", s, b.reached(c.limit))
				}
				if c.notOver != nil {
					if s := answered(send(c.notOver(b), ctx)); s == 429 {
						t.Error("others are held up by it")
					}
				}
				leave()
				synctest.Wait()
				again, end := context.WithCancel(b.Context())
				if s := answered(send(c.over(b), again)); s == 429 {
					t.Error("it was not given back")
				}
				end()
			})
		})
	}
}

// waiting is a body that does not come.
type waiting struct{ ctx context.Context }

func (w *waiting) Read([]byte) (int, error) { <-w.ctx.Done(); return 0, w.ctx.Err() }
func (w *waiting) Close() error             { return nil }

// TestUnreadableIsToldOnceAMinute: row H1. Each proxy is named, however busy others are.
func TestUnreadableIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, count := NewLoad(), map[string]int{}
		for range 150 { // seconds
			for _, proxy := range []string{"10.0.0.1", "10.0.0.2"} {
				if l.tell(netip.MustParseAddr(proxy)) {
					count[proxy]++
				}
			}
			time.Sleep(time.Second)
		}
		if count["10.0.0.1"] != 3 || count["10.0.0.2"] != 3 {
			t.Errorf("%v", count)
		}
		for i := range 10 * maxNamed {
			l.tell(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
		}
		if len(l.named) > maxNamed {
			t.Errorf("%d proxies are remembered", len(l.named))
		}
	})
}

// TestH13Cluster: by default a thousand nodes may pull with one secret.
func TestH13Cluster(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		hold := make(chan struct{})
		b.answer = func(w http.ResponseWriter, r *http.Request) { <-hold; fmt.Fprint(w, "{}") }
		results := make(chan int, 1000)
		for i := range 1000 {
			go func() {
				login := httptest.NewRequest("GET", "http://h/auth?"+url.Values{"scope": {"repository:a:pull"}}.Encode(), nil)
				login.RemoteAddr = client
				login.SetBasicAuth("alice", "good")
				w := httptest.NewRecorder()
				if b.gateway.ServeHTTP(w, login); w.Code != 200 {
					t.Errorf("login %d: %d", i, w.Code)
				}
				pull := httptest.NewRequest("HEAD", "http://h/v2/a/manifests/v1", nil)
				pull.RemoteAddr = client
				pull.Header.Set("Authorization", "Bearer "+regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(w.Body.String())[1])
				w = httptest.NewRecorder()
				b.gateway.ServeHTTP(w, pull)
				results <- w.Code
			}()
		}
		synctest.Wait()
		close(hold)
		for range 1000 {
			if s := <-results; s != 200 {
				t.Fatalf("a pull: %d", s)
			}
		}
	})
}

// TestH11Streams: the server holds HTTP/2 to its streams, the metric counts a
// connection that uses all of them, and with none there is no HTTP/2.
func TestH11Streams(t *testing.T) {
	for _, n := range []int{0, 5} {
		limits := DefaultLimits()
		limits.HTTP2Streams = n
		s := limits.Server(nil, nil)
		if s.HTTP2.MaxConcurrentStreams != n || s.Protocols.HTTP2() != (n > 0) || s.Protocols.UnencryptedHTTP2() {
			t.Errorf("%d streams: %+v, %v", n, s.HTTP2, s.Protocols)
		}
	}
	inBubble(t, func(cfg *Config) { cfg.Limits.HTTP2Streams = 5 }, func(b *bubble) {
		hold := make(chan struct{})
		b.answer = func(w http.ResponseWriter, r *http.Request) { <-hold; fmt.Fprint(w, "{}") }
		onConn := b.gateway.limits.Server(nil, nil).ConnContext
		end, _ := net.Pipe()
		c := b.gateway.Accepted(port{end, client})
		defer c.Close()
		for i := range 4 + 1 {
			if n := b.reached("http2_streams"); n != 0 {
				t.Errorf("counted %d times with %d streams", n, i)
			}
			r := httptest.NewRequest("GET", "http://h/v2/a/manifests/v1", nil).WithContext(onConn(b.Context(), c))
			r.Header.Set("Authorization", "Bearer "+b.token("alice"))
			go b.gateway.ServeHTTP(httptest.NewRecorder(), r)
			synctest.Wait()
		}
		if n := b.reached("http2_streams"); n != 1 {
			t.Errorf("counted %d times", n)
		}
		close(hold)
	})
}

// TestUnreadable: row H8. Where the server itself cannot read a request it is refused
// in plain text, the same with TLS and without, and never passed on.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct{ name, request, status string }{
		{"encoding", "GET /v2/a/manifests/%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
		{"Host", "GET /v2/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
		{"field", "GET /v2/ HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", "400"},
		{"transfer encoding", "PUT /v2/a/manifests/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				b.answer = func(http.ResponseWriter, *http.Request) { t.Error("it reached the upstream") }
				plain, secure := b.plain(client), tls.Client(b.secure(client), &tls.Config{RootCAs: b.roots, ServerName: "example.com"})
				var texts []string
				for _, conn := range []net.Conn{plain, secure} {
					go io.WriteString(conn, c.request)
					text, _ := until(conn)
					texts = append(texts, text)
					conn.Close()
				}
				if !strings.HasPrefix(texts[0], "HTTP/1.1 "+c.status) || texts[0] != texts[1] || !strings.Contains(texts[0], "\r\nConnection: close\r\n") {
					t.Errorf("plain %q, TLS %q", texts[0], texts[1])
				}
			})
		})
	}
}

// TestLeave: an answer that begins after Leave is the last of its connection.
func TestLeave(t *testing.T) {
	h := newHouse(t, nil)
	for _, last := range []bool{false, true} {
		if resp, _ := h.do(h.request("GET", "/v2/", "", nil)); resp.Close != last {
			t.Errorf("the connection ends: %t, want %t", resp.Close, last)
		}
		h.gateway.load.Leave()
	}
}

// TestTotal: what all share is given out up to the limit and no further, however many ask
// at once.
func TestTotal(t *testing.T) {
	const most, askers, each = 100, 8, 1000
	var all total
	var over, taken atomic.Int64
	var group sync.WaitGroup
	for range askers {
		group.Go(func() {
			for i := range each {
				n := i%3 + 1
				if !all.add(n, most) {
					over.Add(1)
					continue
				}
				if now := taken.Add(int64(n)); now > most {
					t.Errorf("%d are taken", now)
				}
				taken.Add(int64(-n))
				all.n.Add(int64(-n))
			}
		})
	}
	group.Wait()
	if left := all.n.Load(); left != 0 || over.Load() == askers*each {
		t.Errorf("%d left, %d refused", left, over.Load())
	}
	for _, c := range []struct {
		n, most int
		want    bool
	}{{most, most, true}, {1, most, false}, {1, most + 1, true}, {1, 1, false}} {
		if got := all.add(c.n, c.most); got != c.want {
			t.Errorf("%d of %d with %d taken: %v", c.n, c.most, all.n.Load(), got)
		}
	}
}
