package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// answer is what the gateway said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// errorBody is the registry's error JSON (OCI distribution spec, error codes).
type errorBody struct {
	Errors []struct {
		Code, Message string
		Detail        struct {
			RequestID string `json:"request_id"`
			Rule      string
		}
	}
}

// refusal checks that the answer is one of the gateway's own errors and returns it.
func (a answer) refusal(t *testing.T, status int, code string) errorBody {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal(a.body, &e); err != nil || len(e.Errors) != 1 {
		t.Fatalf("want %d %s, got %d with no error JSON: %s", status, code, a.status, a.body)
	}
	if a.status != status || e.Errors[0].Code != code {
		t.Fatalf("want %d %s, got %d: %s", status, code, a.status, a.body)
	}
	if id := e.Errors[0].Detail.RequestID; id == "" || id != a.header.Get("X-Request-Id") {
		t.Errorf("request id %q in the body and %q in the header", id, a.header.Get("X-Request-Id"))
	}
	return e
}

// want fails the test unless the answer has this status.
func (a answer) want(t *testing.T, what string, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: status %d, want %d: %v %s", what, a.status, status, a.header, a.body)
	}
	return a
}

// send makes one request and reads the answer; status 0 is an error on the way.
func (g *gateway) send(method, path string, authorize func(*http.Request), body io.Reader) answer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, g.scheme+"://"+g.address+path, body)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	authorize(req)
	res, err := g.client.Do(req)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	return answer{res.StatusCode, res.Header, text}
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func (g *gateway) get(path, token string) answer {
	return g.send(http.MethodGet, path, bearer(token), nil)
}

// realm asks for a token with Basic credentials.
func (g *gateway) realm(user, password string, scopes ...string) answer {
	query := url.Values{"service": {"gatehouse"}, "scope": scopes}
	return g.send(http.MethodGet, "/auth?"+query.Encode(), func(r *http.Request) { r.SetBasicAuth(user, password) }, nil)
}

// token logs in and returns the token.
func (g *gateway) token(t *testing.T, user, password string, scopes ...string) string {
	t.Helper()
	a := g.realm(user, password, scopes...).want(t, "login of "+user, http.StatusOK)
	var reply struct{ Token string }
	if err := json.Unmarshal(a.body, &reply); err != nil || reply.Token == "" {
		t.Fatalf("the realm's reply has no token (%v): %s", err, a.body)
	}
	return reply.Token
}

// reference is a name that crane's library takes; for a loopback address it
// tries https before http.
func (g *gateway) reference(t *testing.T, repositoryTag string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(g.address + "/" + repositoryTag)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// as are the options of crane's library for one person.
func (g *gateway) as(user, password string) []remote.Option {
	return []remote.Option{
		remote.WithAuth(&ggcr.Basic{Username: user, Password: password}),
		remote.WithTransport(g.client.Transport),
	}
}

// firstLayer is the digest of an image's first layer.
func firstLayer(t *testing.T, image v1.Image) v1.Hash {
	t.Helper()
	m, err := image.Manifest()
	if err != nil || len(m.Layers) == 0 {
		t.Fatalf("an image without layers: %v", err)
	}
	return m.Layers[0].Digest
}

// push pushes a small random image with crane's library.
func (g *gateway) push(t *testing.T, repositoryTag, user, password string) v1.Image {
	t.Helper()
	image, err := random.Image(4096, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(g.reference(t, repositoryTag), image, g.as(user, password)...); err != nil {
		t.Fatalf("%s pushes %s: %v", user, repositoryTag, err)
	}
	return image
}

// pullWhole pulls an image and reads all of it; each layer checks its digest at its end.
func pullWhole(ref name.Reference, as ...remote.Option) (v1.Image, error) {
	image, err := remote.Image(ref, as...)
	if err == nil {
		err = validate.Image(image)
	}
	return image, err
}

// layerTar is a tar with one file of so many bytes that do not compress.
func layerTar(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := &tar.Header{Name: "hello", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}
	if err := w.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, pattern(uint64(size), size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
