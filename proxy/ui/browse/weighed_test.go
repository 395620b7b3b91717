package browse

import (
	"fmt"
	"testing"
	"time"
)

// heavy is a value of so many bytes.
type heavy int64

func (h heavy) weight() int64 { return int64(h) }

// TestWeighed: so many bytes are kept, and what was not used for the longest time goes.
func TestWeighed(t *testing.T) {
	w := newWeighed[string, heavy](3 * (100 + overhead))
	for _, k := range []string{"a", "b", "c"} {
		w.put(k, 100)
	}
	w.get("a")
	w.put("d", 100)
	for k, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, ok := w.get(k); ok != want {
			t.Errorf("%s is kept: %t", k, ok)
		}
	}
	w.put("a", 50) // in the place of the other
	if w.bytes != 250+3*overhead {
		t.Errorf("%d bytes", w.bytes)
	}
	w.put("too much", 10_000)
	if _, ok := w.get("too much"); ok || w.entries.Len() != 3 {
		t.Errorf("%d entries", w.entries.Len())
	}
	w.grown(100)
	if w.entries.Len() != 2 {
		t.Errorf("%d entries after one has grown", w.entries.Len())
	}
	w.resize(0)
	if w.entries.Len() != 0 {
		t.Errorf("%d entries in no bytes", w.entries.Len())
	}
}

// TestCacheBytes: what is kept of images stays within cache_bytes, also after a reload that
// makes it less.
func TestCacheBytes(t *testing.T) {
	d := newDouble(t)
	for i := range 200 {
		d.image("team/app", fmt.Sprint(i), "linux/amd64", someDay, 10)
	}
	var cfg Config
	cfg.Defaults()
	cfg.CacheBytes = 64 << 10
	l := NewLibrary(cfg, nil)
	t.Cleanup(l.Close)
	if _, err := d.visit(l, "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 200}); err != nil {
		t.Fatal(err)
	}
	if l.documents.bytes > int64(cfg.CacheBytes) || l.documents.entries.Len() == 0 {
		t.Errorf("%d bytes in %d entries", l.documents.bytes, l.documents.entries.Len())
	}
	cfg.CacheBytes = 1 << 10
	l.Take(cfg)
	if l.documents.bytes > int64(cfg.CacheBytes) {
		t.Errorf("%d bytes after a reload", l.documents.bytes)
	}
}

// TestTurns: a reload changes how many questions may be in flight, and those for nobody leave
// room to those for somebody.
func TestTurns(t *testing.T) {
	l := newDouble(t).library(t)
	l.Take(Config{UpstreamRequests: 2, CacheBytes: 1 << 20, CatalogRefresh: time.Minute})
	s := l.slots.Load()
	release, err := l.turn(t.Context())
	if err != nil || s.all.TryAcquire(2) {
		t.Fatalf("more than two at once (%v)", err)
	}
	release()
	if !s.all.TryAcquire(2) || s.idle.TryAcquire(2) {
		t.Error("not two in all, or as many for nobody")
	}
}

// TestKinds: what a manifest is of, by its types.
func TestKinds(t *testing.T) {
	config := func(media string) object { return object{"mediaType": media, "digest": "sha256:x", "size": 2} }
	image := "application/vnd.oci.image.config.v1+json"
	for _, c := range []struct {
		media    string
		body     object
		kind     Kind
		artifact string
	}{
		{typeManifest, object{"config": config(image)}, ImageKind, ""},
		{typeDockerManifest, object{"config": config("application/vnd.docker.container.image.v1+json")}, ImageKind, ""},
		{typeManifest, object{"config": config(typeChart)}, ChartKind, typeChart},
		{typeManifest, object{"config": config("application/vnd.example.thing+json")}, ArtifactKind, "application/vnd.example.thing+json"},
		{typeManifest, object{"config": config("application/vnd.oci.empty.v1+json"), "artifactType": "text/x-note"}, ArtifactKind, "text/x-note"},
		{typeManifest, object{"config": config(image), "artifactType": "text/x-note"}, ArtifactKind, "text/x-note"},
		{typeArtifact, object{"artifactType": "text/x-note", "blobs": []object{{"size": 3}}}, ArtifactKind, "text/x-note"},
		{typeIndex, object{"manifests": []object{}}, IndexKind, ""},
		{typeDockerList, object{"manifests": []object{}}, IndexKind, ""},
		{typeSchema1Signed, object{"fsLayers": []object{}}, UnknownKind, ""},
		{"text/x-foreign", object{"config": config(image)}, UnknownKind, ""},
	} {
		d := &document{mediaType: c.media, manifest: parseManifest(asJSON(c.body))}
		if d.kind() != c.kind || d.artifactType() != c.artifact {
			t.Errorf("%s %v: %s of %q, want %s of %q", c.media, c.body, d.kind(), d.artifactType(), c.kind, c.artifact)
		}
	}
}

// TestPurposes: what a referrer is for, by its type.
func TestPurposes(t *testing.T) {
	for artifactType, want := range map[string]Purpose{
		"application/vnd.dev.cosign.artifact.sig.v1+json": Signature, "application/vnd.cncf.notary.signature": Signature, "application/vnd.dev.sigstore.bundle.v0.3+json": Signature,
		"application/spdx+json": SBOM, "application/vnd.cyclonedx+json": SBOM, "application/vnd.syft+json": SBOM, "application/vnd.in-toto+json": Attestation, "text/x-note": Other, "": Other,
	} {
		if got := purposeOf(artifactType, nil); got != want {
			t.Errorf("%s: %s, want %s", artifactType, got, want)
		}
	}
	for predicate, want := range map[string]Purpose{"https://sigstore.dev/cosign/sign/v1": Signature, "https://slsa.dev/provenance/v1": Attestation} {
		if got := purposeOf("application/vnd.dev.sigstore.bundle.v0.3+json", marks{markPredicate: predicate}); got != want {
			t.Errorf("a bundle of %s: %s, want %s", predicate, got, want)
		}
	}
}

// TestPlatformName: a platform is written as clients write it, and an unknown one is none.
func TestPlatformName(t *testing.T) {
	for want, p := range map[string]*platform{"linux/amd64": {OS: "linux", Architecture: "amd64"}, "linux/arm64/v8": {OS: "linux", Architecture: "arm64", Variant: "v8"}} {
		if got := p.name(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, p := range []*platform{nil, {}, {OS: "unknown", Architecture: "unknown"}, {OS: "linux"}, {Architecture: "amd64"}} {
		if got := p.name(); got != "" {
			t.Errorf("%+v is %q", p, got)
		}
	}
}

// TestTargets: how what is to be deleted is written.
func TestTargets(t *testing.T) {
	digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for want, target := range map[string]Target{"team/app:1": {"team/app", "1"}, "team/app@" + digest: {"team/app", digest}} {
		if target.String() != want || target.tag() != (want == "team/app:1") {
			t.Errorf("%s, want %s", target, want)
		}
	}
}
