package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// liar is a registry that answers some paths with nonsense, and others well.
type liar struct {
	mu      sync.Mutex
	content map[string]string // by the end of the path
	hang    chan struct{}
}

func (l *liar) put(path, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.content[path] = body
}

// manifest keeps one under a tag and its digest, which it returns.
func (l *liar) manifest(tag, body string) string {
	sum := sha256.Sum256([]byte(body))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	for _, reference := range []string{tag, digest} {
		l.put("manifests/"+reference, body)
	}
	return digest
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	path = strings.TrimPrefix(path, "x/")
	l.mu.Lock()
	body, found := l.content[path]
	l.mu.Unlock()
	switch status, err := strconv.Atoi(body); {
	case path == "":
	case !found:
		w.WriteHeader(http.StatusNotFound)
	case body == "silence":
		<-l.hang
	case err == nil && status > 100:
		w.WriteHeader(status)
	default:
		kind := "application/vnd.oci.image.manifest.v1+json"
		if strings.Contains(body, `"manifests"`) {
			kind = "application/vnd.oci.image.index.v1+json"
		}
		w.Header().Set("Content-Type", kind)
		if path == "manifests/good" { // the others come without one
			sum := sha256.Sum256([]byte(body))
			w.Header().Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
		}
		_, _ = io.WriteString(w, body)
	}
}

var requestID = regexp.MustCompile(`data-request-id="[A-Z0-9]{8,}"`)

// TestPagesBadRegistry: whatever a registry answers, a visitor gets a page with the request's
// id within bounds of time and memory, and pulls go on.
func TestPagesBadRegistry(t *testing.T) {
	bad := &liar{content: map[string]string{}, hang: make(chan struct{})}
	server := httptest.NewServer(bad)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(bad.hang) })
	good := bad.manifest("good", `{"schemaVersion":2,"layers":[]}`)
	deep := bad.manifest("deep0", `{"manifests":[]}`)
	for i := range 50 {
		deep = bad.manifest(fmt.Sprint("deep", i+1), fmt.Sprintf(`{"manifests":[{"digest":%q,"size":1,"platform":{"os":"linux","architecture":"amd64"}},{"digest":%[1]q,"mediaType":"application/vnd.oci.image.index.v1+json","platform":{"os":"linux","architecture":"arm64"}}]}`, deep))
	}
	for tag, body := range map[string]string{"itself": `{"manifests":[{"digest":"` + strings.Repeat("a", 64) + `"}]}`, "negative": `{"layers":[{"digest":"` + good + `","size":-5}]}`,
		"huge": `{"layers":[{"size":9223372036854775808},{"size":9223372036854775807},{"size":1}]}`, "text": `"manifest"`, "null": "null", "html": "<html>", "empty": "",
		"years": `{"annotations":{"org.opencontainers.image.created":"12026-01-01T00:00:00Z"},"layers":[]}`, "types": `{"layers":{"a":1},"annotations":[1],"config":7,"manifests":"x"}`,
		"nul": "{\"annotations\":{\"a\\u0000b\":\"\\ud800\"}}", "five": `{"layers":[` + strings.Repeat(`{"size":1},`, 200_000) + `{}]}`, "large": `{"x":"` + strings.Repeat("y", 5<<20) + `"}`} {
		bad.manifest(tag, body)
	}
	g := startGateway(t, setup{Upstream: server.URL, Basic: true, UpstreamKeys: "timeout: 1s", Sections: "ui: {enabled: true}"})
	v := g.visit(t, "admin", adminPassword)
	heap := g.heap(t)
	see := func(target string, want int) page {
		t.Helper()
		began := time.Now()
		p := v.do(v.request(http.MethodGet, target, nil))
		if took := time.Since(began); p.status != want || !requestID.MatchString(p.body) || took > time.Minute || len(p.body) > 2<<20 {
			t.Errorf("%s: %d after %s, %d bytes, want %d", target, p.status, took, len(p.body), want)
		}
		if want != http.StatusOK && !strings.Contains(p.body, "data-error=") {
			t.Errorf("%s: %s", target, p.body)
		}
		return p
	}
	nonsense := []string{"401", "407", "500", "302", "101", "<html>", `{"repositories":{"a":1},"tags":{"a":1}}`, `{"repositories":[1],"tags":[1]}`, `{"tags":["`, `{"repositories":["` + strings.Repeat("x", 9<<20) + `"],"tags":["` + strings.Repeat("x", 9<<20) + `"]}`}
	for _, body := range nonsense {
		bad.put("_catalog", body)
		bad.put("tags/list", body)
		see("/ui/", http.StatusBadGateway)
		see("/ui/r/x", http.StatusBadGateway)
		bad.manifest("bad", body)
		if p := see("/ui/r/x:good", http.StatusOK); !strings.Contains(p.body, "sha256:") {
			t.Errorf("beside it: %s", p.body)
		}
	}
	bad.put("_catalog", "silence")
	bad.put("tags/list", "silence")
	bad.put("manifests/silent", "silence")
	for _, target := range []string{"/ui/", "/ui/r/x", "/ui/r/x:silent", "/ui/delete?ref=x:silent", "/ui/delete?ref=x:none&ref=x:silent"} {
		see(target, http.StatusGatewayTimeout)
	}
	if p := see("/ui/delete?ref=x:silent&ref=x:good", http.StatusOK); strings.Join(p.all("data-state"), " ") != "failed ready" {
		t.Errorf("one of two is silent: %s", p.body)
	}
	var tags []string
	for _, tag := range strings.Fields("good deep50 itself negative huge text null html empty years types nul five large none") {
		tags = append(tags, strconv.Quote(tag))
	}
	bad.put("tags/list", `{"name":"x","tags":[`+strings.Join(tags, ",")+`]}`)
	if p := see("/ui/r/x", http.StatusOK); len(p.all("data-tag")) != len(tags) {
		t.Errorf("rows %q", p.all("data-tag"))
	}
	for _, tag := range strings.Fields("deep50 itself negative huge null years types nul five") {
		see("/ui/r/x:"+tag, http.StatusOK)
	}
	for _, tag := range strings.Fields("text html empty large none") {
		p := v.do(v.request(http.MethodGet, "/ui/r/x:"+tag, nil))
		if p.status >= http.StatusInternalServerError && p.status != http.StatusBadGateway || !requestID.MatchString(p.body) {
			t.Errorf("%s: %d %s", tag, p.status, p.body)
		}
	}
	if p := see("/ui/r/x:negative", http.StatusOK); !strings.Contains(p.body, "unknown") || strings.Contains(p.body, "-5") {
		t.Errorf("a size below zero: %s", p.body)
	}
	q := v.request(http.MethodGet, "/v2/x/manifests/good", nil)
	q.SetBasicAuth("admin", adminPassword)
	if p := v.do(q); p.status != http.StatusOK || p.took > 10*time.Second {
		t.Errorf("a pull: %d after %s", p.status, p.took)
	}
	if grown := g.heap(t) - heap; grown > 96<<20 {
		t.Errorf("the heap has grown by %.0f bytes", grown)
	}
}
