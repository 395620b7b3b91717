package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authz"
	"gatehouse/tokens"
)

// halved is a house whose policy tells the halves of a push apart.
func halved(t *testing.T) *house {
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"user:root"}},
		{Position: "c.yaml:2", Allow: []string{"pull", "push"}, Repositories: []string{"prod/**"}, To: []string{"group:team"}},
		{Position: "c.yaml:3", Name: "releases-stay", Deny: []string{"overwrite", "delete"}, Repositories: []string{"prod/**"}, Tags: []string{"v*"}, To: []string{"authenticated"}, Except: []string{"user:root"}},
		{Position: "c.yaml:4", Allow: []string{"create"}, Repositories: []string{"team/**", "drop/**"}, To: []string{"everyone"}},
		{Position: "c.yaml:5", Allow: []string{"overwrite"}, Repositories: []string{"move/**"}, To: []string{"authenticated"}},
	}})
	if policy == nil {
		t.Fatal(err)
	}
	return newHouse(t, func(c *Config) {
		c.Policy = policy
		c.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: c.Keyring, Chain: c.Chain, Policy: policy})
	})
}

func sha(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// naming answers HEAD of a tag as a registry does in which tags name digests.
func naming(tags map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tag := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch digest := tags[tag]; {
		case r.Method != http.MethodHead:
			w.WriteHeader(http.StatusCreated)
		case digest == "":
			w.WriteHeader(http.StatusNotFound)
		case digest == "none":
		case digest == "elsewhere":
			w.Header().Set("Location", "/v2/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case len(digest) == 3:
			status := 0
			fmt.Sscan(digest, &status)
			w.WriteHeader(status)
		default:
			w.Header()["Docker-Content-Digest"] = strings.Split(digest, " ")
		}
	}
}

func methods(seen []*http.Request) string {
	var all []string
	for _, r := range seen {
		all = append(all, r.Method)
	}
	return strings.Join(all, " ")
}

// TestOverwrite: what a push is hangs on what its tag names; where that is not known
// nothing is sent, and where it does not matter nothing is asked.
func TestOverwrite(t *testing.T) {
	h := halved(t)
	const manifest = "{}"
	h.upstream.answers(naming(map[string]string{"v1": sha("other"), "same": sha(manifest), "v2": sha(manifest), "v3": fmt.Sprintf("sha512:%x", sha512.Sum512([]byte(manifest))),
		"v4": "none", "v5": "500", "v6": "401", "v7": "elsewhere", "v8": "sha256:short", "v9": "403", "v10": sha(manifest) + " " + sha(manifest), "v11": "429", "v12": "405", "v13": "other:" + strings.Repeat("a", 64), "old": sha("other")}))
	sender := map[string]string{"root": h.token("root", "repository:prod/a:push", "repository:team/a:push", "repository:move/a:push"),
		"alice": h.token("alice", "repository:prod/a:push", "repository:team/a:push"), "bob": h.token("bob", "repository:team/a:push", "repository:move/a:push"),
		"-": h.token("", "repository:drop/a:push")}
	for _, c := range []struct {
		who, path string
		status    int
		sent      string // what the upstream gets
		text      string // in the answer
	}{
		{"alice", "prod/a/manifests/new", 201, "PUT", ""},
		{"alice", "prod/a/manifests/v0", 201, "HEAD PUT", ""},
		{"alice", "prod/a/manifests/v2", 201, "HEAD PUT", ""},
		{"alice", "prod/a/manifests/v3", 201, "HEAD PUT", ""},
		{"alice", "prod/a/manifests/v1", 403, "HEAD", "the policy (c.yaml:3 (releases-stay)) denies overwrite of prod/a:v1 to alice; v1 stays " + sha("other")},
		{"alice", "prod/a/manifests/v1", 403, "HEAD", `"rule":"c.yaml:3 (releases-stay)"`},
		{"alice", "prod/a/manifests/v13", 403, "HEAD", "v13 stays other:aaa"}, // an algorithm that nobody here knows is none of ours
		{"alice", "prod/a/manifests/v4", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v5", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v6", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v7", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v8", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v9", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v10", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v11", 502, "HEAD", "UNAVAILABLE"},
		{"alice", "prod/a/manifests/v12", 502, "HEAD", "UNAVAILABLE"},
		{"root", "prod/a/manifests/v1", 201, "PUT", ""},
		{"root", "prod/a/manifests/v4", 201, "PUT", ""},
		{"alice", "prod/a/manifests/" + sha(manifest), 201, "PUT", ""},
		{"alice", "prod/a/manifests/" + sha(manifest) + "?tag=v0&tag=dev", 201, "HEAD PUT", ""},
		{"alice", "prod/a/manifests/" + sha(manifest) + "?tag=v0&tag=v2", 201, "HEAD HEAD PUT", ""},
		{"alice", "prod/a/manifests/" + sha(manifest) + "?tag=v0&tag=v1", 403, "HEAD HEAD", "overwrite of prod/a:v1"},
		{"alice", "prod/a/manifests/" + sha(manifest) + "?tag=v1&tag=v0", 403, "HEAD", "overwrite of prod/a:v1"},
		{"alice", "prod/a/manifests/" + sha(manifest) + "?tag=v0&tag=v5", 502, "HEAD HEAD", ""},
		{"bob", "team/a/manifests/new", 201, "HEAD PUT", ""},
		{"bob", "team/a/manifests/same", 201, "HEAD PUT", ""},
		{"bob", "team/a/manifests/old", 403, "HEAD", "no rule of the policy allows overwrite of team/a:old to bob; old stays " + sha("other")},
		{"bob", "team/a/manifests/old", 403, "HEAD", `"rule":"none"`},
		{"bob", "team/a/manifests/" + sha(manifest), 201, "PUT", ""},
		{"bob", "move/a/manifests/new", 403, "HEAD", "no rule of the policy allows create of move/a:new to bob"},
		{"bob", "move/a/manifests/old", 201, "HEAD PUT", ""},
		{"bob", "move/a/manifests/" + sha(manifest), 403, "", "no rule of the policy allows push of move/a to bob"},
		{"-", "drop/a/manifests/new", 201, "HEAD PUT", ""},
		{"-", "drop/a/manifests/old", 401, "HEAD", "log in for this access"},
	} {
		r := h.request("PUT", "/v2/"+c.path, sender[c.who], strings.NewReader(manifest))
		resp, body := h.do(r)
		seen := h.upstream.take()
		if resp.StatusCode != c.status || methods(seen) != c.sent || !strings.Contains(body, c.text) {
			t.Errorf("%s %s: %d %s, sent %q, want %d, %q and %q", c.who, c.path, resp.StatusCode, body, methods(seen), c.status, c.sent, c.text)
		}
		for _, r := range seen {
			if r.Method == http.MethodHead && (!strings.Contains(r.Header.Get("Accept"), "image.index.v1+json") || r.Header.Get("X-Request-Id") == "") {
				t.Errorf("%s is asked with %v", r.URL, r.Header)
			}
		}
	}
	for path, status := range map[string]int{"team/a/blobs/uploads/": 201, "move/a/blobs/uploads/": 403} {
		h.do(h.request("POST", "/v2/"+path, sender["bob"], nil))
		if seen := methods(h.upstream.take()); (seen == "POST") != (status == 201) {
			t.Errorf("%s: sent %q", path, seen)
		}
	}
	if len(h.gateway.load.tags.keys) != 0 {
		t.Errorf("still held: %v", h.gateway.load.tags.keys)
	}
}

// tagStore is a registry of tags alone, which takes its time to change one.
type tagStore struct {
	mu   sync.Mutex
	tags map[string]string
}

func (s *tagStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodPut {
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		s.tags[r.URL.Path] = sha(string(body))
		w.WriteHeader(http.StatusCreated)
		return
	}
	if s.tags[r.URL.Path] == "" {
		w.WriteHeader(http.StatusNotFound)
	}
	w.Header().Set("Docker-Content-Digest", s.tags[r.URL.Path])
}

// TestOneCreate: of pushes of one tag at once one is the create, however many there
// are; and who may overwrite does not come between.
func TestOneCreate(t *testing.T) {
	h := halved(t)
	store := &tagStore{tags: map[string]string{}}
	h.upstream.Config.Handler = store
	bob, root := h.token("bob", "repository:team/a:push"), h.token("root", "repository:team/a:push")
	for round := range 50 {
		path := fmt.Sprintf("/v2/team/a/manifests/t%d", round)
		var wg sync.WaitGroup
		statuses := make([]int, 4)
		for i := range statuses {
			token := bob
			if round%2 == 1 && i == 0 {
				token = root
			}
			wg.Go(func() {
				resp, _ := h.do(h.request("PUT", path, token, strings.NewReader(fmt.Sprintf(`{"n":%d}`, i))))
				statuses[i] = resp.StatusCode
			})
		}
		wg.Wait()
		if round%2 == 1 {
			if statuses[0] != 201 {
				t.Fatalf("root: %v", statuses)
			}
			statuses = statuses[1:]
			if slices.Contains(statuses, 201) && store.tags[path] != sha(`{"n":0}`) {
				t.Fatalf("round %d: a create went over root's push", round)
			}
			continue
		}
		slices.Sort(statuses)
		if !slices.Equal(statuses, []int{201, 403, 403, 403}) {
			t.Fatalf("round %d: %v", round, statuses)
		}
	}
}

// TestHoldOutlivesClient: a push whose client has left still holds its tag until the
// upstream has answered it.
func TestHoldOutlivesClient(t *testing.T) {
	h := halved(t)
	store := &tagStore{tags: map[string]string{}}
	begun, goOn := make(chan struct{}), make(chan struct{})
	h.upstream.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "first" {
			close(begun)
			<-goOn
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		store.ServeHTTP(w, r)
	})
	bob := h.token("bob", "repository:team/a:push")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r := h.request("PUT", "/v2/team/a/manifests/x", bob, strings.NewReader("first")).WithContext(ctx)
		if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
			resp.Body.Close()
			t.Errorf("answered: %d", resp.StatusCode)
		}
	}()
	<-begun
	leave()
	<-gone
	second := make(chan int)
	go func() {
		resp, _ := h.do(h.request("PUT", "/v2/team/a/manifests/x", bob, strings.NewReader("second")))
		second <- resp.StatusCode
	}()
	select {
	case status := <-second:
		t.Errorf("the second push was answered %d while the first was not", status)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if status := <-second; status != 403 {
		t.Errorf("the second push: %d", status)
	}
	if store.tags["/v2/team/a/manifests/x"] != sha("first") {
		t.Error("the tag was moved")
	}
}

// TestHoldLimit: a push does not wait without end for another one of its tag.
func TestHoldLimit(t *testing.T) {
	h := halved(t)
	h.gateway.forwarder.guard.limit = 10 * time.Millisecond
	leave, err := h.gateway.load.tags.hold(t.Context(), "team/a", []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	bob := h.token("bob", "repository:team/a:push")
	resp, body := h.do(h.request("PUT", "/v2/team/a/manifests/x", bob, strings.NewReader("{}")))
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "5" || !strings.Contains(body, "another push of this tag") || len(h.upstream.take()) > 0 {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	leave()
	h.expect(h.request("PUT", "/v2/team/a/manifests/x", bob, strings.NewReader("{}")), 502, "UNAVAILABLE") // the recorder answers 200 without a digest
}

// TestLocalHolds: all tags or none are held, one holder each, and nothing is left.
func TestLocalHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l localHolds
		first, err := l.hold(t.Context(), "a", []string{"x", "y"})
		other, err2 := l.hold(t.Context(), "b", []string{"x"})
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.hold(ctx, "a", []string{"w", "y"}); err != context.DeadlineExceeded {
			t.Errorf("held twice: %v", err)
		}
		got := make(chan func())
		go func() {
			again, _ := l.hold(t.Context(), "a", []string{"w", "y"})
			got <- again
		}()
		synctest.Wait()
		first()
		(<-got)()
		other()
		if len(l.keys) != 0 {
			t.Errorf("left: %v", l.keys)
		}
	})
}
