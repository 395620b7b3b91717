package e2e

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// engine is a real Docker Engine.
type engine struct{ *dockertest.Engine }

// docker runs the client and returns what it printed.
func (e engine) docker(stdin io.Reader, args ...string) (string, error) {
	cmd := e.Command(args...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs the client, which has to succeed.
func (e engine) must(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	out, err := e.docker(stdin, args...)
	if err != nil {
		t.Fatalf("docker %q: %v\n%s", args, err, out)
	}
	return out
}

func (e engine) login(user, password, registry string) (string, error) {
	return e.docker(strings.NewReader(password), "login", "-u", user, "--password-stdin", registry)
}

// signIn logs in until the test's end.
func (e engine) signIn(t *testing.T, user, password, registry string) {
	t.Helper()
	if out, err := e.login(user, password, registry); err != nil || !strings.Contains(out, "Login Succeeded") {
		t.Fatalf("docker login as %s: %v\n%s", user, err, out)
	}
	t.Cleanup(func() { e.Run(t, "logout", registry) })
}

// TestDocker is the main job with a real Docker Engine, over plain HTTP and TLS.
func TestDocker(t *testing.T) {
	e := engine{dockertest.Start(t)}
	registry := startRegistry(t)
	plain := setup{Upstream: registry.url(), LDAP: startDirectory(t)}
	secure := plain
	secure.TLS = newKeyPair(t)
	for name, s := range map[string]setup{"http": plain, "tls": secure} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, s)
			t.Run("PushPullByName", func(t *testing.T) { pushPull(t, e, g, "mozart", musicians) })
			t.Run("PushPullByMail", func(t *testing.T) { pushPull(t, e, g, "bach@example.com", musicians) })
			t.Run("RefusedLogins", func(t *testing.T) { refusedLogins(t, e, g) })
			t.Run("PullOnly", func(t *testing.T) { pullOnly(t, e, g) })
			t.Run("AdminPushesAndDeletes", func(t *testing.T) { pushDelete(t, e, g) })
			t.Run("Messages", func(t *testing.T) { messages(t, e, g) })
		})
	}
}

// build makes an image of one small file without any network.
func (e engine) build(t *testing.T, size int64, image string) {
	t.Helper()
	e.must(t, bytes.NewReader(layerTar(t, size)), "import", "-", image)
	t.Cleanup(func() { e.Output("image", "rm", image) })
}

func pushPull(t *testing.T, e engine, g *gateway, login, password string) {
	image := g.address + "/anyuser/busybox:latest"
	e.signIn(t, login, password, g.address)
	e.build(t, int64(10_000+len(login)), image)
	id := e.Run(t, "image", "inspect", "-f", "{{.Id}}", image)
	e.Run(t, "push", image)
	e.Run(t, "image", "rm", image)
	if out, err := e.Output("image", "inspect", image); err == nil {
		t.Fatalf("the image is still here: %s", out)
	}
	e.Run(t, "pull", image)
	if got := e.Run(t, "image", "inspect", "-f", "{{.Id}}", image); got != id {
		t.Errorf("pulled %s, pushed %s", got, id)
	}
}

func refusedLogins(t *testing.T, e engine, g *gateway) {
	for _, tt := range []struct{ user, password string }{
		{"kant", musicians}, {"mozart", wrongPassword}, {"nobody", musicians}, {"test", wrongPassword}, {"admin", ""}, {"mozart", ""},
	} {
		if out, err := e.login(tt.user, tt.password, g.address); err == nil {
			t.Errorf("docker login as %s with %q succeeded: %s", tt.user, tt.password, out)
		} else if tt.password != "" && !strings.Contains(out, "unauthorized") {
			t.Errorf("docker login as %s: %s", tt.user, out)
		}
		a := g.realm(tt.user, tt.password, "repository:anyuser/busybox:pull")
		a.refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
		if h := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(h, "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", tt.user, h)
		}
	}
}

// pullOnly: test may pull and not push, and docker prints the gateway's reason.
func pullOnly(t *testing.T, e engine, g *gateway) {
	image := g.address + "/anyuser/busybox:latest"
	e.signIn(t, "test", testPassword, g.address)
	e.Run(t, "pull", image)
	token := g.token(t, "test", testPassword, "repository:anyuser/busybox:pull,push")
	reason := g.send(http.MethodPost, "/v2/anyuser/busybox/blobs/uploads/", bearer(token), nil).refusal(t, http.StatusForbidden, "DENIED").Errors[0].Message
	e.build(t, 20_000, image)
	out, err := e.Output("push", image)
	if err == nil || !strings.Contains(out, "denied") || !strings.Contains(out, reason) {
		t.Errorf("docker push as test: %v, want the reason %q in:\n%s", err, reason, out)
	}
}

func pushDelete(t *testing.T, e engine, g *gateway) {
	authntest.Need(t, "skopeo")
	image := g.address + "/admins/own:v1"
	e.signIn(t, "admin", adminPassword, g.address)
	e.build(t, 30_000, image)
	e.Run(t, "push", image)
	skopeo(t, "delete", "--tls-verify=false", "--creds", "admin:"+adminPassword, "docker://"+image)
	token := g.token(t, "admin", adminPassword, "repository:admins/own:pull")
	g.get("/v2/admins/own/manifests/v1", token).want(t, "a deleted manifest", http.StatusNotFound)
	if out, err := e.Output("pull", image); err == nil {
		t.Errorf("docker pulled a deleted image: %s", out)
	}
}
