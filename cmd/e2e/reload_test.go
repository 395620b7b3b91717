package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload: HUP takes a whole new config at once, a faulty one changes nothing,
// and a token of before the reload is judged by the policy of after it.
func TestReload(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	token := g.token(t, "test", testPassword, pullBusybox)
	g.get(tagsPath, token).want(t, "pull before", http.StatusOK)
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		write(t, g.config, text)
		if err := g.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	denied := strings.Replace(string(config), "policy:\n", "policy:\n  - {deny: [pull], repositories: [\"**\"], to: [\"user:test\"]}\n", 1)
	reload(denied)
	eventually(t, 5*time.Second, "the new policy rules", func() bool { return g.get(tagsPath, token).status == http.StatusForbidden })
	reload(strings.Replace(string(config), "policy:", "polcy:", 1))
	eventually(t, 5*time.Second, "the log names the fault", func() bool { return strings.Contains(g.Log(), "polcy") })
	g.get(tagsPath, token).refusal(t, http.StatusForbidden, "DENIED")
	reload(string(config))
	eventually(t, 5*time.Second, "the old policy rules again", func() bool { return g.get(tagsPath, token).status == http.StatusOK })
}

// TestReloadInAnOutage: a directory's section changes while the directory is away,
// as it does when somebody mends it, and people that it showed before go on.
func TestReloadInAnOutage(t *testing.T) {
	ldap := startDirectory(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: ldap, Timeout: "2s"})
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	token := g.token(t, "mozart", musicians, pullBusybox)
	g.get(tagsPath, token).want(t, "a pull before", http.StatusOK)
	ldap.Stop()
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.config, strings.Replace(string(config), "timeout: 2s", "timeout: 3s", 1))
	g.reload(t)
	g.get(tagsPath, token).want(t, "a pull after", http.StatusOK)
	g.realm("mozart", musicians, pullBusybox).want(t, "a login", http.StatusServiceUnavailable)
	ldap.Start()
	eventually(t, 10*time.Second, "logins work again", func() bool { return g.realm("mozart", musicians, pullBusybox).status == http.StatusOK })
}

// TestRevoked: a token on the list is refused from the reload on, a refresh token
// of the person too, and nobody else notices.
func TestRevoked(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Tokens: "refresh_lifetime: 1h, revoked: []"})
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	stolen, kept := g.token(t, "admin", adminPassword, pullBusybox), g.token(t, "admin", adminPassword, pullBusybox)
	a := g.send("GET", "/auth?offline_token=true", func(r *http.Request) { r.SetBasicAuth("guest", guestPassword) }, nil).want(t, "login", http.StatusOK)
	var guest struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(a.body, &guest); err != nil || guest.Refresh == "" {
		t.Fatalf("%v: %s", err, a.body)
	}
	redeem := func() answer {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {guest.Refresh}}
		return g.send("POST", "/auth", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, strings.NewReader(form.Encode()))
	}
	redeem().want(t, "the refresh token before", http.StatusOK)
	g.get(tagsPath, stolen).want(t, "a pull before", http.StatusOK)
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	revoked := "revoked: [{token: " + tokenID(t, stolen) + "}, {user: local/guest, issued_before: " + time.Now().Add(time.Second).UTC().Format(time.RFC3339) + "}]"
	write(t, g.config, strings.Replace(string(config), "revoked: []", revoked, 1))
	if err := g.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the stolen token is refused", func() bool { return g.get(tagsPath, stolen).status == http.StatusUnauthorized })
	if c := g.get(tagsPath, stolen).header.Get("WWW-Authenticate"); !strings.Contains(c, `error="invalid_token"`) {
		t.Errorf("challenge %q does not say invalid_token", c)
	}
	g.get(tagsPath, kept).want(t, "the person's other token", http.StatusOK)
	redeem().refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	g.token(t, "mozart", musicians, pullBusybox)
}

// tokenID reads a token's id as an administrator does where the log is gone.
func tokenID(t *testing.T, token string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Jti string }
	if err := json.Unmarshal(text, &claims); err != nil || claims.Jti == "" {
		t.Fatalf("%v: %s", err, text)
	}
	return claims.Jti
}
