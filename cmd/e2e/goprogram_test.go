package e2e

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// goProgram returns the path of a program that is built once.
func goProgram(t *testing.T, module string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	name := path.Base(strings.TrimSuffix(strings.Split(module, "@")[0], "/v8")) // as the go command names it
	folder := filepath.Join(cache, "gatehouse", "clients", name+"-"+strings.Split(module, "@")[1])
	binary := filepath.Join(folder, name)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	t.Logf("building %s, once", module)
	build := exec.Command("go", "install", module)
	build.Dir = os.TempDir() // outside of this module, so that its own versions are taken
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", module, err, out)
	}
	return binary
}
