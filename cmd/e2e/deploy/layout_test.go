//go:build packages

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// TestPackageImage loads what `make image` makes into a real Docker Engine, and runs it
// with nothing but its own files: it is what the Dockerfile makes.
func TestPackageImage(t *testing.T) {
	authntest.Need(t, "skopeo")
	dir := t.TempDir()
	binary, layout, archive := filepath.Join(dir, "gatehouse"), filepath.Join(dir, "image"), filepath.Join(dir, "image.tar")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.releaseVersion=v9.8.7-layout", "-o", binary, "gatehouse/cmd/gatehouse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, cmd := range []*exec.Cmd{build,
		exec.Command("go", "run", "gatehouse/cmd/internal/image", "-o", layout, "v9.8.7-layout", "/etc/ssl/certs/ca-certificates.crt", "linux/"+runtime.GOARCH+"="+binary),
		exec.Command(authntest.Program("skopeo"), "--insecure-policy", "copy", "oci:"+layout, "docker-archive:"+archive+":gatehouse-test:latest")} {
		if out, err := authntest.Run(cmd); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	engine := dockertest.Start(t)
	engine.Run(t, "load", "-i", archive)
	if out := engine.Run(t, "run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", "gatehouse-test", "version"); !strings.Contains(out, "v9.8.7-layout") {
		t.Errorf("version says %q", out)
	}
	config := sharedFolder(t, "gatehouse.yaml", "ldap_password.txt", "ldap_certificates/example-ca.pem")
	if out, err := engine.Output("run", "--rm", "--read-only", "--network=none", "-v", config+":/etc/gatehouse:ro", "gatehouse-test", "check"); err != nil {
		t.Errorf("check of the mounted example: %v\n%s", err, out)
	}
	checkImageConfig(t, engine)
	checkImageFiles(t, engine)
}
