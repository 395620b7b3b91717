//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// attack is a page of another site: links, forms, frames and fetch against a live session.
const attack = `<!doctype html><title>Attack</title>
<a id="link" href="%[1]s/ui/r/team/">a link</a>
<iframe id="frame" src="%[1]s/ui/delete?ref=team/metronome:1.0"></iframe>
<form id="delete" method="post" action="%[1]s/ui/delete?ref=team/metronome:1.0"><input name="what" value="tag"><input name="confirm" value="team/metronome"><button>x</button></form>
<form id="logout" method="post" action="%[1]s/ui/logout"><button>x</button></form>
<form id="login" method="post" action="%[1]s/ui/login"><input name="login" value="root"><input name="password" value="root-secret"><button>x</button></form>
<img id="image" src="%[1]s/ui/r/team/orchestra?raw=manifest">
<script src="%[1]s/ui/r/team/orchestra"></script>`

// TestAttacker: with a live session nothing is changed and nothing is read from another site.
func TestAttacker(t *testing.T) {
	s := newSite(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, attack, s.url)
	}))
	defer other.Close()
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	b := newTab(t, s)
	b.login("alice")
	for _, form := range []string{"delete", "logout", "login"} {
		b.site = &site{url: elsewhere}
		b.open("/")
		b.press("#" + form + " button")
		if got := b.text("[data-error]"); !strings.Contains(got,
			"did not come from a page of this site") {
			t.Errorf("the form %s: %q", form, got)
		}
	}
	b.open("/")
	read := eval[string](b, `Promise.all(["GET","POST","DELETE"].map(method => fetch("`+s.url+`/ui/r/team/", {method, credentials: "include"}).then(r => r.text(), () => "")))
		.then(all => all.join("") + (document.getElementById("frame").contentDocument?.body.innerText ?? ""))`)
	if read != "" {
		t.Errorf("another site reads %q", read)
	}
	b.press("#link")
	b.site = s
	b.do(chromedp.WaitVisible(".who"))
	if got := b.text(".who"); got != "alice" {
		t.Errorf("a link of another site finds %q", got)
	}
	b.open("/ui/r/team/metronome")
	if got := eval[int](b, `document.querySelectorAll("tr[data-tag]").length`); got != 1 {
		t.Errorf("%d tags are left", got)
	}
}
