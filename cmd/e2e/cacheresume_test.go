package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gatehouse/authn/authntest"
)

// cutter stands before a registry and cuts the first answers with a blob in their middle.
type cutter struct {
	*httptest.Server
	mu     sync.Mutex
	left   int      // answers that are still to be cut
	ranges []string // that were asked for of it
}

func startCutter(t *testing.T, registry, digest string, cuts int) *cutter {
	t.Helper()
	target, err := url.Parse(registry)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{left: cuts}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ModifyResponse: func(res *http.Response) error {
		if res.Request.Method != http.MethodGet || !strings.HasSuffix(res.Request.URL.Path, "/blobs/"+digest) {
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ranges = append(c.ranges, res.Request.Header.Get("Range"))
		if c.left--; c.left >= 0 {
			res.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(res.Body, res.ContentLength/2), cutOff{}), res.Body}
		}
		return nil
	}}
	proxy.ErrorLog = nil
	c.Server = httptest.NewServer(proxy)
	t.Cleanup(c.Close)
	return c
}

// cutOff is the end of a connection.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// asked is what was asked for of the blob, by Range.
func (c *cutter) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ranges
}

// pullsOfV1 are clients that pull team/app:v1, as a new machine would.
var pullsOfV1 = map[string]func(t *testing.T, g *gateway) error{
	"skopeo": func(t *testing.T, g *gateway) error {
		out, err := trySkopeo("copy", "--src-creds=test:"+testPassword, "--src-tls-verify=false", "docker://"+g.address+"/team/app:v1", "dir:"+t.TempDir())
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	},
	"containerd": func(t *testing.T, g *gateway) error {
		_, err := authntest.Run(exec.Command(authntest.Program("ctr"), "-a", startContainerd(t, "containerd", ""), "content", "fetch", "--plain-http",
			"--user", "test:"+testPassword, g.address+"/team/app:v1"))
		return err
	},
}

// TestPullsWhileAway: while the registry is away each client pulls by tag what was pulled so before,
// containerd too, which begins with a HEAD.
func TestPullsWhileAway(t *testing.T) {
	authntest.Need(t, "containerd", "ctr", "skopeo")
	for name, pull := range pullsOfV1 {
		t.Run(name, func(t *testing.T) {
			r := startRegistry(t)
			g := startGateway(t, setup{Upstream: r.url(), Sections: "cache: {fresh_for: 1s, stale_for: 1h}"})
			image, err := random.Image(10<<10, 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(r.bare().reference(t, "team/app:v1"), image); err != nil {
				t.Fatal(err)
			}
			if err := pull(t, g); err != nil {
				t.Fatal(err)
			}
			r.Kill()
			for range 2 {
				if err := pull(t, g); err != nil {
					t.Errorf("away: %v", err)
				}
			}
			if !g.logs(`"cache":"stale"`) {
				t.Error("nothing was stale")
			}
		})
	}
}

// TestResumedPulls: a layer of which the registry cuts one answer after the other. The gateway goes
// on once by itself; then its client is cut, and containerd goes on by a Range where it was, skopeo
// from the beginning: the image is whole, and the next client has it too.
func TestResumedPulls(t *testing.T) {
	authntest.Need(t, "containerd", "ctr", "skopeo")
	for name, pull := range pullsOfV1 {
		t.Run(name, func(t *testing.T) {
			r := startRegistry(t)
			image, err := random.Image(24<<20, 1)
			if err != nil {
				t.Fatal(err)
			}
			digest := firstLayer(t, image)
			if err := remote.Write(r.bare().reference(t, "team/app:v1"), image); err != nil {
				t.Fatal(err)
			}
			c := startCutter(t, r.url(), digest.String(), 2)
			g := startGateway(t, setup{Upstream: c.URL, Sections: "cache: {dir: cache, free: 0%}"})
			err = pull(t, g)
			asked := c.asked()
			if name == "skopeo" { // of Debian: it has to be told to pull again
				err = pull(t, g)
			} else if len(asked) < 3 || asked[0] != "" || asked[1] == "" || asked[2] == "" {
				t.Errorf("asked for %q: nobody went on where it was cut", asked)
			}
			if err != nil {
				t.Error(err)
			}
			if _, err := pullWhole(g.reference(t, "team/app:v1"), g.as("test", testPassword)...); err != nil {
				t.Errorf("the next client: %v", err)
			}
		})
	}
}
