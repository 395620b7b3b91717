package ui

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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

// TestMeJSON: with Accept: application/json the answer is that of explain.
func TestMeJSON(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	ask := func(target string) (int, answer) {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Accept", "application/json")
		got := s.ask(r)
		var a answer
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
	s.now = s.now.Add(2 * time.Second)
	got := s.post("/ui/me/signout-everywhere")
	want(t, "everywhere", got, 303, "/ui/login")
	if s.jar[secureCookie] != "" || got.Header.Get("Clear-Site-Data") != `"cache"` || !s.last.Seen.Logout {
		t.Errorf("%v %+v", got.Header, s.last.Seen)
	}
	s.jar[secureCookie] = other
	want(t, "another browser", s.get("/ui/me"), 303, "/ui/login?next=%2Fui%2Fme")
	s.jar[secureCookie] = root
	want(t, "another person", s.get("/ui/me"), 200, "", "<strong>root</strong>")
	s.now = s.now.Add(2 * time.Second)
	s.jar = map[string]string{}
	s.login("alice")
	want(t, "after a new login", s.get("/ui/me"), 200, "", "<strong>alice</strong>")
}

// TestFrozen: while pushes and deletes are stopped nothing is deleted, and the pages say so.
func TestFrozen(t *testing.T) {
	s := newSite(t, nil)
	digest := s.push("team/app", configOf("x"), nil, "1")
	s.ui.o.Frozen = func(repository string) string {
		if repository == "team/app" {
			return "the disk is being <moved>"
		}
		return ""
	}
	s.login("root")
	want(t, "the tags", s.get("/ui/r/team/app"), 200, "", "stopped here for now: the disk is being &lt;moved&gt;")
	want(t, "a deletion", s.post("/ui/delete?ref=team/app:1", "what",
		"image", "confirm", "team/app", "digest", digest), 503, "",
		"the disk is being", `data-error="UNAVAILABLE"`)
	if len(s.shelf.deleted) > 0 {
		t.Error(s.shelf.deleted)
	}
}
