package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

const (
	pullBusybox = "repository:anyuser/busybox:pull"
	tagsPath    = "/v2/anyuser/busybox/tags/list"
)

// quick is a gateway that looks at the directory often, with an image in it.
func quick(t *testing.T, staleFor, policy string) (*gateway, *authntest.Slapd) {
	t.Helper()
	ldap := startDirectory(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: ldap, FreshFor: "2s", StaleFor: staleFor, Timeout: "1s", Policy: policy})
	g.push(t, "anyuser/busybox:latest", "admin", adminPassword)
	return g, ldap
}

// bound is the contract's fresh_for plus timeout, and what a slow machine needs
// to notice it.
const bound = 2*time.Second + time.Second + 500*time.Millisecond

// dies waits until the token is refused for good, while the witness's never is.
func (g *gateway) dies(t *testing.T, token, witness string) {
	t.Helper()
	var last answer
	took := eventually(t, bound, "the token is refused", func() bool {
		if witness != "" {
			g.get(tagsPath, witness).want(t, "another person's pull meanwhile", http.StatusOK)
		}
		last = g.get(tagsPath, token)
		return last.status != http.StatusOK
	})
	t.Logf("refused after %s", took.Round(time.Millisecond))
	last.refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	if c := last.header.Get("WWW-Authenticate"); !strings.Contains(c, `error="invalid_token"`) {
		t.Errorf("challenge %q does not say invalid_token", c)
	}
}

// TestDeletedPerson: the running token of who is deleted ends within fresh_for
// plus timeout, and nobody else notices.
func TestDeletedPerson(t *testing.T) {
	g, ldap := quick(t, "10m", "")
	mozart := g.token(t, "mozart", musicians, pullBusybox)
	bach := g.token(t, "bach@example.com", musicians, pullBusybox)
	g.get(tagsPath, mozart).want(t, "mozart pulls", http.StatusOK)
	ldap.Delete(authntest.MozartDN)
	g.dies(t, mozart, bach)
	g.realm("mozart", musicians, pullBusybox).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	g.realm("mozart", wrongPassword, pullBusybox).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	again := g.token(t, "bach", musicians, pullBusybox)
	g.get(tagsPath, again).want(t, "bach pulls after a new login", http.StatusOK)
	g.get(tagsPath, mozart).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
}

// TestRecreatedPerson: a new person of the same name inherits no token.
func TestRecreatedPerson(t *testing.T) {
	g, ldap := quick(t, "10m", "")
	old := g.token(t, "mozart", musicians, pullBusybox)
	g.get(tagsPath, old).want(t, "mozart pulls", http.StatusOK)
	ldap.Delete(authntest.MozartDN)
	ldap.AddUser("mozart", map[string][]string{"userPassword": {newPassword}})
	g.dies(t, old, "")
	fresh := g.token(t, "mozart", newPassword, pullBusybox)
	g.get(tagsPath, fresh).want(t, "the new mozart pulls", http.StatusOK)
}

// TestChangedPassword: a new password ends the tokens of the old one.
func TestChangedPassword(t *testing.T) {
	g, ldap := quick(t, "10m", "")
	old := g.token(t, "mozart", musicians, pullBusybox)
	bach := g.token(t, "bach", musicians, pullBusybox)
	g.get(tagsPath, old).want(t, "mozart pulls", http.StatusOK)
	changePassword(t, ldap, authntest.MozartDN, musicians, newPassword)
	g.dies(t, old, bach)
	g.realm("mozart", musicians, pullBusybox).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	fresh := g.token(t, "mozart", newPassword, pullBusybox)
	g.get(tagsPath, fresh).want(t, "mozart pulls with the new password's token", http.StatusOK)
}

// TestLeftGroup: who is moved out of a group loses what the group may, within
// the same bound, and the token's scope does not help.
func TestLeftGroup(t *testing.T) {
	g, ldap := quick(t, "10m", `  - {allow: [pull], repositories: ["band/**"], to: ["group:quartet"]}`)
	quartet := ldap.AddGroup("quartet", authntest.MozartDN, authntest.BachDN)
	g.push(t, "band/score:v1", "admin", adminPassword)
	token := g.token(t, "mozart", musicians, "repository:band/score:pull")
	g.get("/v2/band/score/tags/list", token).want(t, "mozart pulls as a member", http.StatusOK)
	leave(ldap, quartet, authntest.MozartDN)
	var last answer
	took := eventually(t, bound, "the group's right is lost", func() bool {
		last = g.get("/v2/band/score/tags/list", token)
		return last.status != http.StatusOK
	})
	t.Logf("refused after %s", took.Round(time.Millisecond))
	last.refusal(t, http.StatusForbidden, "DENIED")
	bach := g.token(t, "bach", musicians, "repository:band/score:pull")
	g.get("/v2/band/score/tags/list", bach).want(t, "bach is still a member", http.StatusOK)
}

// TestDirectoryOutage: with slapd down, a known person's token goes on, a new
// login is 503; with slapd back, logins work at once and nothing is restarted.
func TestDirectoryOutage(t *testing.T) {
	g, ldap := quick(t, "10m", "")
	token := g.token(t, "mozart", musicians, pullBusybox)
	g.get(tagsPath, token).want(t, "mozart pulls", http.StatusOK)
	ldap.Stop()
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		g.get(tagsPath, token).want(t, "mozart pulls while slapd is down", http.StatusOK)
	}
	a := g.realm("bach", musicians, pullBusybox)
	a.refusal(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	g.realm("test", testPassword, pullBusybox).want(t, "a static user logs in meanwhile", http.StatusOK)
	if s := g.status("/readyz"); s != http.StatusOK {
		t.Errorf("/readyz is %d while a directory is at fault", s)
	}
	ldap.Start()
	took := eventually(t, 10*time.Second, "logins work again", func() bool {
		return g.realm("bach", musicians, pullBusybox).status == http.StatusOK
	})
	t.Logf("logins worked %s after slapd", took.Round(time.Millisecond))
	g.get(tagsPath, token).want(t, "mozart pulls afterwards", http.StatusOK)
}

// TestStaleEnds: beyond stale_for nobody is served from memory.
func TestStaleEnds(t *testing.T) {
	g, ldap := quick(t, "4s", "")
	token := g.token(t, "mozart", musicians, pullBusybox)
	g.get(tagsPath, token).want(t, "mozart pulls", http.StatusOK)
	ldap.Stop()
	var last answer
	eventually(t, 4*time.Second+time.Second+500*time.Millisecond, "the stale identity ends", func() bool {
		last = g.get(tagsPath, token)
		return last.status != http.StatusOK
	})
	last.refusal(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	ldap.Start()
	eventually(t, 10*time.Second, "the token works again", func() bool { return g.get(tagsPath, token).status == http.StatusOK })
}
