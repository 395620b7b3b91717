package proxy

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// cacheHouse is gateways before one registry, with a cache and without, in a bubble.
type cacheHouse struct {
	t        *testing.T
	registry *memoryRegistry
	cached   *Gateway
	bare     *Gateway
	content  *content.Cache
	log      *bytes.Buffer
	config   Config
}

// people who sign in by Basic credentials; "" is nobody.
var people = []string{"alice", "bob", "root", "carol"}

func newCacheHouse(t *testing.T, cfg content.Config) *cacheHouse {
	t.Helper()
	h := &cacheHouse{t: t, registry: newMemoryRegistry(), log: &bytes.Buffer{}}
	listening := newPipes()
	server := &http.Server{Handler: h.registry}
	go server.Serve(listening)
	t.Cleanup(func() {
		synctest.Wait() // what asks in the background gets its answer first
		server.Close()
	})
	var users []authn.StaticUser
	for _, name := range people {
		user := authn.StaticUser{Username: name, PasswordFile: authn.SecretFile{Secret: authn.Secret(name)}}
		if name == "alice" || name == "carol" {
			user.Groups = []string{"team"}
		}
		users = append(users, user)
	}
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: users})
	if err != nil {
		t.Fatal(err)
	}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{static}})
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Position: "c:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"user:root"}},
		{Position: "c:2", Allow: []string{"pull"}, Repositories: []string{"team/**"}, To: []string{"group:team"}},
		{Position: "c:3", Allow: []string{"pull", "push"}, Repositories: []string{"other/**"}, To: []string{"user:bob"}},
		{Position: "c:4", Allow: []string{"pull"}, Repositories: []string{"public/**"}, To: []string{"everyone"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Hour, KeyFiles: []authn.SecretFile{key}})
	if err != nil {
		t.Fatal(err)
	}
	h.config = Config{Upstream: upstream.Config{URL: "http://registry.test", BlobMount: upstream.MountAlways},
		Listen: listener.Config{Basic: true, AllowPlaintext: true}, Service: "gatehouse", Keyring: keyring, Chain: chain, Policy: policy,
		Granter: tokens.NewGranter(tokens.GranterConfig{Keyring: keyring, Chain: chain, Policy: policy})}
	h.config.Upstream.Dial = func(context.Context, string, string) (net.Conn, error) { return listening.dial("192.0.2.1:1"), nil }
	h.bare = h.gateway(nil)
	h.config.Access = slog.New(slog.NewJSONHandler(h.log, nil))
	if cfg.Memory == 0 {
		cfg.Memory, cfg.Small = 64<<20, 256<<10
	}
	h.config.Load = NewLoad()
	if cfg.Dir != "" {
		h.useFolder(cfg.Dir)
	}
	h.cached = h.gateway(&cfg)
	h.cached.Take()
	h.content = h.cached.cache.content
	h.tend()
	return h
}

// useFolder keeps large blobs there.
func (h *cacheHouse) useFolder(dir string) {
	h.t.Helper()
	folder, err := content.OpenFolder(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	h.config.Load.UseFolder(folder)
}

// tend looks after the folder until the test ends.
func (h *cacheHouse) tend() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() { h.config.Load.Tend(ctx); close(done) }()
	h.t.Cleanup(func() {
		synctest.Wait() // what runs gets its answers first
		cancel()
		<-done
	})
	synctest.Wait()
}

func (h *cacheHouse) gateway(c *content.Config) *Gateway {
	h.t.Helper()
	cfg := h.config
	cfg.Cache = c
	g, err := New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(g.Close)
	return g
}

// reload is what a reload does to the cache, with another upstream or the same.
func (h *cacheHouse) reload(upstream string) {
	h.content.Take(*h.cached.cache.config, upstream)
}

// ask is a request to a gateway.
type ask struct {
	method, path, user string
	host               string // "": gateway.test
	header             map[string]string
	body               []byte
}

// got is its answer; cut: the connection was ended.
type got struct {
	status int
	header http.Header
	body   string
	cut    bool
}

func (h *cacheHouse) do(g *Gateway, a ask) (answer got) {
	r := httptest.NewRequest(a.method, "http://"+cmp.Or(a.host, "gateway.test")+a.path, bytes.NewReader(a.body))
	if a.body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.RemoteAddr = "127.0.0.1:1"
	if a.user != "" {
		r.SetBasicAuth(a.user, a.user)
	}
	for k, v := range a.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil {
			answer.cut = true
		}
		result := w.Result()
		body, _ := io.ReadAll(result.Body)
		answer.status, answer.header, answer.body = result.StatusCode, result.Header, string(body)
	}()
	g.ServeHTTP(w, r)
	return answer
}

// pull gets a manifest or a blob through the cache.
func (h *cacheHouse) pull(user, path string) got {
	a := ask{method: "GET", path: path, user: user}
	if strings.Contains(path, "/manifests/") {
		a.header = map[string]string{"Accept": ociManifest}
	}
	return h.do(h.cached, a)
}

// outcomes are the field cache of the access log since the last call.
func (h *cacheHouse) outcomes() []string {
	var list []string
	for line := range strings.SplitSeq(strings.TrimSpace(h.log.String()), "\n") {
		_, rest, ok := strings.Cut(line, `"cache":"`)
		if ok {
			outcome, _, _ := strings.Cut(rest, `"`)
			list = append(list, outcome)
		}
	}
	h.log.Reset()
	return list
}
