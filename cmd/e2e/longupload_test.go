package e2e

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authz"
	"gatehouse/cmd/internal/dockertest"
	"gatehouse/metrics"
	"gatehouse/proxy"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// slowHouse is a gateway in this process whose clock says, whenever a request of
// an upload session begins, that the token's life and its minute of grace are over:
// as if every chunk before it had taken that long. For all other requests it is
// right, as the client's own clock would have told it to fetch a new token.
type slowHouse struct {
	gateway http.Handler
	ahead   time.Duration

	mu   sync.Mutex // one request at a time, for each has its own time
	lead time.Duration
	late int // requests of upload sessions

	log logBuffer
}

// expired is what the access log says of a token after its end.
var expired = tokens.ErrExpired.Error()

func (h *slowHouse) now() time.Time { return time.Now().Add(h.lead) }

var sessionRequest = regexp.MustCompile(`/blobs/uploads/.`)

func (h *slowHouse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lead = 0
	if sessionRequest.MatchString(r.URL.Path) {
		h.lead = h.ahead
		h.late++
	}
	h.gateway.ServeHTTP(w, r)
}

// startSlowHouse returns the host:port of such a gateway in front of a registry.
func startSlowHouse(t *testing.T, registry string, grace time.Duration) (*slowHouse, string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const lifetime = time.Minute
	h := &slowHouse{ahead: lifetime + time.Minute + time.Second}
	m := metrics.New(metrics.BuildInfo{})
	key, err := tokens.GenerateKey()
	must(err)
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: lifetime,
		KeyFiles: []authn.SecretFile{key}, Metrics: m, Now: h.now})
	must(err)
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{{Username: "mozart", PasswordFile: authn.SecretFile{Secret: musicians}}}})
	must(err)
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{static}})
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Allow: []string{"pull", "push"}, Repositories: []string{"anyuser/**"}, To: []string{"user:mozart"}}}})
	must(err)
	gateway, err := proxy.New(proxy.Config{Upstream: upstream.Config{URL: registry}, Service: "gatehouse", UploadGrace: grace,
		Keyring: keyring, Chain: chain, Policy: policy, Metrics: m,
		Access:  slog.New(slog.NewJSONHandler(&h.log, nil)),
		Granter: tokens.NewGranter(tokens.GranterConfig{Keyring: keyring, Chain: chain, Policy: policy})})
	must(err)
	t.Cleanup(gateway.Close)
	h.gateway = gateway
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, server.Listener.Addr().String()
}

// pusher pushes an image of its own to a repository below anyuser/ of the host,
// as mozart, and returns what the client said.
type pusher struct {
	name string
	push func(t *testing.T, host string) (string, error)
}

// pushers are docker, skopeo and crane's library, with a layer of that size.
func pushers(t *testing.T, layerSize int64) []pusher {
	t.Helper()
	authntest.Need(t, "skopeo")
	e := engine{dockertest.Start(t)}
	image := linuxImage(t, layerSize)
	e.Run(t, "load", "-q", "-i", archive(t, image, "long:v1"))
	_, source := imageFolder(t, layerSize)
	return []pusher{
		{"docker", func(t *testing.T, host string) (string, error) {
			e.signIn(t, "mozart", musicians, host)
			e.Run(t, "tag", "long:v1", host+"/anyuser/docker:v1")
			return e.Output("push", host+"/anyuser/docker:v1")
		}},
		{"skopeo", func(_ *testing.T, host string) (string, error) {
			out, err := exec.Command(authntest.Program("skopeo"), "--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds=mozart:"+musicians,
				source, "docker://"+host+"/anyuser/skopeo:v1").CombinedOutput()
			return string(out), err
		}},
		{"crane", func(t *testing.T, host string) (string, error) {
			g := &gateway{address: host, client: &http.Client{Transport: &http.Transport{}}}
			defer g.client.CloseIdleConnections()
			err := remote.Write(g.reference(t, "anyuser/crane:v1"), image, g.as("mozart", musicians)...)
			if err != nil {
				return err.Error(), err
			}
			return "", nil
		}},
	}
}

// logBuffer keeps what a gateway in this process wrote.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestLongUpload: a push whose every chunk outlives the token succeeds, and it is
// the upload grace that makes it so: without any the same push is refused.
func TestLongUpload(t *testing.T) {
	registry := startRegistry(t)
	for _, p := range pushers(t, 100_000) {
		t.Run(p.name, func(t *testing.T) {
			none, host := startSlowHouse(t, registry.url(), 0)
			if out, err := p.push(t, host); err == nil || !strings.Contains(none.log.String(), expired) {
				t.Errorf("without a grace: %v, and no refusal of an expired token:\n%s", err, out)
			}
			house, host := startSlowHouse(t, registry.url(), 6*time.Hour)
			if out, err := p.push(t, host); err != nil || strings.Contains(house.log.String(), expired) {
				t.Errorf("with a grace: %v\n%s", err, out)
			}
			if house.late < 4 { // two blobs, each with a chunk and an end
				t.Errorf("%d late requests", house.late)
			}
		})
	}
}
