package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/proxy/content"
	"gatehouse/proxy/route"
)

// told are the changes that wait to be told.
func (n *news) told() (list []change) {
	for len(n.queue) > 0 {
		list = append(list, <-n.queue)
	}
	return list
}

// TestNewsVoidWhatIsKnown: what another gateway has pushed or deleted is asked for again, and
// what it did elsewhere is not.
func TestNewsVoidWhatIsKnown(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: time.Hour, StaleFor: time.Hour, TagsFreshFor: time.Hour}, func(t *testing.T, h *cacheHouse) {
		tag, byDigest, blob := "/v2/team/a/manifests/v1", "/v2/team/a/manifests/"+theManifest, "/v2/team/a/blobs/"+theBlob
		pushed := manifestOf("pushed elsewhere")
		for _, path := range []string{tag, byDigest, blob} {
			h.pull("alice", path)
		}
		h.registry.change(func() {
			h.registry.manifests["team/a@"+sha(string(pushed))] = stored{ociManifest, pushed}
			h.registry.tags["team/a:v1"] = sha(string(pushed))
		})
		name := h.cached.upstreams[0].Name()
		news := func(c change) {
			if c.From = "another"; c.Upstream == "" {
				c.Upstream = name
			}
			text, _ := json.Marshal(c)
			if heard := h.config.Load.news.hear(string(text)); heard != nil {
				h.cached.heard(heard)
			}
		}
		news(change{Repository: "team/b", Kind: "manifest", Tags: []string{"v1"}})
		news(change{Repository: "team/a", Kind: "manifest", Tags: []string{"v1"}, Upstream: "elsewhere"})
		news(change{Repository: "team/a", Kind: "manifest", Tags: []string{"v2"}})
		h.cached.heard(&change{})
		h.pull("alice", tag).expect(t, "before it is told", 200, string(manifestBody))
		news(change{Repository: "team/a", Kind: "manifest", Tags: []string{"v1"}})
		h.registry.take()
		h.pull("alice", tag).expect(t, "a tag that was moved elsewhere", 200, string(pushed))
		h.pull("alice", byDigest).expect(t, "what it named", 200, string(manifestBody))
		h.pull("alice", blob).expect(t, "a blob", 200, string(blobBody))
		if asked := h.registry.take(); len(asked) == 0 || slices.ContainsFunc(asked, func(s string) bool { return strings.Contains(s, theBlob) || strings.Contains(s, theManifest) }) {
			t.Errorf("a push elsewhere made us ask for %q", asked)
		}
		h.registry.change(func() {
			delete(h.registry.manifests, "team/a@"+theManifest)
			delete(h.registry.blobs, "team/a@"+theBlob)
		})
		h.pull("alice", byDigest).expect(t, "before it is told", 200, string(manifestBody))
		news(change{Repository: "team/a", Kind: "manifest", Deletes: true})
		h.pull("alice", byDigest).expect(t, "a manifest that was deleted elsewhere", 404, "")
		news(change{Repository: "team/a", Kind: "blob", Deletes: true})
		h.pull("alice", blob).expect(t, "a blob that was deleted elsewhere", 404, "")
	})
}

// TestNewsAreOfChanges: manifests that were stored or deleted are told, and blobs that were
// deleted; nothing that failed, and no more than the queue holds while nobody can be told.
func TestNewsAreOfChanges(t *testing.T) {
	inCacheHouse(t, content.Config{FreshFor: minute}, func(t *testing.T, h *cacheHouse) {
		n := &h.config.Load.news
		do := func(method, path string, status int, body []byte) []change {
			t.Helper()
			h.do(h.cached, ask{method: method, path: path, user: "root", body: body, header: map[string]string{"Content-Type": ociManifest}}).expect(t, method, status, "")
			return n.told()
		}
		body := manifestOf("new")
		if list := do("PUT", "/v2/team/a/manifests/v2", 201, body); list != nil {
			t.Errorf("told without a store: %+v", list)
		}
		*n = newNews()
		want := change{From: n.from, Place: h.cached.upstreams[0].Name(), Upstream: h.cached.upstreams[0].Name(), Repository: "team/a", Kind: "manifest", Tags: []string{"v2"}}
		if list := do("PUT", "/v2/team/a/manifests/v2", 201, body); len(list) != 1 || list[0].Repository != want.Repository || !slices.Equal(list[0].Tags, want.Tags) || list[0].From != want.From || list[0].Place != want.Place || list[0].Upstream != want.Upstream || list[0].Deletes {
			t.Errorf("a push: %+v, want %+v", list, want)
		}
		for kind, path := range map[route.Kind]string{"manifest": "/v2/team/a/manifests/" + theManifest, "blob": "/v2/team/a/blobs/" + theBlob} {
			if list := do("DELETE", path, http.StatusAccepted, nil); len(list) != 1 || !list[0].Deletes || list[0].Kind != kind {
				t.Errorf("DELETE %s: %+v", path, list)
			}
		}
		if list := do("DELETE", "/v2/team/a/blobs/"+theBlob, http.StatusNotFound, nil); list != nil {
			t.Errorf("what failed is told: %+v", list)
		}
		h.pull("alice", "/v2/team/a/blobs/"+theBlob)
		if list := n.told(); list != nil {
			t.Errorf("a pull is told: %+v", list)
		}
		for range mostNews + 10 {
			h.do(h.cached, ask{method: "PUT", path: "/v2/team/a/manifests/v2", user: "root", body: body, header: map[string]string{"Content-Type": ociManifest}})
		}
		if got := len(n.told()); got != mostNews {
			t.Errorf("%d wait, want %d", got, mostNews)
		}
		for _, text := range []string{"", "{", `{"from":"` + n.from + `","repository":"team/a"}`} {
			if n.hear(text) != nil {
				t.Errorf("%q is heard", text)
			}
		}
		synctest.Wait()
	})
}

// TestGossip: two gateways of one Redis tell each other, and none itself.
func TestGossip(t *testing.T) {
	of, _ := sharedStore(t)
	heard := make(chan string, 100)
	houses := map[string]*house{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool, 2)
	for _, name := range []string{"one", "two"} {
		h, _ := pagesHouse(t, nil, nil)
		h.upstream.answers(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
		h.gateway.load.Share(of())
		houses[name] = h
		go func() {
			h.gateway.load.Gossip(ctx, func(with func(*Gateway)) { with(h.gateway); heard <- name })
			done <- true
		}()
	}
	defer func() { cancel(); <-done; <-done }()
	push := func(at string) {
		h := houses[at]
		r := h.request("PUT", "/v2/team/app/manifests/v1", h.token("root", "repository:team/app:push"), strings.NewReader("{}"))
		if resp, body := h.do(r); resp.StatusCode != http.StatusCreated {
			t.Fatal(resp.StatusCode, body)
		}
	}
	for from, to := range map[string]string{"one": "two", "two": "one"} {
		again := time.NewTicker(50 * time.Millisecond) // one that does not hear yet misses it
		defer again.Stop()
		for got := ""; got != to; {
			push(from)
			select {
			case got = <-heard:
			case <-again.C:
			}
		}
		for len(heard) > 0 {
			if got := <-heard; got != to {
				t.Errorf("%s heard what it told itself", got)
			}
		}
	}
}
