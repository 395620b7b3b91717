//go:build pages

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The double's size, and how long each of its answers takes.
const (
	doubleRepositories = 10_000
	doubleTags         = 5_000
	doubleDelay        = 20 * time.Millisecond
)

// registryDouble is a large registry: many names, and one repository of many tags, each an
// index of two images.
type registryDouble struct {
	names    []string
	tags     []byte
	content  map[string][]byte // by tag and by digest, of manifests and configurations
	types    map[string]string
	requests atomic.Int64
}

func newRegistryDouble() *registryDouble {
	d := &registryDouble{content: map[string][]byte{}, types: map[string]string{}}
	for i := range doubleRepositories - 1 {
		d.names = append(d.names, fmt.Sprintf("team-%02d/service-%05d/app", i%100, i))
	}
	d.names = append(d.names, "big/app")
	slices.Sort(d.names)
	var tags []string
	for i := range doubleTags {
		tag := fmt.Sprintf("%d.%d.%d", i/1000, i/50%20, i%50)
		tags = append(tags, tag)
		d.content[tag], d.types[tag] = d.index(i)
	}
	d.tags, _ = json.Marshal(map[string]any{"name": "big/app", "tags": tags})
	return d
}

func (d *registryDouble) keep(mediaType string, body []byte) (digest string) {
	sum := sha256.Sum256(body)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	d.content[digest], d.types[digest] = body, mediaType
	return digest
}

const (
	doubleIndex    = "application/vnd.oci.image.index.v1+json"
	doubleManifest = "application/vnd.oci.image.manifest.v1+json"
)

func (d *registryDouble) index(i int) (body []byte, mediaType string) {
	var children []map[string]any
	for _, architecture := range []string{"amd64", "arm64"} {
		config := fmt.Appendf(nil, `{"os":"linux","architecture":%q,"created":%q,"config":{"Env":["N=%d"]},"history":[{"created_by":"COPY . /"}]}`,
			architecture, time.Unix(1_700_000_000+int64(i)*3600, 0).UTC().Format(time.RFC3339), i)
		at := d.keep("application/octet-stream", config)
		manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}]}`, doubleManifest, at, len(config), at, 1<<20+i)
		children = append(children, map[string]any{"mediaType": doubleManifest, "digest": d.keep(doubleManifest, manifest), "size": len(manifest),
			"platform": map[string]string{"os": "linux", "architecture": architecture}})
	}
	body, _ = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": doubleIndex, "manifests": children})
	d.keep(doubleIndex, body)
	return body, doubleIndex
}

func (d *registryDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		return
	}
	d.requests.Add(1)
	time.Sleep(doubleDelay)
	reference := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	body, ok := d.content[reference]
	switch {
	case r.URL.Path == "/v2/_catalog":
		d.catalog(w, r)
	case r.URL.Path == "/v2/big/app/tags/list":
		w.Write(d.tags)
	case !ok || !strings.HasPrefix(r.URL.Path, "/v2/big/app/"):
		w.WriteHeader(http.StatusNotFound)
	default:
		sum := sha256.Sum256(body)
		w.Header().Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
		w.Header().Set("Content-Type", d.types[reference])
		w.Write(body)
	}
}

func (d *registryDouble) catalog(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n > 1000 {
		n = 1000
	}
	start := sort.SearchStrings(d.names, r.FormValue("last"))
	if start < len(d.names) && d.names[start] == r.FormValue("last") {
		start++
	}
	names := d.names[start:min(start+n, len(d.names))]
	if start+n < len(d.names) {
		w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?last=%s&n=%d>; rel="next"`, url.QueryEscape(names[len(names)-1]), n))
	}
	json.NewEncoder(w).Encode(map[string]any{"repositories": names})
}

// figure is one line of the table.
type figure struct {
	name        string
	got, target float64
	unit        string
}

// TestPagesFigures measures the pages against a registry of 10,000 repositories, one of them
// with 5,000 tags, that takes 20 ms for each answer, under a policy of 400 rules.
func TestPagesFigures(t *testing.T) {
	double := newRegistryDouble()
	server := httptest.NewServer(double)
	t.Cleanup(server.Close)
	var rules strings.Builder
	for i := range 400 {
		fmt.Fprintf(&rules, "  - {allow: [pull, push], repositories: [\"team-%02d/service-%05d/**\"], to: [\"user:test\", \"group:g%d\"]}\n", i%100, i, i)
	}
	g := startGateway(t, setup{Upstream: server.URL, Basic: true, Policy: rules.String(), Sections: "ui: {enabled: true}"})
	v := g.visit(t, "test", testPassword)
	heap := g.heap(t)
	var table []figure
	add := func(name string, got, target float64, unit string) {
		table = append(table, figure{name, got, target, unit})
	}
	since := func() float64 { return float64(double.requests.Swap(0)) }

	since()
	home := v.get("/ui/")
	add("repositories, cold", home.took.Seconds()*1000, 3000, "ms")
	add("repositories, requests", since(), 15, "")
	add("repositories, warm p95", v.p95("/ui/", 100), 100, "ms")
	add("search, warm p95", v.p95("/ui/?q=service-099", 50), 100, "ms")
	since()
	tags := v.get("/ui/r/big/app")
	add("tags, cold", tags.took.Seconds()*1000, 2000, "ms")
	add("tags, requests", since(), 151, "")
	add("tags, warm p95", v.p95("/ui/r/big/app", 100), 150, "ms")
	add("tags, warm requests", since(), 0, "")
	add("repositories, bytes", float64(len(home.body)), 120<<10, "")
	add("tags, bytes", float64(len(tags.body)), 120<<10, "")
	add("styles and scripts, bytes", v.assets(tags), 40<<10, "")
	v.get("/ui/r/big/app?sort=built")
	for i := range 100 {
		v.get(fmt.Sprintf("/ui/r/big/app?page=%d", 1+i))
	}
	add("heap growth", g.heap(t)-heap, 96<<20, "")
	add("pulls beside pages, to pulls alone", v.beside("/ui/r/big/app"), 1.05, "")
	for _, f := range table {
		t.Logf("%-38s %13.2f %-2s of %.2f", f.name, f.got, f.unit, f.target)
		if f.got > f.target {
			t.Errorf("%s: %.1f %s, at most %.1f", f.name, f.got, f.unit, f.target)
		}
	}
	if n := len(tags.all("data-tag")); n != 50 {
		t.Errorf("%d rows", n)
	}
}

// p95 is what a page takes, of so many views, in milliseconds.
func (v *visitor) p95(target string, views int) float64 {
	v.t.Helper()
	var took []time.Duration
	for range views {
		took = append(took, v.get(target).took)
	}
	slices.Sort(took)
	return took[len(took)*95/100].Seconds() * 1000
}

// assets are the bytes of the styles and scripts of a page.
func (v *visitor) assets(p page) (bytes float64) {
	v.t.Helper()
	for _, target := range slices.Compact(slices.Sorted(slices.Values(regexp.MustCompile(`/ui/static/[^"]+\.(css|js)`).FindAllString(p.body, -1)))) {
		bytes += float64(len(v.get(target).body))
	}
	return bytes
}

// beside is how much longer a pull takes while a page is looked at each 0.2 s: the ratio of
// the medians of rounds with and without.
func (v *visitor) beside(target string) float64 {
	v.t.Helper()
	var alone, beside []time.Duration
	for range 4 {
		alone = append(alone, v.pulls(100)...)
		stop := v.looking(target)
		beside = append(beside, v.pulls(100)...)
		stop()
	}
	slices.Sort(alone)
	slices.Sort(beside)
	return beside[len(beside)/2].Seconds() / alone[len(alone)/2].Seconds()
}

// looking opens a page each 0.2 s until it is stopped.
func (v *visitor) looking(target string) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if resp, err := v.client.Get(v.base + target); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		}
	}()
	return func() { close(done); <-over }
}

// pulls are the times of so many pulls of a manifest.
func (v *visitor) pulls(n int) (took []time.Duration) {
	v.t.Helper()
	for i := range n {
		q := v.request(http.MethodGet, fmt.Sprintf("/v2/big/app/manifests/4.19.%d", i%50), nil)
		q.SetBasicAuth("test", testPassword)
		p := v.do(q)
		if p.status != http.StatusOK {
			v.t.Fatalf("pull: %d %s", p.status, p.body)
		}
		took = append(took, p.took)
	}
	return took
}
