package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
	"gatehouse/tokens"
)

// signingKey writes a new key and returns the file's name.
func signingKey(t *testing.T) string {
	t.Helper()
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.pem")
	write(t, name, string(key.Secret))
	return name
}

// identityToken is what docker keeps of a login at the host; it fails the test
// where docker keeps the password.
func (e engine) identityToken(t *testing.T, host string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.ConfigDir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Auths map[string]struct{ Auth, IdentityToken string }
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	if a := kept.Auths[host]; a.IdentityToken == "" || strings.Contains(string(text), basic("mozart", newPassword)) {
		t.Errorf("docker keeps a password, or no token: %+v", a)
	}
	return kept.Auths[host].IdentityToken
}

// TestDockerRefresh: with refresh tokens docker keeps no password. What it keeps
// works after a restart of the gateway, and ends with the password.
func TestDockerRefresh(t *testing.T) {
	e, ldap := engine{dockertest.Start(t)}, startDirectory(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: ldap, FreshFor: "2s", Timeout: "1s",
		Tokens: fmt.Sprintf("refresh_lifetime: 24h, key_files: [%q]", signingKey(t))})
	image := g.address + "/anyuser/refresh:v1"
	// slapd notes the time of a change, and tells nothing where nobody changed the password.
	changePassword(t, ldap, authntest.MozartDN, musicians, newPassword)
	// Its stamps are whole seconds of a clock that lags some milliseconds: two changes
	// in one second cannot be told apart.
	nextStamp := time.Now().Truncate(time.Second).Add(1100 * time.Millisecond)
	e.signIn(t, "mozart", newPassword, g.address)
	token := e.identityToken(t, g.address)
	e.build(t, 12_000, image)
	e.Run(t, "push", image)
	g.restart(t)
	e.Run(t, "image", "rm", image)
	e.Run(t, "pull", image)
	if seen, log := g.logs(`"grant":"refresh"`), g.Log(); !seen || strings.Contains(log, `"grant":"basic"`) || strings.Contains(log, token) {
		t.Errorf("docker did not come by its token alone, or the log shows it:\n%s", log)
	}
	time.Sleep(time.Until(nextStamp))
	changePassword(t, ldap, authntest.MozartDN, newPassword, thirdPassword)
	var out string
	eventually(t, bound, "the refresh token ends", func() (ended bool) {
		var err error
		out, err = e.Output("pull", image)
		return err != nil
	})
	if !strings.Contains(out, "unauthorized") {
		t.Errorf("docker says of the dead token: %s", out)
	}
	e.signIn(t, "mozart", thirdPassword, g.address)
	e.Run(t, "pull", image)
}
