package ui

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/authz"
)

// administration are the pages that admins alone see, and their data-page.
var administration = map[string]string{"/ui/admin/": "admin-overview", "/ui/admin/explain": "admin-explain", "/ui/admin/refusals": "admin-refusals",
	"/ui/admin/rules": "admin-rules", "/ui/admin/config": "admin-config", "/ui/admin/directories": "admin-directories"}

// TestAdminsAlone: the pages are there for admins, lead strangers to the login, and are not
// there for others, in the header too.
func TestAdminsAlone(t *testing.T) {
	s := newSite(t, nil)
	for path, page := range administration {
		login := "/ui/login?next=" + strings.ReplaceAll(path, "/", "%2F")
		s.jar = map[string]string{}
		want(t, path+" for a stranger", s.get(path), 303, login)
		s.login("alice")
		want(t, path+" for somebody", s.get(path), 404, "", absent, `!href="/ui/admin/"`)
		s.login("root")
		want(t, path, s.get(path), 200, "", `data-page="`+page+`"`, `href="/ui/admin/" aria-current="page">Admin</a>`)
		for _, key := range []string{"q", "page", "user", "action", "ref", "ip"} {
			if at := locateOf(t, path); strings.Contains(strings.Join(forms[at].parameters, " "), key) && key != "ref" {
				want(t, path+" with "+key+" twice", s.get(path+"?"+key+"=1&"+key+"=2"), 400, "")
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
			if got := s.ask(httptest.NewRequest(method, path, nil)); got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, %q", method, path, got.StatusCode, got.Header.Get("Allow"))
			}
		}
		got := s.ask(httptest.NewRequest("HEAD", path, nil))
		if body := bodyOf(t, got); got.StatusCode != 200 || body != "" || !strings.HasPrefix(got.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src https://registry.example.com/ui/static/;") || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("HEAD %s: %d, %d bytes, %v", path, got.StatusCode, len(body), got.Header)
		}
	}
	for _, path := range []string{"/ui/admin", "/ui/admin/none", "/ui/admin/explain/", "/ui/admin//"} {
		if got := s.get(path); got.StatusCode != 404 && got.StatusCode != 400 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	s.reload(func(c *Config) { c.Admins = nil })
	want(t, "nobody is one", s.get("/ui/admin/"), 404, "")
}

func locateOf(t *testing.T, path string) place {
	t.Helper()
	at, err := locate(path)
	if err != nil {
		t.Fatal(err)
	}
	return at.place
}

// TestOverview: it leads to each page, to that of tokens where there are tokens, and says how
// things stand.
func TestOverview(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	want(t, "without tokens", s.get("/ui/admin/"), 200, "", `<h2><a href="/ui/admin/explain">`, "none since the start", "!/ui/admin/tokens")
	s, _ = newTokenSite(t)
	s.login("root")
	s.memory.Refuse(Refusal{At: s.now.Add(-3 * time.Minute)})
	want(t, "with tokens", s.get("/ui/admin/"), 200, "", `<h2><a href="/ui/admin/tokens">`, "1 request, the last 3 minutes ago")
	want(t, "the tokens", s.get("/ui/admin/tokens"), 200, "", `<a href="/ui/admin/tokens" aria-current="page">`, `<a href="/ui/admin/">Administration</a>`)
}

// TestExplainAnybody: what the policy says of others, in the words of `gatehouse explain`.
func TestExplainAnybody(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	const at = "/ui/admin/explain?"
	want(t, "the form", s.get("/ui/admin/explain"), 200, "", `name="user"`, `name="ip"`, "!data-decision", `!role="alert"`)
	want(t, "allowed", s.get(at+"user=alice&action=push&ref=team/app:1"), 200, "", `data-decision="allowed" data-rule="c.yaml:2"`, `value="alice"`, `value="team/app:1"`,
		"<dt>user</dt><dd>alice</dd>", "<dt>directory</dt><dd>local</dd>", "<dt>groups</dt><dd>team</dd>")
	want(t, "denied", s.get(at+"user=alice&action=delete&ref=team/app:stable"), 200, "", `data-decision="denied" data-rule="c.yaml:5"`)
	want(t, "a condition", s.get(at+"user=alice&action=delete&ref=team/app"), 200, "", `data-decision="denied"`, "condition: c.yaml:5 denies delete if the tag is stable")
	want(t, "the anonymous", s.get(at+"user=-&action=pull&ref=public/base"), 200, "", `data-decision="allowed" data-rule="c.yaml:3"`, "<dd>(anonymous)</dd>", "!<dt>groups")
	want(t, "the anonymous elsewhere", s.get(at+"user=-&action=pull&ref=team/app"), 200, "", `data-decision="denied" data-rule="none"`)
	want(t, "no groups", s.get(at+"user=carol&action=pull&ref=team/app&ip=192.0.2.7"), 200, "", `data-decision="denied" data-rule="none"`, "<dt>groups</dt><dd>none</dd>", `value="192.0.2.7"`)
	want(t, "nobody", s.get(at+"user=%3Cb%3E%E2%80%AE&action=pull&ref=team/app"), 200, "", `data-decision="denied" data-rule="none"`, `&lt;b&gt;\u202e is unknown (`, "!<b>", "!\u202e is")
	for question, fault := range map[string]string{"user=alice": "Choose an action", "user=alice&action=pull": "not a name", "user=alice&action=pull&ref=A": "not a name", "user=alice&action=pull&ref=a:-": "not a tag",
		"action=pull&ref=a": "Name a user", "user=%20&action=pull&ref=a": "Name a user", "user=alice&action=pull&ref=a&ip=10.0.0": "not an address", "user=alice&action=pull&ref=a&ip=10.0.0.0/8": "not an address"} {
		want(t, question, s.get(at+question), 200, "", fault, `role="alert"`, "!data-decision", "!<dt>")
	}
	want(t, "no action", s.get(at+"user=alice&action=read&ref=a"), 400, "")
	want(t, "a name that is too long", s.get(at+"action=pull&ref=a&user="+strings.Repeat("a", 257)), 400, "")
}

// TestExplainFault: of somebody whose directory is at fault nothing is said, not even that
// they are unknown.
func TestExplainFault(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	box := testBox{User: "alice", Action: "pull", Ref: "team/app"}
	s.people.set(true, "")
	err := s.ui.ask(t.Context(), &box)
	if f := faultOf(err); f.Status != 503 || f.Retry != askAgain || !strings.Contains(f.Message, "nothing is known of alice") || box.Answer != nil {
		t.Errorf("%+v %+v", f, box)
	}
	box.User = "-"
	if err := s.ui.ask(t.Context(), &box); err != nil || box.Answer == nil || box.Answer.Allowed {
		t.Errorf("%v %+v", err, box)
	}
}

// TestExplainJSON: a program gets the answer of GET /explain.
func TestExplainJSON(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	ask := func(target string) (status int, a authz.Answer) {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Accept", "application/json")
		got := s.ask(r)
		if got.StatusCode == 200 {
			if err := json.Unmarshal([]byte(bodyOf(t, got)), &a); err != nil {
				t.Error(err)
			}
		}
		return got.StatusCode, a
	}
	alice, err := s.people.Find(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if status, a := ask("/ui/admin/explain?user=alice&action=push&ref=team/app"); status != 200 || !reflect.DeepEqual(a, s.policy.Answer(alice, authz.Request{Repository: "team/app", Action: authz.Push})) {
		t.Errorf("%d %+v", status, a)
	}
	if status, a := ask("/ui/admin/explain?user=none&action=push&ref=team/app"); status != 200 || a.Allowed || a.Rule.Position != "none" || a.Identity.User != "none" || a.Identity.Unknown == "" {
		t.Errorf("%d %+v", status, a)
	}
	for _, bad := range []string{"", "?user=alice", "?user=alice&action=pull&ref=A"} {
		if status, _ := ask("/ui/admin/explain" + bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

// TestRefusalsPage: the newest first, in pages, and what a search finds; all of it as text.
func TestRefusalsPage(t *testing.T) {
	s := newSite(t, func(c *Config) { c.PageSize = 10 })
	s.login("root")
	want(t, "none", s.get("/ui/admin/refusals"), 200, "", "Nothing was refused", `data-total="0"`)
	for i := range maxRefusals + 5 {
		s.memory.Refuse(Refusal{At: s.now.Add(time.Duration(i-2000) * time.Minute), User: "alice", Directory: "local", Address: "192.0.2.7", Action: "pull", Repository: fmt.Sprintf("team/r%d", i), Reference: "v1", Rule: "none", RequestID: fmt.Sprintf("R%d", i)})
	}
	s.memory.Refuse(Refusal{At: s.now, Reason: "<script>\u202e", Repository: "x<y", Action: "delete", Reference: digest, RequestID: "ODD"})
	want(t, "the first page", s.get("/ui/admin/refusals"), 200, "", `data-total="1000"`, "1 to 10 of 1,000", `data-refusal="ODD"`, "nobody known", "no address", "x&lt;y", `&lt;script&gt;\u202e`, "!<script>", `!aria-label="Explain the request ODD"`, "!"+digest,
		`data-refusal="R1004"`, `!data-refusal="R995"`, `href="/ui/admin/explain?action=pull&amp;ip=192.0.2.7&amp;ref=team%2Fr1004%3Av1&amp;user=alice" aria-label="Explain the request R1004">`, `<td class="mono">team/r1004:v1</td>`)
	want(t, "the last page", s.get("/ui/admin/refusals?page=100"), 200, "", `data-refusal="R6"`, `!data-refusal="R5"`)
	want(t, "a page behind it", s.get("/ui/admin/refusals?page=101"), 200, "", `data-refusal="R6"`)
	for _, q := range []string{"TEAM/R77", "team%2Fr77"} {
		want(t, q, s.get("/ui/admin/refusals?q="+q), 200, "", `data-total="11"`, `data-refusal="R770"`, `data-refusal="R779"`, `!data-refusal="R78"`, `value="`)
	}
	want(t, "by request", s.get("/ui/admin/refusals?q=odd"), 200, "", `data-total="1"`, `data-refusal="ODD"`)
	want(t, "by address", s.get("/ui/admin/refusals?q=192.0.2.7&page=2"), 200, "", `data-total="999"`, "/ui/admin/refusals?page=3&amp;q=192.0.2.7")
	want(t, "nothing", s.get("/ui/admin/refusals?q=%3Cb%3E"), 200, "", "No refusal has “&lt;b&gt;” in it", `data-total="0"`)
}

// TestExplainLinks: what of a refusal can be asked again.
func TestExplainLinks(t *testing.T) {
	for want, r := range map[string]refusalRow{
		"/ui/admin/explain?action=delete&ref=a%2Fb&user=-": {Refusal: Refusal{Action: "delete", Repository: "a/b"}},
		"": {Refusal: Refusal{Action: "catalog", User: "alice"}},
		"/ui/admin/explain?action=push&ip=2001%3Adb8%3A%3A1&ref=a%3A1&user=bob": {Refusal: Refusal{Action: "push", Repository: "a", User: "bob", Address: "2001:db8::1"}, Tag: "1"},
	} {
		if got := explainLink(r); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if _, ok := nextOf(want); want != "" && !ok {
			t.Errorf("%s is not canonical", want)
		}
	}
}
