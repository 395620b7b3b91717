// Command image writes an OCI layout with one image for several architectures, of the
// binaries that were built for them: what the Dockerfile makes of one, without a builder.
//
//	go run ./cmd/internal/image -o bin/image VERSION CERTIFICATES linux/amd64=BINARY linux/arm64=BINARY
//
// The same files make the same digest.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if len(os.Args) < 6 || os.Args[1] != "-o" {
		fmt.Fprintln(os.Stderr, "usage: image -o FOLDER VERSION CERTIFICATES OS/ARCH=BINARY...")
		os.Exit(2)
	}
	if err := write(os.Args[2], os.Args[3], os.Args[4], os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// write writes the layout to a folder, which it replaces.
func write(folder, version, certificates string, binaries []string) error {
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, b := range binaries {
		name, binary, ok := strings.Cut(b, "=")
		if !ok {
			return fmt.Errorf("%q is no OS/ARCH=BINARY", b)
		}
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		image, err := build(version, certificates, binary, platform)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	out, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	return out.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": version}))
}

// build is the image of one platform: two files, a person without rights.
func build(version, certificates, binary string, platform *v1.Platform) (v1.Image, error) {
	files, err := archive([]string{"etc/", "etc/gatehouse/", "etc/ssl/", "etc/ssl/certs/"}, []file{{"etc/ssl/certs/ca-certificates.crt", certificates, 0o644}, {"gatehouse", binary, 0o755}})
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, describe(image, version, platform))
}

// describe is what the Dockerfile says of the image.
func describe(image v1.Image, version string, platform *v1.Platform) *v1.ConfigFile {
	rootFS := v1.RootFS{}
	if c, err := image.ConfigFile(); err == nil {
		rootFS = c.RootFS
	}
	return &v1.ConfigFile{OS: platform.OS, Architecture: platform.Architecture, RootFS: rootFS, Config: v1.Config{
		User: "65532:65532", Entrypoint: []string{"/gatehouse"}, Cmd: []string{"serve"}, StopSignal: "SIGTERM",
		Env:          []string{"GATEHOUSE_CONFIG=/etc/gatehouse/gatehouse.yaml"},
		ExposedPorts: map[string]struct{}{"5000/tcp": {}},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/gatehouse", "healthcheck"},
			Interval: 10 * time.Second, Timeout: 5 * time.Second, StartPeriod: 10 * time.Second},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "gatehouse",
			"org.opencontainers.image.description": "An authenticating reverse proxy for container registries",
			"org.opencontainers.image.version":     version,
		},
	}}
}

// file is one of the image, by its name there and its path here.
type file struct {
	name, path string
	mode       int64
}

// archive is a tar of folders and files that are root's, without times. Folders that it
// did not name Docker would make with mode 0600, which the image's user cannot enter.
func archive(folders []string, files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range folders {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	err := w.Close() // it writes the end
	return out.Bytes(), err
}
