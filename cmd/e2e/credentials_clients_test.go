//go:build clients

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// credential is a kind of token that stands in the place of a password.
type credential struct {
	name  string
	base  string // of the repositories
	make  func(t *testing.T) string
	audit []string // the kinds that audit may name a push by
}

// credentials are one of each kind at one gateway.
func credentials(t *testing.T, g *gateway, issuer *authntest.Issuer, machine string) []credential {
	made := g.personal(t, "mozart", musicians, `{"name":"clients","repositories":["anyuser/**"],"actions":["pull","push"]}`)
	idToken := func(t *testing.T) string { return job(t, issuer, nil) }
	return []credential{
		{"personal", "anyuser/personal", func(*testing.T) string { return made.Token }, []string{"personal"}},
		{"machine", "ci/team/jenkins", func(*testing.T) string { return machine }, []string{"machine"}},
		{"ID token", "ci/octo-org/app", idToken, []string{"oidc"}},
		{"exchanged", "ci/octo-org/app/exchanged", func(t *testing.T) string { return exchanged(t, g, idToken(t)) }, []string{"oidc"}},
	}
}

// TestClientCredentials: every client logs in, pushes and pulls with a token of each kind,
// and audit names the token of each push.
func TestClientCredentials(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	machine, entry := newToken(t)
	audit := filepath.Join(t.TempDir(), "audit.log")
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Policy: jobRules + "\n" + machineRules,
		Directories: jobs(issuer.URL) + robots("team/jenkins", entry), Sections: personalSections + "audit: {file: " + audit + "}\n"})
	kinds := credentials(t, g, issuer, machine)
	for _, p := range programs(t, "") {
		for _, c := range kinds {
			t.Run(p.name+" with "+c.name, func(t *testing.T) {
				token, base := c.make(t), c.base+"/"+strings.NewReplacer(" ", "-", ".", "-").Replace(p.name)
				s := open(t, p, place{g.address, "robot", token}, nil, base, makeGoods(t))
				if out, err := s.run(join(p.login, p.check, p.push, p.pull, p.tags)); err != nil {
					t.Fatalf("%v\n%s", err, strings.ReplaceAll(out, token, "TOKEN"))
				}
				eventually(t, 10*time.Second, "audit names the token", func() bool { return named(t, audit, base, c.audit) })
			})
		}
	}
}

// named reports whether audit has pushes to a repository, and each names a token.
func named(t *testing.T, audit, base string, kinds []string) bool {
	t.Helper()
	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	pushes := 0
	for line := range strings.Lines(string(text)) {
		var r struct {
			Event, Repository, Credential string
			ID                            string `json:"credential_id"`
		}
		if json.Unmarshal([]byte(line), &r) != nil || r.Event != "push" || !strings.HasPrefix(r.Repository, base) {
			continue
		}
		if pushes++; !slices.Contains(kinds, r.Credential) || r.ID == "" {
			t.Errorf("a push without its token: %s", line)
		}
	}
	return pushes > 0
}
