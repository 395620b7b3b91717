package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// cachedImage is an image behind a gateway with a cache: its paths, and how to ask for them.
type cachedImage struct {
	*gateway
	manifest, layer, tag string // paths
	mediaType            string
}

// pushCached pushes an image.
func (g *gateway) pushCached(t *testing.T, repository string) cachedImage {
	t.Helper()
	image := g.push(t, repository+":v1", "admin", adminPassword)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	base := "/v2/" + repository
	return cachedImage{g, base + "/manifests/" + digest.String(), base + "/blobs/" + m.Layers[0].Digest.String(), base + "/manifests/v1", string(m.MediaType)}
}

// paths are all that there is of the image.
func (c cachedImage) paths() []string { return []string{c.manifest, c.layer, c.tag} }

func (c cachedImage) ask(method, path, token string) answer {
	return c.send(method, path, func(r *http.Request) {
		bearer(token)(r)
		if strings.Contains(path, "/manifests/") {
			r.Header.Set("Accept", c.mediaType)
		}
	}, nil)
}

// hits asks for all until each is a hit.
func (c cachedImage) hits(t *testing.T, who, token string) {
	t.Helper()
	for _, path := range c.paths() {
		c.ask("GET", path, token).want(t, who+" pulls", http.StatusOK)
		if a := c.ask("GET", path, token).want(t, who+" pulls again", http.StatusOK); a.header.Get("Cache-Status") != "gatehouse; hit" {
			t.Errorf("%s, %s: no hit: %v", who, path, a.header)
		}
	}
}

// refused holds that nothing of it is given out, by whatever method.
func (c cachedImage) refused(t *testing.T, who, token string, status int) {
	t.Helper()
	for _, path := range c.paths() {
		for _, method := range []string{"GET", "HEAD"} {
			if a := c.ask(method, path, token); a.status != status || a.header.Get("Cache-Status") != "" {
				t.Errorf("%s, %s %s: status %d, want %d: %v", who, method, path, a.status, status, a.header)
			}
		}
	}
}

// TestCacheRightsEnd: what was a hit a moment ago is refused when the right to it has ended: a
// group was left, a rule taken away, a token revoked. Others have it as before.
func TestCacheRightsEnd(t *testing.T) {
	ldap := startDirectory(t)
	const rule = `  - {allow: [pull], repositories: ["open/**"], to: ["user:guest"]}`
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: ldap, FreshFor: "2s", StaleFor: "10m", Timeout: "1s", Tokens: "lifetime: 10m",
		Policy: `  - {allow: [pull], repositories: ["band/**"], to: ["group:quartet"]}` + "\n" + rule, Sections: "cache: {stale_for: 1h, tags_fresh_for: 1m}"})
	quartet := ldap.AddGroup("quartet", authntest.MozartDN, authntest.BachDN)
	band, open := g.pushCached(t, "band/score"), g.pushCached(t, "open/score")
	mozart, bach := g.token(t, "mozart", musicians, "repository:band/score:pull"), g.token(t, "bach", musicians, "repository:band/score:pull")
	guest, test := g.token(t, "guest", guestPassword, "repository:open/score:pull"), g.token(t, "test", testPassword, "repository:open/score:pull")
	band.hits(t, "mozart", mozart)
	open.hits(t, "guest", guest)

	leave(ldap, quartet, authntest.MozartDN)
	eventually(t, bound, "the group's right is lost", func() bool { return band.ask("GET", band.layer, mozart).status != http.StatusOK })
	band.refused(t, "mozart, who left", mozart, http.StatusForbidden)
	band.hits(t, "bach, who did not", bach)

	change := func(old, new string) {
		t.Helper()
		text, err := os.ReadFile(g.config)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), old) {
			t.Fatalf("the config has no %q", old)
		}
		write(t, g.config, strings.Replace(string(text), old, new, 1))
		g.reload(t)
	}
	change(rule, "")
	open.refused(t, "guest, whose rule is gone", guest, http.StatusForbidden)
	open.hits(t, "test, who has another", test)

	change("lifetime: 10m", "lifetime: 10m, revoked: [{user: test}]")
	open.refused(t, "test, who is revoked", test, http.StatusUnauthorized)
	band.hits(t, "bach, who is not", bach)
	nobody := func(path string) answer { return g.send("GET", path, func(*http.Request) {}, nil) }
	for _, path := range append(open.paths(), band.paths()...) {
		nobody(path).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	}
}

// TestCacheOutage: the registry is killed under load: what was seen is served by digest without a
// single failure within stale_for, and 502 after it; when the registry is back it is asked again.
func TestCacheOutage(t *testing.T) {
	r := startRegistry(t)
	const staleFor = 8 * time.Second
	g := startGateway(t, setup{Upstream: r.url(), Sections: "cache: {fresh_for: 1s, stale_for: " + staleFor.String() + "}"})
	image := g.pushCached(t, "team/app")
	token := g.token(t, "test", testPassword, "repository:team/app:pull", "repository:team/none:pull")
	image.hits(t, "test", token)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var pulls atomic.Int64
	for range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				path := image.paths()[i%2]
				a := image.ask("GET", path, token)
				if a.status != http.StatusOK {
					t.Errorf("%s: status %d %s", path, a.status, a.body)
				}
				pulls.Add(1)
			}
		})
	}
	if !await(10*time.Second, func() bool { return pulls.Load() > 100 }) {
		t.Fatal("no load")
	}
	killed := time.Now()
	r.Kill()
	stale := func() int { return strings.Count(g.Log(), `"cache":"stale"`) }
	if !await(staleFor/2, func() bool { return stale() > 100 }) {
		t.Errorf("%d stale answers", stale())
	}
	cancel()
	all.Wait()
	if a := image.ask("GET", "/v2/team/none/manifests/v1", token); a.status != http.StatusBadGateway {
		t.Errorf("what was never seen: status %d", a.status)
	}
	t.Logf("%d pulls, %d of them stale", pulls.Load(), stale())
	eventually(t, staleFor+5*time.Second, "the end of stale_for", func() bool { return image.ask("GET", image.layer, token).status == http.StatusBadGateway })
	if took := time.Since(killed); took < staleFor-2*time.Second { // the last yes is up to fresh_for older
		t.Errorf("over after %s", took)
	}
	r.resume(t)
	eventually(t, 10*time.Second, "the registry is asked again", func() bool {
		a := image.ask("GET", image.layer, token)
		return a.status == http.StatusOK && a.header.Get("Cache-Status") == "gatehouse; hit"
	})
}

// TestCachePushAgain: the registry loses a layer behind the gateway's back; docker, skopeo and
// crane push the image again and it is whole (distribution #4569): no push leaves out what only
// the cache remembers.
func TestCachePushAgain(t *testing.T) {
	authntest.Need(t, "skopeo")
	e := engine{dockertest.Start(t)}
	r := startRegistry(t)
	g := startGateway(t, setup{Upstream: r.url(), Sections: "cache: {dir: cache, small: 1KiB, free: 0%}"})
	made, source := imageFolder(t, 100_000)
	e.signIn(t, "admin", adminPassword, g.address)
	image := g.address + "/team/docker:v1"
	e.build(t, 30_000, image)
	tag := 0
	for name, push := range map[string]func(){
		"docker": func() { e.Run(t, "push", image) },
		"skopeo": func() {
			skopeo(t, "copy", "--dest-creds=admin:"+adminPassword, "--dest-tls-verify=false", source, "docker://"+g.address+"/team/skopeo:v1")
		},
		"crane": func() { // which looks no further where the tag names the manifest already
			tag++
			if err := remote.Write(g.reference(t, fmt.Sprintf("team/crane:v%d", tag)), made, g.as("admin", adminPassword)...); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			push()
			pull := func() error {
				_, err := pullWhole(g.reference(t, "team/"+name+":v1"), g.as("test", testPassword)...)
				return err
			}
			for range 2 { // the second one are hits
				if err := pull(); err != nil {
					t.Fatal(err)
				}
			}
			pulled, _ := pullWhole(g.reference(t, "team/"+name+":v1"), g.as("test", testPassword)...)
			layer := "/v2/team/" + name + "/blobs/" + firstLayer(t, pulled).String()
			direct := func(method string) int {
				req, _ := http.NewRequest(method, r.url()+layer, nil)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				return res.StatusCode
			}
			if status := direct("DELETE"); status != http.StatusAccepted {
				t.Fatalf("DELETE: %d", status)
			}
			push()
			if status := direct("HEAD"); status != http.StatusOK {
				t.Errorf("after the second push the registry answers %d: the layer was left out", status)
			}
			if err := pull(); err != nil {
				t.Errorf("after the second push: %v", err)
			}
		})
	}
}

// TestCacheHeads: a HEAD of a hit has the length and no body, over HTTP/1.1 and HTTP/2, in clear
// text and over TLS; so have its GETs all bytes, from memory and from the disk.
func TestCacheHeads(t *testing.T) {
	registry := startBlobs(t, 5<<20+1, 1000)
	manifests := startRegistry(t)
	for what, c := range map[string]struct {
		pair  *keyPair
		proto int
	}{"plain": {nil, 1}, "TLS": {newKeyPair(t), 1}, "HTTP/2": {newKeyPair(t), 2}} {
		t.Run(what, func(t *testing.T) {
			using := func(g *gateway) {
				if c.pair != nil {
					transport := &http.Transport{TLSClientConfig: c.pair.trust(), ForceAttemptHTTP2: c.proto == 2}
					if c.proto == 1 {
						transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
					}
					g.client = &http.Client{Transport: transport}
				}
			}
			g := startGateway(t, setup{Upstream: manifests.url(), TLS: c.pair, Sections: "cache: {}"})
			using(g)
			image := g.pushCached(t, "team/app")
			token := g.token(t, "test", testPassword, "repository:team/app:pull")
			body := image.ask("GET", image.manifest, token).want(t, "the manifest", http.StatusOK).body
			for range 2 {
				a := image.ask("HEAD", image.manifest, token).want(t, "HEAD", http.StatusOK)
				if a.header.Get("Cache-Status") != "gatehouse; hit" || a.header.Get("Content-Length") != strconv.Itoa(len(body)) || len(a.body) != 0 || len(body) == 0 {
					t.Errorf("HEAD of %d bytes: %v, %d bytes", len(body), a.header, len(a.body))
				}
			}
			d := startGateway(t, setup{Upstream: registry.URL, TLS: c.pair, Sections: "cache: {dir: cache, free: 0%}"})
			using(d)
			token = d.token(t, "test", testPassword, "repository:team/app:pull")
			for i, content := range registry.content {
				for _, hit := range []bool{false, true} {
					req, _ := http.NewRequest("GET", d.scheme+"://"+d.address+"/v2/team/app/blobs/"+registry.digests[i], nil)
					bearer(token)(req)
					res, err := d.client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(res.Body)
					res.Body.Close()
					if res.ProtoMajor != c.proto || err != nil || string(got) != string(content) || res.ContentLength != int64(len(content)) || (res.Header.Get("Cache-Status") != "") != hit {
						t.Errorf("%d, HTTP/%d: %d bytes, %v, %v", i, res.ProtoMajor, len(got), err, res.Header)
					}
					awaitKept(t, d, filepath.Join(filepath.Dir(d.config), "cache"), registry.digests[0])
				}
			}
		})
	}
}
