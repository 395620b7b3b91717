package main

import (
	"archive/tar"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestImage: a layout that is whole, an image for each platform, the Dockerfile's
// settings, and the same digest when it is made again.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "binary")
	if err := os.WriteFile(binary, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var digests []string
	for range 2 {
		folder := filepath.Join(dir, "image")
		if err := write(folder, "v1.2.3", binary, []string{"linux/amd64=" + binary, "linux/arm64=" + binary}); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, checkLayout(t, folder))
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %v", digests)
	}
}

// checkLayout returns the digest of the one index in a layout.
func checkLayout(t *testing.T, folder string) string {
	t.Helper()
	top, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	images, err := index.IndexManifest()
	if err != nil || len(images.Manifests) != 2 {
		t.Fatalf("%+v, %v", images, err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		if got := images.Manifests[i].Platform; got == nil || got.OS != "linux" || got.Architecture != arch {
			t.Errorf("image %d is for %v", i, got)
		}
		checkConfig(t, index, images.Manifests[i].Digest, arch)
	}
	return manifest.Manifests[0].Digest.String()
}

// checkConfig compares with the Dockerfile.
func checkConfig(t *testing.T, index v1.ImageIndex, digest v1.Hash, arch string) {
	t.Helper()
	image, err := index.Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if c.Architecture != arch || len(c.RootFS.DiffIDs) != 1 {
		t.Errorf("config %+v", c)
	}
	for _, line := range []string{"USER " + c.Config.User, "ENV " + c.Config.Env[0], "STOPSIGNAL " + c.Config.StopSignal,
		`ENTRYPOINT ["` + c.Config.Entrypoint[0] + `"]`, `CMD ["` + c.Config.Cmd[0] + `"]`, "EXPOSE 5000",
		`CMD ["` + strings.Join(c.Config.Healthcheck.Test[1:], `", "`) + `"]`} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("the Dockerfile lacks %q", line)
		}
	}
}

func TestBadInput(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "image")
	for _, binaries := range [][]string{{"linux/amd64"}, {"a/b/c/d/e=/dev/null"}, {"linux/amd64=" + folder + "/none"}} {
		if err := write(folder, "v1", os.DevNull, binaries); err == nil {
			t.Errorf("%v is taken", binaries)
		}
		if _, err := os.Stat(folder); err == nil {
			t.Errorf("%v left a folder", binaries)
		}
	}
}

// TestFolders: everybody may enter each folder above a file, whatever unpacks the layer.
func TestFolders(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := build("v1", name, name, &v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	content := mutate.Extract(image)
	defer content.Close()
	modes := map[string]int64{}
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[path.Clean(header.Name)] = header.Mode
	}
	for file := range modes {
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			if modes[dir] != 0o755 {
				t.Errorf("%s above %s has mode %o", dir, file, modes[dir])
			}
		}
	}
	if len(modes) != 6 || modes["gatehouse"] != 0o755 || modes["etc/ssl/certs/ca-certificates.crt"] != 0o644 {
		t.Errorf("%v", modes)
	}
}
