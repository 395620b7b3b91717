//go:build cache

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gatehouse/authn/authntest"
)

// An S3 of loopback, for distribution's own driver.
const fakeS3 = "github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0"

// startObjectStore runs an S3 with one bucket, in which distribution keeps all it has, and
// returns the address of the S3 beside the registry.
func startObjectStore(t *testing.T) (address string, r *registry) {
	t.Helper()
	address = authntest.FreeAddress(t)
	s3 := start(t, goProgram(t, fakeS3), "-backend", "memory", "-initialbucket", "registry", "-host", address, "-quiet")
	if err := s3.Await(20*time.Second, func() bool { return authntest.Listening(address) }); err != nil {
		t.Fatal(err)
	}
	return address, startRegistryLike(t, registrySetup{Program: distributionV3(t), Driver: fmt.Sprintf(
		"s3: {region: us-east-1, regionendpoint: %q, bucket: registry, accesskey: a, secretkey: b, secure: false, forcepathstyle: true}", "http://"+address)})
}

// TestObjectStore: distribution keeps its blobs in an S3 and redirects clients to it. With a
// cache on disk the gateway passes the redirect on, or fetches behind it where it may, and
// what clients get is what was pushed; manifests are hits.
func TestObjectStore(t *testing.T) {
	store, r := startObjectStore(t)
	g := startGateway(t, setup{Upstream: r.url(), UpstreamKeys: fmt.Sprintf("redirect_hosts: [%q]", store), Sections: "cache: {dir: cache, small: 0, free: 0%}"})
	image := g.push(t, "team/app:v1", "admin", adminPassword)
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	token := g.token(t, "test", testPassword, "repository:team/app:pull")
	g.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range 2 {
		a := g.get("/v2/team/app/blobs/"+layer.String(), token).want(t, "a blob in the store", http.StatusTemporaryRedirect)
		res, err := http.Get(a.header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, want) {
			t.Errorf("behind the redirect: status %d, %d bytes, %v", res.StatusCode, len(got), err)
		}
		if _, err := pullWhole(g.reference(t, "team/app:v1"), g.as("test", testPassword)...); err != nil {
			t.Errorf("the image: %v", err)
		}
	}
	if hits := g.metric(t, `gatehouse_cache_requests_total{cache="tag",result="hit"}`); hits == 0 {
		t.Error("no manifest was a hit")
	}
	if n := g.metric(t, `gatehouse_content_entries{store="disk"}`); n != 0 {
		t.Errorf("%v redirects are kept as blobs", n)
	}
}

// TestZot: zot with dedupe knows a blob of one repository in all, and what it says of that
// differs by version and method. With the cache on, each answer is the one that a second zot
// without a gateway gives to the same requests in the same order.
func TestZot(t *testing.T) {
	program := os.Getenv("GATEHOUSE_ZOT")
	if program == "" {
		t.Skip("GATEHOUSE_ZOT names no zot; its module cannot be installed by version (it replaces others), so build cmd/zot of a clone")
	}
	bare, behind := startZot(t, program), startZot(t, program)
	g := startGateway(t, setup{Upstream: "http://" + behind, Sections: "cache: {}"})
	image := g.push(t, "team/b:v1", "admin", adminPassword)
	direct := &gateway{address: bare, scheme: "http", client: g.client}
	if err := remote.Write(direct.reference(t, "team/b:v1"), image); err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	layer := manifest.Layers[0].Digest.String()
	token := g.token(t, "test", testPassword, "repository:team/a:pull", "repository:team/b:pull")
	foreign := 0
	for i, path := range []string{
		"GET b/blobs/" + layer, "GET b/blobs/" + layer, "GET a/blobs/" + layer, "GET b/manifests/" + digest.String(), "GET b/manifests/" + digest.String(),
		"GET a/manifests/" + digest.String(), "GET b/blobs/" + digest.String(), "HEAD a/blobs/" + layer, "GET a/blobs/" + layer, "GET b/blobs/" + layer,
	} {
		var method, rest string
		fmt.Sscan(path, &method, &rest)
		accept := func(r *http.Request) { r.Header.Set("Accept", string(manifest.MediaType)) }
		got := g.send(method, "/v2/team/"+rest, func(r *http.Request) { accept(r); bearer(token)(r) }, nil)
		want := direct.send(method, "/v2/team/"+rest, accept, nil)
		if got.status != want.status || got.status == http.StatusOK && !bytes.Equal(got.body, want.body) {
			t.Errorf("%d %s: status %d, %d bytes; of zot itself %d, %d bytes", i, path, got.status, len(got.body), want.status, len(want.body))
		}
		if want.status == http.StatusNotFound {
			foreign++
		}
	}
	if foreign == 0 {
		t.Error("zot refused nothing: the sequence shows nothing")
	}
}

// startZot runs zot, without any login, and returns its address.
func startZot(t *testing.T, program string) string {
	t.Helper()
	address, dir := authntest.FreeAddress(t), t.TempDir()
	host, port, _ := net.SplitHostPort(address)
	config := filepath.Join(dir, "zot.json")
	write(t, config, fmt.Sprintf(`{"storage": {"rootDirectory": %q, "dedupe": true, "gc": false}, "http": {"address": %q, "port": %q, "compat": ["docker2s2"]}, "log": {"level": "warn"}}`,
		filepath.Join(dir, "zot"), host, port))
	zot := start(t, program, "serve", config)
	if err := zot.Await(30*time.Second, func() bool { return authntest.Listening(address) }); err != nil {
		t.Fatal(err)
	}
	return address
}
