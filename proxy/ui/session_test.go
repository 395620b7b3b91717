package ui

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/proxy/listener"
	"gatehouse/tokens"
)

// TestLogin: where it leads, what the cookie is like, and what a login tells of itself.
func TestLogin(t *testing.T) {
	s := newSite(t, nil)
	want(t, "the page", s.get("/ui/login?next=/ui/help"), 200, "", `data-page="login"`,
		`name="next" value="/ui/help"`, "<h1>Log in</h1>")
	got := s.post("/ui/login", "login", "Alice", "password", "alice-secret", "next", "/ui/help")
	want(t, "a login", got, 303, "/ui/help")
	cookie := got.Header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "__Host-gatehouse=ey") || !strings.HasSuffix(cookie, "; Path=/; HttpOnly; Secure; SameSite=Strict") {
		t.Errorf("cookie %q", cookie)
	}
	if seen := s.last.Seen; !seen.Login || seen.Identity.Username != "alice" || seen.SessionID == "" || strings.Contains(cookie, seen.SessionID) {
		t.Errorf("%+v", seen)
	}
	want(t, "who is logged in", s.get("/ui/login?next=/ui/help"), 303, "/ui/help")
	want(t, "a page", s.get("/ui/"), 200, "", ">alice<", "Log out", "!Log in")
	s.jar, s.origin = map[string]string{}, listener.Origin{Scheme: "http", Host: "127.0.0.1:5000"}
	if cookie := s.post("/ui/login", "login", "alice", "password", "alice-secret").Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "gatehouse=ey") || !strings.HasSuffix(cookie, "; Path=/; HttpOnly; SameSite=Strict") {
		t.Errorf("over plain HTTP: %q", cookie)
	}
}

// TestLoginUnavailable: where a directory is at fault nobody is told that their password was wrong,
// nor that nobody can log in, as another directory may know them.
func TestLoginUnavailable(t *testing.T) {
	s := newSite(t, nil)
	s.people.set(true, "")
	r := s.post("/ui/login", "login", "alice", "password", "alice-secret")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	want(t, "at fault", r, 503, "", "A directory cannot be asked at the moment", `data-error="UNAVAILABLE"`, "!nobody", "!is wrong")
}

// TestLoginRefused: one text for what is wrong, and the wait in words.
func TestLoginRefused(t *testing.T) {
	s := newSite(t, nil)
	const wrong = "The name or the password is wrong."
	want(t, "a wrong password", s.post("/ui/login", "login", "alice",
		"password", "x", "next", "/ui/help"), 401, "", wrong, `data-error="UNAUTHORIZED"`,
		"REQUEST1", `value="alice"`, `value="/ui/help"`)
	want(t, "an unknown name", s.post("/ui/login", "login", "nobody", "password", "x"), 401, "", wrong)
	want(t, "nothing", s.post("/ui/login"), 401, "", wrong)
	access, _, err := s.ui.o.Keyring.Issue(tokens.Token{Kind: tokens.Access,
		Subject: authn.Ref{Directory: "local", Username: "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{string(apitoken.Personal.New()), string(apitoken.Machine.New()), access} {
		want(t, "a token", s.post("/ui/login", "login", "alice", "password", token), 401, "", wrong)
	}
	if len(s.jar) > 0 {
		t.Errorf("cookies of a refusal: %v", s.jar)
	}
	for i := range 3 {
		s.post("/ui/login", "login", "alice", "password", "x"+strconv.Itoa(i))
	}
	got := s.post("/ui/login", "login", "alice", "password", "y")
	if wait, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || wait < 1 {
		t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
	}
	want(t, "too many", got, 429, "", "too many failed logins", "Try again in",
		`data-error="TOOMANYREQUESTS"`)
	s.people.set(true, "")
	want(t, "a directory at fault", s.post("/ui/login", "login", "carol",
		"password", "carol-secret"), 503, "", "Try again in 5 seconds",
		"directory cannot be asked")
}

// TestSessionEnds: idle and in all, by a reload, a logout, a person that is gone, and
// whatever is no session of ours.
func TestSessionEnds(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Session, c.Idle = time.Hour, 10*time.Minute })
	to := "/ui/login?next=%2Fui%2Fr%2Fteam%2F"
	s.shelf.set(nil, nil)
	alive := func(what string, yes bool) {
		t.Helper()
		got := s.get("/ui/help")
		if body := bodyOf(t, got); strings.Contains(body, ">alice<") != yes {
			t.Errorf("%s: logged in: %v", what, !yes)
		}
	}
	s.login("alice")
	for range 5 {
		s.now = s.now.Add(9 * time.Minute)
		alive("each page renews it", true)
	}
	s.now = s.now.Add(11 * time.Minute)
	want(t, "idle", s.get("/ui/r/team/"), 303, to)
	s.login("alice")
	for range 6 {
		s.now = s.now.Add(9 * time.Minute)
		alive("until its end", true)
	}
	s.now = s.now.Add(7 * time.Minute)
	alive("past its end", false)
	s.login("alice")
	s.now = s.now.Add(6 * time.Minute)
	s.reload(func(c *Config) { c.Session, c.Idle = 5*time.Minute, time.Minute })
	alive("a shorter session", false)
	s.reload(func(c *Config) { c.Idle = time.Hour })
	s.login("alice")
	s.reload(func(c *Config) { c.Idle = time.Minute })
	alive("a shorter idle, at first", true)
	s.now = s.now.Add(2 * time.Minute)
	alive("and then", false)
	s.reload(nil)
	s.login("alice")
	s.people.set(false, "alice")
	want(t, "gone", s.get("/ui/r/team/"), 303, to)
	s.people.set(true, "")
	s.login2(t)
	want(t, "a directory at fault", s.get("/ui/"), 503, "", `data-error="UNAVAILABLE"`, "REQUEST1")
	want(t, "help all the same", s.get("/ui/help"), 200, "")
}

// login2 logs in while the directory answers, and lets it fall silent again.
func (s *site) login2(t *testing.T) {
	t.Helper()
	s.people.set(false, "")
	s.login("alice")
	s.people.set(true, "")
}

// TestLogout: the id is refused from then on, wherever a copy of it is kept.
func TestLogout(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	kept := s.jar[secureCookie]
	s.now = s.now.Add(time.Minute)
	s.get("/ui/")
	renewed := s.jar[secureCookie]
	if kept == renewed {
		t.Fatal("a page view did not renew the session")
	}
	got := s.post("/ui/logout")
	want(t, "the logout", got, 303, "/ui/login")
	if got.Header.Get("Clear-Site-Data") != `"cache"` || !strings.Contains(got.Header.Get("Set-Cookie"),
		"Max-Age=0") || !s.last.Seen.Logout {
		t.Errorf("%v %+v", got.Header, s.last.Seen)
	}
	for _, text := range []string{kept, renewed} {
		s.jar[secureCookie] = text
		want(t, "a copy", s.get("/ui/r/team/"), 303, "/ui/login?next=%2Fui%2Fr%2Fteam%2F")
	}
	s.reload(nil)
	s.jar[secureCookie] = renewed
	want(t, "after a reload", s.get("/ui/r/team/"), 303, "/ui/login?next=%2Fui%2Fr%2Fteam%2F")
	s.login("alice")
	first := s.last.Seen.SessionID
	old := s.jar[secureCookie]
	s.login("alice")
	if s.last.Seen.SessionID == first {
		t.Error("the same id at two logins")
	}
	s.jar[secureCookie] = old
	want(t, "the session before the last login", s.get("/ui/r/team/"),
		303, "/ui/login?next=%2Fui%2Fr%2Fteam%2F")
}

// TestLogoutUnasked: a session ends also while the directory cannot say whose it is, and while
// its person is gone: neither comes back with them.
func TestLogoutUnasked(t *testing.T) {
	s := newSite(t, nil)
	for what, change := range map[string]func(){
		"a directory at fault": func() { s.people.set(true, "") },
		"a person who is gone": func() { s.people.set(false, "alice") },
	} {
		s.people.set(false, "")
		s.login("alice")
		kept := s.jar[secureCookie]
		change()
		want(t, what, s.post("/ui/logout"), 303, "/ui/login")
		if seen := s.last.Seen; !seen.Logout || seen.SessionID == "" || seen.Identity.Username != "alice" || seen.Identity.Directory != "local" {
			t.Errorf("%s: %+v", what, seen)
		}
		s.people.set(false, "")
		s.jar[secureCookie] = kept
		want(t, what, s.get("/ui/r/team/"), 303, "/ui/login?next=%2Fui%2Fr%2Fteam%2F")
		s.jar = map[string]string{}
	}
	s.login("alice")
	kept := s.jar[secureCookie]
	s.people.set(true, "")
	s.now = s.now.Add(time.Minute)
	if got := s.get("/ui/help"); got.Header.Get("Set-Cookie") != "" {
		t.Errorf("a session is put off of which nobody said that it is one: %s", got.Header.Get("Set-Cookie"))
	}
	s.post("/ui/login", "login", "alice", "password", "alice-secret")
	s.people.set(false, "")
	s.jar[secureCookie] = kept
	want(t, "a login that failed", s.get("/ui/me"), 200, "", ">alice<")
	want(t, "nobody's", s.ask(s.anonymousLogout()), 303, "/ui/login")
	if s.last.Seen.Logout || s.last.Seen.Identity.Username != "" {
		t.Errorf("%+v", s.last.Seen)
	}
}

// anonymousLogout is a logout of a browser without a session.
func (s *site) anonymousLogout() *http.Request {
	s.jar = map[string]string{}
	r := httptest.NewRequest("POST", "/ui/logout", nil)
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// TestForeignCookies: what is no session of ours, or stands under the other scheme's name,
// counts for nothing.
func TestForeignCookies(t *testing.T) {
	s := newSite(t, nil)
	s.login("alice")
	good := s.jar[secureCookie]
	access, _, err := s.ui.o.Keyring.Issue(tokens.Token{Kind: tokens.Access,
		Subject: authn.Ref{Directory: "local", Username: "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	for what, cookies := range map[string]map[string]string{
		"an access token": {secureCookie: access}, "plain": {plainCookie: good}, "broken": {secureCookie: good[:len(good)-2]}, "nonsense": {secureCookie: "x"},
	} {
		s.jar = cookies
		if body := bodyOf(t, s.get("/ui/help")); strings.Contains(body, ">alice<") {
			t.Errorf("%s is a session", what)
		}
	}
	s.jar = map[string]string{}
	r := httptest.NewRequest("GET", "/ui/help", nil)
	r.Header.Set("Authorization", "Bearer "+good)
	r.Header["Cookie"] = []string{secureCookie + "=" + good + "; " + secureCookie + "=x"}
	if body := bodyOf(t, s.ask(r)); strings.Contains(body, ">alice<") {
		t.Error("a doubled cookie, or Authorization, is a session")
	}
}

// TestStrange: a link of another site is led to the same page once more, never twice in a
// row, so that a stranger ends at the login.
func TestStrange(t *testing.T) {
	s := newSite(t, nil)
	ask := func(site, referrer string) string {
		r := httptest.NewRequest("GET", "/ui/r/team/", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Referer", referrer)
		got := s.ask(r)
		if got.StatusCode == 303 {
			return got.Header.Get("Location")
		}
		return bodyOf(t, got)
	}
	const login, refresh = "/ui/login?next=%2Fui%2Fr%2Fteam%2F", `<meta http-equiv="refresh" content="0">`
	if got := ask("cross-site", "https://elsewhere.example/"); !strings.Contains(got, refresh) {
		t.Error(got)
	}
	if got := ask("cross-site", "https://elsewhere.example/"); got != login {
		t.Error("twice in a row: " + got)
	}
	if got := ask("cross-site", "https://elsewhere.example/"); !strings.Contains(got, refresh) {
		t.Error("the next link: " + got)
	}
	if got := ask("same-origin", "https://registry.example.com/ui/r/team/"); got != login {
		t.Error("a stranger: " + got)
	}
	delete(s.jar, againCookie)
	if got := ask("cross-site", "https://registry.example.com/ui/r/team/"); got != login {
		t.Error("without cookies of any kind: " + got)
	}
	s.login("alice")
	if got := ask("cross-site", ""); !strings.Contains(got, "data-page=") && !strings.HasPrefix(got,
		"/ui") && strings.Contains(got, refresh) {
		t.Error("with its session: " + got)
	}
}
