package browse

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestImage: an index, by its platforms.
func TestImage(t *testing.T) {
	d := newDouble(t)
	amd := d.image("team/app", "", "linux/amd64", someDay, 1000)
	arm := d.image("team/app", "", "linux/arm64/v8", someDay, 2000)
	all := d.index("team/app", "2.0", child(arm, "linux/arm64/v8"), child(amd, "linux/amd64"))
	l := d.library(t)
	v := d.visit(l, "alice")
	i, err := v.Image(t.Context(), "team/app", "2.0", "")
	if err != nil || i.Digest != all || i.Shown != amd || i.SizeOf != "linux/amd64" || len(i.Variants) != 2 || !i.Deletable || !i.DeletableTag {
		t.Fatalf("%+v %v", i, err)
	}
	if c := i.Config; !slices.Equal(c.Env, []string{"A=1"}) || c.User != "65532" || !slices.Equal(c.Entrypoint, []string{"/app"}) || !slices.Equal(c.Ports, []string{"80/tcp"}) || !slices.Equal(c.Labels, []Pair{{"l", "v"}}) {
		t.Errorf("%+v", c)
	}
	if len(i.Layers) != 1 || i.Layers[0].Command != "COPY app /" || i.Layers[0].Size != 1000 || i.Layers[0].Share != 100 || !slices.Equal(i.Annotations, []Pair{{"note", "linux/amd64"}}) {
		t.Errorf("%+v", i.Layers)
	}
	if i, err := v.Image(t.Context(), "team/app", all, "linux/arm64/v8"); err != nil || i.Shown != arm || i.DeletableTag || !slices.Equal(i.Also, []string{"2.0"}) {
		t.Errorf("%+v %v", i, err)
	}
	for reference, platform := range map[string]string{"2.0": "windows/amd64", "none": "", "sha256:" + strings.Repeat("0", 64): ""} {
		if _, err := v.Image(t.Context(), "team/app", reference, platform); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s %s: %v", reference, platform, err)
		}
	}
	if _, err := d.visit(l, "eve").Image(t.Context(), "team/app", all, ""); !errors.As(err, new(*Denied)) {
		t.Errorf("eve, of what is kept: %v", err)
	}
	if raw, err := v.RawConfig(t.Context(), "team/app", "2.0", ""); err != nil || !strings.Contains(string(raw), `"A=1"`) {
		t.Errorf("%s %v", raw, err)
	}
	if raw, err := v.RawManifest(t.Context(), "team/app", "2.0", ""); err != nil || !strings.Contains(string(raw), arm) {
		t.Errorf("%s %v", raw, err)
	}
}

// TestElsewhere: what is kept of one repository says nothing of another with the same digest.
func TestElsewhere(t *testing.T) {
	d := newDouble(t)
	digest := d.image("secret/app", "1", "linux/amd64", someDay, 10)
	l := d.library(t)
	if _, err := d.visit(l, "alice").Image(t.Context(), "secret/app", digest, ""); err != nil {
		t.Fatal(err)
	}
	d.image("team/app", "other", "linux/arm64", someDay, 10)
	if i, err := d.visit(l, "bob").Image(t.Context(), "team/app", digest, ""); !errors.Is(err, ErrAbsent) {
		t.Errorf("%+v %v", i, err)
	}
}

// TestPlatformAsked: without a variant any of them, the very one first; an image that is none of
// an index is for the platform of its own configuration alone.
func TestPlatformAsked(t *testing.T) {
	d := newDouble(t)
	made := map[string]string{}
	for _, platform := range []string{"linux/arm64/v8", "linux/arm/v6", "linux/arm/v7", "linux/amd64/v3", "linux/amd64"} {
		made[platform] = d.image("team/app", "", platform, someDay, 1000)
	}
	d.index("team/app", "all", child(made["linux/arm64/v8"], "linux/arm64/v8"), child(made["linux/arm/v6"], "linux/arm/v6"), child(made["linux/arm/v7"], "linux/arm/v7"),
		child(made["linux/amd64/v3"], "linux/amd64/v3"), child(made["linux/amd64"], "linux/amd64"))
	d.image("team/app", "one", "linux/arm64/v8", someDay, 1000)
	v := d.visit(d.library(t), "alice")
	for asked, want := range map[string]string{"linux/arm64": "linux/arm64/v8", "linux/arm64/v8": "linux/arm64/v8", "linux/arm": "linux/arm/v6", "linux/arm/v7": "linux/arm/v7",
		"linux/amd64": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3", "linux/arm64/v9": "", "linux/ar": "", "linux": "", "linux/": "", "linux/arm64/": "", "LINUX/ARM64": ""} {
		i, err := v.Image(t.Context(), "team/app", "all", asked)
		if want == "" && !errors.Is(err, ErrAbsent) || want != "" && (err != nil || i.Shown != made[want] || i.SizeOf != want) {
			t.Errorf("%s: %+v %v", asked, i, err)
		}
	}
	for asked, there := range map[string]bool{"linux/arm64": true, "linux/arm64/v8": true, "": true, "linux/arm64/v7": false, "linux/arm": false, "linux/amd64": false} {
		if _, err := v.Image(t.Context(), "team/app", "one", asked); (err == nil) != there || !there && !errors.Is(err, ErrAbsent) {
			t.Errorf("%q of one: %v", asked, err)
		}
		if raw, err := v.RawConfig(t.Context(), "team/app", "one", asked); (err == nil) != there || there && !strings.Contains(string(raw), `"v8"`) {
			t.Errorf("%q of one, its configuration: %s %v", asked, raw, err)
		}
	}
	bare := d.tag("team/app", "chart", d.put("team/app", typeManifest, asJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "layers": []object{}})))
	if _, err := v.Image(t.Context(), "team/app", bare, "linux/amd64"); !errors.Is(err, ErrAbsent) {
		t.Errorf("what is for no platform: %v", err)
	}
}

// TestSizeUnknown: what a manifest of a type that is not known does not say is no size.
func TestSizeUnknown(t *testing.T) {
	d := newDouble(t)
	for media, c := range map[string]struct {
		body object
		want int64
	}{
		"application/vnd.strange+json": {object{"a": 1}, -1},
		typeSchema1:                    {object{"schemaVersion": 1, "fsLayers": []object{{"blobSum": "sha256:x"}}}, -1},
		"application/vnd.like+json":    {object{"layers": []object{{"digest": "sha256:x", "size": 7}}}, 7},
		typeManifest:                   {object{"layers": []object{}}, 0},
	} {
		at := d.put("team/app", media, asJSON(c.body))
		if i, err := d.visit(d.library(t), "alice").Image(t.Context(), "team/app", at, ""); err != nil || i.Size != c.want {
			t.Errorf("%s: %+v %v", media, i, err)
		}
	}
}

// TestOtherConfiguration: JSON that an artifact has in the place of an image's configuration is
// shown as it is, and nothing else is.
func TestOtherConfiguration(t *testing.T) {
	d := newDouble(t)
	body := []byte(`{"name":"tools","version":"1.0.0"}`)
	at := d.put("team/chart", "application/octet-stream", body)
	for tag, c := range map[string]struct {
		config any
		want   error // nil: it is shown
	}{
		"chart":  {object{"mediaType": typeChart, "digest": at, "size": len(body)}, nil},
		"own":    {object{"mediaType": "application/vnd.example.thing+json", "digest": at, "size": len(body)}, nil},
		"binary": {object{"mediaType": "application/vnd.example.thing", "digest": at, "size": len(body)}, ErrAbsent},
		"empty":  {object{"mediaType": "application/vnd.oci.empty.v1+json", "digest": at, "size": 2}, ErrAbsent},
		"large":  {object{"mediaType": typeChart, "digest": at, "size": mostConfig + 1}, ErrAbsent},
		"odd":    {object{"mediaType": typeChart, "digest": "../x", "size": 1}, ErrAbsent},
		"none":   {nil, ErrAbsent},
	} {
		d.tag("team/chart", tag, d.put("team/chart", typeManifest, asJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "config": c.config, "layers": []object{}, "annotations": object{"of": tag}})))
		v := d.visit(d.library(t), "bob")
		raw, err := v.RawConfig(t.Context(), "team/chart", tag, "")
		if !errors.Is(err, c.want) || c.want == nil && string(raw) != string(body) {
			t.Errorf("%s: %q %v", tag, raw, err)
		}
		if i, err := v.Image(t.Context(), "team/chart", tag, ""); err != nil || i.HasConfig != (c.want == nil) || i.ConfigFault != "" {
			t.Errorf("%s: %+v %v", tag, i, err)
		}
		if _, err := d.visit(v.library, "eve").RawConfig(t.Context(), "team/chart", tag, ""); !errors.As(err, new(*Denied)) {
			t.Errorf("%s for eve: %v", tag, err)
		}
	}
}

// TestReferrers: from the registry's own list, the fallback tag and cosign's.
func TestReferrers(t *testing.T) {
	d := newDouble(t)
	image := d.image("team/app", "1", "linux/amd64", someDay, 10)
	attach := func(artifactType string, layers ...object) string {
		return d.put("team/app", typeManifest, asJSON(object{"schemaVersion": 2, "mediaType": typeManifest, "artifactType": artifactType, "layers": layers, "subject": object{"digest": image}}))
	}
	sbom, note := attach("application/spdx+json"), attach("text/x-note")
	listed := asJSON(object{"manifests": []object{{"digest": sbom, "size": 7, "artifactType": "application/spdx+json"}}})
	d.answers["GET /v2/team/app/referrers/"+image] = reply{status: 200, body: listed}
	base := strings.Replace(image, ":", "-", 1)
	d.index("team/app", base, object{"digest": note, "size": 8, "artifactType": "text/x-note"}, object{"digest": sbom, "size": 7, "artifactType": "application/spdx+json"})
	v := d.visit(d.library(t), "bob")
	found, err := v.Referrers(t.Context(), "team/app", image)
	if err != nil || found.Signed || found.State != Ready || len(found.List) != 2 || found.List[0].Digest != sbom || found.List[0].Purpose != SBOM || found.List[1].Tag != base {
		t.Fatalf("%+v %v", found, err)
	}
	signature := d.tag("team/app", base+".sig", attach("", object{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "size": 3}))
	v.library.Pushed("here", "team/app")
	found, err = v.Referrers(t.Context(), "team/app", image)
	if err != nil || !found.Signed || found.List[0].Digest != signature || found.List[0].ArtifactType != "application/vnd.dev.cosign.simplesigning.v1+json" {
		t.Errorf("%+v %v", found, err)
	}
}
