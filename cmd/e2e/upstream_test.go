package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/crypto/bcrypt"
)

// TestUpstreams runs a registry in each way that one is set up behind a gateway.
func TestUpstreams(t *testing.T) { testUpstreams(t, "docker-registry") }

// testUpstreams pushes, pulls, lists and deletes through the gateway, whatever the
// registry takes for its own address, and wants no answer to tell that.
func testUpstreams(t *testing.T, program string) {
	pair := newKeyPair(t)
	for _, tt := range []struct {
		name     string
		registry registrySetup
		behind   string
		prefix   string // of upstream.url
		proxy    bool   // the prefix is a proxy's, which takes it off
	}{
		{name: "plain"},
		{name: "relative", registry: registrySetup{HTTP: "relativeurls: true"}},
		{name: "host as the gateway's", registry: registrySetup{HTTP: `host: "http://registry.example.com"`}},
		{name: "host that is wrong", registry: registrySetup{HTTP: `host: "https://inner.invalid:9999"`}},
		{name: "prefix of the registry", registry: registrySetup{HTTP: "prefix: /registry/"}, prefix: "/registry/"},
		{name: "prefix of the registry, relative", registry: registrySetup{HTTP: "prefix: /registry/, relativeurls: true"}, prefix: "/registry"},
		{name: "prefix of a proxy", prefix: "/registry/", proxy: true},
		{name: "login", registry: registrySetup{Auth: htpasswd(t, "gateway", upstreamPassword)}, behind: "username: gateway, password_file: " + secretFile(t, upstreamPassword)},
		{name: "private CA", registry: registrySetup{TLS: pair}, behind: "ca_file: " + pair.authority()},
		{name: "client certificate", registry: registrySetup{TLS: pair, Mutual: true},
			behind: fmt.Sprintf("ca_file: %s, cert_file: %s, key_file: %s", pair.authority(), pair.Cert, pair.Key)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.registry.Program = program
			reg := startRegistryLike(t, tt.registry)
			address := reg.url()
			if tt.proxy {
				address = stripPrefix(t, address, tt.prefix)
			}
			g := startGateway(t, setup{Upstream: address + tt.prefix, UpstreamKeys: tt.behind})
			inner := []string{reg.address, address, "inner.invalid", "/registry/"}
			g.watch(t, inner)
			g.roundTrip(t)
		})
	}
}

const upstreamPassword = "canary-upstream-1be0"

// htpasswd is a registry's `auth` for one user.
func htpasswd(t *testing.T, user, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "htpasswd")
	write(t, name, user+":"+string(hash)+"\n")
	return "{htpasswd: {realm: registry, path: " + name + "}}"
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	write(t, name, secret+"\r\n")
	return name
}

// stripPrefix is a proxy in front of a registry that knows nothing of the prefix.
func stripPrefix(t *testing.T, upstream, prefix string) string {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.StripPrefix(strings.TrimSuffix(prefix, "/"), proxy))
	t.Cleanup(server.Close)
	return server.URL
}

// watch fails the test where an answer of the gateway holds one of these words in
// its header, or leads anywhere but to a path.
func (g *gateway) watch(t *testing.T, words []string) {
	g.client.Transport = watched{g.client.Transport, func(resp *http.Response) {
		for key, values := range resp.Header {
			for _, value := range values {
				if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(value, w) }) {
					t.Errorf("%s %s: %s: %s", resp.Request.Method, resp.Request.URL, key, value)
				}
			}
		}
		if location := resp.Header.Get("Location"); location != "" && !strings.HasPrefix(location, "/v2/") {
			t.Errorf("%s %s leads to %s", resp.Request.Method, resp.Request.URL, location)
		}
	}}
}

// watched shows every answer to look.
type watched struct {
	http.RoundTripper
	look func(*http.Response)
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil {
		w.look(resp)
	}
	return resp, err
}

// roundTrip pushes an image, pulls it, finds it in the lists and deletes it, with
// as few logins as a client needs.
func (g *gateway) roundTrip(t *testing.T) {
	t.Helper()
	ctx, as := t.Context(), g.as("admin", adminPassword)
	pusher, err := remote.NewPusher(as...)
	if err != nil {
		t.Fatal(err)
	}
	puller, err := remote.NewPuller(as...)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(4096, 2)
	if err != nil {
		t.Fatal(err)
	}
	one := g.reference(t, "team/app:one")
	for _, ref := range []name.Reference{one, g.reference(t, "team/app:two")} {
		if err := pusher.Push(ctx, ref, image); err != nil {
			t.Fatalf("push: %v", err)
		}
	}
	g.samePull(t, puller, one, image)
	tags, err := puller.List(ctx, one.Context())
	if slices.Sort(tags); err != nil || !slices.Equal(tags, []string{"one", "two"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	names, err := remote.Catalog(ctx, one.Context().Registry, append(as, remote.Reuse(puller))...)
	if err != nil || !slices.Equal(names, []string{"team/app"}) {
		t.Errorf("catalog %v, %v", names, err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := pusher.Delete(ctx, one.Context().Digest(digest.String())); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := puller.Head(ctx, one); err == nil {
		t.Error("what was deleted is still there")
	}
}

// samePull pulls and compares; whoever reads a layer to its end checks its digest.
func (g *gateway) samePull(t *testing.T, puller *remote.Puller, ref name.Reference, pushed v1.Image) {
	t.Helper()
	d, err := puller.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := d.Image()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Errorf("pulled: %v", err)
	}
	got, err := pulled.Digest()
	want, wantErr := pushed.Digest()
	if err != nil || wantErr != nil || got != want {
		t.Errorf("pulled %v, pushed %v: %v, %v", got, want, err, wantErr)
	}
}

// TestUpstreamRefuses: what stands behind is at fault, and the client is not told
// to log in there.
func TestUpstreamRefuses(t *testing.T) {
	pair := newKeyPair(t)
	for _, tt := range []struct {
		name     string
		registry registrySetup
		behind   string
		ready    int // a login that we have none for may be meant for others (H7)
	}{
		{"no login", registrySetup{Auth: htpasswd(t, "gateway", upstreamPassword)}, "", http.StatusOK},
		{"a wrong login", registrySetup{Auth: htpasswd(t, "gateway", upstreamPassword)}, "username: gateway, password_file: " + secretFile(t, wrongPassword), http.StatusServiceUnavailable},
		{"a CA that nobody trusts", registrySetup{TLS: pair}, "", http.StatusServiceUnavailable},
		{"no client certificate", registrySetup{TLS: pair, Mutual: true}, "ca_file: " + pair.authority(), http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := startRegistryLike(t, tt.registry)
			g := startGateway(t, setup{Upstream: reg.url(), UpstreamKeys: tt.behind, Ailing: true})
			if status := g.status("/readyz"); status != tt.ready {
				t.Errorf("/readyz: %d, want %d", status, tt.ready)
			}
			token := g.token(t, "test", testPassword, "repository:team/app:pull", "registry:catalog:*")
			for _, path := range []string{"/v2/team/app/manifests/one", "/v2/team/app/tags/list", "/v2/_catalog"} {
				a := g.get(path, token)
				a.refusal(t, http.StatusBadGateway, "UNAVAILABLE")
				if a.header.Get("Www-Authenticate") != "" || strings.Contains(string(a.body), reg.address) {
					t.Errorf("%s: %v %s", path, a.header, a.body)
				}
			}
		})
	}
}

// TestCatalogPages: the gateway's pages over a real registry, whose order of names
// is its own, hold each name that the caller may pull once, whatever their size.
func TestCatalogPages(t *testing.T) { testCatalogPages(t, "docker-registry") }

func testCatalogPages(t *testing.T, program string) {
	reg := startRegistryLike(t, registrySetup{Program: program, Catalog: 2})
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, repository := range []string{"a/b", "a-b", "a.b/c", "a/b/c", "a-b/c", "a/b-c", "ab", "z/z", "a/b__c/d",
		"hidden/a", "a/hidden", "zz-hidden", "a-b/hidden", "0hidden/x", "hidden/b", "hidden/c", "hidden/d", "y-hidden/a", "y-hidden/b", "y-hidden/c"} {
		ref, err := name.ParseReference(reg.address + "/" + repository + ":x")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(repository, "hidden") {
			want = append(want, repository)
		}
	}
	slices.Sort(want)
	g := startGateway(t, setup{Upstream: reg.url(), Policy: `  - {allow: [pull], repositories: ["**"], to: ["user:guest"]}
  - {deny: [pull], repositories: ["hidden/**", "**/hidden", "zz-hidden", "0hidden/**", "y-hidden/**"], to: ["user:guest"]}`})
	walkCatalog(t, g, want)
	// The same by rules that name what is visible: what lies between is left out (row A6).
	g = startGateway(t, setup{Upstream: reg.url(), Policy: `  - {allow: [pull], repositories: ["a/**", "a-b", "a-b/c", "a.b/**", "ab", "z/z"], to: ["user:guest"]}
  - {deny: [pull], repositories: ["**/hidden"], to: ["user:guest"]}`})
	walkCatalog(t, g, want)
}

// walkCatalog follows the catalog's links with every page size, as guest.
func walkCatalog(t *testing.T, g *gateway, want []string) {
	t.Helper()
	token := g.token(t, "guest", guestPassword, "registry:catalog:*")
	for n := 1; n <= len(want)+1; n++ {
		var all []string
		pages := 0
		for path := fmt.Sprintf("/v2/_catalog?n=%d", n); path != ""; pages++ {
			a := g.get(path, token).want(t, path, http.StatusOK)
			var page struct{ Repositories []string }
			if err := json.Unmarshal(a.body, &page); err != nil || len(page.Repositories) > n || pages > len(want) {
				t.Fatalf("%s: %v, %s", path, err, a.body)
			}
			link := a.header.Get("Link")
			if strings.Contains(link, "hidden") || len(page.Repositories) == 0 && link != "" {
				t.Errorf("%s: %s leads on to %s", path, a.body, link)
			}
			all = append(all, page.Repositories...)
			path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
		}
		if slices.Sort(all); !slices.Equal(all, want) {
			t.Errorf("n=%d: %v, want %v", n, all, want)
		}
	}
}
