package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestMainWay: log in, find, open, copy, delete, log out; with scripts and without.
func TestMainWay(t *testing.T) {
	for name, scripts := range map[string]bool{"with scripts": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			b := newTab(t, newSite(t))
			b.open("/")
			b.scripts(scripts)
			b.wrongPassword()
			b.enter()
			b.find()
			b.copyCommand(scripts)
			b.deleteTags(scripts)
			b.choose("dark")
			b.leave()
			b.quiet("the main way")
		})
	}
}

// wrongPassword: the login says no more than that, and shows the request id.
func (b *tab) wrongPassword() {
	b.t.Helper()
	b.open("/ui/login")
	b.fill("#login", "alice")
	b.fill("#password", "wrong")
	b.press(".login button")
	if got := b.text("[data-error=UNAUTHORIZED]"); !strings.Contains(got,
		"The name or the password is wrong.") || !strings.Contains(got,
		"Request") {
		b.t.Errorf("a wrong password: %q", got)
	}
}

// enter: a link to a page that is not for strangers leads there once they are known.
func (b *tab) enter() {
	b.t.Helper()
	b.open("/ui/r/team/")
	b.fill("#login", "alice")
	b.fill("#password", "alice-secret")
	b.press(".login button")
	if got := b.text("h1"); got != "team/" || b.text(".who") != "alice" {
		b.t.Errorf("after the login: %q of %q", got, b.text(".who"))
	}
}

// find: a search leads to a repository, whose tags go from the newest version down.
func (b *tab) find() {
	b.t.Helper()
	b.open("/ui/")
	b.fill("#q", "orch")
	b.press(".search button")
	if got := b.text(`tr[data-repository="team/orchestra"] mark`); got != "orch" {
		b.t.Errorf("the part that was found: %q", got)
	}
	b.press(`tr[data-repository="team/orchestra"] a`)
	tags := eval[[]string](b, `[...document.querySelectorAll("tr[data-tag]")].map(row => row.dataset.tag)`)
	if want := "latest 2.0.0 2 1.10.1 1.10.0 1.10.0-rc1 1.9.1 1.9.0"; strings.Join(tags, " ") != want {
		b.t.Errorf("tags %v, want %s", tags, want)
	}
	b.press(`tr[data-tag="2.0.0"] a`)
	if got := b.text("h1"); got != "team/orchestra:2.0.0" || b.page() != "image" {
		b.t.Errorf("the image's page: %q", got)
	}
}

// copyCommand: one click copies what the field beside it has; without scripts the field is
// there to be marked.
func (b *tab) copyCommand(scripts bool) {
	b.t.Helper()
	const field = `[data-command=docker][data-by=tag]`
	want := "docker pull " + b.site.host + "/team/orchestra:2.0.0"
	if got := eval[string](b, `document.querySelector("`+field+`").value`); got != want {
		b.t.Errorf("the command: %q", got)
	}
	shown := eval[bool](b, `!document.querySelector("button.copy").hidden`)
	if shown != scripts {
		b.t.Errorf("the button that copies is shown: %v", shown)
	}
	if !scripts {
		return
	}
	b.do(chromedp.Click(`.command:has(`+field+`) button.copy`), chromedp.WaitVisible("#said"))
	if got := b.text("#said"); got != "Copied: "+want {
		b.t.Errorf("after the click: %q", got)
	}
}

// deleteTags: what is chosen in the table, once their number is typed.
func (b *tab) deleteTags(scripts bool) {
	b.t.Helper()
	b.open("/ui/r/team/metronome")
	b.do(chromedp.Click(`tr[data-tag="1.0"] input`))
	b.press("form.stack .button")
	b.do(chromedp.Click(`input[value=tag]`))
	b.fill("#confirm", "something")
	b.press(".danger")
	if got := b.text("[role=alert]"); !strings.Contains(got, "Nothing was deleted") {
		b.t.Errorf("a wrong word: %q", got)
	}
	b.do(chromedp.Click(`input[value=tag]`))
	b.fill("#confirm", "team/metronome")
	b.press(".danger")
	if got := eval[string](b, `document.querySelector("tr[data-ref]").dataset.status`); got != "deleted" {
		b.t.Errorf("the tag: %q", got)
	}
	b.open("/ui/r/team/metronome")
	if got := b.text("main"); strings.Contains(got, "1.0") {
		b.t.Errorf("the tag is still listed:\n%s", got)
	}
}

// choose: a theme that is chosen stays.
func (b *tab) choose(theme string) {
	b.t.Helper()
	b.open("/ui/help")
	b.press(".themes [value=" + theme + "]")
	if got := eval[string](b, `document.documentElement.dataset.theme + " " + location.pathname`); got != theme+" /ui/help" {
		b.t.Errorf("the theme: %q", got)
	}
}

// leave: after the logout nothing is left of the session, not by going back either.
func (b *tab) leave() {
	b.t.Helper()
	b.press(".own form[action='/ui/logout'] button")
	if b.page() != "login" {
		b.t.Errorf("after the logout: %q", b.page())
	}
	b.open("/ui/r/team/")
	if b.page() != "login" {
		b.t.Errorf("a page after the logout: %q", b.page())
	}
}
