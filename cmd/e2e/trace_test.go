package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// recorder stands in front of a registry, hands everything through and keeps what
// was asked and answered.
type recorder struct {
	address string
	mu      sync.Mutex
	seen    []sight
}

// sight is one request as the registry got it, and the status it was answered.
type sight struct {
	method, path string
	query        url.Values
	header       http.Header
	length       int64 // of the body; -1: not said, so it came in chunks
	status       int
}

func startRecorder(t *testing.T, upstream string) *recorder {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Transport:      &http.Transport{DisableCompression: true},
		ModifyResponse: rec.keep,
		ErrorLog:       log.New(io.Discard, "", 0), // of clients that leave early
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host // the registry makes its Location of it
			for key, values := range p.In.Header {
				if strings.HasPrefix(key, "X-Forwarded-") {
					p.Out.Header[key] = values
				}
			}
		},
	})
	t.Cleanup(server.Close)
	rec.address = server.Listener.Addr().String()
	return rec
}

func (rec *recorder) keep(resp *http.Response) error {
	r := resp.Request
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.seen = append(rec.seen, sight{r.Method, r.URL.Path, r.URL.Query(), r.Header.Clone(), r.ContentLength, resp.StatusCode})
	return nil
}

func (rec *recorder) url() string { return "http://" + rec.address }

// sights returns what was seen since the last call.
func (rec *recorder) sights() []sight {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	seen := rec.seen
	rec.seen = nil
	return seen
}

// ours are the fields that the gateway takes away or adds, and those that belong
// to a connection.
var ours = []string{"Authorization", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id", "Connection"}

var sessionPath = regexp.MustCompile(`/blobs/uploads/[^/]+$`)

// line is the request in one line, without what differs from run to run: the
// registry's signed state of an upload, and the order in which a client lists what
// it accepts. Left out is also where we differ on purpose: the content type of
// uploads, which the gateway sets so that no registry reads a form there, the
// origin= of a mount, which names another host and which it drops, and a mount=
// without from=.
func (s sight) line() string {
	query, header := url.Values{}, []string{}
	for key, values := range s.query {
		if key == "_state" {
			values = []string{"STATE"}
		}
		if key != "origin" && (key != "mount" || s.query.Has("from")) {
			query[key] = values
		}
	}
	for key, values := range s.header {
		upload := strings.Contains(s.path, "/blobs/uploads/") && key == "Content-Type"
		if !upload && !slices.Contains(ours, key) {
			header = append(header, key+": "+strings.Join(slices.Sorted(slices.Values(values)), " + "))
		}
	}
	slices.Sort(header)
	return fmt.Sprintf("%s %s?%s %d -> %d {%s}", s.method, sessionPath.ReplaceAllString(s.path, "/blobs/uploads/ID"),
		query.Encode(), s.length, s.status, strings.Join(header, "; "))
}

// lines are the requests sorted, for a client sends some at the same time. The
// base is left out: the gateway answers /v2/ itself (docs/divergences.md).
func lines(seen []sight) []string {
	var list []string
	for _, s := range seen {
		if s.path != "/v2/" {
			list = append(list, s.line())
		}
	}
	slices.Sort(list)
	return list
}

// place is where a client is sent to, and as which user; none: without a login.
type place struct {
	host           string // host:port
	user, password string
}

// sameTrace lets the flow run straight at a registry and through the gateway, and
// wants that the registry sees the same. The flow starts with a client that
// remembers nothing.
func sameTrace(t *testing.T, flow func(*testing.T, place)) {
	t.Helper()
	straight := startRecorder(t, startRegistry(t).url())
	flow(t, place{host: straight.address})
	want := lines(straight.sights())
	if len(want) < 6 {
		t.Fatalf("the flow made no more than these requests: %q", want)
	}
	behind := startRecorder(t, startRegistry(t).url())
	g := startGateway(t, setup{Upstream: behind.url(), LDAP: startDirectory(t), BlobMount: "true",
		Policy: `  - {allow: [delete], repositories: ["anyuser/**"], to: ["user:mozart"]}`})
	flow(t, place{host: g.address, user: "mozart", password: musicians})
	compareTraces(t, want, lines(behind.sights()))
}

// compareTraces names the lines that only one side has.
func compareTraces(t *testing.T, straight, through []string) {
	t.Helper()
	t.Logf("%d requests straight, %d through the gateway", len(straight), len(through))
	count := map[string]int{}
	for _, line := range straight {
		count[line]++
	}
	for _, line := range through {
		count[line]--
	}
	for line, n := range count {
		switch {
		case n > 0:
			t.Errorf("%d times only straight: %s", n, line)
		case n < 0:
			t.Errorf("%d times only through the gateway: %s", -n, line)
		}
	}
}

// linuxImage is a random image that says for which machine it is.
func linuxImage(t *testing.T, layerSize int64) v1.Image {
	t.Helper()
	image, err := random.Image(layerSize, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// TestTrace: no registry can tell that the gateway stands in front. Each client
// pushes, pulls, and pushes again by mounting.
func TestTrace(t *testing.T) {
	t.Run("docker", func(t *testing.T) {
		image := archive(t, linuxImage(t, 50_000), "made:v1")
		sameTrace(t, func(t *testing.T, p place) { dockerTrace(t, p, image) })
	})
	t.Run("skopeo", func(t *testing.T) {
		authntest.Need(t, "skopeo")
		_, source := imageFolder(t, 50_000)
		sameTrace(t, func(t *testing.T, p place) { skopeoTrace(t, p, source) })
	})
	t.Run("crane", func(t *testing.T) {
		image := linuxImage(t, 50_000)
		sameTrace(t, func(t *testing.T, p place) { craneTrace(t, p, image) })
	})
}

func dockerTrace(t *testing.T, p place, archive string) {
	e := engine{dockertest.Start(t)}
	image, second := p.host+"/anyuser/docker:v1", p.host+"/anyuser/again:v1"
	if p.user != "" {
		e.signIn(t, p.user, p.password, p.host)
	}
	e.Run(t, "load", "-i", archive)
	e.Run(t, "tag", "made:v1", image)
	e.Run(t, "push", image)
	e.Run(t, "tag", image, second)
	if out := e.Run(t, "push", second); !strings.Contains(out, "Mounted from anyuser/docker") {
		t.Errorf("docker did not mount:\n%s", out)
	}
	e.Run(t, "image", "rm", "made:v1", image, second)
	e.Run(t, "pull", image)
}

// archive writes the image as docker load takes it, under that name, and returns
// the file's name.
func archive(t *testing.T, image v1.Image, as string) string {
	t.Helper()
	tag, err := name.NewTag(as)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(file, tag, image); err != nil {
		t.Fatal(err)
	}
	return file
}

func skopeoTrace(t *testing.T, p place, source string) {
	image, second := "docker://"+p.host+"/anyuser/skopeo:v1", "docker://"+p.host+"/anyuser/again:v1"
	from, to := []string{"--src-tls-verify=false"}, []string{"--dest-tls-verify=false"}
	credentials := "--no-creds"
	if p.user != "" {
		credentials = "--creds=" + p.user + ":" + p.password
		from = append(from, "--src-creds="+p.user+":"+p.password)
		to = append(to, "--dest-creds="+p.user+":"+p.password)
	}
	skopeo(t, slices.Concat([]string{"copy"}, to, []string{source, image})...)
	skopeo(t, slices.Concat([]string{"copy"}, from, []string{image, "dir:" + t.TempDir()})...)
	skopeo(t, slices.Concat([]string{"copy"}, from, to, []string{image, second})...)
	skopeo(t, "list-tags", "--tls-verify=false", credentials, strings.TrimSuffix(image, ":v1"))
	skopeo(t, "delete", "--tls-verify=false", credentials, second)
}

func craneTrace(t *testing.T, p place, image v1.Image) {
	g := &gateway{address: p.host, client: &http.Client{Transport: &http.Transport{}}}
	options := []remote.Option{remote.WithTransport(g.client.Transport)}
	if p.user != "" {
		options = g.as(p.user, p.password)
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	first, second := g.reference(t, "anyuser/crane:v1"), g.reference(t, "anyuser/again:v1")
	must("push", remote.Write(first, image, options...))
	pulled, err := remote.Image(first, options...)
	must("pull", err)
	must("mount", remote.Write(second, pulled, options...))
	_, err = remote.List(first.Context(), options...)
	must("tags", err)
	digest, err := image.Digest()
	must("digest", err)
	must("delete", remote.Delete(second.Context().Digest(digest.String()), options...))
}
