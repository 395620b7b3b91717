// Package samples is what a company's registry holds, for the demo and for tests.
package samples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Furnish gives the registry what a company has: an application in several versions for two
// platforms, with an attestation, a signature and a list of its parts, and a chart.
func Furnish(ctx context.Context, registry string) error {
	at := func(reference string) (name.Reference, error) {
		return name.ParseReference(registry+"/"+reference, name.Insecure)
	}
	var faults []error
	for n, version := range []string{"1.9.0", "1.9.1", "1.10.0-rc1", "1.10.0", "1.10.1", "2.0.0"} {
		index, err := application(version, time.Date(2026, 4+time.Month(n), 3+n, 9, 30, 0, 0, time.UTC))
		tags := []string{version}
		if version == "2.0.0" {
			tags = append(tags, "2", "latest")
		}
		for _, tag := range tags {
			ref, refErr := at("team/orchestra:" + tag)
			faults = append(faults, err, refErr, remote.WriteIndex(ref, index, remote.WithContext(ctx)))
		}
		if version == "2.0.0" {
			faults = append(faults, accompany(ctx, at, index))
		}
	}
	for _, repository := range []string{"team/metronome", "team/tools/tuner", "prod/box-office", "base/alpine"} {
		image, err := simple(repository, time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC))
		ref, refErr := at(repository + ":1.0")
		faults = append(faults, err, refErr, remote.Write(ref, image, remote.WithContext(ctx)))
	}
	return errors.Join(faults...)
}

// application is an index of two images, with BuildKit's attestation for one.
func application(version string, built time.Time) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range []string{"amd64", "arm64"} {
		image, err := simple("orchestra "+version+" "+architecture, built)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
		if architecture == "amd64" {
			digest, err := image.Digest()
			if err != nil {
				return nil, err
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: document("application/vnd.in-toto+json", "provenance of "+version), Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}, Annotations: map[string]string{
					"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest.String()}}})
		}
	}
	return index, nil
}

// simple is an image of three layers that says what it is.
func simple(what string, built time.Time) (v1.Image, error) {
	architecture := "amd64"
	if strings.HasSuffix(what, "arm64") {
		architecture = "arm64"
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for n, command := range []string{"ADD alpine-minirootfs.tar.gz /", "RUN apk add --no-cache tini ca-certificates", "COPY orchestra /usr/local/bin/orchestra"} {
		seed := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", fmt.Sprint(n, what)))))
		body := make([]byte, (n+1)*(n+3)*21_000)
		_, _ = seed.Read(body) // it never fails
		var err error
		if image, err = mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(body, types.OCILayer), History: v1.History{CreatedBy: command, Created: v1.Time{Time: built}}}); err != nil {
			return nil, err
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created, file.Author = "linux", architecture, v1.Time{Time: built}, "Team Orchestra"
	file.Config = v1.Config{User: "65532", WorkingDir: "/srv", Entrypoint: []string{"/sbin/tini", "--", "orchestra"}, Cmd: []string{"serve"},
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LOG_LEVEL=info"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}, Volumes: map[string]struct{}{"/var/lib/orchestra": {}},
		Labels: map[string]string{"org.opencontainers.image.source": "https://git.example.com/team/orchestra", "org.opencontainers.image.licenses": "Apache-2.0"}}
	return mutate.ConfigFile(image, file)
}

// accompany adds what refers to an image: a signature, and a list of its parts.
func accompany(ctx context.Context, at func(string) (name.Reference, error), index v1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	subject, err := partial.Descriptor(index)
	if err != nil {
		return err
	}
	signature, err := at("team/orchestra:" + strings.Replace(digest.String(), ":", "-", 1) + ".sig")
	if err != nil {
		return err
	}
	sbom, ok := mutate.Subject(document("application/spdx+json", `{"spdxVersion":"SPDX-2.3"}`), *subject).(v1.Image)
	if !ok {
		return errors.New("an image with a subject is no image")
	}
	partsDigest, err := sbom.Digest()
	if err != nil {
		return err
	}
	parts, err := at("team/orchestra@" + partsDigest.String())
	if err != nil {
		return err
	}
	chart, err := at("team/charts/orchestra:2.0.0")
	if err != nil {
		return err
	}
	return errors.Join(remote.Write(signature, document("application/vnd.dev.cosign.simplesigning.v1+json", "signed"), remote.WithContext(ctx)),
		remote.Write(parts, sbom, remote.WithContext(ctx)),
		remote.Write(chart, mutate.ConfigMediaType(document("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "a chart"), "application/vnd.cncf.helm.config.v1+json"), remote.WithContext(ctx)))
}

// document is an artifact of one file.
func document(mediaType, text string) v1.Image {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.MediaType(mediaType))
	with, err := mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(bytes.Repeat([]byte(text+"\n"), 40), types.MediaType(mediaType))})
	if err != nil {
		return image // the layer is in memory: it can be read
	}
	return with
}
