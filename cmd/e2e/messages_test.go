package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
)

// messages: what docker and skopeo print where something is refused has the words by which
// docs/errors.md is searched.
func messages(t *testing.T, e engine, g *gateway) {
	authntest.Need(t, "skopeo")
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	shows := func(what, words, out string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(strings.ToLower(out), strings.ToLower(words)) {
			t.Errorf("%s: %v, no %q in\n%s", what, err, words, out)
		}
		if !strings.Contains(string(page), words) {
			t.Errorf("docs/errors.md has no %q", words)
		}
	}
	image := g.address + "/team/messages:v1"
	g.push(t, "team/messages:v1", "admin", adminPassword)
	docker := func(what, words string, args ...string) {
		t.Helper()
		out, err := e.Output(args...)
		shows(what, words, out, err)
	}
	inspect := func(what, words string, args ...string) {
		t.Helper()
		out, err := trySkopeo(append(append([]string{"inspect"}, args...), "docker://"+image)...)
		shows(what, words, out, err)
	}
	out, err := e.login("test", wrongPassword, g.address)
	shows("docker login with a wrong password", "unauthorized: invalid username or password", out, err)
	docker("docker pull without a login", "pull access denied for", "pull", image)
	inspect("skopeo without a login", "requested access to the resource is denied", "--tls-verify=false")
	inspect("skopeo with a wrong password", "invalid username/password", "--tls-verify=false", "--creds", "test:"+wrongPassword)
	if g.scheme == "http" {
		inspect("skopeo that wants TLS", "http: server gave HTTP response to HTTPS client")
	} else {
		inspect("skopeo without the authority", "x509: certificate signed by unknown authority")
	}
	e.signIn(t, "test", testPassword, g.address)
	docker("docker pull of what is not there", "manifest unknown", "pull", g.address+"/team/messages:none")
	e.Run(t, "pull", image)
	docker("docker push without the right", "denied: no rule of the policy allows push of", "push", image)
	for i := range 6 {
		out, err = e.login("guest", fmt.Sprint(wrongPassword, i), g.address)
	}
	shows("docker login after many wrong passwords", "toomanyrequests: ", out, err)
	e.Run(t, "image", "rm", image)
}
