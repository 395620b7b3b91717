//go:build cache || conformance || policy || replicas

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	distribution        = "github.com/distribution/distribution/v3/cmd/registry"
	distributionVersion = "v3.1.1"
)

// distributionV3 returns the path of distribution's registry, built once through
// the module proxy into the user's cache, where `make bench` looks for it too.
func distributionV3(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "gatehouse", "bench", "distribution-"+distributionVersion)
	binary := filepath.Join(folder, "registry")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	t.Logf("building %s@%s: a minute or two, once", distribution, distributionVersion)
	install := exec.Command("go", "install", distribution+"@"+distributionVersion)
	install.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	install.Dir = os.TempDir() // outside of this module, so that its own versions are taken
	if text, err := install.CombinedOutput(); err != nil {
		t.Fatalf("building the registry: %v\n%s", err, text)
	}
	return binary
}
