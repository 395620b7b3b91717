package proxy

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gatehouse/proxy/content"
)

var (
	equalRepositories = []string{"team/a", "other/b", "public/c"}
	equalTags         = []string{"v1", "v2", "v3"}
	equalBodies       = [][]byte{manifestOf("one"), manifestOf("two"), []byte("a blob"), []byte(strings.Repeat("another blob", 100))}
)

// step is one thing that happens.
type step struct {
	Do         string
	User       string
	Repository string
	Body       int // of equalBodies
	Tag        string
	Other      bool // the digest is asked for as the other kind, or pushed without a tag
	Header     map[string]string
	Wait       time.Duration
}

func genStep(t *rapid.T) step {
	return step{
		Do: rapid.SampledFrom([]string{"pull", "pull", "pull", "pull tag", "pull tag", "head", "head tag", "push", "push", "delete", "delete", "behind", "behind push",
			"wait", "reload", "upload"}).Draw(t, "do"),
		User:       rapid.SampledFrom([]string{"root", "root", "root", "alice", "bob", "carol"}).Draw(t, "user"),
		Repository: rapid.SampledFrom([]string{"team/a", "team/a", "team/a", "other/b", "public/c"}).Draw(t, "repository"),
		Body:       rapid.SampledFrom([]int{0, 0, 0, 1, 2, 2, 3}).Draw(t, "body"),
		Tag:        rapid.SampledFrom(equalTags).Draw(t, "tag"),
		Other:      rapid.IntRange(0, 5).Draw(t, "other") == 5,
		Header: rapid.SampledFrom([]map[string]string{{}, {}, {}, {"Range": "bytes=0-3"}, {"Range": "bytes=2-"}, {"Range": "bytes=9999-"}, {"Range": "bytes=0-1,3-4"},
			{"If-None-Match": "DIGEST"}, {"If-None-Match": `"sha256:0"`}, {"If-Match": "DIGEST"}, {"If-Match": `"other"`}, {"Accept": "*/*"}, {"Accept": "application/json, " + ociManifest},
			{"Range": "bytes=1-2", "If-Range": "DIGEST"}, {"Range": "bytes=1-2", "If-Range": `"other"`}, {"Accept-Encoding": "gzip, identity;q=0"}}).Draw(t, "header"),
		Wait: rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 35 * time.Second, 61 * time.Second}).Draw(t, "wait"),
	}
}

// equalRun plays steps against gateways with a cache and without, before one registry.
type equalRun struct {
	*cacheHouse
	fresh   time.Duration
	deleted map[string]time.Time // REPOSITORY@DIGEST, behind our back
}

// fill puts everything into two of the repositories.
func (e *equalRun) fill() {
	for i, body := range equalBodies {
		for _, name := range equalRepositories[:2] {
			if i < 2 {
				e.registry.manifests[name+"@"+sha(string(body))] = stored{ociManifest, body}
				e.registry.tags[name+":v1"] = sha(string(body))
			} else {
				e.registry.blobs[name+"@"+sha(string(body))] = body
			}
		}
	}
}

// play returns what differs that must not; "": nothing.
func (e *equalRun) play(s step) string {
	digest := sha(string(equalBodies[s.Body]))
	manifest := s.Body < 2
	path := "/v2/" + s.Repository + "/blobs/" + digest
	if manifest != s.Other { // sometimes as the other kind
		path = "/v2/" + s.Repository + "/manifests/" + digest
	}
	tag := "/v2/" + s.Repository + "/manifests/" + s.Tag
	switch s.Do {
	case "wait":
		time.Sleep(s.Wait)
	case "reload":
		e.reload(e.cached.cache.upstreams)
	case "push":
		if manifest {
			if s.Other {
				tag = path
			}
			e.do(e.cached, ask{method: "PUT", path: tag, user: s.User, body: equalBodies[s.Body], header: map[string]string{"Content-Type": ociManifest}})
			return ""
		}
		e.do(e.cached, ask{method: "PUT", path: "/v2/" + s.Repository + "/blobs/uploads/u1?digest=" + digest, user: s.User, body: equalBodies[s.Body]})
	case "upload":
		e.do(e.cached, ask{method: "POST", path: "/v2/" + s.Repository + "/blobs/uploads/", user: s.User})
	case "delete":
		e.do(e.cached, ask{method: "DELETE", path: path, user: "root"})
	case "behind":
		e.deleted[s.Repository+"@"+digest] = time.Now()
		e.do(e.bare, ask{method: "DELETE", path: path, user: "root"})
	case "behind push":
		e.do(e.bare, ask{method: "PUT", path: tag, user: "root", body: equalBodies[s.Body%2], header: map[string]string{"Content-Type": ociManifest}})
	case "pull":
		return e.compare(s, ask{method: "GET", path: path}, digest)
	case "head":
		return e.compare(s, ask{method: "HEAD", path: path}, digest)
	case "pull tag":
		return e.compare(s, ask{method: "GET", path: tag}, digest)
	case "head tag":
		return e.compare(s, ask{method: "HEAD", path: tag}, digest)
	}
	return ""
}

// compare asks both, and returns where they differ.
func (e *equalRun) compare(s step, a ask, digest string) string {
	a.user, a.header = s.User, maps.Clone(s.Header)
	manifest := strings.Contains(a.path, "/manifests/")
	if a.header["Accept"] == "" && manifest {
		a.header["Accept"] = ociManifest
	}
	if manifest {
		delete(a.header, "Range")    // settled: we give a part where distribution gives all
		delete(a.header, "If-Match") // which distribution looks at for blobs alone
	}
	for _, name := range []string{"If-None-Match", "If-Match", "If-Range"} {
		if a.header[name] == "DIGEST" {
			a.header[name] = `"` + digest + `"`
		}
	}
	bare := e.do(e.bare, a)
	cached := e.do(e.cached, a)
	if bare.status == 304 && cached.status == 404 {
		return "" // settled: it says so of what it does not have
	}
	difference := differ(bare, cached)
	ago, ok := e.deleted[s.Repository+"@"+digest]
	behind := ok && time.Since(ago) < e.fresh && !strings.Contains(s.Do, "tag") && bare.status == 404 && slices.Contains([]int{200, 206, 304, 412, 416}, cached.status)
	if difference == "" || behind && (cached.status != 200 || cached.body == string(equalBodies[s.Body]) || a.method == "HEAD") {
		return ""
	}
	return fmt.Sprintf("%s %s %s %v: %s", a.user, a.method, a.path, a.header, difference)
}

// diskRuns is how many sequences are tried with a disk.
func diskRuns() int {
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_CASES")); err == nil {
		return n
	}
	return 8
}

func differ(bare, cached got) string {
	if bare.status != cached.status || bare.cut != cached.cut {
		return fmt.Sprintf("without a cache %d, with %d", bare.status, cached.status)
	}
	if boundary := bare.header.Get("Content-Type"); strings.HasPrefix(boundary, "multipart/byteranges") {
		return "" // its boundary is random
	}
	if bare.status >= 400 { // they have a request id
		return ""
	}
	if bare.body != cached.body {
		return fmt.Sprintf("without a cache %q, with %q", bare.body, cached.body)
	}
	names := slices.Sorted(maps.Keys(bare.header))
	for name := range cached.header {
		if bare.header[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		unlike := name == "X-Request-Id" || name == "Cache-Status" || bare.status == 304 && (name == "Docker-Content-Digest" || name == "Etag")
		if !unlike && !slices.Equal(bare.header[name], cached.header[name]) {
			return fmt.Sprintf("%s: without a cache %q, with %q", name, bare.header[name], cached.header[name])
		}
	}
	return ""
}

// TestCacheIsEqual: a gateway with a cache answers as one without. With fresh_for: 0s
// always; with 60s every difference is a digest that was deleted behind our back less
// than 60s ago.
func TestCacheIsEqual(t *testing.T) {
	for what, cfg := range map[string]content.Config{
		"0s": {}, "60s": {FreshFor: time.Minute},
		"0s on disk": {Memory: 1 << 20, Dir: "dir", Disk: 1 << 20}, "60s on disk": {FreshFor: time.Minute, Memory: 1 << 20, Dir: "dir", Disk: 1 << 20},
	} {
		t.Run(what, func(t *testing.T) {
			runs := 0
			rapid.Check(t, func(rt *rapid.T) {
				if runs++; cfg.Dir != "" && runs > diskRuns() {
					return // each waits for the disk
				}
				steps := rapid.SliceOfN(rapid.Custom(genStep), 20, 80).Draw(rt, "steps")
				var different string
				synctest.Test(t, func(t *testing.T) {
					if cfg.Dir != "" {
						cfg.Dir = t.TempDir()
					}
					e := &equalRun{newCacheHouse(t, cfg), cfg.FreshFor, map[string]time.Time{}}
					e.fill()
					for _, s := range steps {
						if different = e.play(s); different != "" {
							return
						}
					}
				})
				if different != "" {
					rt.Fatal(different)
				}
			})
		})
	}
}
