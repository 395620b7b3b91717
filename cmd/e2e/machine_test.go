package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

const machineRules = `  - {allow: [pull, push], repositories: ["ci/{machine}/**"], to: ["machine:robots/**"]}`

// newToken is what `gatehouse token new` prints: the token, and its entry of the config
// in one line.
func newToken(t *testing.T) (token, entry string) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.Command(binary, "token", "new", "--expires", "90d")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	token = strings.TrimSpace(out.String())
	secrets = append(secrets, token, token[15:])
	return token, errs.String()
}

// robots is a directory of one machine with these entries.
func robots(name string, entries ...string) string {
	text := fmt.Sprintf("  - name: robots\n    machines:\n      - name: %s\n        groups: [ci]\n        tokens:\n", name)
	for _, line := range strings.Split(strings.TrimSpace(strings.Join(entries, "")), "\n") {
		text += "          " + line + "\n"
	}
	return text
}

// TestMachine: clients push and pull with the token of a machine, the log names it, and
// the directory of people never sees it.
func TestMachine(t *testing.T) {
	authntest.Need(t, "skopeo")
	token, entry := newToken(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Directories: robots("team/jenkins", entry), Policy: machineRules, Basic: true})
	t.Run("docker", func(t *testing.T) {
		engine{dockertest.Start(t)}.pushesWithin(t, g, "robot", token, "/ci/team/jenkins/busybox:latest", "/ci/other/busybox:latest")
	})
	t.Run("skopeo", func(t *testing.T) { machineSkopeo(t, g, token) })
	t.Run("crane", func(t *testing.T) {
		g.push(t, "ci/team/jenkins/crane:v1", "robot", token)
		g.send(http.MethodGet, "/v2/ci/team/jenkins/crane/manifests/v1", func(r *http.Request) { r.SetBasicAuth("", token) }, nil).want(t, "Basic without a name", http.StatusOK)
	})
	t.Run("refused", func(t *testing.T) { machineRefused(t, g, token) })
	for _, want := range []string{`"user":"team/jenkins"`, `"directory":"robots"`, `"credential":"machine"`, `"credential_id":"` + token[5:15] + `"`} {
		if !g.logs(want) {
			t.Errorf("the log never has %s", want)
		}
	}
}

// pushesWithin: docker, logged in with a token, pushes and pulls one image and may not push
// it elsewhere.
func (e engine) pushesWithin(t *testing.T, g *gateway, name, token, image, other string) {
	t.Helper()
	image, other = g.address+image, g.address+other
	e.signIn(t, name, token, g.address)
	e.build(t, 12_345, image)
	e.Run(t, "push", image)
	e.Run(t, "image", "rm", image)
	e.Run(t, "pull", image)
	e.Run(t, "tag", image, other)
	t.Cleanup(func() { e.Output("image", "rm", other) })
	if out, err := e.Output("push", other); err == nil || !strings.Contains(out, "denied") {
		t.Errorf("a push elsewhere: %v\n%s", err, out)
	}
}

func machineSkopeo(t *testing.T, g *gateway, token string) {
	_, source := imageFolder(t, 50_000)
	ref := "docker://" + g.address + "/ci/team/jenkins/skopeo:v1"
	skopeo(t, "copy", "--dest-creds=any-name:"+token, "--dest-tls-verify=false", source, ref)
	skopeo(t, "copy", "--src-creds=any-name:"+token, "--src-tls-verify=false", ref, "dir:"+t.TempDir())
	auth := filepath.Join(t.TempDir(), "auth.json")
	if out, err := trySkopeo("login", "--tls-verify=false", "--authfile", auth, "-u", "x", "-p", token, g.address); err != nil {
		t.Errorf("skopeo login: %v\n%s", err, out)
	}
}

// machineRefused: a token that is not good is 401 with one text, and mozart, in whose name it
// is shown, is not locked out by any number of them.
func machineRefused(t *testing.T, g *gateway, token string) {
	wrong := token[:20] + strings.Repeat("x", 33)
	for i := range 10 {
		bad := fmt.Sprintf("%s%d", wrong[:52], i)
		if e := g.realm("mozart", bad).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED"); e.Errors[0].Message != "the token is not valid (any more)" {
			t.Errorf("%q", e.Errors[0].Message)
		}
	}
	g.realm("mozart", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA").refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	g.realm("mozart", musicians).want(t, "mozart's own login", http.StatusOK)
}

// TestMachineReload: a reload that drops a hash ends what was issued for it at once, and
// the other token of the machine goes on.
func TestMachineReload(t *testing.T) {
	old, oldEntry := newToken(t)
	fresh, freshEntry := newToken(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: robots("jenkins", oldEntry, freshEntry), Policy: machineRules})
	g.push(t, "ci/jenkins/app:v1", "x", old)
	const path, scope = "/v2/ci/jenkins/app/manifests/v1", "repository:ci/jenkins/app:pull"
	oldAccess, freshAccess := g.token(t, "x", old, scope), g.token(t, "x", fresh, scope)
	g.get(path, oldAccess).want(t, "the old one before", http.StatusOK)
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Split(strings.TrimSpace(oldEntry), "\n")
	rotated := strings.Replace(string(text), strings.Join(first, "\n          ")+"\n          ", "", 1)
	if rotated == string(text) {
		t.Fatalf("the config has no %s", oldEntry)
	}
	write(t, g.config, rotated)
	g.reload(t)
	g.get(path, oldAccess).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	g.realm("x", old, scope).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	g.get(path, freshAccess).want(t, "the new one after", http.StatusOK)
	g.realm("x", fresh, scope).want(t, "a login with the new one", http.StatusOK)
}
