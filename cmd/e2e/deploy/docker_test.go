package deploy

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// TestImage builds the root's Dockerfile with a real Docker Engine and runs what
// comes out: a read-only root, no network, a person without rights.
func TestImage(t *testing.T) {
	engine := dockertest.Start(t)
	importBuildImage(t, engine, "gatehouse-build-stand-in")
	built := time.Now()
	engine.Run(t, "build", "--network=none", "--shm-size=2g", "--build-arg", "BUILD_IMAGE=gatehouse-build-stand-in",
		"--build-arg", "VERSION=v9.8.7-test", "-t", "gatehouse-test", "..")
	t.Logf("the image was built in %s", time.Since(built).Round(time.Second))

	run := func(args ...string) []string {
		return append([]string{"run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL",
			"--security-opt=no-new-privileges"}, args...)
	}
	t.Run("version", func(t *testing.T) {
		out := engine.Run(t, run("gatehouse-test", "version")...)
		if !strings.Contains(out, "v9.8.7-test") || !strings.Contains(out, "go1.") {
			t.Errorf("version says %q", out)
		}
	})
	t.Run("checks a config", func(t *testing.T) {
		config := sharedFolder(t, "gatehouse.yaml", "ldap_password.txt", "ldap_certificates/example-ca.pem")
		out, err := engine.Output(run("-v", config+":/etc/gatehouse:ro", "gatehouse-test", "check")...)
		if err != nil {
			t.Errorf("check of the mounted example: %v\n%s", err, out)
		}
	})
	t.Run("healthcheck says no where nothing runs", func(t *testing.T) {
		config := sharedFolder(t, "gatehouse.yaml", "ldap_password.txt", "ldap_certificates/example-ca.pem")
		if out, err := engine.Output(run("-v", config+":/etc/gatehouse:ro", "gatehouse-test", "healthcheck")...); exitCode(err) != 1 {
			t.Errorf("healthcheck: %v, want status 1\n%s", err, out)
		}
	})
	t.Run("says what it is", func(t *testing.T) { checkImageConfig(t, engine) })
	t.Run("holds two files", func(t *testing.T) { checkImageFiles(t, engine) })
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// sharedFolder copies files of deploy/ to a folder that the image's own user can
// read: a checkout may lie below a folder that only its owner enters.
func sharedFolder(t *testing.T, names ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-config")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func checkImageConfig(t *testing.T, engine *dockertest.Engine) {
	var images []struct {
		Config struct {
			User        string
			Entrypoint  []string
			Healthcheck struct{ Test []string }
		}
	}
	if err := json.Unmarshal([]byte(engine.Run(t, "image", "inspect", "gatehouse-test")), &images); err != nil {
		t.Fatal(err)
	}
	config := images[0].Config
	if config.User != "65532:65532" {
		t.Errorf("runs as %q", config.User)
	}
	if got := strings.Join(config.Entrypoint, " "); got != "/gatehouse" {
		t.Errorf("entry point %q", got)
	}
	if got := strings.Join(config.Healthcheck.Test, " "); got != "CMD /gatehouse healthcheck" {
		t.Errorf("health check %q", got)
	}
}

// checkImageFiles sees that nothing of the build image came along. What Docker
// itself puts into every container (/dev, /proc, /etc/hosts ...) is not ours.
func checkImageFiles(t *testing.T, engine *dockertest.Engine) {
	id := strings.TrimSpace(engine.Run(t, "create", "gatehouse-test"))
	export := engine.Command("export", id)
	var said strings.Builder
	export.Stderr = &said
	out, err := export.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := export.Start(); err != nil {
		t.Fatal(err)
	}
	docker := map[string]bool{".dockerenv": true, "etc/hostname": true, "etc/hosts": true, "etc/resolv.conf": true, "etc/mtab": true, "dev/console": true}
	want := map[string]bool{"gatehouse": true, "etc/ssl/certs/ca-certificates.crt": true}
	files := tar.NewReader(out)
	for {
		header, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("docker export: %v, %v\n%s", err, export.Wait(), said.String())
		}
		switch {
		case header.Typeflag == tar.TypeDir || docker[header.Name]:
		case want[header.Name]:
			delete(want, header.Name)
		default:
			t.Errorf("the image also holds %s", header.Name)
		}
	}
	if err := export.Wait(); err != nil {
		t.Fatalf("docker export: %v\n%s", err, said.String())
	}
	if len(want) > 0 {
		t.Errorf("the image lacks %v", want)
	}
}

// importBuildImage makes a stand-in for the golang image from this machine's own
// Go: the tool chain, the modules that the binary needs and the root certificates.
// It has no shell and needs no network.
func importBuildImage(t *testing.T, engine *dockertest.Engine, name string) {
	t.Helper()
	command := engine.Command("import",
		"--change", "ENV PATH=/usr/local/go/bin GOROOT=/usr/local/go GOMODCACHE=/mod GOCACHE=/dev/shm/cache HOME=/ GOPROXY=off GOTOOLCHAIN=local GOFLAGS= TMPDIR=/dev/shm",
		"-", name)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(in)
	addBuildFiles(t, w)
	if err := w.Close(); err != nil {
		t.Fatalf("writing the stand-in: %v\n%s", err, said.String())
	}
	in.Close()
	if err := command.Wait(); err != nil {
		t.Fatalf("docker import: %v\n%s", err, said.String())
	}
}

func addBuildFiles(t *testing.T, w *tar.Writer) {
	t.Helper()
	addDir(t, w, "tmp")
	addGo(t, w, goEnv(t, "GOROOT"))
	modules := goEnv(t, "GOMODCACHE")
	addTree(t, w, filepath.Join(modules, "cache", "download"), "mod/cache/download", func(name string, dir bool) bool {
		ext := path.Ext(name)
		return dir || ext == ".mod" || ext == ".info" || ext == ".ziphash"
	})
	for _, dir := range dependencies(t, "{{with .Module}}{{if not .Main}}{{.Dir}}{{end}}{{end}}") {
		rel, err := filepath.Rel(modules, dir)
		if err != nil || strings.HasPrefix(rel, "..") {
			t.Fatalf("module folder %s is not below %s", dir, modules)
		}
		addTree(t, w, dir, path.Join("mod", filepath.ToSlash(rel)), func(name string, dir bool) bool {
			return path.Base(name) != "testdata" && !strings.HasSuffix(name, "_test.go")
		})
	}
	addTree(t, w, "/etc/ssl/certs/ca-certificates.crt", "etc/ssl/certs/ca-certificates.crt", nil)
}

// addGo writes the part of a tool chain that builds our binary: each megabyte is
// copied again by every step of a build whose storage is plain folders.
func addGo(t *testing.T, w *tar.Writer, root string) {
	t.Helper()
	needed := map[string]bool{".": true, "VERSION": true, "go.env": true, "bin": true, "bin/go": true, "src": true, "src/go.mod": true, "src/go.sum": true,
		"src/runtime/cgo": true, "src/vendor": true, "src/vendor/modules.txt": true}
	for _, dir := range dependencies(t, "{{if .Standard}}{{.Dir}}{{end}}") {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		for rel = filepath.ToSlash(rel); rel != "."; rel = path.Dir(rel) {
			needed[rel] = true
		}
	}
	addTree(t, w, root, "usr/local/go", func(name string, dir bool) bool {
		if name == "pkg" || strings.HasPrefix(name, "pkg/") || needed[name] {
			return true
		}
		return !dir && needed[path.Dir(name)] && strings.HasPrefix(name, "src/") && !strings.HasSuffix(name, "_test.go")
	})
}

// addTree writes a folder or file as target; keep says which parts below it are
// wanted, by their path relative to it.
func addTree(t *testing.T, w *tar.Writer, root, target string, keep func(name string, dir bool) bool) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if name != "." && !keep(name, entry.IsDir()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			addDir(t, w, path.Join(target, name))
			return nil
		}
		return addFile(w, file, path.Join(target, name))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func addDir(t *testing.T, w *tar.Writer, name string) {
	t.Helper()
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
}

// addFile writes what file holds, links followed: Debian links its certificates.
func addFile(w *tar.Writer, file, name string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := authntest.Run(exec.Command("go", "env", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// dependencies are the folders that a template of `go list` gives for the packages
// which the binary is made of, each once.
func dependencies(t *testing.T, template string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", template, "gatehouse/cmd/gatehouse")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	out, err := authntest.Run(list)
	if err != nil {
		t.Fatal(err)
	}
	dirs := strings.Fields(out)
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
