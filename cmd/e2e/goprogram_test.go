package e2e

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
)

// goProgram returns the path of a program that is built once, through the module proxy.
func goProgram(t *testing.T, module string) string {
	t.Helper()
	name := path.Base(strings.TrimSuffix(strings.Split(module, "@")[0], "/v8")) // as the go command names it
	return goProgramIn(t, filepath.Join("clients", name+"-"+strings.Split(module, "@")[1]), name, module)
}

// goProgramIn is goProgram for a folder below gatehouse in the user's cache.
func goProgramIn(t *testing.T, folder, name, module string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(cache, "gatehouse", folder)
	binary := filepath.Join(folder, name)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	t.Logf("building %s, once: this may take minutes", module)
	build := exec.Command("go", "install", module)
	build.Dir = os.TempDir() // outside of this module, so that its own versions are taken
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", module, err, out)
	}
	return binary
}

// ownProgram builds a package of a module below testdata.
func ownProgram(t *testing.T, module, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", binary, pkg)
	build.Dir = module
	if _, err := authntest.Run(build); err != nil {
		t.Fatal(err)
	}
	return binary
}
