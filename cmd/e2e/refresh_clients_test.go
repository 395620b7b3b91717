//go:build clients

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// TestClientRefresh: what docker keeps of a login with refresh tokens serves every
// other client too, which all read docker's file. None of them is told a password.
func TestClientRefresh(t *testing.T) {
	e, ldap := engine{dockertest.Start(t)}, startDirectory(t)
	changePassword(t, ldap, authntest.MozartDN, musicians, newPassword) // so that it has a stamp
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: ldap, Tokens: fmt.Sprintf("refresh_lifetime: 24h, key_files: [%q]", signingKey(t))})
	e.signIn(t, "mozart", newPassword, g.address)
	token := e.identityToken(t, g.address)
	kept, err := os.ReadFile(filepath.Join(e.ConfigDir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs(t, "") {
		t.Run(p.name, func(t *testing.T) {
			s := open(t, p, place{host: g.address}, nil, "anyuser/"+strings.ReplaceAll(p.name, " ", "-"), makeGoods(t))
			s.settle(t, ".docker/config.json", string(kept))
			s.settle(t, "auth.json", string(kept))
			if p.credentials != "" {
				s.vars["auth"] = "--refresh=" + token
			}
			before := strings.Count(g.Log(), `"grant":"refresh"`)
			if out, err := s.run(join(p.push, p.pull)); err != nil {
				t.Errorf("%v\n%s", err, strings.ReplaceAll(out, token, "TOKEN"))
			}
			if !await(10*time.Second, func() bool { return strings.Count(g.Log(), `"grant":"refresh"`) > before }) {
				t.Error("it never showed the refresh token")
			}
		})
	}
}
