package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/shadow"
)

// TestMe: who somebody is here, the rules that speak of them, and what the policy says.
func TestMe(t *testing.T) {
	s := newSite(t, nil)
	want(t, "a stranger", s.get("/ui/me?action=pull&ref=team/app"),
		303, "/ui/login?next=%2Fui%2Fme%3Faction%3Dpull%26ref%3Dteam%252Fapp")
	s.login("alice")
	want(t, "the page", s.get("/ui/me"), 200, "", `data-page="me"`,
		"<strong>alice</strong>", "<dd>local</dd>", ">team</span>",
		"192.0.2.1", "ends <time datetime=", "5 rules speak of you",
		`data-rule="c.yaml:2"`, `!data-rule="c.yaml:1"`, "!data-decision")
	want(t, "allowed", s.get("/ui/me?action=push&ref=team/app:1.0"),
		200, "", `data-decision="allowed" data-rule="c.yaml:2"`)
	want(t, "denied", s.get("/ui/me?action=delete&ref=team/app:stable"),
		200, "", `data-decision="denied" data-rule="c.yaml:5"`)
	want(t, "a condition", s.get("/ui/me?action=delete&ref=team/app"),
		200, "", `data-decision="denied"`, "condition: c.yaml:5 denies delete if the tag is stable")
	want(t, "no rule", s.get("/ui/me?action=pull&ref=secret/x"), 200,
		"", `data-decision="denied" data-rule="none"`)
	want(t, "no name", s.get("/ui/me?action=pull&ref=A"), 200, "", "not a name that a repository can have",
		"!data-decision")
	want(t, "no tag", s.get("/ui/me?action=pull&ref=a:-"), 200, "", "not a tag")
	want(t, "no action", s.get("/ui/me?action=read&ref=a"), 400, "")
}

// TestMeEnds: a session that another page cannot put off is not said to be.
func TestMeEnds(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Idle, c.Session = 30*time.Minute, time.Hour })
	s.login("alice")
	const off = "unless you open another page"
	want(t, "at first", s.get("/ui/me"), 200, "", "in 30 minutes", off)
	s.now = s.now.Add(20 * time.Minute)
	want(t, "later", s.get("/ui/me"), 200, "", "in 30 minutes", off)
	s.now = s.now.Add(20 * time.Minute)
	want(t, "at last", s.get("/ui/me"), 200, "", "in 20 minutes", "!"+off)
}

// TestMeJSON: with Accept: application/json the answer is that of explain.
func TestMeJSON(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	ask := func(target string) (int, authz.Answer) {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Accept", "application/json")
		got := s.ask(r)
		var a authz.Answer
		if got.StatusCode == 200 {
			if err := json.Unmarshal([]byte(bodyOf(t, got)), &a); err != nil || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v %s", err, got.Header.Get("Content-Type"))
			}
		}
		return got.StatusCode, a
	}
	if status, a := ask("/ui/me?action=push&ref=team/app:1.0"); status != 200 || !a.Allowed || a.Rule.Position != "c.yaml:2" || a.Identity.User != "alice" || strings.Join(a.Identity.Groups, " ") != "team" || a.Conditions == nil {
		t.Errorf("%d %+v", status, a)
	}
	if status, a := ask("/ui/me?action=pull&ref=secret/x"); status != 200 || a.Allowed || a.Rule.Position != "none" {
		t.Errorf("%d %+v", status, a)
	}
	for _, bad := range []string{"/ui/me", "/ui/me?action=pull", "/ui/me?action=pull&ref=A"} {
		if status, _ := ask(bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

// freeze closes what the order says.
func (s *site) freeze(t *testing.T, o freeze.Order) {
	t.Helper()
	if o.Since = s.now; o.Check(s.now) != nil {
		t.Fatal(o.Check(s.now))
	}
	s.ui.o.Freeze.Set(&o)
}

// TestMeRules: each rule with its name, its time, what it means for the visitor, and how
// often it decided.
func TestMeRules(t *testing.T) {
	s := newSite(t, nil)
	var err error
	s.policy, err = authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Name: "homes", Allow: []string{"*"}, Repositories: []string{"home/{user}/**", "team/{group}"}, To: []string{"authenticated"}},
		{Position: "c.yaml:2", Name: "december", Deny: []string{"create"}, Repositories: []string{"**"}, Tags: []string{"{user}-*"}, Networks: []string{"192.0.2.0/24"},
			To: []string{"group:team"}, From: "2300-12-01", Until: "2300-12-24"},
		{Position: "c.yaml:3", Allow: []string{"pull"}, Repositories: []string{"robots/{machine}"}, To: []string{"everyone"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.reload(nil)
	s.ui.o.Counts.Take(s.policy, s.now)
	alice := authn.Identity{Directory: "local", Username: "alice"}
	for range 1234 {
		s.ui.o.Counts.Add(s.policy.Decide(alice, authz.Request{Repository: "home/alice/x", Action: authz.Push}), s.now.Add(-3*time.Hour))
	}
	s.login("alice")
	want(t, "the rules", s.get("/ui/me"), 200, "", `data-rule="c.yaml:1 (homes)"><td><code>c.yaml:1</code><br><small class="soft">homes</small>`,
		"<code>home/alice/**</code>, <code>team/team</code>", "allowed 1,234<br>", ">3 hours ago<", "!{user}",
		`<span class="badge soon">not now</span> tags <code>alice-*</code> in <code>192.0.2.0/24</code> from <span class="nowrap">2300-12-01</span> until <span class="nowrap">2300-12-24</span>`,
		"none that can be yours", "nothing yet", "!more are not shown", "!going to change", "!data-freeze")
	many := make([]authz.Rule, 700)
	for i := range many {
		many[i] = authz.Rule{Position: fmt.Sprintf("c.yaml:%d", i), Allow: []string{"pull"}, Repositories: []string{"team/{group}/x"}, To: []string{"everyone"}}
	}
	if s.policy, err = authz.New(authz.Config{Directories: []string{"local"}, Rules: many}); err != nil {
		t.Fatal(err)
	}
	s.reload(nil)
	want(t, "many rules", s.get("/ui/me?action=overwrite&ref=a:b"), 200, "", "200 more are not shown", `data-decision="denied" data-rule="none"`, `data-rule="c.yaml:499"`, `!data-rule="c.yaml:500"`)
}

// TestMeTried: what a policy that is tried would change for the visitor, and for nobody else.
func TestMeTried(t *testing.T) {
	s := newSite(t, nil)
	for _, d := range []shadow.Difference{
		{User: "alice", Directory: "local", Repository: "team/app", Action: "push", Old: "c.yaml:2", New: "none", Change: shadow.Refused},
		{User: "alice", Directory: "example", Repository: "team/other", Action: "pull", Old: "none", New: "n.yaml:1", Change: shadow.Granted},
		{User: "root", Directory: "local", Repository: "team/third", Action: "delete", Old: "none", New: "n.yaml:1", Change: shadow.Granted}} {
		s.ui.o.Trial.Note(d, s.now.Add(-time.Hour))
	}
	s.login("alice")
	want(t, "alice's", s.get("/ui/me"), 200, "", "What is going to change", `data-change="refused"><td>push</td><td class="mono">team/app</td>`, "<code>c.yaml:2</code></td><td><code>none</code>",
		">1 hour ago<", "!team/other", "!team/third")
}

// TestMeAsked: when the directory said who the visitor is.
func TestMeAsked(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	want(t, "people of the config", s.get("/ui/me"), 200, "", `data-asked>just now<`)
	s.people.asked = s.now.Add(-5 * time.Minute)
	want(t, "people of a cache", s.get("/ui/me"), 200, "", `data-asked>5 minutes ago<`)
}

// TestSignOutEverywhere: all sessions of the person end, and no one else's.
func TestSignOutEverywhere(t *testing.T) {
	s := newSite(t, nil)
	want(t, "a stranger", s.post("/ui/me/signout-everywhere"), 303, "/ui/login")
	s.login("root")
	root := s.jar[secureCookie]
	s.jar = map[string]string{}
	s.login("alice")
	other := s.jar[secureCookie]
	s.jar = map[string]string{}
	s.login("alice")
	first := s.jar[secureCookie]
	got := s.post("/ui/me/signout-everywhere")
	want(t, "everywhere", got, 303, "/ui/login")
	if s.jar[secureCookie] != "" || got.Header.Get("Clear-Site-Data") != `"cache"` || !s.last.Seen.Logout {
		t.Errorf("%v %+v", got.Header, s.last.Seen)
	}
	s.jar[secureCookie] = other
	want(t, "another browser", s.get("/ui/me"), 303, "/ui/login?next=%2Fui%2Fme")
	s.jar[secureCookie] = root
	want(t, "another person", s.get("/ui/me"), 200, "", "<strong>root</strong>")
	s.jar = map[string]string{}
	s.login("alice")
	want(t, "after a new login", s.get("/ui/me"), 200, "", "<strong>alice</strong>")
	second := s.jar[secureCookie]
	want(t, "once more in that second", s.post("/ui/me/signout-everywhere"), 303, "/ui/login")
	for _, text := range []string{first, other, second} {
		s.jar[secureCookie] = text
		want(t, "what was before", s.get("/ui/me"), 303, "/ui/login?next=%2Fui%2Fme")
	}
	s.login("alice")
	s.now = s.now.Add(time.Minute)
	want(t, "a view renews the newest", s.get("/ui/me"), 200, "", "<strong>alice</strong>")
	want(t, "and it goes on", s.get("/ui/me"), 200, "", "<strong>alice</strong>")
}

// slowForm is a form of which the rest comes when something has happened.
type slowForm struct {
	io.Reader
	meanwhile func()
}

func (f *slowForm) Read(p []byte) (int, error) {
	if f.meanwhile != nil {
		f.meanwhile()
		f.meanwhile = nil
	}
	return f.Reader.Read(p)
}

// TestEndedForm: a form that was begun in a session does nothing when the session has ended
// before all of it has come.
func TestEndedForm(t *testing.T) {
	s, desk := newTokenSite(t)
	s.push("team/app", object{}, nil, "1.0")
	s.login("alice")
	alice := s.last.visitor.identity
	for target, form := range map[string]string{"/ui/me/tokens": "name=late&pull=on", "/ui/delete?ref=team/app:1.0": "what=image&confirm=team/app"} {
		s.login("alice")
		body := &slowForm{strings.NewReader(form), func() {
			if err := s.revoker.EndPerson(t.Context(), "local", "alice", time.Hour); err != nil {
				t.Error(err)
			}
		}}
		r := httptest.NewRequest("POST", target, body)
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Origin", s.origin.String())
		if got := s.ask(r); got.StatusCode != 303 || !strings.HasPrefix(got.Header.Get("Location"), "/ui/login") {
			t.Errorf("%s: %s to %s", target, got.Status, got.Header.Get("Location"))
		}
	}
	if list, err := desk.List(t.Context(), alice); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	s.login("alice")
	want(t, "the image", s.get("/ui/r/team/app:1.0"), 200, "")
}

// TestFrozen: while pushes and deletes are stopped nothing is deleted, and the pages say so.
func TestFrozen(t *testing.T) {
	s := newSite(t, nil)
	digest := s.push("team/app", configOf("x"), nil, "1")
	s.freeze(t, freeze.Order{Reason: "the disk is being <moved>", Repositories: []string{"team/app"}})
	s.login("root")
	want(t, "the tags", s.get("/ui/r/team/app"), 200, "", "stopped here for now: the disk is being &lt;moved&gt;")
	want(t, "other tags", s.get("/ui/me"), 200, "", "in <code>team/app</code>: the disk is being &lt;moved&gt;", "data-freeze", "!, until")
	refused := s.post("/ui/delete?ref=team/app:1", "what", "image", "confirm", "team/app", "digest", digest)
	want(t, "a deletion", refused, 503, "", "the disk is being", `data-error="UNAVAILABLE"`)
	if got := refused.Header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %q", got)
	}
	until := s.now.Add(90 * time.Second)
	s.freeze(t, freeze.Order{Reason: "a move", Until: &until})
	refused = s.post("/ui/delete?ref=team/app:1&ref=team/app:2", "what", "tag", "confirm", "2")
	if want(t, "for a time", refused, 503, "", "a move"); refused.Header.Get("Retry-After") != "90" {
		t.Error(refused.Header)
	}
	if len(s.shelf.deleted) > 0 {
		t.Error(s.shelf.deleted)
	}
}
