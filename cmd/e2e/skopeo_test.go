package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/authntest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// trySkopeo runs the program and returns what it printed.
func trySkopeo(args ...string) (string, error) {
	out, err := exec.Command(authntest.Program("skopeo"), append([]string{"--insecure-policy"}, args...)...).CombinedOutput()
	return string(out), err
}

// skopeo runs the program, which has to succeed.
func skopeo(t *testing.T, args ...string) string {
	t.Helper()
	out, err := trySkopeo(args...)
	if err != nil {
		t.Fatalf("skopeo %q: %v\n%s", args, err, out)
	}
	return out
}

// imageFolder writes a random image as an OCI layout and returns its skopeo name.
func imageFolder(t *testing.T, layerSize int64) (v1.Image, string) {
	t.Helper()
	image, err := random.Image(layerSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	folder, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	return image, "oci:" + dir
}

// TestSkopeo pushes and pulls over plain HTTP and over TLS with a private CA.
func TestSkopeo(t *testing.T) {
	authntest.Need(t, "skopeo")
	registry, ldap, pair := startRegistry(t), startDirectory(t), newKeyPair(t)
	for _, tt := range []struct {
		name     string
		tls      *keyPair
		src, dst string
	}{
		{"http", nil, "--src-tls-verify=false", "--dest-tls-verify=false"},
		{"tls", pair, "--src-cert-dir=" + pair.CADir, "--dest-cert-dir=" + pair.CADir},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, setup{Upstream: registry.url(), LDAP: ldap, TLS: tt.tls})
			_, source := imageFolder(t, 100_000)
			ref, back := "docker://"+g.address+"/anyuser/skopeo:"+tt.name, "dir:"+t.TempDir()
			skopeo(t, "copy", "--dest-creds=mozart:"+musicians, tt.dst, source, ref)
			skopeo(t, "copy", "--src-creds=test:"+testPassword, tt.src, ref, back)
			skopeoRefused(t, "denied", "copy", "--dest-creds=test:"+testPassword, tt.dst, source, ref)
			skopeoRefused(t, "invalid username/password", "copy", "--src-creds=mozart:"+wrongPassword, tt.src, ref, back)
			if tt.tls != nil {
				skopeoRefused(t, "certificate", "copy", "--src-creds=test:"+testPassword, ref, back)
			}
		})
	}
}

// skopeoRefused runs a command that has to fail and say so.
func skopeoRefused(t *testing.T, reason string, args ...string) {
	t.Helper()
	if out, err := trySkopeo(args...); err == nil || !strings.Contains(out, reason) {
		t.Errorf("skopeo %q: %v, want %q in:\n%s", args, err, reason, out)
	}
}

// TestSkopeoLogin logs in well and badly.
func TestSkopeoLogin(t *testing.T) {
	authntest.Need(t, "skopeo")
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	for _, tt := range []struct {
		user, password string
		ok             bool
	}{
		{"mozart", musicians, true}, {"bach@example.com", musicians, true}, {"test", testPassword, true},
		{"mozart", wrongPassword, false}, {"kant", musicians, false}, {"nobody", musicians, false},
	} {
		out, err := trySkopeo("login", "--tls-verify=false", "--authfile", filepath.Join(t.TempDir(), "auth.json"), "-u", tt.user, "-p", tt.password, g.address)
		if (err == nil) != tt.ok {
			t.Errorf("skopeo login as %s with %q: %v\n%s", tt.user, tt.password, err, out)
		}
	}
}

// TestCrane pushes, lists, pulls and deletes with crane's library, over plain
// HTTP and over TLS, where it speaks HTTP/2.
func TestCrane(t *testing.T) {
	registry, ldap := startRegistry(t), startDirectory(t)
	for name, pair := range map[string]*keyPair{"http": nil, "tls": newKeyPair(t)} {
		t.Run(name, func(t *testing.T) {
			crane(t, startGateway(t, setup{Upstream: registry.url(), LDAP: ldap, TLS: pair}))
		})
	}
}

func crane(t *testing.T, g *gateway) {
	image := g.push(t, "anyuser/crane:v1", "bach@example.com", musicians)
	ref := g.reference(t, "anyuser/crane:v1")
	pulled, err := remote.Image(ref, g.as("mozart", musicians)...)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := image.Digest()
	if got, err := pulled.Digest(); err != nil || got != want {
		t.Errorf("pulled %v (%v), pushed %v", got, err, want)
	}
	if tags, err := remote.List(ref.Context(), g.as("test", testPassword)...); err != nil || len(tags) != 1 || tags[0] != "v1" {
		t.Errorf("tags %q, %v", tags, err)
	}
	digest := ref.Context().Digest(want.String())
	if err := remote.Delete(digest, g.as("mozart", musicians)...); err == nil || !strings.Contains(err.Error(), "DENIED") {
		t.Errorf("mozart deletes: %v", err)
	}
	if err := remote.Delete(digest, g.as("admin", adminPassword)...); err != nil {
		t.Errorf("admin deletes: %v", err)
	}
	if _, err := remote.Image(ref, g.as("guest", guestPassword)...); err == nil || !strings.Contains(err.Error(), "DENIED") {
		t.Errorf("guest pulls: %v", err)
	}
}
