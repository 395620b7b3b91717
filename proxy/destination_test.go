package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/content"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// three is a gateway before three registries: team's, one of a host, and that of public
// repositories, which has a second host for all it has.
func three(t *testing.T, change func(*Config)) (h *house, team, host, public *upstreamRecorder) {
	team, host, public = newRecorder(t), newRecorder(t), newRecorder(t)
	h = newHouse(t, func(c *Config) {
		c.Upstreams = []upstream.Entry{
			{Name: "host", Hosts: []string{"other.example", "third.example:8443"}, URLs: []string{host.URL}},
			{Name: "team", Repositories: []string{"team/**"}, URLs: []string{team.URL}, Config: upstream.Config{BlobMount: upstream.MountAlways}},
			{Name: "public", Repositories: []string{"public/*"}, URLs: []string{public.URL}},
		}
		if change != nil {
			change(c)
		}
	})
	return h, team, host, public
}

// TestDestinations: the first upstream whose host and pattern match serves the request.
func TestDestinations(t *testing.T) {
	h, team, host, public := three(t, nil)
	token := h.token("root", "repository:team/app:pull", "repository:public/lib:pull", "repository:else/x:pull")
	for _, c := range []struct {
		host, repository string
		want             *upstreamRecorder
	}{
		{"", "team/app", team}, {"", "public/lib", public}, {"OTHER.example", "team/app", host}, {"other.example:80", "else/x", host},
		{"third.example:8443", "else/x", host}, {"other.example:8443", "team/app", team}, {"other.example.", "team/app", host},
	} {
		r := h.request("GET", "/v2/"+c.repository+"/manifests/dev", token, nil)
		if c.host != "" {
			r.Host = c.host
		}
		h.expect(r, 200, "")
		for name, u := range map[string]*upstreamRecorder{"team": team, "host": host, "public": public} {
			if seen := len(u.take()); (seen == 1) != (u == c.want) || seen > 1 {
				t.Errorf("%s %s: %d requests at %s", c.host, c.repository, seen, name)
			}
		}
	}
}

// TestUnserved: a repository that no upstream serves is unknown to who may pull there,
// and refused to all others as any other.
func TestUnserved(t *testing.T) {
	h, team, host, public := three(t, nil)
	for _, c := range []struct {
		user, scope, method, target string
		status                      int
		code                        string
	}{
		{"root", "repository:else/x:pull", "GET", "/v2/else/x/manifests/dev", 404, "NAME_UNKNOWN"},
		{"root", "repository:else/x:pull", "HEAD", "/v2/else/x/manifests/dev", 404, ""},
		{"root", "repository:else/x:pull", "GET", "/v2/else/x/tags/list", 404, "NAME_UNKNOWN"},
		{"root", "repository:else/x:pull,push", "POST", "/v2/else/x/blobs/uploads/", 404, "NAME_UNKNOWN"},
		{"root", "repository:else/x:delete", "DELETE", "/v2/else/x/manifests/dev", 404, "NAME_UNKNOWN"},
		{"root", "repository:else/x:pull", "POST", "/v2/else/x/blobs/uploads/", 401, "UNAUTHORIZED"},
		{"", "repository:public/a/b:pull", "GET", "/v2/public/a/b/manifests/dev", 404, "NAME_UNKNOWN"},
		{"alice", "repository:else/x:pull", "GET", "/v2/else/x/manifests/dev", 403, "DENIED"},
		{"bob", "repository:team/app:pull", "GET", "/v2/team/app/manifests/dev", 403, "DENIED"},
		{"", "repository:else/x:pull", "GET", "/v2/else/x/manifests/dev", 401, "UNAUTHORIZED"},
	} {
		h.expect(h.request(c.method, c.target, h.token(c.user, c.scope), nil), c.status, c.code)
	}
	if len(team.take())+len(host.take())+len(public.take()) > 0 {
		t.Error("an upstream was asked")
	}
}

// TestUnservedToWhoOnlyPushes: who may push there and not pull learns no more than that
// they may not pull.
func TestUnservedToWhoOnlyPushes(t *testing.T) {
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"push"}, Repositories: []string{"drop/**"}, To: []string{"user:bob"}}}})
	if policy == nil {
		t.Fatal(err)
	}
	h, _, _, _ := three(t, func(c *Config) {
		c.Policy, c.Granter = policy, tokens.NewGranter(tokens.GranterConfig{Keyring: c.Keyring, Chain: c.Chain, Policy: policy})
	})
	h.expect(h.request("POST", "/v2/drop/x/blobs/uploads/", h.token("bob", "repository:drop/x:push"), nil), 403, "DENIED")
}

// TestMountBetweenUpstreams becomes a plain start of an upload; within one it is passed.
func TestMountBetweenUpstreams(t *testing.T) {
	h, team, _, public := three(t, nil)
	token := h.token("root", "repository:team/app:pull,push", "repository:public/lib:pull", "repository:team/lib:pull", "repository:else/x:pull")
	for from, want := range map[string]string{"team/lib": "team/lib", "public/lib": "", "else/x": ""} {
		h.do(h.request("POST", "/v2/team/app/blobs/uploads/?mount=sha256:"+strings.Repeat("a", 64)+"&from="+from, token, nil))
		seen := team.take()
		if len(seen) != 1 || (want == "") != (seen[0].URL.RawQuery == "") || seen[0].URL.Query().Get("from") != want {
			t.Errorf("from %s: %v", from, seen)
		}
		if len(public.take()) > 0 {
			t.Errorf("from %s: the source's upstream was asked", from)
		}
	}
}

// TestMergedCatalog: one sorted list, each name from the upstream that serves it alone,
// in pages that miss and repeat nothing; one upstream at fault is no short list.
func TestMergedCatalog(t *testing.T) {
	h, team, host, public := three(t, nil)
	lists := func(names ...string) http.HandlerFunc {
		return (&registryCatalog{names: names, limit: 2}).ServeHTTP
	}
	team.answers(lists("else/x", "public/stale", "team", "team-a", "team/a", "team/b", "team/c/d", "zz"))
	public.answers(lists("public/a", "public/a-b", "public/a/b", "public/z", "team/a", "team/stale"))
	host.answers(lists("else/x", "team/a"))
	token := h.token("root", "registry:catalog:*")
	want := []string{"public/a", "public/a-b", "public/z", "team", "team/a", "team/b", "team/c/d"}
	for _, n := range []string{"1", "2", "3", "7", "100"} {
		var got []string
		query := "?n=" + n
		for query != "" {
			names, link := h.list(token, query, 200)
			got = append(got, names...)
			_, query, _ = strings.Cut(link, "/v2/_catalog")
			query, _, _ = strings.Cut(query, ">")
			if len(got) > 50 {
				t.Fatal("without end")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("n=%s: %v", n, got)
		}
	}
	if names, _ := h.list(token, "?last=public/b", 200); !slices.Equal(names, want[2:]) {
		t.Errorf("after a name that nobody has: %v", names)
	}
	if names, _ := h.list(h.token("alice", "registry:catalog:*"), "", 200); !slices.Equal(names, want) {
		t.Errorf("alice, who may pull team and public: %v", names)
	}
	if names, _ := h.list(h.token("bob", "registry:catalog:*"), "", 200); !slices.Equal(names, want[:3]) {
		t.Errorf("bob, who may pull public: %v", names)
	}
	r := h.request("GET", "/v2/_catalog", token, nil)
	r.Host = "other.example"
	_, body := h.do(r)
	var all struct{ Repositories []string }
	if err := json.Unmarshal([]byte(body), &all); err != nil || !slices.Equal(all.Repositories, []string{"else/x", "team/a"}) {
		t.Errorf("at the host: %s", body)
	}
	for _, fault := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	} {
		public.answers(fault)
		h.expect(h.request("GET", "/v2/_catalog", token, nil), 502, "UNAVAILABLE")
	}
}

// TestDestinationFaults names the key of what cannot work, and of what is never reached.
func TestDestinationFaults(t *testing.T) {
	type e = upstream.Entry
	at := []string{"http://127.0.0.1:1"}
	for _, c := range []struct {
		entries []e
		want    string // the keys
	}{
		{[]e{{Name: "a", Repositories: []string{"team/**"}, URLs: at}, {Name: "b", URLs: at}}, ""},
		{[]e{{Name: "a", URLs: at}, {Name: "b", Repositories: []string{"team/**", "x"}, URLs: at}}, "upstreams[1].repositories[0] upstreams[1].repositories[1]"},
		{[]e{{Name: "a", Repositories: []string{"team/**"}, URLs: at}, {Name: "b", Repositories: []string{"team/app", "team*/**"}, URLs: at}}, "upstreams[1].repositories[0]"},
		{[]e{{Name: "a", Repositories: []string{"**"}, URLs: at}, {Name: "b", URLs: at}}, "upstreams[1].name"},
		{[]e{{Name: "a", URLs: at}, {Name: "b", URLs: at}}, "upstreams[1].name"},
		{[]e{{Name: "a", URLs: at}, {Name: "b", Hosts: []string{"h"}, URLs: at}}, "upstreams[1].name"},
		{[]e{{Name: "a", Hosts: []string{"h"}, URLs: at}, {Name: "b", URLs: at}}, ""},
		{[]e{{Name: "a", Hosts: []string{"h"}, URLs: at}, {Name: "b", Hosts: []string{"i"}, URLs: at}, {Name: "c", Hosts: []string{"H", "i"}, URLs: at}}, "upstreams[2].name"},
		{[]e{{Name: "a", Hosts: []string{"h"}, URLs: at}, {Name: "b", Hosts: []string{"h", "i"}, URLs: at}}, ""},
		{[]e{{Name: "a", Repositories: []string{"x"}, URLs: at}, {Name: "a", URLs: at}}, "upstreams[1].name"},
		{[]e{{Name: "a", Repositories: []string{"x"}, URLs: at}, {Name: "a", Hosts: []string{"http://h"}, URLs: at}}, "upstreams[1].name upstreams[1].hosts[0]"},
		{[]e{{Name: "a", Hosts: []string{"http://h", "h:x"}, Repositories: []string{"{user}/**", "a//b"}, URLs: []string{"h:1"}}}, "upstreams[0].hosts[0] upstreams[0].hosts[1] upstreams[0].repositories[0] upstreams[0].repositories[1] upstreams[0].urls[0]"},
	} {
		_, err := New(Config{Upstreams: c.entries})
		var faults authn.Faults
		faults.Join(flat(err))
		var keys []string
		if joined, ok := faults.Err().(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				if k := new(authn.KeyError); errors.As(e, &k) {
					keys = append(keys, k.Key)
				}
			}
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("%+v\ngot  %q\nwant %q (%v)", c.entries, got, c.want, err)
		}
	}
}

// flat undoes the joining of joined errors.
func flat(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var list []error
	for _, e := range joined.Unwrap() {
		if inner, ok := flat(e).(interface{ Unwrap() []error }); ok {
			list = append(list, inner.Unwrap()...)
		} else {
			list = append(list, e)
		}
	}
	return errors.Join(list...)
}

// TestCacheBetweenUpstreams: what one upstream has in a repository is not served where a
// host leads to another upstream that has a repository of the same name.
func TestCacheBetweenUpstreams(t *testing.T) {
	h, team, host, _ := three(t, func(c *Config) { c.Cache = &content.Config{Memory: 1 << 20, Small: 1 << 10, FreshFor: time.Hour} })
	h.gateway.Take()
	const blob = "what only team's registry has"
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(blob)))
	team.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Type", "application/octet-stream")
		fmt.Fprint(w, blob)
	})
	host.answers(http.NotFound)
	token := h.token("root", "repository:team/app:pull")
	get := func(name string, status int) {
		r := h.request("GET", "/v2/team/app/blobs/"+digest, token, nil)
		if name != "" {
			r.Host = name
		}
		if resp, _ := h.do(r); resp.StatusCode != status {
			t.Errorf("at %q: %d, want %d", name, resp.StatusCode, status)
		}
	}
	get("", 200)
	get("", 200)
	if seen := len(team.take()); seen != 1 {
		t.Errorf("%d requests for a blob that was kept", seen)
	}
	get("other.example", 404)
	get("", 200)
	if asked, again := len(host.take()), len(team.take()); asked == 0 || again != 0 {
		t.Errorf("%d requests at the other upstream, %d again at the first", asked, again)
	}
}
