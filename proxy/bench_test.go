package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// staff is a directory of one person.
type staff struct{ authn.Identity }

func (s staff) Name() string                                              { return s.Directory }
func (s staff) Find(context.Context, string) (authn.Identity, error)      { return s.Identity, nil }
func (s staff) Lookup(context.Context, authn.Ref) (authn.Identity, error) { return s.Identity, nil }
func (s staff) Verify(context.Context, authn.Identity, authn.Secret) (authn.Identity, error) {
	return s.Identity, nil
}
func (staff) Available() bool              { return true }
func (staff) Close()                       {}
func (staff) Timeout() time.Duration       { return time.Second }
func (staff) Canary(context.Context) error { return nil }

// manifestText is of the size of an image with eight layers.
var manifestText = []byte(`{"schemaVersion":2,"annotations":{"text":"` + strings.Repeat("m", 1480) + `"}}`)

// lean is a gateway as the binary has it, all logs and metrics on, before a registry that
// answers from memory, and a client that costs no allocation.
type lean struct {
	conn    net.Conn
	request []byte
	buffer  []byte
}

// newLean serves h, or a gateway.
func newLean(tb testing.TB, h http.Handler, accept func(net.Conn) net.Conn, authorization string) *lean {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := DefaultLimits().Server(h, nil)
	go server.Serve(taken{l, accept})
	tb.Cleanup(func() { server.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &lean{conn: conn, buffer: make([]byte, 16<<10), request: fmt.Appendf(nil,
		"GET /v2/composers/requiem/manifests/%s HTTP/1.1\r\nHost: registry.test\r\nUser-Agent: containerd/2.1.4\r\nAccept: %s\r\nAccept-Encoding: identity\r\nAuthorization: %s\r\n\r\n",
		sha(string(manifestText)), ociManifest, authorization)}
}

type taken struct {
	net.Listener
	take func(net.Conn) net.Conn
}

func (t taken) Accept() (net.Conn, error) {
	for {
		c, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c = t.take(c); c != nil {
			return c, nil
		}
	}
}

// ask is one request and its answer.
func (l *lean) ask() (header []byte, err error) {
	if _, err := l.conn.Write(l.request); err != nil {
		return nil, err
	}
	for have := 0; ; {
		n, err := l.conn.Read(l.buffer[have:])
		if err != nil {
			return nil, err
		}
		have += n
		end := bytes.Index(l.buffer[:have], []byte("\r\n\r\n"))
		switch {
		case end >= 0 && !bytes.HasPrefix(l.buffer, []byte("HTTP/1.1 200 ")):
			return nil, errors.New(string(l.buffer[:have]))
		case end >= 0 && have == end+4+len(manifestText):
			return l.buffer[:end], nil
		}
	}
}

func fromMemory(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", ociManifest)
	h.Set("Content-Length", fmt.Sprint(len(manifestText)))
	h.Set("Docker-Content-Digest", sha(string(manifestText)))
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("Etag", `"`+sha(string(manifestText))+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(manifestText)
}

// leanGateway is a gateway and the token of somebody who may pull.
func leanGateway(tb testing.TB, cache *content.Config) (*Gateway, string) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	up, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	registry := &http.Server{Handler: http.HandlerFunc(fromMemory)}
	go registry.Serve(up)
	tb.Cleanup(func() { registry.Close() })
	mozart := authn.Identity{Directory: "example", Username: "mozart", ID: "5ba1a4e2-0000-4000-8000-000000000001",
		DN: "uid=mozart,ou=musicians,dc=example,dc=com", Groups: []authn.Group{{Name: "composers", DN: "cn=composers,ou=groups,dc=example,dc=com"}}}
	remembering, err := authn.NewCache(staff{mozart}, authn.CacheConfig{FreshFor: time.Hour, StaleFor: time.Hour, NegativeFor: time.Minute})
	must(err)
	tb.Cleanup(remembering.Close)
	numbers := metrics.New(metrics.BuildInfo{})
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{remembering}})
	policy, err := authz.New(authz.Config{Directories: []string{"example"}, Rules: []authz.Rule{
		{Position: "p:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"group:admins"}},
		{Position: "p:2", Allow: []string{"pull", "push"}, Repositories: []string{"{group}/**"}, To: []string{"directory:example"}}}})
	must(err)
	key, err := tokens.GenerateKey()
	must(err)
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Hour, KeyFiles: []authn.SecretFile{key}, Metrics: numbers})
	must(err)
	scope, err := authz.ParseScope([]string{"repository:composers/requiem:pull"})
	must(err)
	token, _, err := keyring.Issue(tokens.Token{Kind: tokens.Access, Subject: authn.Ref{Directory: "example", Username: "mozart", ID: mozart.ID}, Scope: scope})
	must(err)
	lines := audit.NewLines(func(line []byte) { io.Discard.Write(line) }, func() {})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { lines.Run(ctx); close(ended) }()
	tb.Cleanup(func() { cancel(); <-ended })
	g, err := New(Config{Upstream: upstream.Config{URL: "http://" + up.Addr().String(), BlobMount: upstream.MountAlways}, Listen: listener.Config{AllowPlaintext: true},
		Service: "gatehouse", Keyring: keyring, Chain: chain, Policy: policy, Metrics: numbers, Access: slog.New(audit.NewHandler(lines)), Cache: cache,
		Granter: tokens.NewGranter(tokens.GranterConfig{Keyring: keyring, Chain: chain, Policy: policy})})
	must(err)
	g.Take()
	tb.Cleanup(g.Close)
	return g, "Bearer " + token
}

func leanCache() *content.Config {
	return &content.Config{Memory: 64 << 20, Small: 256 << 10, FreshFor: time.Hour}
}

// TestHitAllocations: what a hit takes is what net/http takes, and one piece of ours. The
// target of cmd/bench is 30; the race detector takes some itself.
func TestHitAllocations(t *testing.T) {
	g, authorization := leanGateway(t, leanCache())
	l := newLean(t, g, g.Accepted, authorization)
	for range 2 {
		if _, err := l.ask(); err != nil {
			t.Fatal(err)
		}
	}
	header, err := l.ask()
	if err != nil || !bytes.Contains(header, []byte("Cache-Status: gatehouse; hit")) {
		t.Fatalf("%s %v", header, err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if _, err := l.ask(); err != nil {
			t.Fatal(err)
		}
	})
	if n > 33 {
		t.Errorf("%v allocations a hit", n)
	}
}

// TestIDs: the ids of requests are random, and no two are alike, whoever asks.
func TestIDs(t *testing.T) {
	var all ids
	var mu sync.Mutex
	seen, letters := map[string]bool{}, map[rune]bool{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				id := all.next()
				mu.Lock()
				seen[id] = true
				for _, c := range id {
					letters[c] = true
				}
				mu.Unlock()
				if len(id) != 26 {
					t.Errorf("%q", id)
				}
			}
		})
	}
	group.Wait()
	if len(seen) != 8000 || len(letters) != 32 {
		t.Errorf("%d ids of %d letters", len(seen), len(letters))
	}
}

// processTime is the CPU time of this process, which other programs disturb less than time.
func processTime(tb testing.TB) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkManifest is what a manifest costs, the client's part with it: from the cache,
// from a registry, and by net/http alone.
func BenchmarkManifest(b *testing.B) {
	run := func(name string, h http.Handler, accept func(net.Conn) net.Conn, authorization string) {
		b.Run(name, func(b *testing.B) {
			l := newLean(b, h, accept, authorization)
			if _, err := l.ask(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			start := processTime(b)
			for b.Loop() {
				if _, err := l.ask(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(processTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
	g, authorization := leanGateway(b, leanCache())
	run("hit", g, g.Accepted, authorization)
	g, authorization = leanGateway(b, nil)
	run("forwarded", g, g.Accepted, authorization)
	run("bare", http.HandlerFunc(fromMemory), func(c net.Conn) net.Conn { return c }, authorization)
}

// BenchmarkTrial is a manifest from the cache, the shortest of requests, by gateways that
// take turns: without counts and without a policy that is tried; with counts; with such a
// policy that says the same, and with one that says otherwise each time. Both policies have a
// thousand rules.
func BenchmarkTrial(b *testing.B) {
	rules := make([]authz.Rule, 1000)
	for i := range rules {
		rules[i] = authz.Rule{Position: fmt.Sprintf("p:%d", i), Allow: []string{"pull"}, Repositories: []string{fmt.Sprintf("team-%d/**", i), "{group}/**"}, To: []string{fmt.Sprintf("group:team-%d", i)}}
	}
	refusing, err := authz.New(authz.Config{Rules: rules})
	rules[500].To = []string{"group:composers"}
	policy, err2 := authz.New(authz.Config{Rules: rules})
	if refusing == nil || policy == nil {
		b.Fatal(err, err2)
	}
	names, gateways, used := []string{"bare", "counts", "same", "differs"}, []*lean{}, make([]time.Duration, 4)
	var last *Gateway
	for _, name := range names {
		g, authorization := leanGateway(b, leanCache())
		g.decider.policy = policy
		g.decider.trial.policy = map[string]*authz.Policy{"same": policy, "differs": refusing}[name]
		if name == "bare" {
			g.decider.counts = &authz.Counts{}
		}
		g.Take()
		gateways, last = append(gateways, newLean(b, g, g.Accepted, authorization)), g
	}
	const asks = 50
	for b.Loop() {
		for i, l := range gateways {
			start := processTime(b)
			for range asks {
				if _, err := l.ask(); err != nil {
					b.Fatal(err)
				}
			}
			used[i] += processTime(b) - start
		}
	}
	if rows := last.Shadow().Rows; len(rows) != 1 || rows[0].Count != int64(b.N*asks) || last.Rules()[500].Allowed != int64(b.N*asks) {
		b.Errorf("what differs: %+v", rows)
	}
	for i, name := range names {
		b.ReportMetric(float64(used[i])/float64(b.N*asks), name+"-cpu-ns/request")
	}
}
