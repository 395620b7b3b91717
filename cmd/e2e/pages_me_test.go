package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// TestPagesMe: My access of somebody of an LDAP directory: what it says as JSON is what
// GET /explain says on the socket, and what a policy that is tried would change, a freeze, and
// how often rules decided stand there.
func TestPagesMe(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Basic: true, Socket: "admin.sock", Policy: `  - {name: v-stays, deny: [overwrite, delete], repositories: ["anyuser/**"], tags: ["v*"], to: [authenticated]}
  - {name: homes, allow: ["*"], repositories: ["home/{user}/**"], to: [authenticated], until: 2200-01-01}`,
		Sections: "ui: {enabled: true}\npolicy_next:\n  - {allow: [\"*\"], repositories: [\"**\"], to: [\"user:admin\"]}"})
	v := g.visit(t, "mozart", musicians)
	for _, question := range []string{"action=pull&ref=anyuser/app", "action=push&ref=anyuser/app:v1", "action=create&ref=anyuser/app:v1", "action=overwrite&ref=anyuser/app:v1",
		"action=overwrite&ref=anyuser/app", "action=delete&ref=home/mozart/x:1", "action=pull&ref=secret/x"} {
		v.echoes("/ui/me?"+question, g.ask(t, "/explain?user=mozart&ip=127.0.0.1&"+question))
	}
	q := v.request(http.MethodGet, "/v2/anyuser/app/tags/list", nil)
	q.SetBasicAuth("mozart", musicians)
	if p := v.do(q); p.status != http.StatusNotFound {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if _, err := authntest.Run(exec.Command(binary, "freeze", "-c", g.config, "--reason", "the disk is moved", "--repositories", "home/**", "--until", "2200-01-01")); err != nil {
		t.Fatal(err)
	}
	page := v.get("/ui/me")
	for _, text := range []string{"in <code>home/**</code>: the disk is moved", "until <time datetime=\"2200-01-01T23:59:59Z\"", `data-change="refused"><td>pull</td><td class="mono">anyuser/app</td>`,
		"<small class=\"soft\">v-stays</small>", "<code>home/mozart/**</code>", "until <span class=\"nowrap\">2200-01-01</span>", "<td>allowed 1<br>", `data-asked>just now<`} {
		if !strings.Contains(page.body, text) {
			t.Errorf("%s is not on the page\n%s", text, page.body)
		}
	}
	if other := g.visit(t, "bach", musicians).get("/ui/me"); strings.Contains(other.body, "data-change") || !strings.Contains(other.body, "home/bach/**") {
		t.Errorf("another's page: %s", other.body)
	}
	if p := v.post("/ui/delete?ref=home/mozart/x:1", url.Values{"what": {"tag"}, "confirm": {"home/mozart/x"}}); p.status != http.StatusServiceUnavailable && p.status != http.StatusNotFound {
		t.Errorf("a deletion: %d", p.status)
	}
}

// ask asks the admin socket.
func (g *gateway) ask(t *testing.T, target string) []byte {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(filepath.Dir(g.config), "admin.sock"))
	}}}
	resp, err := client.Get("http://gatehouse" + target)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v %s", target, resp.Status, err, body)
	}
	return body
}

// TestPagesSignOut: who has signed out everywhere, or was by an operator, logs in again in that
// very second, time and again; no session and no token of before is good for anything.
func TestPagesSignOut(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Socket: "admin.sock", Sections: "ui: {enabled: true}\nstore: {file: store.db}\npersonal_tokens: {enabled: true}"})
	g.push(t, "team/app:v1", "admin", adminPassword)
	const scope = "repository:team/app:pull"
	v := g.visit(t, "admin", adminPassword)
	for i := range 12 {
		old := g.token(t, "admin", adminPassword, scope)
		personal := g.personal(t, "admin", adminPassword, `{"name":"ci"}`)
		ofPersonal := g.token(t, "x", personal.Token, scope)
		if i%3 != 0 {
			v.post("/ui/me/signout-everywhere", nil)
		} else if _, err := authntest.Run(exec.Command(binary, "token", "revoke", "-c", g.config, "--user", "admin")); err != nil {
			t.Fatal(err)
		}
		other := v
		v = g.visit(t, "admin", adminPassword)
		if p := v.get("/ui/me"); p.status != http.StatusOK {
			t.Fatalf("round %d: a login after the end leads to %d", i, p.status)
		}
		if p := other.do(other.request(http.MethodGet, "/ui/me", nil)); p.status != http.StatusSeeOther {
			t.Errorf("round %d: a session of before: %d", i, p.status)
		}
		for name, text := range map[string]string{"an access token": old, "one of a personal token": ofPersonal} {
			if status := g.get("/v2/team/app/manifests/v1", text).status; status != http.StatusUnauthorized {
				t.Errorf("round %d: %s of before: %d", i, name, status)
			}
		}
		if status := g.get("/v2/team/app/manifests/v1", g.token(t, "admin", adminPassword, scope)).status; status != http.StatusOK {
			t.Errorf("round %d: a token of after the end: %d", i, status)
		}
	}
}

// TestPagesIdle: a session that is shorter than the idle time that is left out is taken, and
// bounds it.
func TestPagesIdle(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Sections: "ui: {enabled: true, session: 5m}"})
	began := time.Now()
	p := g.visit(t, "admin", adminPassword).get("/ui/me")
	for _, at := range p.all("datetime") {
		if end, err := time.Parse(time.RFC3339, at); err == nil && end.After(began) && end.Sub(began) < 6*time.Minute && end.Sub(began) > 4*time.Minute {
			return
		}
	}
	t.Errorf("no end of the session in 5 minutes\n%s", p.body)
}
