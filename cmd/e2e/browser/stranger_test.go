//go:build browser

package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// stranger is a page of somebody else's, with all that a page can try on another site. What it
// was able to read is in the promise window.read.
const stranger = `<!doctype html><title>cats</title><body>
<iframe name="f1"></iframe><iframe name="f2"></iframe><iframe name="f3"></iframe><iframe name="f4"></iframe><iframe name="f5"></iframe><iframe id="framed" src="SITE/ui/"></iframe>
<form target="f1" method="post" action="SITE/ui/delete?ref=team/metronome:1.0"><input name="what" value="image"><input name="confirm" value="team/metronome"></form>
<form target="f2" method="post" action="SITE/ui/delete?ref=team/metronome:1.0" enctype="text/plain"><input name="what" value="image"><input name="confirm" value="team/metronome"></form>
<form target="f3" method="post" action="SITE/ui/theme"><input name="theme" value="dark"></form>
<form target="f4" method="post" action="SITE/ui/login"><input name="login" value="alice"><input name="password" value="alice-secret"></form>
<form target="f5" method="post" action="SITE/ui/logout"></form>
<img id="gate" src="SITE/ui/static/gate.svg"><link rel="prefetch" href="SITE/ui/delete?ref=team/metronome:1.0"><script src="SITE/ui/r/team/metronome"></script>
<script>
const found = [], form = "what=image&confirm=team%2Fmetronome"
async function attempt(name, what) {
  try { const got = await what(); if (got) found.push(name + ": " + String(got).slice(0, 80)) } catch (e) { }
}
window.read = (async () => {
  for (const f of document.forms) f.submit()
  for (const mode of ["cors", "no-cors"]) for (const credentials of ["include", "omit"]) {
    await attempt("GET " + mode, async () => (await fetch("SITE/ui/r/team/metronome", {mode, credentials})).text())
    await attempt("GET /v2/ " + mode, async () => (await fetch("SITE/v2/team/metronome/tags/list", {mode, credentials})).text())
    await attempt("POST " + mode, async () => (await fetch("SITE/ui/delete?ref=team/metronome:1.0", {mode, credentials, method: "POST", body: form, headers: {"Content-Type": "application/x-www-form-urlencoded"}})).text())
    await attempt("POST text " + mode, async () => (await fetch("SITE/ui/logout", {mode, credentials, method: "POST", body: ""})).text())
  }
  await attempt("DELETE", async () => (await fetch("SITE/v2/team/metronome/manifests/1.0", {method: "DELETE", credentials: "include"})).status)
  await attempt("PUT", async () => (await fetch("SITE/ui/delete", {method: "PUT", credentials: "include"})).status)
  await new Promise(done => setTimeout(done, 1500))
  await attempt("the frame", () => document.getElementById("framed").contentDocument?.body.innerText)
  for (const name of ["f1", "f2", "f3", "f4", "f5"]) await attempt(name, () => window[name].document.body.innerText)
  await attempt("the picture", () => document.getElementById("gate").naturalWidth)
  const opened = window.open("SITE/ui/")
  await new Promise(done => setTimeout(done, 1000))
  await attempt("the window", () => opened.document.body.innerText)
  return JSON.stringify(found)
})()
</script>`

// TestStrangers: a page on another origin, of another site and of the same one, changes
// nothing and reads nothing while somebody is logged in.
func TestStrangers(t *testing.T) {
	s := newSite(t)
	page := strings.ReplaceAll(stranger, "SITE", s.url)
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
	}))
	t.Cleanup(attacker.Close)
	for name, host := range map[string]string{"another site": "localhost", "another port": "127.0.0.1"} {
		t.Run(name, func(t *testing.T) {
			b := newTab(t, s)
			b.login("root")
			before := s.tags(t, "team/metronome")
			b.goTo(strings.Replace(attacker.URL, "127.0.0.1", host, 1))
			var found []string
			if err := json.Unmarshal([]byte(eval[string](b, `window.read`)), &found); err != nil {
				t.Fatal(err)
			}
			for _, one := range found {
				t.Errorf("it was able to read %s", one)
			}
			if after := s.tags(t, "team/metronome"); after != before {
				t.Errorf("the tags were %s, and are %s", before, after)
			}
			b.open("/ui/")
			if got := b.text(".who"); got != "root" {
				t.Errorf("the session is now that of %q", got)
			}
			if theme := eval[string](b, `document.documentElement.dataset.theme ?? ""`); theme == "dark" {
				t.Error("the theme was changed")
			}
		})
	}
}

// goTo opens an address of another site.
func (b *tab) goTo(address string) {
	b.t.Helper()
	own := b.site.url
	b.site.url = ""
	b.open(address)
	b.site.url = own
}

// tags are those of a repository, as the registry itself lists them.
func (s *site) tags(t *testing.T, repository string) string {
	t.Helper()
	resp, err := http.Get("http://" + s.registry + "/v2/" + repository + "/tags/list")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", resp.Status, err)
	}
	return string(body)
}
