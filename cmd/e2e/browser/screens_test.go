//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// levels are the rules of axe-core that count: WCAG 2.2, A and AA.
const levels = `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]`

// accessible fails the test where axe-core, whose script $GATEHOUSE_AXE names, finds a
// violation in the page.
func (b *tab) accessible(where string) {
	b.t.Helper()
	name := os.Getenv("GATEHOUSE_AXE")
	if name == "" {
		return
	}
	script, err := os.ReadFile(name)
	if err != nil {
		b.t.Fatal(err)
	}
	eval[bool](b, string(script)+"; true")
	found := eval[[]string](b, `axe.run({runOnly: `+levels+`}).then(result => result.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 120) + " " + n.failureSummary).join("; ")))`)
	if len(found) > 0 {
		b.t.Errorf("%s: %s", where, strings.Join(found, "\n"))
	}
}

// screen is a page, by a name for its picture and its data-page.
type screen struct{ name, path, page string }

// screens are all pages of somebody who has logged in.
var screens = []screen{
	{"repositories", "/ui/", "repositories"},
	{"folder", "/ui/r/team/",
		"folder"}, {"search", "/ui/?q=or", "repositories"}, {"nothing",
		"/ui/?q=nothing-like-this", "repositories"},
	{"tags", "/ui/r/team/orchestra", "repository"},
	{"image",
		"/ui/r/team/orchestra:2.0.0", "image"}, {"chart", "/ui/r/team/charts/orchestra:2.0.0", "image"},
	{"delete", "/ui/delete?ref=team/orchestra:2", "delete"},
	{"delete-many",
		"/ui/delete?ref=team/orchestra:1.9.0&ref=team/orchestra:1.9.1", "delete"},
	{"help", "/ui/help", "help"}, {"tokens", "/ui/me/tokens", "tokens"},
	{"me", "/ui/me?action=delete&ref=team/orchestra:2", "me"},
	{"admin", "/ui/admin/", "admin-overview"},
	{"explain", "/ui/admin/explain?user=alice&action=delete&ref=team/orchestra", "admin-explain"},
	{"explain-ldap", "/ui/admin/explain?user=mozart&action=pull&ref=base/orchestra:latest&ip=192.0.2.7", "admin-explain"},
	{"directories", "/ui/admin/directories", "admin-directories"},
	{"refusals", "/ui/admin/refusals", "admin-refusals"},
	{"rules", "/ui/admin/rules", "admin-rules"},
	{"all-tokens", "/ui/admin/tokens", "admin-tokens"}, {"config", "/ui/admin/config", "admin-config"},
	{"error", "/ui/r/none/", "error"},
}

// TestScreens: every screen, light and dark, narrow and wide.
func TestScreens(t *testing.T) {
	s := newSite(t)
	s.refuse(t)
	b := newTab(t, s)
	b.login("root")
	b.open("/ui/me/tokens")
	b.fill("#name", "nightly build")
	b.press("[value=make]")
	b.looks([]screen{{"", "", "tokens"}}, "token-made")
	b.looks(screens, "")
}

// TestStrangersScreens: those of somebody who has not logged in, or tried to.
func TestStrangersScreens(t *testing.T) {
	b := newTab(t, newSite(t))
	b.looks([]screen{{"login", "/ui/login", "login"}, {"open", "/ui/", "repositories"}, {"open-tags", "/ui/r/base/alpine", "repository"}, {"open-help", "/ui/help", "help"}}, "")
	b.wrongPassword()
	b.looks([]screen{{"", "", "login"}}, "login-refused")
}

// looks looks at each screen, light and dark, narrow and wide; one without a path is what is
// shown now, and is called name.
func (b *tab) looks(list []screen, name string) {
	b.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{320, 1280} {
			b.look(width, theme)
			for _, s := range list {
				if s.path != "" {
					b.open(s.path)
				}
				where := fmt.Sprintf("%s-%s-%d", s.name+name, theme, width)
				if got := b.page(); got != s.page {
					b.t.Errorf("%s: %q", where, got)
				}
				if over := eval[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					b.t.Errorf("%s: %d pixels wider than the window", where, over)
				}
				b.keep(where)
				b.accessible(where)
				b.quiet(where)
			}
		}
	}
}

// refuse has the gateway refuse a few requests, of a stranger and of alice.
func (s *site) refuse(t *testing.T) {
	t.Helper()
	for _, asked := range []struct {
		method, path, password string
		status                 int
	}{
		{http.MethodGet, "/auth?service=gatehouse&scope=repository:team/orchestra:pull", "wrong", http.StatusUnauthorized},
		{http.MethodGet, "/v2/team/orchestra/manifests/latest", "", http.StatusUnauthorized},
		{http.MethodDelete, "/v2/base/orchestra/manifests/latest", "alice-secret", http.StatusForbidden},
		{http.MethodGet, "/v2/private/plans/tags/list", "alice-secret", http.StatusForbidden},
	} {
		r, err := http.NewRequestWithContext(t.Context(), asked.method, s.url+asked.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if asked.password != "" {
			r.SetBasicAuth("alice", asked.password)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != asked.status {
			t.Fatalf("%s %s: %s", asked.method, asked.path, answer.Status)
		}
	}
}
