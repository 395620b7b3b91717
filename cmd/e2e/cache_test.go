package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestContentCache: before a real registry, hits are what it would answer, and a push that
// comes after the registry lost a layer brings that again (distribution #4569).
func TestContentCache(t *testing.T) {
	r := startRegistry(t)
	g := startGateway(t, setup{Upstream: r.url(), Sections: "cache: {}"})
	image := g.push(t, "team/app:v1", "admin", adminPassword)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	token := g.token(t, "test", testPassword, "repository:team/app:pull", "repository:team/other:pull")
	ask := func(method, path string) answer {
		return g.send(method, path, func(r *http.Request) {
			bearer(token)(r)
			r.Header.Set("Accept", string(manifest.MediaType))
			if strings.Contains(path, "/blobs/") {
				r.Header.Del("Accept")
			}
		}, nil)
	}
	direct := func(method, path, accept string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequest(method, r.url()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(res.Body); err != nil {
			t.Fatal(err)
		}
		return res, body.Bytes()
	}
	layer := manifest.Layers[0].Digest.String()
	for _, path := range []string{"/v2/team/app/manifests/" + digest.String(), "/v2/team/app/manifests/v1", "/v2/team/app/blobs/" + layer} {
		bare, body := direct("GET", path, string(manifest.MediaType))
		ask("GET", path).want(t, path, http.StatusOK)
		hit := ask("GET", path).want(t, path, http.StatusOK)
		if !bytes.Equal(hit.body, body) || hit.header.Get("Cache-Status") != "gatehouse; hit" {
			t.Errorf("%s: %v, %d bytes", path, hit.header, len(hit.body))
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Docker-Content-Digest", "Etag"} {
			if got, want := hit.header.Get(name), bare.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, at the registry %q", path, name, got, want)
			}
		}
	}
	ask("GET", "/v2/team/other/manifests/"+digest.String()).want(t, "a foreign manifest", http.StatusNotFound)
	ask("GET", "/v2/team/other/blobs/"+layer).want(t, "a foreign layer", http.StatusNotFound)

	direct("DELETE", "/v2/team/app/blobs/"+layer, "")
	if err := remote.Write(g.reference(t, "team/app:v2"), image, g.as("admin", adminPassword)...); err != nil {
		t.Fatal(err)
	}
	if _, err := pullWhole(g.reference(t, "team/app:v2"), g.as("test", testPassword)...); err != nil {
		t.Errorf("the image after its layer was lost and pushed again: %v", err)
	}
	if res, _ := direct("HEAD", "/v2/team/app/blobs/"+layer, ""); res.StatusCode != http.StatusOK {
		t.Errorf("the registry has the layer: %d", res.StatusCode)
	}
	admin := g.token(t, "admin", adminPassword, "repository:team/app:delete")
	g.send(http.MethodDelete, "/v2/team/app/manifests/"+digest.String(), bearer(admin), nil).want(t, "DELETE", http.StatusAccepted)
	ask("GET", "/v2/team/app/manifests/"+digest.String()).want(t, "what was deleted", http.StatusNotFound)
}
