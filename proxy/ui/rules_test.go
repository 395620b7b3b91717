package ui

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/shadow"
)

// rulesOn are the rules that a page shows, in their order.
func rulesOn(body string) (list []string) {
	for _, found := range regexp.MustCompile(`<tr data-rule="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		list = append(list, found[1])
	}
	return list
}

// TestRulesPage: each rule with where it stands, its text and how often it decided; those
// that never did stand first, in the order of the policy.
func TestRulesPage(t *testing.T) {
	s := newSite(t, func(c *Config) { c.PageSize = 10 })
	s.ui.o.Counts.Take(s.policy, s.now.Add(-72*time.Hour))
	alice, err := s.people.Find(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range 1234 {
		s.ui.o.Counts.Add(s.policy.Decide(alice, authz.Request{Repository: "team/app", Action: authz.Push}), s.now.Add(-3*time.Hour))
	}
	s.ui.o.Counts.Add(s.policy.Decide(alice, authz.Request{Repository: "team/app", Action: authz.Delete, Tags: []string{"stable"}}), s.now.Add(-time.Hour))
	s.login("root")
	body := bodyOf(t, s.get("/ui/admin/rules"))
	if got := strings.Join(rulesOn(body), " "); got != "c.yaml:1 c.yaml:3 c.yaml:4 c.yaml:6 c.yaml:2 c.yaml:5" {
		t.Errorf("the order is %s", got)
	}
	for _, text := range []string{`data-page="admin-rules"`, `data-total="6"`, "4 rules have decided nothing, and stand first", "deny [delete] repositories [team/app] tags [stable] to [group:team]", `data-rule="c.yaml:2" data-allowed="1234" data-denied="0"`,
		`<td class="number">1,234</td>`, `data-rule="c.yaml:5" data-allowed="0" data-denied="1"`, ">3 hours ago<", "never used since <time datetime=\"" + iso(s.now.Add(-72*time.Hour)), "\">since <time datetime=\"" + iso(s.now.Add(-72*time.Hour)), "Nothing is frozen", "There is none"} {
		if !strings.Contains(body, text) {
			t.Errorf("no %s in\n%s", text, body)
		}
	}
	want(t, "a search", s.get("/ui/admin/rules?q=PUBLIC"), 200, "", `data-total="1"`, `data-rule="c.yaml:3"`)
	want(t, "nothing", s.get("/ui/admin/rules?q=%3Cb%3E"), 200, "", "No rule has “&lt;b&gt;” in it", `data-total="0"`)
}

// TestRulesOfPages: a page is counted for the rule by which it is for its visitor, or is not,
// from what is kept too, once; what only tells of rules is not.
func TestRulesOfPages(t *testing.T) {
	for _, c := range []struct {
		who, target string
		status      int
		want        string // what became more: rule, and + where it allowed, - where it denied
	}{
		{"alice", "/ui/r/team/app", 200, "c.yaml:2+"},
		{"alice", "/ui/r/team/app:1", 200, "c.yaml:2+"},
		{"alice", "/ui/r/team/app:1?raw=manifest", 200, "c.yaml:2+"},
		{"alice", "/ui/r/team/app:9", 404, "c.yaml:2+"},
		{"alice", "/ui/delete?ref=team/app:1&ref=team/app:2", 200, "c.yaml:2+"},
		{"alice", "/ui/delete?ref=team/app:1&ref=closed/app:1", 200, "c.yaml:2+"},
		{"alice", "/ui/delete?ref=closed/app:1", 404, "c.yaml:7-"},
		{"alice", "/ui/r/closed/app", 404, "c.yaml:7-"},
		{"alice", "/ui/r/nowhere/app", 404, ""},
		{"alice", "/ui/me?action=push&ref=team/app", 200, ""},
		{"alice", "/ui/", 200, ""},
		{"", "/ui/", 200, "c.yaml:3+"},
		{"", "/ui/r/public/app", 200, "c.yaml:3+"},
		{"", "/ui/r/team/app", 303, ""},
		{"root", "/ui/r/public/app", 200, "c.yaml:1+"},
		{"root", "/ui/admin/explain?user=alice&action=pull&ref=public/app", 200, ""},
	} {
		s := newSite(t, nil)
		s.push("team/app", configOf("x"), nil, "1", "2")
		s.push("public/app", configOf("x"), nil, "1")
		s.closed(t)
		if c.who != "" {
			s.login(c.who)
		}
		for range 2 { // the second time from what is kept
			want(t, c.who+" "+c.target, s.get(c.target), c.status, map[int]string{303: "/ui/login?next=%2Fui%2Fr%2Fteam%2Fapp"}[c.status])
		}
		var got []string
		for _, r := range s.ui.o.Counts.Rules(s.policy) {
			for sign, n := range map[string]int64{"+": r.Allowed, "-": r.Denied} {
				if n > 0 {
					got = append(got, strings.Repeat(r.Position+sign, int(n)))
				}
			}
		}
		if text := strings.Join(got, " "); text != strings.Repeat(c.want, 2) {
			t.Errorf("%s of %q: %s, want %s twice", c.target, c.who, text, c.want)
		}
	}
}

// closed makes a policy count that has one more rule, which closes a folder.
func (s *site) closed(t *testing.T) {
	t.Helper()
	var err error
	if s.policy, err = authz.New(authz.Config{Directories: []string{"local"}, Rules: append(slices.Clone(rules),
		authz.Rule{Position: "c.yaml:7", Deny: []string{"pull"}, Repositories: []string{"closed/**"}, To: []string{"everyone"}})}); s.policy == nil {
		t.Fatal(err)
	}
	s.reload(nil)
	s.ui.o.Counts.Take(s.policy, s.now)
}

// TestManyRules: they come in pages; a text that turns itself around is shown as it is.
func TestManyRules(t *testing.T) {
	s := newSite(t, func(c *Config) { c.PageSize = 10 })
	many := []authz.Rule{{Position: "c.yaml:1", Name: "odd", Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"group:<b>\u202e"}}}
	for i := range 24 {
		many = append(many, authz.Rule{Position: fmt.Sprintf("c.yaml:%d", i+2), Allow: []string{"pull"}, Repositories: []string{fmt.Sprintf("r%d", i)}, To: []string{"everyone"}})
	}
	var err error
	if s.policy, err = authz.New(authz.Config{Directories: []string{"local"}, Rules: many}); err != nil {
		t.Fatal(err)
	}
	s.reload(func(c *Config) { c.PageSize = 10 })
	s.ui.o.Counts.Take(s.policy, s.now)
	s.ui.o.Counts.Add(s.policy.Decide(authn.Identity{}, authz.Request{Repository: "r0", Action: authz.Pull}), s.now)
	s.login("root")
	want(t, "the first page", s.get("/ui/admin/rules"), 200, "", `data-total="25"`, "24 rules have", `data-rule="c.yaml:1 (odd)"`, `[group:&lt;b&gt;\u202e]`, "!<b>", `!data-rule="c.yaml:2"`, `data-rule="c.yaml:11"`, `!data-rule="c.yaml:12"`)
	want(t, "the last page", s.get("/ui/admin/rules?page=3"), 200, "", `data-rule="c.yaml:2" data-allowed="1"`, "21 to 25 of 25")
}

// TestRulesFrozen: what is frozen, and why.
func TestRulesFrozen(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	until := s.now.Add(48 * time.Hour)
	s.freeze(t, freeze.Order{Reason: "the disk is <moved>", Repositories: []string{"team/**"}, Until: &until})
	want(t, "the rules", s.get("/ui/admin/rules"), 200, "", "data-freeze", "in <code>team/**</code>: the disk is &lt;moved&gt;", "until <time datetime=\""+iso(until), "!Nothing is frozen")
	want(t, "the overview", s.get("/ui/admin/"), 200, "", `<span class="badge soon">frozen: the disk is &lt;moved&gt;`)
}

// TestRulesTried: where a policy that is tried would decide otherwise, for everybody.
func TestRulesTried(t *testing.T) {
	s := newSite(t, func(c *Config) { c.PageSize = 10 })
	for i := range shadow.MaxRows + 3 {
		d := shadow.Difference{User: fmt.Sprintf("u%d", i), Directory: "local", Repository: "team/app", Action: "push", Old: "c.yaml:2", New: "none", Change: shadow.Refused}
		if s.ui.o.Trial.Note(d, s.now.Add(-time.Hour)); i == 7 {
			s.ui.o.Trial.Note(d, s.now)
		}
	}
	s.login("root")
	want(t, "the first rows", s.get("/ui/admin/rules"), 200, "", `<tr data-change="refused"><td>u7 <small class="soft">local</small></td><td>push</td>`, "990 rows more are not shown", `href="/ui/admin/rules?show=all"`, "3 requests more differ", "<code>none</code>", ">just now<")
	body := bodyOf(t, s.get("/ui/admin/rules?show=all"))
	if n := strings.Count(body, "data-change="); n != shadow.MaxRows || strings.Contains(body, "not shown") {
		t.Errorf("%d rows", n)
	}
	want(t, "the overview", s.get("/ui/admin/"), 200, "", "1,000 rows of a policy that is tried")
	want(t, "all are known", s.get("/ui/admin/rules"), 200, "", "!are not compared")
	for range 1001 {
		s.ui.o.Trial.Miss()
	}
	want(t, "some are not known", s.get("/ui/admin/rules"), 200, "", "1,001 pushes are not compared, as the registry did not say")
	s.ui.o.Trial.Take("another")
	s.ui.o.Trial.Miss()
	want(t, "one is not known", s.get("/ui/admin/rules"), 200, "", "There is none", "1 push is not compared")
}

// TestConfigPage: which config is served, what is to be known of it, and nothing that it says.
func TestConfigPage(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	want(t, "nothing known", s.get("/ui/admin/config"), 200, "", `data-page="admin-config"`, "0 warnings", "Nothing that its owner should know", "plain HTTP")
	sum := strings.Repeat("0a", 32)
	c := Served{File: "/etc/gatehouse/<c>.yaml", SHA256: sum, Loaded: s.now.Add(-3 * time.Hour), KeyIDs: []string{"first-key", "second-key"},
		Warnings:     []string{"c.yaml:3:5: ui.enabled: <odd>\u202e"},
		Certificates: []Certificate{{Name: "late.example.com", Ends: s.now.Add(90 * day)}, {Name: "soon.example.com", Ends: s.now.Add(13*day + time.Hour)}}}
	s.ui.o.Inside = func() Inside { return Inside{Config: c} }
	body := bodyOf(t, s.get("/ui/admin/config"))
	for _, text := range []string{"/etc/gatehouse/&lt;c&gt;.yaml", `data-sha256="` + sum + `"`, "3 hours ago", "Gatehouse 1.2.3", "<h2>1 warning</h2>", `ui.enabled: &lt;odd&gt;\u202e`,
		`<li data-key="first-key"><code>first-key</code> <span class="badge">signs</span></li>`, `<li data-key="second-key"><code>second-key</code></li>`,
		`data-certificate="late.example.com"`, "in 13 days <span class=\"badge soon\">soon</span>", "in 90 days</li>"} {
		if !strings.Contains(body, text) {
			t.Errorf("no %s in\n%s", text, body)
		}
	}
	if strings.Index(body, "soon.example.com") > strings.Index(body, "late.example.com") {
		t.Error("the certificate that ends first does not stand first")
	}
	want(t, "the overview", s.get("/ui/admin/"), 200, "", `<span class="badge soon">1 warning</span>`)
	c.Warnings = nil
	want(t, "the overview without warnings", s.get("/ui/admin/"), 200, "", "loaded 3 hours ago")
}
