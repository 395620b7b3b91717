//go:build browser

package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused says where the keyboard is, and what is wrong with that place: it has to be seen
// (WCAG 2.4.7, 2.4.11, with an outline of two pixels), and large enough (2.5.8) but for links
// within a line.
const focused = `(() => {
	const at = document.activeElement;
	if (!at || at === document.body) return ["nothing", ""];
	const name = at.tagName.toLowerCase() + " " + (at.id || at.getAttribute("aria-label") || at.textContent.trim().slice(0, 30));
	const box = at.getBoundingClientRect(), style = getComputedStyle(at), wrong = [];
	if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2 || !at.matches(":focus-visible")) wrong.push("no outline: " + style.outline);
	if (box.bottom < 1 || box.top > innerHeight - 1 || box.right < 1 || box.left > innerWidth - 1) wrong.push("out of view");
	const middle = document.elementFromPoint(Math.min(Math.max(box.left + box.width / 2, 1), innerWidth - 1), Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 1));
	if (middle && middle !== at && !at.contains(middle) && !middle.contains(at)) wrong.push("behind " + middle.outerHTML.slice(0, 60));
	if ((at.matches("button, input, select, textarea, summary") || style.display !== "inline" && !at.closest("small")) && (box.width < 23.5 && !at.labels?.length || box.height < 23.5 && !at.labels?.length)) wrong.push("small: " + box.width + "x" + box.height);
	return [name, wrong.join("; ")];
})()`

// mostStops is how many places of a page the keyboard may have to pass.
const mostStops = 120

// to moves on from place to place until one fits the selector; each has to be seen.
func (b *tab) to(selector string) {
	b.t.Helper()
	var passed []string
	for range mostStops {
		b.do(chromedp.KeyEvent(kb.Tab))
		at := eval[[]string](b, focused)
		if passed = append(passed, at[0]); at[1] != "" {
			b.t.Errorf("%s, %s: %s", eval[string](b, `location.pathname`), at[0], at[1])
		}
		if eval[bool](b, `document.activeElement.matches(`+quote(selector)+`)`) {
			return
		}
	}
	b.t.Fatalf("the keyboard does not reach %s on %s: %s", selector, eval[string](b, `location.href`), strings.Join(passed, ", "))
}

// key presses a key where the keyboard is.
func (b *tab) key(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// enterKey presses Enter where the keyboard is, and waits for the page that comes.
func (b *tab) enterKey() {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		b.t.Fatal(err)
	}
}

// TestKeyboard: the main way, tokens and all, without a mouse.
func TestKeyboard(t *testing.T) {
	b := newTab(t, newSite(t))
	b.open("/ui/login")
	eval[bool](b, `new Promise(done => { const look = () => document.activeElement?.id === "login" ? done(true) : requestAnimationFrame(look); look(); })`)
	b.key("alice" + kb.Tab + "alice-secret")
	b.enterKey()
	if got := b.text(".who"); got != "alice" {
		t.Fatalf("logged in as %q", got)
	}
	b.to(".skip")
	b.key(kb.Enter)
	b.to("#q")
	b.key("orch")
	b.enterKey()
	b.to(`tr[data-repository="team/orchestra"] a`)
	b.enterKey()
	b.to(`th a`)
	b.enterKey()
	b.to(`tr[data-tag="2.0.0"] a`)
	b.enterKey()
	if got := b.text("h1"); got != "team/orchestra:2.0.0" {
		t.Fatalf("the page of %q", got)
	}
	b.keyboardImage()
	b.keyboardDelete()
	b.keyboardTokens()
	b.open("/ui/me")
	b.to("#ref")
	b.key("team/orchestra:latest")
	b.enterKey()
	if got := b.text("[data-decision]"); !strings.HasPrefix(got, "allowed") {
		t.Errorf("the test box says %q", got)
	}
	b.to(".themes [value=dark]")
	b.enterKey()
	if got := eval[string](b, `document.documentElement.dataset.theme`); got != "dark" {
		t.Errorf("the theme %q", got)
	}
	b.to(`[action="/ui/logout"] button`)
	b.enterKey()
	if b.page() != "login" {
		t.Errorf("after the logout: %q", b.page())
	}
	b.quiet("by keyboard")
}

// keyboardImage: a command is copied, another platform chosen, and what is closed opened.
func (b *tab) keyboardImage() {
	b.t.Helper()
	b.to(`.command:has([data-command=docker][data-by=tag]) button.copy`)
	b.key(kb.Enter)
	b.do(chromedp.WaitVisible("#said"))
	if got := b.text("#said"); !strings.HasPrefix(got, "Copied: docker pull ") || eval[string](b, `document.activeElement.className`) != "copy done" {
		b.t.Errorf("after Enter: %q", got)
	}
	b.to(`[data-platform="linux/arm64"] a`)
	b.enterKey()
	if got := eval[string](b, `location.search`); got != "?platform=linux%2Farm64" {
		b.t.Errorf("the platform: %q", got)
	}
	b.to("summary")
	b.key(kb.Enter)
	if !eval[bool](b, `document.activeElement.parentElement.open`) {
		b.t.Error("what is closed stays closed")
	}
}

// keyboardDelete: a row is chosen, the confirmation typed, and the tag is gone.
func (b *tab) keyboardDelete() {
	b.t.Helper()
	b.open("/ui/r/team/metronome")
	b.to(`tr[data-tag="1.0"] input`)
	b.key(" ")
	b.to("form.stack .row button")
	b.enterKey()
	b.to("[name=what]")
	b.key(" ")
	b.to("#confirm")
	b.key("team/metronome")
	b.to(".danger")
	b.enterKey()
	if got := eval[string](b, `document.querySelector("tr[data-ref]")?.dataset.status ?? document.body.innerText`); got != "deleted" {
		b.t.Errorf("the deletion: %q", got)
	}
}

// keyboardTokens: a token is made, shown once, and revoked.
func (b *tab) keyboardTokens() {
	b.t.Helper()
	b.to(`nav a[href="/ui/me/tokens"]`)
	b.enterKey()
	b.to("#name")
	b.key("ci")
	b.to("#lifetime")
	b.key("9")
	b.to("#repositories")
	b.key("team/**")
	b.to("[name=push]")
	b.key(" ")
	b.to("[value=preview]")
	b.enterKey()
	if got := eval[[]string](b, `[document.querySelector("#repositories").value, document.querySelector("#lifetime").value, ...[...document.querySelectorAll("[data-preview]")].map(row => row.dataset.preview)]`); len(got) != 6 || got[0] != "team/**" || got[1] != "2160h0m0s" || got[5] != "team/tools/tuner" {
		b.t.Errorf("the preview: %q", got)
	}
	b.to("[value=make]")
	b.enterKey()
	if got := eval[int](b, `document.querySelector("[data-secret]")?.value.length ?? 0`); got < 20 {
		b.t.Fatalf("no token: %q", b.text("main"))
	}
	b.to("[data-secret]")
	b.to(`[aria-label="Revoke ci"]`)
	b.enterKey()
	if got := b.text("main [role=status]"); !strings.Contains(got, "The token ci") || eval[bool](b, `!!document.querySelector("[data-secret]")`) {
		b.t.Errorf("after it was revoked: %q", b.text("main"))
	}
}
