package ui

import (
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/proxy/ui/browse"
)

// TestEveryRoute: what each page is for a stranger, for somebody, and for who may all.
func TestEveryRoute(t *testing.T) {
	s := newSite(t, nil)
	for _, name := range []string{"team/app", "public/base", "secret/plans"} {
		s.push(name, configOf("x"), nil, "1")
	}
	visitors := []string{"", "alice", "root"}
	for _, test := range []struct {
		target   string
		statuses [3]int
	}{
		{"/", [3]int{303, 303, 303}},
		{"/ui", [3]int{303, 303, 303}},
		{"/ui/", [3]int{200, 200, 200}},
		{"/ui/?q=app", [3]int{200, 200, 200}},
		{"/ui/?rights=delete", [3]int{200, 200, 200}},
		{"/ui/?page=9", [3]int{200, 200, 200}},
		{"/ui/r/public/", [3]int{200, 200, 200}},
		{"/ui/r/team/", [3]int{303, 200, 200}},
		{"/ui/r/secret/", [3]int{303, 404, 200}},
		{"/ui/r/none/", [3]int{303, 404, 404}},
		{"/ui/r/public/base", [3]int{200, 200, 200}},
		{"/ui/r/team/app", [3]int{303, 200, 200}},
		{"/ui/r/secret/plans", [3]int{303, 404, 200}},
		{"/ui/r/none/such", [3]int{303, 404, 404}},
		{"/ui/r/public/base:1", [3]int{200, 200, 200}},
		{"/ui/r/public/base:2", [3]int{303, 404, 404}},
		{"/ui/r/secret/plans:1", [3]int{303, 404, 200}},
		{"/ui/r/secret/plans:1?raw=manifest", [3]int{303, 404, 200}},
		{"/ui/r/secret/plans:1?raw=config", [3]int{303, 404, 200}},
		{"/ui/r/public/base@" + digest, [3]int{303, 404, 404}},
		{"/ui/delete?ref=team/app:1", [3]int{303, 200, 200}},
		{"/ui/delete?ref=secret/plans:1", [3]int{303, 404, 200}},
		{"/ui/login", [3]int{200, 303, 303}},
		{"/ui/help", [3]int{200, 200, 200}},
		{"/ui/me", [3]int{303, 200, 200}},
		{"/ui/logout", [3]int{405, 405, 405}},
		{"/ui/theme", [3]int{405, 405, 405}},
		{"/ui/me/signout-everywhere", [3]int{405, 405, 405}},
		{"/ui/nothing", [3]int{404, 404, 404}},
		{"/ui/r/A", [3]int{400, 400, 400}},
	} {
		for i, name := range visitors {
			s.jar = map[string]string{}
			if name != "" {
				s.login(name)
			}
			if got := s.get(test.target); got.StatusCode != test.statuses[i] {
				t.Errorf("%s for %q: %d, want %d", test.target, name, got.StatusCode, test.statuses[i])
			}
			head := s.ask(httptest.NewRequest("HEAD", test.target, nil))
			if body := bodyOf(t, head); head.StatusCode != test.statuses[i] || body != "" {
				t.Errorf("HEAD of %s for %q: %d with %d bytes", test.target, name, head.StatusCode, len(body))
			}
		}
	}
}

// TestMethods: another method than the route's is a 405 that names those that it has.
func TestMethods(t *testing.T) {
	s := newSite(t, nil)
	for target, allowed := range map[string]string{
		"/":                         "GET, HEAD",
		"/ui/":                      "GET, HEAD",
		"/ui/r/a/":                  "GET, HEAD",
		"/ui/r/a":                   "GET, HEAD",
		"/ui/r/a:1":                 "GET, HEAD",
		"/ui/help":                  "GET, HEAD",
		"/ui/me":                    "GET, HEAD",
		"/ui/static/x":              "GET, HEAD",
		"/ui/login":                 "GET, HEAD, POST",
		"/ui/delete?ref=a:1":        "GET, HEAD, POST",
		"/ui/logout":                "POST",
		"/ui/theme":                 "POST",
		"/ui/me/signout-everywhere": "POST",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			got := s.ask(httptest.NewRequest(method, target, nil))
			refused := got.StatusCode == 405
			if refused == strings.Contains(", "+allowed+",", ", "+method+",") {
				t.Errorf("%s %s: %d", method, target, got.StatusCode)
			}
			if refused && got.Header.Get("Allow") != allowed {
				t.Errorf("%s %s: Allow %q", method, target, got.Header.Get("Allow"))
			}
		}
	}
}

// TestParameters: the values that each takes, and those that it does not.
func TestParameters(t *testing.T) {
	for _, test := range []struct {
		target string
		good   bool
	}{
		{"/ui/?page=1", true},
		{"/ui/?page=99999", true},
		{"/ui/?page=-1", false},
		{"/ui/?page=1.5", false},
		{"/ui/?page=99999999999", false},
		{"/ui/?page=", true},
		{"/ui/?rights=push", true},
		{"/ui/?rights=delete", true},
		{"/ui/?rights=all", false},
		{"/ui/r/a?sort=version", true},
		{"/ui/r/a?sort=name", true},
		{"/ui/r/a?sort=built", true},
		{"/ui/r/a?sort=date", false},
		{"/ui/r/a?order=asc", true},
		{"/ui/r/a?order=desc", true},
		{"/ui/r/a?order=up", false},
		{"/ui/r/a?show=all", true},
		{"/ui/r/a?show=none", false},
		{"/ui/r/a:1?raw=manifest", true},
		{"/ui/r/a:1?raw=blob", false},
		{"/ui/me?action=create&ref=a", true},
		{"/ui/me?action=read", false},
		{"/ui/login?next=" + strings.Repeat("a", maxNext), true},
		{"/ui/login?next=" + strings.Repeat("a", maxNext+1), false},
		{"/ui/delete?ref=" + strings.Repeat("a", 300) + ":1", true},
		{"/ui/help?q=1&q=2", true},
	} {
		if _, err := parse("GET", test.target); (err == nil) != test.good {
			t.Errorf("%.60s: %v", test.target, err)
		}
	}
}

// TestLinks: the addresses that pages make of their own.
func TestLinks(t *testing.T) {
	at, err := parse("GET", "/ui/r/a/b?q=x&page=3&sort=name")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		at.canonical():         "/ui/r/a/b?page=3&q=x&sort=name",
		at.with("q", ""):       "/ui/r/a/b?sort=name",
		at.with("show", "all"): "/ui/r/a/b?q=x&show=all&sort=name",
		at.with("page", "4"):   "/ui/r/a/b?page=4&q=x&sort=name",
		at.with("page", ""):    "/ui/r/a/b?q=x&sort=name",
		imagePath("a", "v1"):   "/ui/r/a:v1",
		imagePath("a", digest): "/ui/r/a@" + digest,
		onward("/ui/help"):     "/ui/help",
		onward("//e.example/"): "/ui/",
		newPager(&at, browse.Pager{Page: 2, Pages: 3}).Previous: "/ui/r/a/b?q=x&sort=name",
		newPager(&at, browse.Pager{Page: 2, Pages: 3}).Next:     "/ui/r/a/b?page=3&q=x&sort=name",
		newPager(&at, browse.Pager{Page: 3, Pages: 9}).Last:     "/ui/r/a/b?page=9&q=x&sort=name",
		newPager(&at, browse.Pager{Page: 1, Pages: 1}).Next:     "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if n := len(crumbs("a/b/c")); n != 4 {
		t.Errorf("%d crumbs", n)
	}
	for i, want := range []crumb{{"Repositories", "/ui/"}, {"a", "/ui/r/a/"}, {"b", "/ui/r/a/b/"}, {"c", "/ui/r/a/b/c"}} {
		if got := crumbs("a/b/c")[i]; got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// TestColumns: the column that a page is sorted by turns around; another one begins at its own order.
func TestColumns(t *testing.T) {
	at, err := parse("GET", "/ui/r/a?sort=built&order=asc&page=2&q=x")
	if err != nil {
		t.Fatal(err)
	}
	all := columns(&at, browse.TagQuery{Sort: "built", Ascending: true})
	for by, want := range map[string]column{
		"version": {"/ui/r/a?q=x", ""},
		"name":    {"/ui/r/a?q=x&sort=name", ""},
		"built":   {"/ui/r/a?q=x&sort=built", "ascending"},
	} {
		if all[by] != want {
			t.Errorf("%s: %+v, want %+v", by, all[by], want)
		}
	}
	if got := columns(&at, browse.TagQuery{})["version"]; got != (column{"/ui/r/a?order=asc&q=x", "descending"}) {
		t.Errorf("%+v", got)
	}
}

// TestHooks: what tests from outside find on each page (section 7 of the contract).
func TestHooks(t *testing.T) {
	s := newSite(t, nil)
	ref := s.push("team/app", configOf("x"), nil, "1.0")
	s.login("root")
	for target, hooks := range map[string][]string{
		"/ui/": {
			`<main id="main" data-page="repositories"`,
			`<tr data-folder="team">`,
			`data-total="1"`,
			`data-request-id="REQUEST1"`,
		},
		"/ui/r/team/": {
			`data-page="folder"`,
			`<tr data-repository="team/app" data-rights="pull,push,delete">`,
		},
		"/ui/r/team/app": {
			`data-page="repository"`,
			`<tr data-tag="1.0" data-digest="` + ref + `" data-size="`,
			`data-command="docker" data-by="tag"`,
		},
		"/ui/r/team/app:1.0": {
			`data-page="image"`,
			`<li data-layer="sha256:`,
			`data-command="podman" data-by="tag"`,
			`data-command="crane" data-by="digest"`,
			`data-command="oras" data-by="digest"`,
		},
		"/ui/delete?ref=team/app:1.0": {
			`data-page="delete"`,
			`name="what" value="tag"`,
			`name="what" value="image"`,
			`name="confirm"`,
			`name="digest" value="` + ref + `"`,
		},
		"/ui/me?action=pull&ref=team/app": {
			`data-page="me"`,
			`data-decision="allowed" data-rule="c.yaml:1"`,
		},
		"/ui/help": {
			`data-page="help"`,
		},
		"/ui/none": {
			`data-page="error"`,
			`data-error="NOT_FOUND"`,
		},
	} {
		page := bodyOf(t, s.get(target))
		for _, hook := range append(hooks, `<a class="skip" href="#main">`, "<h1", "<footer>", `role="status"`, `action="/ui/theme"`, `action="/ui/logout"`) {
			if !strings.Contains(page, hook) {
				t.Errorf("%s: no %s", target, hook)
			}
		}
		if n := strings.Count(page, "<h1"); n != 1 {
			t.Errorf("%s: %d headings of the first level", target, n)
		}
	}
}

// TestWay: each page says where it stands, and has the same links at its head, for strangers too:
// what is their own leads them to the login.
func TestWay(t *testing.T) {
	s, _ := newTokenSite(t)
	s.push("public/app", configOf("x"), nil, "1.0")
	const home, here = `<li><a href="/ui/">Repositories</a></li>`, `<li aria-current="page">`
	head := []string{`<a href="/ui/"`, `<a href="/ui/me"`, `<a href="/ui/me/tokens"`, `<a href="/ui/help"`}
	want(t, "a stranger's home", s.get("/ui/"), 200, "", append(head, here+"Repositories</li>", `!href="/ui/admin/"`)...)
	want(t, "a stranger's login", s.get("/ui/login"), 200, "", append(head, home+here+"Log in</li>")...)
	want(t, "a stranger's access", s.get("/ui/me"), 303, "/ui/login?next=%2Fui%2Fme")
	s.login("root")
	for target, way := range map[string]string{
		"/ui/":             "<ol>" + here + "Repositories</li>",
		"/ui/me":           home + here + "My access</li>",
		"/ui/me/tokens":    home + here + "Tokens</li>",
		"/ui/help":         home + here + "Help</li>",
		"/ui/none":         home + here + "Not found</li>",
		"/ui/admin/":       home + here + "Administration</li>",
		"/ui/admin/rules":  home + `<li><a href="/ui/admin/">Administration</a></li>` + here,
		"/ui/r/public/":    home + "</ol>",
		"/ui/r/public/app": home + `<li><a href="/ui/r/public/">public</a></li></ol>`,
		"/ui/delete?ref=public/app:1.0": home + `<li><a href="/ui/r/public/">public</a></li><li><a href="/ui/r/public/app">app</a></li>` +
			here + "Delete 1 image</li>",
	} {
		status := 200
		if target == "/ui/none" {
			status = 404
		}
		want(t, target, s.get(target), status, "", append(head, way, `href="/ui/admin/"`)...)
	}
}

// TestConfig: the defaults of the contract.
func TestConfig(t *testing.T) {
	var c Config
	c.Defaults()
	for what, good := range map[string]bool{
		"off":          !c.Enabled,
		"title":        c.Title == "Gatehouse",
		"session":      c.Session.String() == "8h0m0s",
		"idle":         c.Idle.String() == "30m0s",
		"admins":       c.Admins == nil,
		"delete":       c.Delete,
		"page size":    c.PageSize == 50,
		"at once":      c.UpstreamRequests == 8,
		"kept":         c.CacheBytes == 64<<20,
		"refresh":      c.CatalogRefresh.String() == "1m0s",
		"no complaint": c.Check() == nil,
	} {
		if !good {
			t.Errorf("%s: %+v", what, c)
		}
	}
	c.HelpFile.Data = make([]byte, maxHelp+1)
	if c.Check() == nil {
		t.Error("a help file over 64 KiB")
	}
	c.HelpFile.Data = []byte("\xff")
	if c.Check() == nil {
		t.Error("a help file that is no text")
	}
	c.HelpFile.Data = nil
	for word, good := range map[string]bool{"everyone": false, "authenticated": false, "people": false, "machines": false, "group:admins": true, "directory:local": true} {
		if c.Admins = []string{word}; (c.Check() == nil) != good {
			t.Errorf("admins: [%s]: %v", word, c.Check())
		}
	}
	s := newSite(t, func(c *Config) { c.HelpFile.Data, c.Title = []byte("Ask <us>\n\tor\u202e not"), "<Title>" })
	want(t, "help", s.get("/ui/help"), 200, "", "Ask &lt;us&gt;\n\tor\\u202e not</pre>", "&lt;Title&gt;", "docker login -u YOUR-NAME registry.example.com")
}
