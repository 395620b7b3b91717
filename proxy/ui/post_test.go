package ui

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestForms: what a page of another site sends is refused, and whatever cannot show that it
// came from ours; no form is larger than 64 KiB or of another kind (I8).
func TestForms(t *testing.T) {
	s := newSite(t, nil)
	const empty = "-" // a field that is there and says nothing
	for _, test := range []struct {
		site, origin, kind, body string
		status                   int
	}{
		{"same-origin", "https://registry.example.com", formType, "theme=dark", 303},
		{"same-origin", "", formType, "theme=dark", 303},
		{"", "https://registry.example.com", formType, "theme=dark", 303},
		{"none", "", formType, "theme=dark", 303},
		{"same-origin", "https://registry.example.com", formType + "; charset=utf-8", "theme=dark", 303},
		{"", "", formType, "theme=dark", 403},
		{empty, "", formType, "theme=dark", 403},
		{"", empty, formType, "theme=dark", 403},
		{empty, empty, formType, "theme=dark", 403},
		{empty, "https://registry.example.com", formType, "theme=dark", 303},
		{empty, "https://other.example.com", formType, "theme=dark", 403},
		{"same-origin", empty, formType, "theme=dark", 403},
		{"unheard-of", "", formType, "theme=dark", 403},
		{"cross-site", "", formType, "theme=dark", 403},
		{"same-site", "", formType, "theme=dark", 403},
		{"", "null", formType, "theme=dark", 403},
		{"same-origin", "null", formType, "theme=dark", 403},
		{"same-origin", "https://other.example.com", formType, "theme=dark", 403},
		{"", "http://registry.example.com", formType, "theme=dark", 403},
		{"", "https://registry.example.com:8443", formType, "theme=dark", 403},
		{"", "https://registry.example.com/", formType, "theme=dark", 403},
		{"cross-site", "https://registry.example.com", formType, "theme=dark", 403},
		{"same-origin", "", "", "theme=dark", 415},
		{"same-origin", "", "application/json", "{}", 415},
		{"same-origin", "", "multipart/form-data; boundary=x", "x", 415},
		{"same-origin", "", formType, "theme=dark&theme=light", 400},
		{"same-origin", "", formType, "theme=%zz", 400},
		{"same-origin", "", formType, "theme=blue", 400},
		{"same-origin", "", formType, "theme=dark&x=%ff", 400},
		{"same-origin", "", formType, "theme=dark&x=" + strings.Repeat("a", 64<<10), 413},
	} {
		r := httptest.NewRequest("POST", "/ui/theme", strings.NewReader(test.body))
		for key, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin, "Content-Type": test.kind} {
			if value != "" {
				r.Header.Set(key, strings.TrimPrefix(value, empty))
			}
		}
		if got := s.ask(r); got.StatusCode != test.status {
			t.Errorf("%.60v: %d", test, got.StatusCode)
		}
	}
}

// TestOriginBehindProxy: the Host may be another there; the origin is the public one.
func TestOriginBehindProxy(t *testing.T) {
	s := newSite(t, nil)
	for _, field := range []string{"https://registry.example.com", "https://registry.example.com:443",
		"https://REGISTRY.example.com"} {
		r := httptest.NewRequest("POST", "/ui/theme", strings.NewReader("theme=light"))
		r.Host = "inner:5000"
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Origin", field)
		if got := s.ask(r); got.StatusCode != 303 {
			t.Errorf("%s: %d", field, got.StatusCode)
		}
	}
}

// TestTheme: the choice is kept in a cookie, and leads back.
func TestTheme(t *testing.T) {
	s := newSite(t, nil)
	want(t, "system", s.get("/ui/help"), 200, "", `<html lang="en" data-theme="system">`)
	got := s.post("/ui/theme", "theme", "dark", "next", "/ui/help")
	want(t, "dark", got, 303, "/ui/help")
	if cookie := got.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "gatehouse-theme=dark; Path=/ui/; Max-Age=") {
		t.Error(cookie)
	}
	want(t, "dark", s.get("/ui/help"), 200, "", `data-theme="dark"`,
		`value="dark" title="Dark" aria-pressed="true"`)
	want(t, "elsewhere", s.post("/ui/theme", "theme", "light", "next",
		"https://elsewhere.example/"), 303, "/ui/")
	for _, c := range []struct{ what, next, referer, to string }{
		{"from the login", "/ui/login?next=%2Fui%2Fme", "", "/ui/login?next=%2Fui%2Fme"},
		{"from the plain login", "/ui/login", "", "/ui/login"},
		{"from a login that leads elsewhere", "/ui/login?next=%2F%2Fe.example", "", "/ui/login"},
		{"no login", "/ui//login?next=%2Fui%2Fme", "", "/ui/"},
		{"by the Referer", "", "https://registry.example.com/ui/r/team/app?q=x", "/ui/r/team/app?q=x"},
		{"by the Referer, the login", "", "https://registry.example.com/ui/login?next=/ui/me", "/ui/login?next=%2Fui%2Fme"},
		{"next before the Referer", "/ui/help", "https://registry.example.com/ui/me", "/ui/help"},
		{"by another's", "", "https://other.example.com/ui/help", "/ui/"},
		{"by one of another scheme", "", "http://registry.example.com/ui/help", "/ui/"},
		{"by one that is no page", "", "https://registry.example.com/v2/", "/ui/"},
		{"by a form", "", "https://registry.example.com/ui/theme", "/ui/"},
		{"by none", "", "", "/ui/"},
	} {
		form := url.Values{"theme": {"dark"}}
		if c.next != "" {
			form.Set("next", c.next)
		}
		r := httptest.NewRequest("POST", "/ui/theme", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Origin", s.origin.String())
		r.Header.Set("Referer", c.referer)
		want(t, c.what, s.ask(r), 303, c.to)
	}
	want(t, "the login's form", s.get("/ui/login?next=%2Fui%2Fme"), 200, "", `name="next" value="/ui/login?next=%2Fui%2Fme"`, `name="next" value="/ui/me"`)
	want(t, "after a wrong password", s.post("/ui/login", "login", "alice", "password", "x", "next", "/ui/me"), 401, "", `name="next" value="/ui/login?next=%2Fui%2Fme"`)
	s.jar[themeCookie] = `"><script>`
	want(t, "nonsense", s.get("/ui/help"), 200, "", `data-theme="system"`)
}
