package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/route"
	"gatehouse/proxy/shadow"
)

// randomRules are a policy over two repositories and three people.
func randomRules(r *rand.Rand, file string) []authz.Rule {
	pick := func(list ...string) []string { return []string{list[r.IntN(len(list))]} }
	rules := make([]authz.Rule, 1+r.IntN(5))
	for i := range rules {
		rule := authz.Rule{Position: fmt.Sprintf("%s:%d", file, i+1), Repositories: pick("a/*", "b/*", "**"), To: pick("user:alice", "user:bob", "group:team", "people")}
		actions := pick("pull", "push", "create", "overwrite", "delete", "*")
		if rule.Allow = actions; r.IntN(4) == 0 {
			rule.Allow, rule.Deny = nil, actions
		}
		if actions[0] != "pull" && actions[0] != "*" && r.IntN(3) == 0 {
			rule.Tags = pick("new*", "old")
		}
		rules[i] = rule
	}
	return rules
}

func policyOf(t *testing.T, rules []authz.Rule) *authz.Policy {
	t.Helper()
	p, err := authz.New(authz.Config{Rules: rules, Directories: []string{"local"}})
	if p == nil {
		t.Fatal(err)
	}
	return p
}

// tried is a house with a policy, and one that is tried.
func triedHouse(t *testing.T, policy, next *authz.Policy) *house {
	h := newHouse(t, func(c *Config) { c.Listen.Basic, c.Policy, c.PolicyNext = true, policy, next })
	h.gateway.Take()
	h.gateway.decider.trial.patience.limit = time.Minute // nothing hangs on how busy this machine is
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/new1"), r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/"):
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodHead:
			w.Header().Set("Docker-Content-Digest", sha("other"))
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	return h
}

// ask answers one request of somebody with their password: the status, and all else that
// a client sees.
func (h *house) ask(method, path, user string) (status int, all string) {
	body := io.Reader(strings.NewReader(""))
	if method == http.MethodPut {
		body = strings.NewReader("{}")
	}
	r := httptest.NewRequest(method, "http://h"+path, body)
	r.RemoteAddr = "127.0.0.1:1"
	r.SetBasicAuth(user, user+"-secret")
	w := httptest.NewRecorder()
	h.gateway.ServeHTTP(w, r)
	id := w.Header().Get("X-Request-Id")
	w.Header().Del("Date")
	return w.Code, strings.ReplaceAll(fmt.Sprint(w.Code, w.Header(), w.Body), id, "ID")
}

// TestTrial: with a policy that is tried random traffic gets byte for byte the answers that
// it gets without, and the table has just what two gateways with one policy each answer.
func TestTrial(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 14))
		old, next := policyOf(t, randomRules(r, "old.yaml")), policyOf(t, randomRules(r, "next.yaml"))
		today, tomorrow, both := triedHouse(t, old, nil), triedHouse(t, next, nil), triedHouse(t, old, next)
		want := map[string]int64{}
		for range 40 {
			repository := []string{"a/x", "b/x"}[r.IntN(2)]
			user := []string{"alice", "bob", "root"}[r.IntN(3)]
			request := [][3]string{{"GET", "manifests/new1", "pull"}, {"GET", "tags/list", "pull"}, {"PUT", "manifests/new1", "push"}, {"PUT", "manifests/old", "push"},
				{"PUT", "manifests/" + sha("{}"), "push"}, {"PUT", "manifests/" + sha("{}") + "?tag=old&tag=new1", "push"}, {"PUT", "manifests/" + sha("{}") + "?tag=new1&tag=old", "push"},
				{"DELETE", "manifests/old", "delete"}, {"POST", "blobs/uploads/", "push"}}[r.IntN(9)]
			path := "/v2/" + repository + "/" + request[1]
			first, one := today.ask(request[0], path, user)
			second, _ := tomorrow.ask(request[0], path, user)
			if _, got := both.ask(request[0], path, user); got != one {
				t.Fatalf("seed %d, %s %s of %s: %s\nwithout a trial %s", seed, request[0], path, user, got, one)
			}
			if refused := first == http.StatusForbidden; refused != (second == http.StatusForbidden) {
				change := shadow.Refused
				if refused {
					change = shadow.Granted
				}
				want[strings.Join([]string{user, repository, request[2], change}, " ")]++
			}
		}
		got := map[string]int64{}
		for _, row := range both.gateway.Shadow().Rows {
			got[strings.Join([]string{row.User, row.Repository, row.Action, row.Change}, " ")] += row.Count
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: the table is %v, two gateways say %v", seed, got, want)
		}
	}
}

// TestTrialRows: rows have the rules of both policies, a pull that a mount needs is a
// decision too, a repeated push is no overwrite, and another policy empties the table.
func TestTrialRows(t *testing.T) {
	rule := func(position string, r authz.Rule) authz.Rule { r.Position = position; return r }
	old := policyOf(t, []authz.Rule{rule("o:1", authz.Rule{Name: "all", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"people"}})})
	next := policyOf(t, []authz.Rule{rule("n:1", authz.Rule{Allow: []string{"create", "delete"}, Repositories: []string{"a/**"}, To: []string{"people"}}),
		rule("n:2", authz.Rule{Name: "shut", Deny: []string{"pull"}, Repositories: []string{"b/**"}, To: []string{"people"}})})
	h := triedHouse(t, old, next)
	h.upstream.answers(naming(map[string]string{"same": sha("{}"), "moved": sha("other"), "broken": "500"}))
	for _, c := range [][2]string{{"PUT", "/v2/a/x/manifests/same"}, {"PUT", "/v2/a/x/manifests/moved"}, {"PUT", "/v2/a/x/manifests/moved"}, {"PUT", "/v2/a/x/manifests/broken"},
		{"PUT", "/v2/a/x/manifests/fresh"}, {"POST", "/v2/a/x/blobs/uploads/?mount=" + sha("x") + "&from=b/x"}, {"GET", "/v2/_catalog"}} {
		if status, text := h.ask(c[0], c[1], "bob"); status >= 300 && c[1] != "/v2/_catalog" {
			t.Errorf("%v: %s", c, text)
		}
	}
	var got []string
	for _, r := range h.gateway.Shadow().Rows {
		got = append(got, fmt.Sprintln(r.Change, r.User, r.Action, r.Repository, r.Old, r.New, r.Count))
	}
	if want := []string{"refused bob push a/x o:1 (all) none 2\n", "refused bob pull b/x o:1 (all) n:2 (shut) 1\n"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if h.gateway.Take(); len(h.gateway.Shadow().Rows) != 2 {
		t.Error("the same policy empties the table")
	}
	h.gateway.decider.trial.policy = old
	if h.gateway.Take(); len(h.gateway.Shadow().Rows) != 0 {
		t.Error("another policy keeps the table")
	}
}

// TestTrialHalf: where the trial asks what a tag names the row names the rule that allows the
// half that the push is, and both rules count.
func TestTrialHalf(t *testing.T) {
	rule := func(position, action string) authz.Rule {
		return authz.Rule{Position: position, Allow: []string{action}, Repositories: []string{"**"}, To: []string{"people"}}
	}
	both := []authz.Rule{rule("o:1", "create"), rule("o:2", "overwrite")}
	h := triedHouse(t, policyOf(t, both), policyOf(t, []authz.Rule{rule("n:1", "create")}))
	h.upstream.answers(naming(map[string]string{"moved": sha("other"), "same": sha("{}")}))
	for _, tag := range []string{"moved", "same", "fresh"} {
		if status, text := h.ask("PUT", "/v2/a/x/manifests/"+tag, "bob"); status != http.StatusCreated {
			t.Error(text)
		}
	}
	if rows := h.gateway.Shadow().Rows; len(rows) != 1 || rows[0].Old != "o:2" || rows[0].New != "none" || rows[0].Count != 1 {
		t.Errorf("%+v", rows)
	}
	for _, r := range both {
		if n := h.gateway.load.counts.Of(r); n.Allowed != 3 {
			t.Errorf("%+v", n)
		}
	}
}

// TestTrialPatience: of a registry that does not say what a tag names, or says it with 5xx,
// clients notice nothing: it is not asked for a while, and no address is put aside.
func TestTrialPatience(t *testing.T) {
	all := authz.Rule{Position: "o:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"people"}}
	none := authz.Rule{Position: "o:1", Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"people"}}
	next := policyOf(t, []authz.Rule{{Position: "n:1", Allow: []string{"create"}, Repositories: []string{"**"}, To: []string{"people"}}})
	hang := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusCreated)
	}
	for _, c := range []struct {
		name   string
		now    authz.Rule
		answer http.HandlerFunc
		pause  time.Duration
		status int
		seen   string
	}{
		{"hangs", all, hang, time.Hour, 201, "HEAD PUT PUT PUT PUT"},
		{"hangs, and is asked again", all, hang, 0, 201, "HEAD PUT HEAD PUT HEAD PUT HEAD PUT"},
		{"hangs on what is refused", none, hang, time.Hour, 403, "HEAD"},
		{"503", all, naming(map[string]string{"a": "503"}), time.Hour, 201, "HEAD PUT HEAD PUT HEAD PUT HEAD PUT"},
		{"503 on what is refused", none, naming(map[string]string{"a": "503"}), time.Hour, 403, "HEAD HEAD HEAD HEAD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := triedHouse(t, policyOf(t, []authz.Rule{c.now}), next)
			h.gateway.decider.trial.patience.limit, h.gateway.decider.trial.patience.pause = time.Minute, c.pause
			if strings.HasPrefix(c.name, "hangs") {
				h.gateway.decider.trial.patience.limit = 300 * time.Millisecond // the HEAD is sent within it
			}
			h.upstream.answers(c.answer)
			for range 4 {
				if status, text := h.ask("PUT", "/v2/x/y/manifests/a", "bob"); status != c.status {
					t.Error(text)
				}
			}
			if seen := methods(h.upstream.take()); seen != c.seen {
				t.Errorf("the upstream was sent %s, want %s", seen, c.seen)
			}
			if r := h.gateway.Shadow(); r.Unknown != 4 || len(r.Rows) != 0 {
				t.Errorf("%+v", r)
			}
			if health := h.gateway.upstreams[0].Health(); health[0].Err != nil {
				t.Errorf("%v", health)
			}
		})
	}
}

// TestTrialFreesTag: whoever waits for a tag does not wait for the trial of a push that was
// refused.
func TestTrialFreesTag(t *testing.T) {
	rule := func(text string, tags ...string) authz.Rule {
		return authz.Rule{Position: "o:" + text, Allow: []string{text}, Repositories: []string{"**"}, Tags: tags, To: []string{"people"}}
	}
	h := triedHouse(t, policyOf(t, []authz.Rule{rule("create"), rule("overwrite", "dev")}), policyOf(t, []authz.Rule{rule("create"), rule("overwrite", "v1")}))
	asked := make(chan struct{})
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/dev") {
			asked <- struct{}{}
			<-asked
		}
		naming(map[string]string{"v1": sha("other"), "dev": sha("other")})(w, r)
	})
	refused := make(chan string)
	go func() {
		_, text := h.ask("PUT", "/v2/x/y/manifests/"+sha("{}")+"?tag=v1&tag=dev", "bob")
		refused <- text
	}()
	<-asked // for the trial
	l, err := h.gateway.forwarder.guard.holds.hold(t.Context(), "x/y", []string{"dev", "v1"})
	if err != nil {
		t.Fatal(err)
	}
	l.release()
	asked <- struct{}{}
	if text := <-refused; !strings.HasPrefix(text, "403") || !strings.Contains(text, "v1 stays") {
		t.Error(text)
	}
}

// TestTrialCatalog: of a catalog each name is a decision, once in the walk of its pages.
func TestTrialCatalog(t *testing.T) {
	rule := func(position string, to string, repositories ...string) authz.Rule {
		return authz.Rule{Position: position, Allow: []string{"pull"}, Repositories: repositories, To: []string{to}}
	}
	old := policyOf(t, []authz.Rule{rule("o:1", "people", "a/**", "c/**"), rule("o:2", "user:root", "d")})
	next := policyOf(t, []authz.Rule{rule("n:1", "people", "b/**", "c/**"), rule("n:2", "user:root", "d")})
	h := triedHouse(t, old, next)
	names := []string{"a/1", "a/2", "b/1", "b/2", "c/1", "c/2"}
	for _, c := range []struct{ n, pages int }{{1, 4}, {2, 2}, {3, 2}, {4, 1}, {0, 1}} {
		h.gateway.load.trial.Take("")
		h.upstream.answers((&registryCatalog{names: append(slices.Clone(names), "d"), limit: 100}).ServeHTTP)
		query, pages := fmt.Sprintf("?n=%d", c.n), 0
		if c.n == 0 {
			query = ""
		}
		for ; pages == 0 || query != ""; pages++ {
			r := httptest.NewRequest("GET", "http://h/v2/_catalog"+query, nil)
			r.RemoteAddr = "127.0.0.1:1"
			r.SetBasicAuth("bob", "bob-secret")
			w := httptest.NewRecorder()
			h.gateway.ServeHTTP(w, r)
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"b/`) {
				t.Fatal(w.Code, w.Body)
			}
			_, query, _ = strings.Cut(w.Header().Get("Link"), "?")
			if query != "" {
				query, _, _ = strings.Cut("?"+query, ">")
			}
		}
		var got []string
		for _, r := range h.gateway.Shadow().Rows {
			got = append(got, fmt.Sprint(r.Change, r.User, r.Action, r.Repository, r.Old, r.New, r.Count))
		}
		if want := []string{"refusedbobcataloga/1o:1none1", "refusedbobcataloga/2o:1none1", "grantedbobcatalogb/1nonen:11", "grantedbobcatalogb/2nonen:11"}; !slices.Equal(got, want) || pages != c.pages {
			t.Errorf("n=%d, %d pages: %q", c.n, pages, got)
		}
		h.gateway.load.trial.Take("x")
	}
}

// TestTrialMerged: of a catalog made of several each name that is listed or hidden counts
// for the page that it belongs to, and none where the listing fails or the catalog as a
// whole is decided otherwise.
func TestTrialMerged(t *testing.T) {
	next := policyOf(t, []authz.Rule{{Position: "n:1", Allow: []string{"pull"}, Repositories: []string{"public/**"}, To: []string{"user:alice"}}})
	h, team, _, public := three(t, func(c *Config) { c.PolicyNext = next })
	h.gateway.Take()
	team.answers((&registryCatalog{names: []string{"public/stale", "team-a", "team/a", "team/b", "zz"}, limit: 100}).ServeHTTP)
	public.answers((&registryCatalog{names: []string{"public/a", "public/z", "team/stale"}, limit: 100}).ServeHTTP)
	alice := h.token("alice", "registry:catalog:*")
	rows := func(of string) {
		t.Helper()
		var got []string
		for _, r := range h.gateway.Shadow().Rows {
			got = append(got, fmt.Sprint(r.Change, " ", r.Action, " ", r.Repository, " ", r.Count))
		}
		if all := strings.Join(got, ", "); all != of {
			t.Errorf("%s, want %s", all, of)
		}
	}
	for page, want := range []string{"", "", "refused catalog team/a 1", "refused catalog team/a 1, refused catalog team/b 1"} {
		h.list(alice, []string{"?n=1", "?n=1&last=public/a", "?n=1&last=public/z", "?n=1&last=team/a"}[page], 200)
		rows(want)
	}
	public.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	h.list(alice, "", http.StatusBadGateway)
	rows("refused catalog team/a 1, refused catalog team/b 1")

	h = triedHouse(t, policyOf(t, []authz.Rule{{Position: "o:1", Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"everyone"}}}), next)
	h.upstream.answers((&registryCatalog{names: []string{"public/a", "team/a"}, limit: 100}).ServeHTTP)
	if names, _ := h.list(h.token("", "registry:catalog:*"), "", 200); len(names) != 2 {
		t.Error(names)
	}
	rows("refused catalog  1")
}

// BenchmarkDecision is the decision on a pull with a policy of a thousand rules, counted: as
// it is, with the same policy tried beside it, and with one that decides otherwise each
// time.
func BenchmarkDecision(b *testing.B) {
	rules := make([]authz.Rule, 1000)
	for i := range rules {
		rules[i] = authz.Rule{Position: fmt.Sprintf("p:%d", i), Allow: []string{"pull"}, Repositories: []string{fmt.Sprintf("team-%d/**", i), fmt.Sprintf("**/app-%d", i)}, To: []string{"people"}}
	}
	made := func(rules []authz.Rule) *authz.Policy {
		p, err := authz.New(authz.Config{Rules: rules, Directories: []string{"local"}})
		if p == nil {
			b.Fatal(err)
		}
		return p
	}
	policy := made(rules)
	for _, c := range []struct {
		name string
		next *authz.Policy
	}{{"alone", nil}, {"same", policy}, {"differs", made(rules[:10])}} {
		b.Run(c.name, func(b *testing.B) {
			load := NewLoad()
			load.counts.Take(policy, time.Now())
			d := decider{policy, &load.counts, trial{policy: c.next, table: &load.trial}, nil}
			where, err := route.Parse(http.MethodGet, "/v2/team-500/app/manifests/v1")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				x := &exchange{route: where, caller: caller{identity: authn.Identity{Directory: "local", Username: "alice"}, basic: true}}
				if err := d.decide(x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
