package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/proxy/content"
	"gatehouse/proxy/upstream"
)

// inCacheHouse runs a test in a bubble, before a registry that has a manifest with the tag v1
// and a blob in team/a and in other/b.
func inCacheHouse(t *testing.T, cfg content.Config, test func(t *testing.T, h *cacheHouse)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newCacheHouse(t, cfg)
		for _, name := range []string{"team/a", "other/b"} {
			h.registry.manifests[name+"@"+theManifest] = stored{ociManifest, manifestBody}
			h.registry.tags[name+":v1"] = theManifest
			h.registry.blobs[name+"@"+theBlob] = blobBody
		}
		test(t, h)
	})
}

var (
	manifestBody = manifestOf("the manifest")
	theManifest  = sha(string(manifestBody))
	blobBody     = []byte(strings.Repeat("the blob ", 1000))
	theBlob      = sha(string(blobBody))
)

const minute = time.Minute

// expect holds an answer against a status, and against a body where it is not "".
func (g got) expect(t *testing.T, what string, status int, body string) {
	t.Helper()
	if g.status != status || g.cut || body != "" && g.body != body {
		t.Errorf("%s: %d %.80q (cut: %v), want %d", what, g.status, g.body, g.cut, status)
	}
}

// sawNone reports what the registry saw since the last call, where that is not this.
func (h *cacheHouse) saw(what string, want ...string) {
	h.t.Helper()
	synctest.Wait()
	if got := h.registry.take(); !slices.Equal(got, want) {
		h.t.Errorf("%s: the registry saw %q, want %q", what, got, want)
	}
}

func (h *cacheHouse) became(want ...string) {
	h.t.Helper()
	if got := h.outcomes(); !slices.Equal(got, want) {
		h.t.Errorf("the log says %q, want %q", got, want)
	}
}

// TestCacheHits: each kind of request, and what it costs the registry.
func TestCacheHits(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		manifest, blob, tag := "/v2/team/a/manifests/"+theManifest, "/v2/team/a/blobs/"+theBlob, "/v2/team/a/manifests/v1"
		h.pull("alice", manifest).expect(t, "first", 200, string(manifestBody))
		h.saw("first", "GET "+manifest)
		second := h.pull("carol", manifest)
		second.expect(t, "second", 200, string(manifestBody))
		if second.header.Get("Cache-Status") != "gatehouse; hit" || second.header.Get("Docker-Content-Digest") != theManifest ||
			second.header.Get("Content-Type") != ociManifest || second.header.Get("Content-Length") != strconv.Itoa(len(manifestBody)) {
			t.Errorf("a hit has %v", second.header)
		}
		h.do(h.cached, ask{method: "HEAD", path: manifest, user: "alice", header: map[string]string{"Accept": ociManifest}}).expect(t, "head", 200, "")
		h.saw("hits")
		h.became("miss", "hit", "hit")
		h.pull("alice", blob).expect(t, "blob", 200, string(blobBody))
		h.pull("alice", blob).expect(t, "blob", 200, string(blobBody))
		h.saw("blob", "GET "+blob)
		h.became("miss", "hit")
		h.pull("alice", tag).expect(t, "tag", 200, string(manifestBody))
		h.pull("alice", tag).expect(t, "tag", 200, string(manifestBody))
		h.saw("tag", "GET "+tag, "GET "+tag)
		h.became("miss", "hit")
		time.Sleep(35 * time.Second)
		h.pull("alice", manifest).expect(t, "past half", 200, string(manifestBody))
		h.saw("past half", "HEAD "+manifest)
		time.Sleep(35 * time.Second)
		h.pull("alice", manifest).expect(t, "renewed", 200, string(manifestBody))
		h.saw("renewed", "HEAD "+manifest)
		time.Sleep(61 * time.Second)
		h.pull("alice", manifest).expect(t, "past it", 200, string(manifestBody))
		h.saw("past it", "HEAD "+manifest)
		h.became("hit", "hit", "hit")
		h.reload(h.cached.cache.upstreams)
		h.pull("alice", manifest).expect(t, "after a reload", 200, string(manifestBody))
		h.saw("after a reload", "HEAD "+manifest)
		h.reload("another")
		h.pull("alice", manifest).expect(t, "at another upstream", 200, string(manifestBody))
		h.saw("at another upstream", "GET "+manifest)
	})
}

// TestCachePasses: what the cache does not answer, the registry does.
func TestCachePasses(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		manifest, blob, tag := "/v2/other/b/manifests/"+theManifest, "/v2/other/b/blobs/"+theBlob, "/v2/other/b/manifests/v1"
		h.pull("root", manifest)
		h.pull("root", blob)
		h.registry.take()
		h.outcomes()
		accept := map[string]string{"Accept": ociManifest}
		for what, a := range map[string]ask{
			"HEAD of a blob":         {method: "HEAD", path: blob},
			"HEAD by tag":            {method: "HEAD", path: tag, header: accept},
			"HEAD by who may push":   {method: "HEAD", path: manifest, header: accept},
			"another type":           {method: "GET", path: manifest, header: map[string]string{"Accept": "application/json"}},
			"no type":                {method: "GET", path: manifest},
			"not as it is":           {method: "GET", path: blob, header: map[string]string{"Accept-Encoding": "gzip, *;q=0"}},
			"not as it is, by a tab": {method: "GET", path: blob, header: map[string]string{"Accept-Encoding": "gzip, identity\t;\tq=0"}},
			"by date":                {method: "GET", path: blob, header: map[string]string{"If-Modified-Since": "Mon, 02 Jan 2006 15:04:05 GMT"}},
			"a field for registries": {method: "GET", path: blob, header: map[string]string{"Docker-X": "1"}},
		} {
			h.pull("root", manifest) // a 404 to one of them ends what was known
			h.registry.take()
			h.outcomes()
			a.user = "bob"
			h.do(h.cached, a)
			h.saw(what, a.method+" "+a.path)
			h.became("pass")
		}
		for what, field := range map[string][2]string{ // podman and its kind send the first with everything
			"the API's version": {"Docker-Distribution-Api-Version", "registry/2.0"}, "another coding": {"Accept-Encoding", "gzip"},
			"identity, a little": {"Accept-Encoding", "gzip, identity;q=0.001"}, "all but others": {"Accept-Encoding", "*;q=0, identity"},
		} {
			h.do(h.cached, ask{method: "GET", path: blob, user: "bob", header: map[string]string{field[0]: field[1]}}).expect(t, what, 200, string(blobBody))
			h.saw(what)
			h.became("hit")
		}
	})
}

// TestCacheRenewal: HEADs of others renew what was made, and make nothing.
func TestCacheRenewal(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		manifest, tag := "/v2/team/a/manifests/"+theManifest, "/v2/team/a/manifests/v1"
		head := ask{method: "HEAD", path: tag, user: "alice", header: map[string]string{"Accept": ociManifest}}
		h.pull("root", "/v2/other/b/manifests/"+theManifest) // the content is here
		h.do(h.cached, head)
		h.registry.take()
		h.pull("alice", manifest).expect(t, "after HEAD alone", 200, string(manifestBody))
		h.saw("after HEAD alone", "GET "+manifest)
		time.Sleep(50 * time.Second)
		h.do(h.cached, head)
		h.registry.take()
		time.Sleep(20 * time.Second)
		h.pull("alice", manifest).expect(t, "after HEAD by tag", 200, string(manifestBody))
		h.saw("after HEAD by tag")
		h.registry.change(func() { delete(h.registry.manifests, "team/a@"+theManifest); delete(h.registry.tags, "team/a:v1") })
		h.do(h.cached, ask{method: "GET", path: manifest, user: "carol", header: map[string]string{"Accept": "text/plain"}}).expect(t, "gone", 404, "")
		h.pull("alice", manifest).expect(t, "after anybody's 404", 404, "")
	})
}

// TestCacheRights: the cache gives nobody what the registry would not give there.
func TestCacheRights(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, StaleFor: time.Hour}, func(t *testing.T, h *cacheHouse) {
		secret := manifestOf("secret")
		digest := sha(string(secret))
		h.registry.manifests["other/b@"+digest] = stored{ociManifest, secret}
		here, there := "/v2/team/a/manifests/"+digest, "/v2/other/b/manifests/"+digest
		foreign := func(when string) {
			t.Helper()
			bare := h.do(h.bare, ask{method: "GET", path: here, user: "alice", header: map[string]string{"Accept": ociManifest}})
			got := h.pull("alice", here)
			got.expect(t, "a foreign digest "+when, 404, bare.body)
			h.pull("alice", there).expect(t, "a foreign repository "+when, 403, "")
			h.do(h.cached, ask{method: "GET", path: there}).expect(t, "nobody "+when, 401, "")
			h.pull("bob", "/v2/other/b/blobs/"+digest).expect(t, "the other kind "+when, 404, "")
		}
		foreign("before")
		h.registry.hook(func(r *http.Request) {
			if r.URL.Path == there && r.Method == "GET" {
				h.registry.hook(nil, nil)
				foreign("while it is fetched")
			}
		}, nil)
		h.pull("bob", there).expect(t, "the owner", 200, string(secret))
		foreign("after")
		lists := []byte(`{"schemaVersion":2,"mediaType":"` + ociManifest + `","layers":[{"digest":"` + digest + `"}]}`)
		h.do(h.cached, ask{method: "PUT", path: "/v2/team/a/manifests/lists", user: "root", body: lists, header: map[string]string{"Content-Type": ociManifest}}).expect(t, "push", 201, "")
		foreign("when a manifest lists it")
		h.registry.change(func() { h.registry.down = true })
		if got := h.pull("alice", here); got.status != 502 {
			t.Errorf("a foreign digest while the registry is away: %d", got.status)
		}
		h.pull("bob", there).expect(t, "the owner, while it is away", 200, string(secret))
	})
}

// TestCacheLiars: registries that say yes to what they do not have.
func TestCacheLiars(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		path := "/v2/team/a/manifests/" + theManifest
		h.pull("root", "/v2/other/b/manifests/"+theManifest)
		h.pull("root", "/v2/other/b/manifests/v1")
		h.registry.change(func() { delete(h.registry.manifests, "team/a@"+theManifest) })
		h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool { // fact 6
			if r.Method == "HEAD" {
				w.Header().Set("Content-Type", ociManifest)
				w.Header().Set("Docker-Content-Digest", theManifest)
				w.Header().Set("Content-Length", strconv.Itoa(len(manifestBody)))
			}
			return r.Method == "HEAD"
		})
		for _, p := range []string{path, "/v2/team/a/manifests/v1"} {
			h.do(h.cached, ask{method: "HEAD", path: p, user: "alice", header: map[string]string{"Accept": ociManifest}})
		}
		h.pull("alice", path).expect(t, "HEAD yes, GET no", 404, "")
		h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(304); return true })
		for _, p := range []string{path, "/v2/team/a/manifests/v1", "/v2/team/a/manifests/" + sha(""), "/v2/team/a/blobs/" + theManifest} {
			if got := h.pull("alice", p); got.status != 304 || got.body != "" {
				t.Errorf("304 to anything, %s: %d %q", p, got.status, got.body)
			}
		}
	})
}

// TestCacheSeesChanges: what is deleted or pushed through us counts at once, whatever runs.
func TestCacheSeesChanges(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, StaleFor: time.Hour}, func(t *testing.T, h *cacheHouse) {
		path, tag := "/v2/team/a/manifests/"+theManifest, "/v2/team/a/manifests/v1"
		gate, arrived := make(chan struct{}), make(chan string, 10)
		held := func(method string) func(http.ResponseWriter, *http.Request) bool { // answers as of now, later
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != method {
					return false
				}
				w.Header().Set("Content-Type", ociManifest)
				w.Header().Set("Docker-Content-Digest", theManifest)
				w.Header().Set("Content-Length", strconv.Itoa(len(manifestBody)))
				arrived <- r.URL.Path
				<-gate
				w.Write(manifestBody)
				return true
			}
		}
		for _, c := range []struct {
			method string
			before func()
		}{
			{"GET", func() {}},
			{"HEAD", func() { h.pull("alice", path); time.Sleep(2 * minute) }},
		} {
			gate = make(chan struct{})
			h.registry.change(func() { h.registry.manifests["team/a@"+theManifest] = stored{ociManifest, manifestBody} })
			c.before()
			h.registry.hook(nil, held(c.method))
			var running sync.WaitGroup
			for range 3 {
				running.Go(func() { h.pull("alice", path) })
			}
			<-arrived
			h.registry.hook(nil, nil)
			h.do(h.cached, ask{method: "DELETE", path: path, user: "root"}).expect(t, "DELETE", 202, "")
			h.pull("alice", path).expect(t, "while a "+c.method+" runs", 404, "")
			close(gate)
			running.Wait()
			h.pull("alice", path).expect(t, "when the "+c.method+" was answered", 404, "")
			h.registry.change(func() { h.registry.down = true })
			if got := h.pull("alice", path); got.status == 200 {
				t.Errorf("the registry is away, and what was deleted while a %s ran is served", c.method)
			}
			h.registry.change(func() { h.registry.down = false })
			time.Sleep(minute)
		}
		// A push between question and answer.
		gate = make(chan struct{})
		h.registry.hook(nil, held("GET"))
		var running sync.WaitGroup
		running.Go(func() { h.pull("carol", tag) })
		<-arrived
		h.registry.hook(nil, nil)
		pushed := manifestOf("pushed")
		h.do(h.cached, ask{method: "PUT", path: tag, user: "root", body: pushed, header: map[string]string{"Content-Type": ociManifest}}).expect(t, "PUT", 201, "")
		var after got
		running.Go(func() { after = h.pull("alice", tag) })
		synctest.Wait()
		close(gate)
		running.Wait()
		after.expect(t, "the pusher's next pull", 200, string(pushed))
		h.registry.take()
		h.pull("alice", "/v2/team/a/manifests/"+sha(string(pushed))).expect(t, "what was pushed", 200, string(pushed))
		h.saw("what was pushed")
	})
}

// TestCacheWrongContent: no client gets a complete answer that is wrong, and nothing wrong is kept.
func TestCacheWrongContent(t *testing.T) {
	flip := func(body []byte, at int) []byte {
		body = bytes.Clone(body)
		body[at] ^= 1
		return body
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(blobBody)
	z.Close()
	blob, manifest, tag := "/v2/team/a/blobs/"+theBlob, "/v2/team/a/manifests/"+theManifest, "/v2/team/a/manifests/v1"
	for what, c := range map[string]struct {
		header map[string]string
		change func(body []byte) []byte
	}{
		"first byte":   {nil, func(b []byte) []byte { return flip(b, 0) }},
		"last byte":    {nil, func(b []byte) []byte { return flip(b, len(b)-1) }},
		"short":        {nil, func(b []byte) []byte { return b[:len(b)-1] }},
		"empty":        {nil, func([]byte) []byte { return nil }},
		"long":         {nil, func(b []byte) []byte { return append(bytes.Clone(b), 'x') }},
		"length lies":  {map[string]string{"Content-Length": "999999"}, bytes.Clone},
		"HTML":         {map[string]string{"Content-Type": "text/html"}, func([]byte) []byte { return []byte("<html>log in</html>") }},
		"other digest": {map[string]string{"Docker-Content-Digest": sha("")}, bytes.Clone},
	} {
		t.Run(what, func(t *testing.T) {
			inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
				h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool {
					body, digest := manifestBody, theManifest
					if strings.Contains(r.URL.Path, "blobs") {
						body, digest = blobBody, theBlob
					}
					body = c.change(body)
					w.Header().Set("Docker-Content-Digest", digest)
					w.Header().Set("Content-Type", ociManifest)
					w.Header().Set("Content-Length", strconv.Itoa(len(body)))
					for k, v := range c.header {
						w.Header().Set(k, v)
					}
					if r.Method == "GET" {
						w.Write(body)
					}
					return true
				})
				for range 2 {
					for _, path := range []string{blob, manifest, tag} {
						for range 2 {
							if got := h.pull("alice", path); got.status == 200 && !got.cut {
								t.Errorf("%s: a complete answer: %d %.60q", path, got.status, got.body)
							}
						}
					}
				}
				h.registry.hook(nil, nil)
				h.pull("alice", blob).expect(t, "mended", 200, string(blobBody))
				h.pull("alice", manifest).expect(t, "mended", 200, string(manifestBody))
				h.pull("alice", tag).expect(t, "mended", 200, string(manifestBody))
			})
		})
	}
	t.Run("gzip", func(t *testing.T) {
		inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
			h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Encoding", "gzip")
				w.Header().Set("Content-Length", strconv.Itoa(zipped.Len()))
				w.Write(zipped.Bytes())
				return true
			})
			if got := h.pull("alice", blob); got.header.Get("Content-Encoding") != "gzip" || got.body != zipped.String() {
				t.Errorf("honestly encoded: %d %v", got.status, got.header)
			}
			h.registry.hook(nil, nil)
			h.pull("alice", blob).expect(t, "later", 200, string(blobBody))
		})
	})
	t.Run("schema 1", func(t *testing.T) { // whose digest is of what was signed
		const signed, protected = `{"name":"a","signatures":[{"protected":"PROTECTED"}]}`, `{"formatLength":11,"formatTail":"fQ"}` // which is "}"
		body := strings.Replace(signed, "PROTECTED", base64.RawURLEncoding.EncodeToString([]byte(protected)), 1)
		digest := sha(`{"name":"a"}`)
		inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
			h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
				w.Header().Set("Docker-Content-Digest", digest)
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				w.Write([]byte(body))
				return true
			})
			for range 2 {
				h.pull("alice", tag).expect(t, "by tag", 200, body)
				h.pull("alice", "/v2/team/a/manifests/"+digest).expect(t, "by digest", 200, body)
				h.pull("alice", manifest).expect(t, "by another digest", 502, "")
			}
			digest = theManifest
			h.pull("alice", tag).expect(t, "with another digest", 502, "")
			h.pull("alice", manifest).expect(t, "with another digest", 502, "")
			h.registry.hook(nil, nil)
			h.pull("alice", manifest).expect(t, "later", 200, string(manifestBody))
		})
	})
}

// TestConditionLists: what an entity tag is compared with: a digest that is not known is none.
func TestConditionLists(t *testing.T) {
	for _, c := range []struct {
		field  []string
		digest string
		weak   bool
		want   bool
	}{
		{[]string{`"` + theBlob + `"`}, theBlob, false, true}, {[]string{theBlob}, theBlob, false, true}, {[]string{`"x", "` + theBlob + `"`}, theBlob, false, true},
		{[]string{`"x"`, `"` + theBlob + `"`}, theBlob, false, true}, {[]string{"*"}, theBlob, false, true}, {[]string{"*"}, "", true, true},
		{[]string{`W/"` + theBlob + `"`}, theBlob, true, true}, {[]string{`W/"` + theBlob + `"`}, theBlob, false, false},
		{[]string{`"x"`}, theBlob, true, false}, {nil, theBlob, true, false}, {[]string{""}, theBlob, true, false},
		{[]string{`""`}, "", true, false}, {[]string{""}, "", true, false}, {[]string{`"x",`}, "", false, false},
	} {
		if got := lists(c.field, c.digest, c.weak); got != c.want {
			t.Errorf("%q has %q, weak %v: %v", c.field, c.digest, c.weak, got)
		}
	}
}

// TestCacheHerd: many who ask at once cost the registry one question.
func TestCacheHerd(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		blob, missing := "/v2/team/a/blobs/"+theBlob, "/v2/team/a/blobs/"+sha("missing")
		gate := make(chan struct{})
		herd := func(path string) (statuses map[int]int) {
			gate = make(chan struct{})
			h.registry.hook(func(*http.Request) { <-gate }, nil)
			var all sync.WaitGroup
			var mu sync.Mutex
			statuses = map[int]int{}
			for i := range 100 {
				ctx, leave := context.WithCancel(t.Context())
				all.Go(func() {
					r := httptest.NewRequest("GET", "http://gateway.test"+path, nil).WithContext(ctx)
					r.RemoteAddr = "127.0.0.1:1"
					r.SetBasicAuth("alice", "alice")
					w := httptest.NewRecorder()
					h.cached.ServeHTTP(w, r)
					if w.Code == 200 && w.Body.String() != string(blobBody) {
						t.Errorf("a part of %d bytes", w.Body.Len())
					}
					mu.Lock()
					statuses[w.Code]++
					mu.Unlock()
				})
				if i == 0 || i%3 == 0 {
					synctest.Wait()
					leave() // who began it among them
				} else {
					defer leave()
				}
			}
			synctest.Wait()
			close(gate)
			all.Wait()
			return statuses
		}
		if got := herd(blob); got[200] != 66 {
			t.Errorf("of a herd with 34 who left: %v", got)
		}
		h.saw("a herd", "GET "+blob)
		if got := herd(missing); got[404] != 66 {
			t.Errorf("of a herd for nothing: %v", got)
		}
		if n := len(h.registry.take()); n < 60 {
			t.Errorf("%d questions for what is missing: a 404 is for one alone", n)
		}
	})
}

// TestCacheRanges: parts of what is here, and the upstream's own answer where it is not.
func TestCacheRanges(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		blob := "/v2/team/a/blobs/" + theBlob
		part := func(fields ...string) got {
			header := map[string]string{}
			for i := 0; i < len(fields); i += 2 {
				header[fields[i]] = fields[i+1]
			}
			return h.do(h.cached, ask{method: "GET", path: blob, user: "alice", header: header})
		}
		for range 3 {
			part("Range", "bytes=10-19").expect(t, "not here", 206, string(blobBody[10:20]))
		}
		h.saw("parts of what is not here", "GET "+blob, "GET "+blob, "GET "+blob)
		h.pull("alice", blob)
		h.registry.take()
		n := len(blobBody)
		for _, c := range []struct {
			fields []string
			status int
			body   string
			field  string
		}{
			{[]string{"Range", "bytes=0-0"}, 206, string(blobBody[:1]), fmt.Sprintf("bytes 0-0/%d", n)},
			{[]string{"Range", "bytes=10-"}, 206, string(blobBody[10:]), fmt.Sprintf("bytes 10-%d/%d", n-1, n)},
			{[]string{"Range", "bytes=-5"}, 206, string(blobBody[n-5:]), fmt.Sprintf("bytes %d-%d/%d", n-5, n-1, n)},
			{[]string{"Range", fmt.Sprintf("bytes=0-%d", 10*n)}, 206, string(blobBody), fmt.Sprintf("bytes 0-%d/%d", n-1, n)},
			{[]string{"Range", fmt.Sprintf("bytes=%d-", n)}, 416, "", fmt.Sprintf("bytes */%d", n)},
			{[]string{"Range", "lines=1-2"}, 416, "", ""},
			{[]string{"Range", "bytes=1-2", "If-Range", `"` + theBlob + `"`}, 206, string(blobBody[1:3]), fmt.Sprintf("bytes 1-2/%d", n)},
			{[]string{"Range", "bytes=1-2", "If-Range", `"other"`}, 200, string(blobBody), ""},
			{[]string{"Range", "bytes=1-2", "If-Range", `W/"` + theBlob + `"`}, 200, string(blobBody), ""},
			{[]string{"Range", "bytes=1-2", "If-None-Match", `"` + theBlob + `"`}, 304, "", ""},
			{[]string{"Range", "bytes=1-2", "If-Match", `"other"`}, 412, "", ""},
			{[]string{"If-None-Match", `"x", W/"` + theBlob + `"`}, 304, "", ""},
			{[]string{"If-None-Match", "*"}, 304, "", ""},
			{[]string{"If-Match", `"` + theBlob + `"`}, 200, string(blobBody), ""},
		} {
			got := part(c.fields...)
			got.expect(t, fmt.Sprint(c.fields), c.status, c.body)
			if r := got.header.Get("Content-Range"); r != c.field || got.header.Get("Cache-Control") != "private" {
				t.Errorf("%v: Content-Range %q, %v", c.fields, r, got.header)
			}
		}
		if got := part("Range", "bytes=0-1,5-6"); got.status != 206 || !strings.HasPrefix(got.header.Get("Content-Type"), "multipart/byteranges") {
			t.Errorf("two parts: %d %v", got.status, got.header)
		}
		h.saw("parts of what is here")
	})
}

// TestCacheOffline: while the registry is away, what was seen is served within stale_for, and
// nothing else.
func TestCacheOffline(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, StaleFor: 10 * minute}, func(t *testing.T, h *cacheHouse) {
		manifest, blob, tag := "/v2/team/a/manifests/"+theManifest, "/v2/team/a/blobs/"+theBlob, "/v2/team/a/manifests/v1"
		for _, path := range []string{manifest, blob, tag} {
			h.pull("alice", path).expect(t, "before", 200, "")
		}
		h.registry.change(func() { h.registry.down = true })
		time.Sleep(2 * minute)
		h.outcomes()
		for range 5 {
			for _, path := range []string{manifest, blob, tag} {
				h.pull("alice", path).expect(t, "away", 200, "")
			}
			time.Sleep(10 * time.Second)
		}
		for _, outcome := range h.outcomes() {
			if outcome != "stale" {
				t.Errorf("away: %s", outcome)
			}
		}
		h.pull("alice", "/v2/team/a/manifests/v2").expect(t, "never seen", 502, "")
		h.pull("bob", manifest).expect(t, "rights", 403, "")
		h.registry.change(func() { h.registry.down = false })
		h.pull("alice", manifest).expect(t, "back", 200, "")
		time.Sleep(time.Second)
		h.pull("alice", manifest).expect(t, "back", 200, "")
		synctest.Wait()
		h.outcomes()
		h.pull("alice", manifest).expect(t, "back", 200, "")
		h.became("hit")
		time.Sleep(2 * minute)
		h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(404); return true })
		h.pull("alice", manifest).expect(t, "a 404 is no fault", 404, "")
		h.pull("alice", tag).expect(t, "a 404 is no fault", 404, "")
		h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(503); return true })
		h.pull("alice", manifest).expect(t, "nor forgotten in one", 503, "")
		h.pull("alice", blob).expect(t, "a fault of its own", 200, "")
		time.Sleep(20 * minute)
		h.pull("alice", blob).expect(t, "past stale_for", 503, "")
	})
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		blob := "/v2/team/a/blobs/" + theBlob
		h.pull("alice", blob)
		h.registry.change(func() { h.registry.down = true })
		h.pull("alice", blob).expect(t, "within fresh_for", 200, "")
		time.Sleep(minute)
		h.pull("alice", blob).expect(t, "stale_for: 0s", 502, "")
	})
}

// TestCacheHeadFault: a HEAD that the registry cannot answer decides nothing; a GET does.
func TestCacheHeadFault(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		blob := "/v2/team/a/blobs/" + theBlob
		h.pull("alice", blob)
		h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "HEAD" {
				w.WriteHeader(500)
			}
			return r.Method == "HEAD"
		})
		time.Sleep(2 * minute)
		h.registry.take()
		h.pull("alice", blob).expect(t, "HEAD 500", 200, string(blobBody))
		h.saw("HEAD 500", "HEAD "+blob, "GET "+blob)
		h.pull("alice", blob).expect(t, "then", 200, string(blobBody))
		h.saw("then")
	})
}

// TestCacheLarge: what is not kept streams through, to each who asks.
func TestCacheLarge(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, Memory: 1 << 20, Small: 1000}, func(t *testing.T, h *cacheHouse) {
		blob := "/v2/team/a/blobs/" + theBlob
		for range 2 {
			h.pull("alice", blob).expect(t, "large", 200, string(blobBody))
		}
		h.do(h.cached, ask{method: "GET", path: blob, user: "alice", header: map[string]string{"If-None-Match": `"` + theBlob + `"`}}).expect(t, "conditional", 304, "")
		h.saw("large", "GET "+blob, "GET "+blob, "GET "+blob)
		h.became("miss", "miss", "miss")
	})
}

// TestCacheTagTime: tags_fresh_for keeps a tag's meaning, but not against a push through us.
func TestCacheTagTime(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, TagsFreshFor: 30 * time.Second}, func(t *testing.T, h *cacheHouse) {
		tag := "/v2/team/a/manifests/v1"
		h.pull("alice", tag)
		h.registry.take()
		h.pull("carol", tag).expect(t, "kept", 200, string(manifestBody))
		h.saw("kept")
		time.Sleep(31 * time.Second)
		h.pull("carol", tag).expect(t, "asked", 200, string(manifestBody))
		h.saw("asked", "GET "+tag)
		pushed := manifestOf("pushed")
		h.do(h.cached, ask{method: "PUT", path: tag, user: "root", body: pushed, header: map[string]string{"Content-Type": ociManifest}})
		h.pull("alice", tag).expect(t, "pushed", 200, string(pushed))
	})
}

// TestCacheTagOutlivesDigest: where tags_fresh_for is the longer time a tag keeps its meaning for it,
// and only the digest is asked for.
func TestCacheTagOutlivesDigest(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, TagsFreshFor: 10 * minute}, func(t *testing.T, h *cacheHouse) {
		tag, digest := "/v2/team/a/manifests/v1", "/v2/team/a/manifests/"+theManifest
		h.pull("alice", tag)
		h.registry.take()
		for range 4 {
			time.Sleep(2 * minute)
			h.pull("carol", tag).expect(t, "kept", 200, string(manifestBody))
			h.saw("kept", "HEAD "+digest)
		}
		time.Sleep(2*minute + time.Second)
		h.pull("carol", tag).expect(t, "asked", 200, string(manifestBody))
		h.saw("asked", "GET "+tag)
	})
}

// TestCacheUpstreams: what one upstream shows is nothing to another, though the repository
// and the digest are the same.
func TestCacheUpstreams(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute, StaleFor: time.Hour}, func(t *testing.T, h *cacheHouse) {
		listening, other := newPipes(), newMemoryRegistry()
		server := &http.Server{Handler: other}
		go server.Serve(listening)
		t.Cleanup(func() { server.Close() })
		second := upstream.Config{Timeout: minute, BlobMount: upstream.MountNever,
			Dial: func(context.Context, string, string) (net.Conn, error) { return listening.dial("192.0.2.1:1"), nil }}
		h.config.Upstreams = []upstream.Entry{{Name: "second", Hosts: []string{"second.test"}, URL: "http://second.test", Config: second},
			{Name: "first", URL: "http://registry.test", Config: h.config.Upstream}}
		g := h.gateway(h.cached.cache.config)
		g.Take()
		manifest, tag := "/v2/team/a/manifests/"+theManifest, "/v2/team/a/manifests/v1"
		pull := func(host, path string) got {
			return h.do(g, ask{method: "GET", path: path, user: "alice", host: host, header: map[string]string{"Accept": ociManifest}})
		}
		for range 2 {
			for _, path := range []string{manifest, tag} {
				pull("first.test", path).expect(t, "at the first", 200, string(manifestBody))
				pull("second.test", path).expect(t, "at the second", 404, "")
			}
		}
		h.registry.change(func() { h.registry.down = true })
		time.Sleep(2 * minute)
		pull("first.test", manifest).expect(t, "at the first, which is away", 200, string(manifestBody))
		pull("second.test", manifest).expect(t, "at the second still", 404, "")
		other.change(func() { other.manifests["team/a@"+theManifest] = stored{ociManifest, manifestBody} })
		pull("second.test", manifest).expect(t, "at the second, which has it now", 200, string(manifestBody))
	})
}
