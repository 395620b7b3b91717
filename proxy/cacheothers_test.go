package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/content"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// cachePlaces are where blobs are kept.
func cachePlaces(t *testing.T) map[string]content.Config {
	return map[string]content.Config{
		"in memory": {FreshFor: minute, StaleFor: time.Hour},
		"on disk":   {FreshFor: minute, StaleFor: time.Hour, Memory: 1 << 20, Dir: t.TempDir(), Disk: 1 << 30},
	}
}

// halfway has the registry send half of a blob, and the rest when then has returned.
func (h *cacheHouse) halfway(path string, body []byte, then func()) {
	h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path || r.Method != "GET" || r.Header.Get("Range") != "" {
			return false
		}
		h.registry.hook(nil, nil)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Header().Set("Docker-Content-Digest", sha(string(body)))
		w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		then()
		w.Write(body[len(body)/2:])
		return true
	})
}

// TestCacheForeignBlobs: a blob of one repository is nobody's in another: before somebody who may
// have it does, in the middle of that, after it, when a manifest lists it, by any method, and while
// the registry is away.
func TestCacheForeignBlobs(t *testing.T) {
	for where, cfg := range cachePlaces(t) {
		t.Run(where, func(t *testing.T) {
			inCacheHouse(t, cfg, func(t *testing.T, h *cacheHouse) {
				secret := []byte(strings.Repeat("the secret ", 20_000))
				digest := sha(string(secret))
				h.registry.blobs["other/b@"+digest] = secret
				here, there := "/v2/team/a/blobs/"+digest, "/v2/other/b/blobs/"+digest
				foreign := func(when string) {
					t.Helper()
					for _, a := range []ask{
						{method: "GET", path: here, user: "alice"}, {method: "HEAD", path: here, user: "alice"}, {method: "GET", path: here, user: "root"},
						{method: "GET", path: here, user: "alice", header: map[string]string{"Range": "bytes=0-9"}},
						{method: "GET", path: here, user: "alice", header: map[string]string{"If-None-Match": `"` + digest + `"`}},
					} {
						bare, got := h.do(h.bare, a), h.do(h.cached, a)
						if got.expect(t, fmt.Sprint(a.method, a.header, when), 404, bare.body); got.header.Get("Cache-Status") != "" {
							t.Errorf("%s %v %s: %v", a.method, a.header, when, got.header)
						}
					}
					h.pull("alice", there).expect(t, "a foreign repository "+when, 403, "")
					h.do(h.cached, ask{method: "GET", path: there}).expect(t, "nobody "+when, 401, "")
					h.pull("bob", "/v2/other/b/manifests/"+digest).expect(t, "the other kind "+when, 404, "")
				}
				foreign("before")
				h.halfway(there, secret, func() { foreign("halfway") })
				h.pull("bob", there).expect(t, "the owner", 200, string(secret))
				foreign("after")
				synctest.Wait()
				h.registry.take()
				h.pull("bob", there).expect(t, "the owner again", 200, string(secret))
				h.saw("the owner again")
				foreign("after a hit")
				lists := []byte(`{"schemaVersion":2,"mediaType":"` + ociManifest + `","layers":[{"digest":"` + digest + `"}]}`)
				h.do(h.cached, ask{method: "PUT", path: "/v2/team/a/manifests/lists", user: "root", body: lists, header: map[string]string{"Content-Type": ociManifest}}).expect(t, "push", 201, "")
				h.pull("alice", "/v2/team/a/manifests/lists").expect(t, "what lists it", 200, string(lists))
				foreign("when a manifest lists it")
				h.registry.change(func() { h.registry.down = true })
				time.Sleep(2 * minute)
				h.pull("alice", here).expect(t, "a foreign digest while the registry is away", 502, "")
				h.pull("bob", there).expect(t, "the owner, while it is away", 200, string(secret))
			})
		})
	}
}

// TestCacheRangeMeanwhile: a part of a blob that is just being fetched is the registry's own answer;
// when it is here, it is cut from that.
func TestCacheRangeMeanwhile(t *testing.T) {
	for where, cfg := range cachePlaces(t) {
		t.Run(where, func(t *testing.T) {
			inCacheHouse(t, cfg, func(t *testing.T, h *cacheHouse) {
				body := []byte(strings.Repeat("0123456789", 20_000))
				path := "/v2/team/a/blobs/" + sha(string(body))
				h.registry.blobs["team/a@"+sha(string(body))] = body
				part := func(when string, saw ...string) {
					t.Helper()
					for _, c := range []struct {
						field, body string
						status      int
					}{{"bytes=5-9", "56789", 206}, {"bytes=-3", "789", 206}, {"bytes=9999999-", "", 416}} {
						got := h.do(h.cached, ask{method: "GET", path: path, user: "alice", header: map[string]string{"Range": c.field}})
						if got.expect(t, c.field+" "+when, c.status, c.body); (got.header.Get("Cache-Status") != "") != (len(saw) == 0) {
							t.Errorf("%s %s: %v", c.field, when, got.header)
						}
						h.saw(c.field+" "+when, saw...)
					}
				}
				arrived, gate := make(chan bool), make(chan bool)
				h.halfway(path, body, func() { close(arrived); <-gate })
				var running sync.WaitGroup
				running.Go(func() { h.pull("alice", path).expect(t, "the whole", 200, string(body)) })
				<-arrived
				h.saw("the whole", "GET "+path)
				part("meanwhile", "GET "+path)
				close(gate)
				running.Wait()
				synctest.Wait()
				part("afterwards")
			})
		})
	}
}

// TestCachePushers: a HEAD of a manifest by a token that carries push goes to the registry, whatever
// the cache knows; by one that does not, it is a hit, whatever its person may.
func TestCachePushers(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		path := "/v2/other/b/manifests/" + theManifest
		for scope, forwarded := range map[string]bool{"pull": false, "pull,push": true} {
			reply, err := h.config.Granter.Grant(t.Context(), tokens.GrantRequest{Attempt: &authn.Attempt{Login: "bob", Password: "bob"}, Scopes: []string{"repository:other/b:" + scope}})
			if err != nil {
				t.Fatal(err)
			}
			send := func(method string) {
				a := ask{method: method, path: path, header: map[string]string{"Accept": ociManifest, "Authorization": "Bearer " + reply.Token}}
				h.do(h.cached, a).expect(t, method+" with "+scope, 200, "")
			}
			send("GET")
			synctest.Wait()
			h.registry.take()
			h.outcomes()
			send("HEAD")
			send("GET") // which may be a hit for both: the bytes are right either way
			if forwarded {
				h.saw(scope, "HEAD "+path)
				h.became("pass", "hit")
			} else {
				h.saw(scope)
				h.became("hit", "hit")
			}
		}
	})
}

// TestCacheUntyped: what the registry names no type for has none, wherever it is kept: a type that
// the server finds in the bytes would differ from one place to the other.
func TestCacheUntyped(t *testing.T) {
	for where, cfg := range cachePlaces(t) {
		t.Run(where, func(t *testing.T) {
			inCacheHouse(t, cfg, func(t *testing.T, h *cacheHouse) {
				large := []byte(strings.Repeat("<html>", 100_000))
				held := map[string][]byte{theBlob: blobBody, sha(string(large)): large, theManifest: manifestBody}
				h.registry.hook(nil, func(w http.ResponseWriter, r *http.Request) bool {
					body, ok := held[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
					if ok {
						w.Header()["Content-Type"] = nil
						http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
					}
					return ok
				})
				for digest, body := range held {
					kind := "blobs"
					if digest == theManifest {
						kind = "manifests"
					}
					a := ask{method: "GET", path: "/v2/team/a/" + kind + "/" + digest, user: "alice"}
					for _, g := range []*Gateway{h.bare, h.cached, h.cached} {
						got := h.do(g, a)
						if got.expect(t, a.path, 200, string(body)); got.header["Content-Type"] != nil {
							t.Errorf("%s has the type %q", a.path, got.header["Content-Type"])
						}
						synctest.Wait()
					}
				}
			})
		})
	}
}

// TestCacheMounts: what the registry says to the gateway's own question whether the source of a mount
// has the blob counts as what it says to anybody: a yes renews, a no ends.
func TestCacheMounts(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		h.config.Upstream.BlobMount = upstream.MountAuto
		h.cached = h.gateway(h.cached.cache.config)
		path := "/v2/other/b/blobs/" + theBlob
		pull := func(when string, status int, saw ...string) {
			t.Helper()
			h.pull("bob", path).expect(t, when, status, "")
			h.saw(when, saw...)
		}
		mount := func(to string) {
			t.Helper()
			start := "/v2/" + to + "/blobs/uploads/"
			h.do(h.cached, ask{method: "POST", path: start + "?from=other/b&mount=" + theBlob, user: "root"}).expect(t, "a mount", 202, "")
			h.saw("a mount", "HEAD "+path, "POST "+start)
		}
		pull("first", 200, "GET "+path)
		time.Sleep(50 * time.Second)
		mount("team/c")
		time.Sleep(20 * time.Second)
		pull("after a yes", 200)
		h.registry.change(func() { delete(h.registry.blobs, "other/b@"+theBlob) })
		mount("team/d")
		pull("after a no", 404, "GET "+path)
		h.registry.change(func() { h.registry.blobs["other/b@"+theBlob] = blobBody })
		mount("team/e")
		pull("a yes alone makes nothing", 200, "GET "+path)
		pull("but a pull does", 200)
	})
}
