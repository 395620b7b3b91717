//go:build attacks

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/apitoken"
	"gatehouse/authn/authntest"
)

// The search for leaked tokens.
const (
	gitleaks  = "github.com/zricethezav/gitleaks/v8@v8.30.1"
	leaks     = 1000
	nearMiss  = 100_000
	missLines = 1000 // of one file
)

// leaked is one finding of gitleaks.
type leaked struct{ RuleID, Secret, File string }

// leaksOf are the findings of our rule in a folder.
func leaksOf(t *testing.T, dir string) (found []leaked) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.Command(goProgram(t, gitleaks), "dir", "--config", "../../deploy/gitleaks.toml", "--exit-code", "0", "--no-banner",
		"--report-format", "json", "--report-path", report, dir)
	if _, err := authntest.Run(cmd); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var all []leaked
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.RuleID == "gatehouse-token" {
			found = append(found, f)
		}
	}
	return found
}

func newAPIToken(i int) string {
	return string([]apitoken.Kind{apitoken.Personal, apitoken.Machine}[i%2].New())
}

// TestGitleaksFinds: gitleaks, with the rule that we ship, finds each token in whatever a
// token is left in.
func TestGitleaksFinds(t *testing.T) {
	places := []string{"%s", "REGISTRY_TOKEN=%s\n", "password: %s # of ci\n", `{"token":"%s"}`, "https://x:%s@registry.example.com/v2/\n",
		"docker login -u x -p %s registry.example.com\n", "export T='%s'; curl\n", "<token>%s</token>", "a,%s,b\n", "\t%s\r\n"}
	dir := t.TempDir()
	missing := map[string]string{}
	for i := range leaks {
		token, place := newAPIToken(i), places[i%len(places)]
		missing[token] = place
		write(t, filepath.Join(dir, fmt.Sprintf("file%d.txt", i)), fmt.Sprintf(place, token))
	}
	for _, f := range leaksOf(t, dir) {
		delete(missing, f.Secret)
	}
	for token, place := range missing {
		t.Errorf("%s in %q is not found", token, place)
	}
}

// TestGitleaksNearMisses: what only looks like a token is left alone.
func TestGitleaksNearMisses(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(12, 53))
	var text strings.Builder
	for i := range nearMiss {
		fmt.Fprintf(&text, "value: %s\n", missed(random, newAPIToken(i)))
		if (i+1)%missLines == 0 {
			write(t, filepath.Join(dir, fmt.Sprintf("file%d.yaml", i)), text.String())
			text.Reset()
		}
	}
	for _, f := range leaksOf(t, dir) {
		t.Errorf("%q is found in %s", f.Secret, f.File)
	}
}

// missed is nearly a token.
func missed(random *rand.Rand, token string) string {
	at := 5 + random.IntN(len(token)-5)
	foreign := string("-_.+/=~ é"[random.IntN(8)])
	switch random.IntN(9) {
	case 0:
		return token[:at] + token[at+1:] // one short
	case 1:
		return token[:at] + token[5:6] + token[at:] // one long
	case 2:
		return token[:at] + foreign + token[at+1:]
	case 3:
		return "gth" + string("abcxyzPM_0"[random.IntN(10)]) + "_" + token[5:]
	case 4:
		return strings.ToUpper(token[:4]) + token[4:]
	case 5:
		return string("0aZ_"[random.IntN(4)]) + token
	case 6:
		return token + "_"
	case 7:
		return token[:4] + string("-.:0"[random.IntN(4)]) + token[5:]
	}
	return token[5:]
}
