package ui

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"gatehouse/proxy/listener"
)

// TestHeaders: section 4 of the contract, on pages, redirects, errors and files (I9, I12).
func TestHeaders(t *testing.T) {
	s := newSite(t, nil)
	const static = " https://registry.example.com/ui/static/; "
	policy := "default-src 'none'; style-src" + static + "script-src" + static + "img-src" + static + "connect-src https://registry.example.com/ui/; form-action https://registry.example.com/ui/; " +
		"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	for target, cache := range map[string]string{"/": "no-store", "/ui/help": "no-store", "/ui/login": "no-store", "/ui/r/A": "no-store", "/ui/static/none": "no-store", "/ui/r/team/": "no-store",
		styleFile.path(): "public, max-age=31536000, immutable"} {
		h := s.get(target).Header
		for key, value := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "X-Request-Id": "REQUEST1", "Cache-Control": cache} {
			if got := h.Get(key); got != value {
				t.Errorf("%s: %s: %q", target, key, got)
			}
		}
	}
}

// TestPolicyOfHosts: a host that no browser takes for a source has pages all the same, and their
// forms; a script has only what no pushed blob can be.
func TestPolicyOfHosts(t *testing.T) {
	for host, written := range map[string]bool{"registry.example.com": true, "127.0.0.1:5000": true, "localhost": true, "xn--bcher-kva.example:8443": true,
		"[::1]:5000": false, "[2001:db8::1]": false, "my_registry.example": false, "a.example.:443": false, "a;b": false, "": false} {
		got := policyOf(listener.Origin{Scheme: "https", Host: host})
		if strings.Contains(got, "script-src https://"+host+"/ui/static/; ") != written || strings.Contains(got, "form-action https://"+host+"/ui/; ") != written {
			t.Errorf("%s: %s", host, got)
		}
		if written == strings.Contains(got, "'self'") || written == strings.Contains(got, "script-src 'none'") || !written && !strings.Contains(got, "style-src 'self'; ") {
			t.Errorf("%s: %s", host, got)
		}
		if !written && !strings.Contains(got, "; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'") {
			t.Errorf("%s: %s", host, got)
		}
	}
}

// TestStatic: files under the hash of what they hold, small enough, and what pages name.
func TestStatic(t *testing.T) {
	s := newSite(t, nil)
	page := bodyOf(t, s.get("/ui/help"))
	for _, a := range []*asset{styleFile, scriptFile, iconFile} {
		got := s.get(a.path())
		if body := bodyOf(t, got); got.StatusCode != 200 || got.Header.Get("Content-Type") != a.media || body != string(a.body) || !strings.Contains(page, a.path()) {
			t.Errorf("%s: %d %s", a.path(), got.StatusCode, got.Header.Get("Content-Type"))
		}
		want(t, "another hash", s.get("/ui/static/"+a.name+".0123456789abcdef."+a.extension), 404, "")
	}
	if n := len(styleText) + len(scriptText); n > 40<<10 {
		t.Errorf("style and script have %d bytes", n)
	}
	if got := s.ask(httptest.NewRequest("POST", styleFile.path(), nil)); got.StatusCode != 405 {
		t.Errorf("POST: %d", got.StatusCode)
	}
}

// TestNoInline: no page has a script, a style or a handler of its own, or names another host.
func TestNoInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)\son[a-z]+=|\sstyle=|<style|<script>|javascript:|(src|href|action)="(https?:)?//`)
	for name, text := range sources(t) {
		if found := inline.FindString(text); found != "" {
			t.Errorf("%s: %q", name, found)
		}
	}
	if strings.Contains(string(scriptText), "innerHTML") || strings.Contains(string(styleText), "http") {
		t.Error("the script makes markup, or the style names another host")
	}
}

// sources are the templates.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := templates.ReadFile("templates/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(text)
	}
	return all
}
