package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/listener"
)

// wire is a registry that is a bare TCP listener. It keeps every byte that comes,
// so a request hidden in another's bytes would be seen, and answers with bytes.
type wire struct {
	net.Listener
	mu     sync.Mutex
	change *sync.Cond
	raw    bytes.Buffer
	seen   []arrived
	open   []net.Conn
	conns  int // since the start
	busy   int // connections in the middle of a request
	answer func(*http.Request) string
	early  bool // answers before it has read the body
}

// arrived is one request as the upstream parsed it.
type arrived struct {
	line   string // method and target
	header http.Header
	body   string
	whole  bool // it ended as its framing said
	conn   int
}

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nupstream"

func newWire(t *testing.T) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &wire{Listener: l}
	u.change = sync.NewCond(&u.mu)
	u.answers(func(*http.Request) string { return plainAnswer })
	done := make(chan struct{})
	go func() { defer close(done); u.accept() }()
	t.Cleanup(func() { l.Close(); u.closeAll(); <-done })
	return u
}

// closeAll ends all connections.
func (u *wire) closeAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.open {
		c.Close()
	}
	u.open = nil
}

func (u *wire) accept() {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := u.Accept()
		if err != nil {
			return
		}
		u.mu.Lock()
		u.open = append(u.open, conn)
		u.conns++
		n := u.conns
		u.mu.Unlock()
		all.Go(func() { defer conn.Close(); u.serve(conn, n) })
	}
}

// hangUp at the end of an answer closes the connection.
const hangUp = "\x00hang up"

// serve answers requests until the connection ends.
func (u *wire) serve(conn net.Conn, n int) {
	r := bufio.NewReader(io.TeeReader(conn, u))
	for {
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := r.Peek(1); err != nil {
			return
		}
		u.working(1)
		answer, more := strings.CutSuffix(u.one(r, n, conn), hangUp)
		io.WriteString(conn, answer)
		u.working(-1)
		if more {
			return
		}
	}
}

func (u *wire) one(r *bufio.Reader, n int, conn net.Conn) string {
	req, err := http.ReadRequest(r)
	if err != nil {
		u.note(arrived{line: "malformed: " + err.Error(), conn: n})
		return hangUp
	}
	u.mu.Lock()
	answer, early := u.answer, u.early
	u.mu.Unlock()
	if early {
		io.WriteString(conn, answer(req))
		answer = func(*http.Request) string { return "" }
	}
	body, err := io.ReadAll(req.Body)
	header := req.Header
	for key, values := range req.Trailer {
		header["Trailer-"+key] = values
	}
	u.note(arrived{req.Method + " " + req.RequestURI, header, string(body), err == nil, n})
	if err != nil {
		return hangUp
	}
	return answer(req)
}

// Write is the tee: each byte as it comes.
func (u *wire) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.raw.Write(p)
}

func (u *wire) working(by int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy += by
	u.change.Broadcast()
}

func (u *wire) note(a arrived) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, a)
}

func (u *wire) answers(f func(*http.Request) string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = f
}

func (u *wire) answerEarly(early bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.early = early
}

// take gives what came since the last call, once no request is half read: the
// requests and every byte.
func (u *wire) take() ([]arrived, string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.busy > 0 {
		u.change.Wait()
	}
	seen, raw := u.seen, u.raw.String()
	u.seen = nil
	u.raw.Reset()
	return seen, raw
}

// arena is a gateway known as gw.test before a wire.
type arena struct {
	*house
	wire *wire
	// alice may pull and push team/app, and may pull public/x; bob may pull
	// public/x alone; root may do all in a, team/app and secret/x.
	alice, bob, root, anyone string
}

func newArena(t *testing.T, change func(*Config)) *arena {
	t.Helper()
	u := newWire(t)
	a := &arena{wire: u}
	a.house = newHouse(t, func(c *Config) {
		c.Upstream.URL = "http://" + u.Addr().String()
		c.Listen.PublicURLs = []string{"http://gw.test"}
		if change != nil {
			change(c)
		}
	})
	a.alice = a.grant("alice", "repository:team/app:pull,push,delete", "repository:team/app/tags/list:pull", "repository:team/blobs/uploads:pull", "repository:public/x:pull", "registry:catalog:*")
	a.bob = a.grant("bob", "repository:public/x:pull,push", "repository:team/app:pull", "registry:catalog:*")
	a.root = a.grant("root", "repository:secret/x:*", "repository:team/app:*")
	a.anyone = a.grant("", "repository:public/x:pull", "repository:team/app:pull,push")
	return a
}

// grant logs in; house.token names another host.
func (a *arena) grant(user string, scopes ...string) string {
	a.t.Helper()
	raw := "GET /auth?scope=" + strings.Join(scopes, "&scope=") + " HTTP/1.1\r\nHost: gw.test\r\n"
	if user != "" {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, user+"-secret")
		raw += "Authorization: " + r.Header.Get("Authorization") + "\r\n"
	}
	got := a.send(raw + "\r\n")
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(got[0].body)
	if token == nil {
		a.t.Fatalf("realm: %v", got)
	}
	return token[1]
}

// answered is one answer of the gateway.
type answered struct {
	status int
	header http.Header
	body   string
}

var codePattern = regexp.MustCompile(`^\{"errors":\[\{"code":"([A-Z_]+)"`)
var reasonPattern = regexp.MustCompile(`,error="([a-z_]+)"$`)

// String is the status, the code of an error of ours, and the challenge's reason.
func (a answered) String() string {
	s := fmt.Sprint(a.status)
	for _, m := range [][]string{codePattern.FindStringSubmatch(a.body), reasonPattern.FindStringSubmatch(a.header.Get("WWW-Authenticate"))} {
		if m != nil {
			s += " " + m[1]
		}
	}
	return s
}

// probe follows each raw request on its connection: whether it is answered shows
// whether the gateway closed the connection, and what it took for the request's end.
const probe = "DELETE /end HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n"

// send writes raw bytes and the probe and gives all answers until the connection's
// end; the probe's, if any, is a 404 with `Connection: close`.
func (a *arena) send(raw string) (list []answered) {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.Listener.Addr().String())
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, raw+probe) // an early answer closes the connection under it
	r := bufio.NewReader(conn)
	method, _, _ := strings.Cut(raw, " ")
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return list
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.Close {
			resp.Header.Set("Connection", "close")
		}
		list = append(list, answered{resp.StatusCode, resp.Header, string(body)})
		method = "GET"
	}
}

// verdict is answersTo where each answer also has to be like ours.
func (a *arena) verdict(raw string) (answers []answered, text string, alive bool) {
	a.t.Helper()
	answers, text, alive = a.answersTo(raw)
	for _, r := range answers {
		a.checkAnswer(r)
	}
	return answers, text, alive
}

// answersTo sends and gives the answers before the probe's, their text, and
// whether the connection lived on to the probe.
func (a *arena) answersTo(raw string) (answers []answered, text string, alive bool) {
	a.t.Helper()
	answers = a.send(raw)
	if n := len(answers); n > 1 && answers[n-1].status == 404 && answers[n-1].header.Get("Connection") == "close" {
		answers, alive = answers[:n-1], true
	}
	var texts []string
	for _, r := range answers {
		texts = append(texts, r.String())
	}
	return answers, strings.Join(texts, ", "), alive
}

// checkAnswer is what every answer has to be like. One without a request id is
// net/http's own, which answers what is no HTTP at all.
func (a *arena) checkAnswer(r answered) {
	a.t.Helper()
	if r.header.Get("X-Request-Id") == "" {
		if r.status < 400 || r.status == 404 {
			a.t.Errorf("an answer without a request id: %+v", r)
		}
		return
	}
	if codePattern.MatchString(r.body) && (r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json") {
		a.t.Errorf("a refusal with %v", r.header)
	}
	if c := r.header.Get("WWW-Authenticate"); r.status == 401 && !regexp.MustCompile(`^Bearer realm="https?://gw\.test/auth",service="gatehouse"`).MatchString(c) {
		a.t.Errorf("a 401 with the challenge %q", c)
	}
	if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Location") != "" && r.header.Get("Location")[0] != '/' {
		a.t.Errorf("an answer with %v", r.header)
	}
}

// arrivals are the requests that reached the upstream, as text. No byte of it may
// be a caller's credentials, and each request stands alone on the wire.
func (a *arena) arrivals() (list []arrived, text string) {
	a.t.Helper()
	list, raw := a.wire.take()
	var lines []string
	for _, r := range list {
		line := r.line
		if !r.whole {
			line += " (cut)"
		}
		lines = append(lines, line)
	}
	for _, secret := range []string{a.alice, a.bob, a.root, "-secret", "uthorization", "Cookie"} {
		if secret != "" && strings.Contains(raw, secret) {
			a.t.Errorf("%q reached the upstream: %q", secret, raw)
		}
	}
	if len(list) == 0 && raw != "" {
		a.t.Errorf("bytes reached the upstream: %q", raw)
	}
	return list, strings.Join(lines, ", ")
}

// fill puts tokens and names into a raw request.
func (a *arena) fill(s string) string {
	return strings.NewReplacer("$ALICE", "Authorization: Bearer "+a.alice, "$BOB", "Authorization: Bearer "+a.bob, "$ROOT", "Authorization: Bearer "+a.root,
		"$ANYONE", "Authorization: Bearer "+a.anyone, "$TOKEN", a.alice, "$BASIC", base64.StdEncoding.EncodeToString([]byte("x:"+a.alice)), "$D", digestA).Replace(s)
}

// serveTLS serves the same gateway by HTTPS, as the program does, and returns its
// address and a client's trust in it.
func (a *arena) serveTLS() (string, *tls.Config) {
	a.t.Helper()
	pair, roots := testPair(a.t)
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	section := &listener.TLS{CertFile: authn.File{Name: "crt", Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})},
		KeyFile: authn.SecretFile{Name: "key", Secret: authn.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}, MinVersion: tls.VersionTLS12}
	certificates, err := listener.NewCertificates(section, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", section.Server(certificates, true))
	if err != nil {
		a.t.Fatal(err)
	}
	server := DefaultLimits().Server(a.Config.Handler, log.New(io.Discard, "", 0))
	go server.Serve(l)
	a.t.Cleanup(func() { server.Close() })
	return l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}}
}
