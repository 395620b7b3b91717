package ui

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// newTokenSite is a site where people make tokens; carol may not.
func newTokenSite(t *testing.T) (*site, *personal.Desk) {
	t.Helper()
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	s := newSite(t, nil)
	desk := &personal.Desk{Book: personal.NewBook(s.revoker, func() time.Time { return s.now }), Keep: time.Hour}
	desk.Defaults()
	desk.PerUser = 3
	desk.Book.Use(store.Watched(file, store.Config{}, nil, nil))
	if desk.Makers, err = authz.NewAudience([]string{"user:alice", "user:root"}, []string{"local"}, nil); err != nil {
		t.Fatal(err)
	}
	s.tokens = desk
	s.reload(nil)
	return s, desk
}

// made is the secret and the id on a page that shows a new token.
func made(t *testing.T, body string) (secret, id string) {
	t.Helper()
	found := regexp.MustCompile(`value="([^"]+)" data-secret`).FindStringSubmatch(body)
	row := regexp.MustCompile(`data-token="([^"]+)"`).FindStringSubmatch(body)
	if found == nil || row == nil {
		t.Fatalf("no token:\n%s", body)
	}
	return found[1], row[1]
}

// TestTokensPage: made, shown once, listed, ended; each only by its owner.
func TestTokensPage(t *testing.T) {
	s, desk := newTokenSite(t)
	want(t, "a stranger", s.get("/ui/me/tokens"), 303, "/ui/login?next=%2Fui%2Fme%2Ftokens")
	want(t, "a stranger's form", s.post("/ui/me/tokens", "name", "x"), 303, "/ui/login?next=%2Fui%2Fme%2Ftokens")
	s.login("carol")
	want(t, "who may not", s.get("/ui/me/tokens"), 200, "", "not open to your account", `!name="lifetime"`)
	want(t, "who may not, nevertheless", s.post("/ui/me/tokens", "name", "x", "pull", "on"), 403, "", `data-error="DENIED"`)

	s.login("alice")
	want(t, "none yet", s.get("/ui/me/tokens"), 200, "", `data-page="tokens"`, "You have no tokens", `<option value="720h0m0s" selected>30 days`, "!Revoke")
	body := bodyOf(t, s.post("/ui/me/tokens", "name", "ci <b>", "lifetime", "168h0m0s", "repositories", "team/app\n team/tools/**", "pull", "on", "push", "on"))
	secret, id := made(t, body)
	if s.last.Seen.Change != (Change{ID: id, Name: "ci <b>", By: "owner"}) || !strings.HasPrefix(secret, "ghp_") && len(secret) < 20 {
		t.Errorf("%+v %s", s.last.Seen.Change, secret)
	}
	list, err := desk.List(t.Context(), s.last.visitor.identity)
	if err != nil || len(list) != 1 || strings.Join(list[0].Repositories, " ") != "team/app team/tools/**" || strings.Join(list[0].Actions, " ") != "pull push" || list[0].Expires.Sub(list[0].Created) != 7*day {
		t.Errorf("%+v %v", list, err)
	}
	want(t, "later", s.get("/ui/me/tokens"), 200, "", "ci &lt;b&gt;", "<code>team/tools/**</code>", "in 7 days", "soon", "!"+secret)

	s.login("root")
	want(t, "another's list", s.get("/ui/me/tokens"), 200, "", "You have no tokens")
	want(t, "another's token", s.post("/ui/me/tokens/revoke", "id", id), 404, "", "You have no such token")
	s.login("alice")
	want(t, "ended", s.post("/ui/me/tokens/revoke", "id", id), 200, "", "have ended", "You have no tokens")
	if s.last.Seen.Change != (Change{ID: id, Name: "ci <b>", By: "owner", Ended: true}) {
		t.Errorf("%+v", s.last.Seen.Change)
	}
}

// TestSignOutEndsTokens: "Sign out everywhere" ends personal tokens for good, not only for as
// long as the revoker remembers who signed out, and those of nobody else.
func TestSignOutEndsTokens(t *testing.T) {
	s, desk := newTokenSite(t)
	s.login("root")
	rootSecret, _ := made(t, bodyOf(t, s.post("/ui/me/tokens", "name", "root's", "lifetime", "168h0m0s", "pull", "on")))
	s.login("alice")
	secret, _ := made(t, bodyOf(t, s.post("/ui/me/tokens", "name", "ci", "lifetime", "168h0m0s", "pull", "on")))
	made(t, bodyOf(t, s.post("/ui/me/tokens", "name", "ci2", "lifetime", "168h0m0s", "pull", "on")))
	alice := s.last.visitor.identity
	if list, err := desk.List(t.Context(), alice); err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	want(t, "everywhere", s.post("/ui/me/signout-everywhere"), 303, "/ui/login")
	var ended []string
	for _, c := range s.last.Seen.Ended {
		if !c.Ended || c.By != "owner" {
			t.Errorf("%+v", c)
		}
		ended = append(ended, c.Name)
	}
	slices.Sort(ended)
	if strings.Join(ended, " ") != "ci ci2" {
		t.Errorf("ended %q", ended)
	}
	s.now = s.now.Add(48 * time.Hour) // the revoker has forgotten
	if list, err := desk.List(t.Context(), alice); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	for text, lives := range map[string]bool{secret: false, rootSecret: true} {
		shown, err := apitoken.Parse(authn.Secret(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := desk.Find(t.Context(), shown); (err == nil) != lives {
			t.Errorf("found: %v, should live: %v", err, lives)
		}
	}
}

// TestTokensRefused: what cannot be is said above the form, which keeps what was typed.
func TestTokensRefused(t *testing.T) {
	s, _ := newTokenSite(t)
	s.login("alice")
	for what, form := range map[string][]string{
		"no name": {"pull", "on"}, "a lifetime of nothing": {"name", "x", "pull", "on", "lifetime", "other", "other", "soon"}, "one too long": {"name", "x", "pull", "on", "lifetime", "other", "other", "400d"},
		"an endless one": {"name", "x", "pull", "on", "lifetime", "0s"}, "a pattern that is none": {"name", "x", "pull", "on", "repositories", "a//b"}, "a placeholder": {"name", "x", "pull", "on", "repositories", "home/{user}"},
		"an empty other": {"name", "x", "pull", "on", "lifetime", "other", "other", ""}, "a blank other": {"name", "x", "pull", "on", "lifetime", "other", "other", "  "},
		"another that is not there": {"name", "x", "pull", "on", "lifetime", "other"}, "no action": {"name", "x", "lifetime", "168h0m0s"}, "a preview of no action": {"do", "preview"},
		"one below zero": {"name", "x", "pull", "on", "lifetime", "other", "other", "-3d"}, "days beyond all": {"name", "x", "pull", "on", "lifetime", "other", "other", "99999999999d"},
	} {
		want(t, what, s.post("/ui/me/tokens", form...), 400, "", `role="alert"`, "You have no tokens", "!data-secret")
	}
	want(t, "what was typed", s.post("/ui/me/tokens", "name", "kept", "lifetime", "2160h0m0s", "repositories", "a//b", "delete", "on"), 400, "", `value="kept"`, `<option value="2160h0m0s" selected>`, ">a//b</textarea>", `name="delete" value="on" checked`)
	for _, name := range []string{"a", "b", "c"} {
		want(t, name, s.post("/ui/me/tokens", "name", name, "pull", "on", "lifetime", "other", "other", "12h"), 200, "", "data-secret")
	}
	want(t, "one too many", s.post("/ui/me/tokens", "name", "d", "pull", "on"), 409, "", "revoke one that is not needed")
	want(t, "a name twice", s.post("/ui/me/tokens", "name", "a", "pull", "on"), 409, "")
}

// TestTokensWhy: what is missing is said.
func TestTokensWhy(t *testing.T) {
	s, _ := newTokenSite(t)
	s.login("alice")
	want(t, "no action", s.post("/ui/me/tokens", "name", "x"), 400, "", "Choose what the token may do: pull, push or delete.", `value="x"`)
	want(t, "no lifetime", s.post("/ui/me/tokens", "name", "x", "push", "on", "lifetime", "other"), 400, "", "The lifetime is a number of days", `<option value="other" selected>`)
	want(t, "both", s.post("/ui/me/tokens", "name", "x", "push", "on", "lifetime", "other", "other", "3 days"), 200, "", "data-secret", "in 3 days")
}

// TestTokensRotate: a second token like the first, which ends a day later.
func TestTokensRotate(t *testing.T) {
	s, _ := newTokenSite(t)
	s.login("alice")
	secret, id := made(t, bodyOf(t, s.post("/ui/me/tokens", "name", "ci", "repositories", "team/app", "pull", "on")))
	body := bodyOf(t, s.post("/ui/me/tokens", "rotate", id))
	second, _ := made(t, body)
	if second == secret || !strings.Contains(body, "(before ") || !strings.Contains(body, "ends in 24 hours") {
		t.Errorf("%s", body)
	}
	want(t, "once more", s.post("/ui/me/tokens", "rotate", id), 404, "")
	want(t, "none", s.post("/ui/me/tokens", "rotate", "none"), 404, "")
}

// TestTokensPreview: what of the ceiling is there, and what the policy leaves of it.
func TestTokensPreview(t *testing.T) {
	s, _ := newTokenSite(t)
	s.push("team/app", object{}, nil, "1.0")
	s.push("team/tools/cli", object{}, nil, "1.0")
	s.login("alice")
	s.push("public/base", object{}, nil, "1.0")
	const public = "What everybody may pull stays open to it"
	want(t, "of one", s.post("/ui/me/tokens", "do", "preview", "repositories", "team/app", "pull", "on", "delete", "on"), 200, "",
		`data-preview="team/app"`, `!data-preview="team/tools/cli"`, `!<span class="badge">push</span>`, "!data-secret", "You have no tokens", "for now: 1 repository", "!data-preview=\"public/base\"", public)
	want(t, "of nothing there", s.post("/ui/me/tokens", "do", "preview", "repositories", "team/none", "pull", "on"), 200, "", "!data-preview", "for now: 0 repositories", "Nothing that is there now", public)
	row := func(name string, rights ...string) string {
		text := ""
		for _, right := range rights {
			text += `<span class="badge">` + right + `</span> `
		}
		if text == "" {
			text = `<span class="soft">nothing</span>`
		}
		return `<tr data-preview="` + name + `"><td class="mono">` + name + "</td><td>" + text + "</td></tr>"
	}
	want(t, "to push alone", s.post("/ui/me/tokens", "do", "preview", "push", "on"), 200, "", "for now: 2 repositories",
		row("team/app", "push")+"\n"+row("team/tools/cli", "push")+"\n"+row("public/base"), public)
	want(t, "to push alone what everybody may pull", s.post("/ui/me/tokens", "do", "preview", "push", "on", "repositories", "public/**"), 200, "", "for now: 0 repositories", row("public/base"), public)
	want(t, "without actions", s.post("/ui/me/tokens", "do", "preview"), 400, "", "Choose what the token may do", "!data-preview")
	want(t, "to pull", s.post("/ui/me/tokens", "do", "preview", "pull", "on"), 200, "", "for now: 3 repositories", row("public/base", "pull")+"\n"+row("team/app", "pull"))
	want(t, "of several patterns", s.post("/ui/me/tokens", "do", "preview", "repositories", "team/tools/** public/*", "pull", "on", "delete", "on"), 200, "", row("team/tools/cli", "pull", "delete"), row("public/base", "pull"), `!data-preview="team/app"`)
	s.login("root")
	want(t, "all", s.post("/ui/me/tokens", "do", "preview", "pull", "on", "push", "on", "delete", "on"), 200, "", row("team/app", "pull", "push", "delete"), row("public/base", "pull", "push", "delete"))
	s.login("alice")
	want(t, "of no pattern", s.post("/ui/me/tokens", "do", "preview", "pull", "on", "repositories", "a//b"), 400, "")
}

// TestAllTokens: admins see and end everybody's, and make none.
func TestAllTokens(t *testing.T) {
	s, _ := newTokenSite(t)
	want(t, "a stranger", s.get("/ui/admin/tokens"), 303, "/ui/login?next=%2Fui%2Fadmin%2Ftokens")
	s.login("alice")
	_, id := made(t, bodyOf(t, s.post("/ui/me/tokens", "name", "ci", "pull", "on")))
	want(t, "no admin", s.get("/ui/admin/tokens"), 404, "")
	want(t, "no admin's form", s.post("/ui/admin/tokens", "id", id), 404, "")
	s.login("root")
	want(t, "all", s.get("/ui/admin/tokens"), 200, "", `data-page="admin-tokens"`, `data-token="`+id+`"`, "alice", "!Rotate", "!Make a token")
	want(t, "none", s.post("/ui/admin/tokens", "id", "none"), 404, "")
	want(t, "ended", s.post("/ui/admin/tokens", "id", id), 200, "", "Nobody has a token")
	if s.last.Seen.Change != (Change{ID: id, Name: "ci", By: "admin", Ended: true}) {
		t.Errorf("%+v", s.last.Seen.Change)
	}
}

// TestNoTokens: where they are off there is no page, nor a link to one.
func TestNoTokens(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	for _, path := range []string{"/ui/me/tokens", "/ui/admin/tokens"} {
		want(t, path, s.get(path), 404, "")
	}
	for _, path := range []string{"/ui/me/tokens", "/ui/me/tokens/revoke", "/ui/admin/tokens"} {
		want(t, path, s.post(path, "id", "x"), 404, "")
	}
	want(t, "the header", s.get("/ui/help"), 200, "", `!href="/ui/me/tokens"`)
}
