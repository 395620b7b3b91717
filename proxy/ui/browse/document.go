package browse

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	spec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The types of manifests that are known here.
const (
	typeIndex          = spec.MediaTypeImageIndex
	typeManifest       = spec.MediaTypeImageManifest
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeArtifact       = "application/vnd.oci.artifact.manifest.v1+json"
	typeSchema1        = "application/vnd.docker.distribution.manifest.v1+json"
	typeSchema1Signed  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// What is shown of one document at most.
const (
	mostLayers    = 1000
	mostReferrers = 200
	mostText      = 4 << 10 // bytes of one value, then "..."
	mostValues    = 1000    // of environment, labels, annotations
)

// documentKey is where a document was read: never its digest alone, as another repository may
// hold the same.
type documentKey struct{ place, repository, digest string }

// document is content that has the digest under which it is kept.
type document struct {
	digest    string
	mediaType string
	body      []byte    // as it came; nil where it is too large
	manifest  *manifest // nil where it is none that can be read
	config    *config
	fault     string // why nothing of it is known
	at        time.Time
}

// weight is what a document takes in memory at most, its parsed form with it.
func (d *document) weight() int64 {
	n := 3 * int64(len(d.body))
	if m := d.manifest; m != nil {
		n += 200 * int64(len(m.Layers.list)+len(m.Blobs.list)+len(m.Manifests.list))
	}
	return n
}

// manifest is a manifest or an index of any kind, as far as it is shown. The structs of the
// specification would refuse all of it for one size that is out of range.
type manifest struct {
	MediaType    string      `json:"mediaType"`
	ArtifactType string      `json:"artifactType"`
	Config       *descriptor `json:"config"`
	Layers       descriptors `json:"layers"`
	Blobs        descriptors `json:"blobs"`
	Manifests    descriptors `json:"manifests"`
	Subject      *descriptor `json:"subject"`
	Annotations  texts       `json:"annotations"`
}

type descriptor struct {
	MediaType    string    `json:"mediaType"`
	ArtifactType string    `json:"artifactType"`
	Digest       string    `json:"digest"`
	Size         size      `json:"size"`
	Platform     *platform `json:"platform"`
	Annotations  marks     `json:"annotations"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// config is the configuration of an image.
type config struct {
	platform
	Created moment `json:"created"`
	Author  string `json:"author"`
	Config  struct {
		User       string         `json:"User"`
		Entrypoint list           `json:"Entrypoint"`
		Cmd        list           `json:"Cmd"`
		Env        list           `json:"Env"`
		WorkingDir string         `json:"WorkingDir"`
		Ports      map[string]any `json:"ExposedPorts"`
		Volumes    map[string]any `json:"Volumes"`
		Labels     texts          `json:"Labels"`
	} `json:"config"`
	History []step `json:"history"`
}

// step is one of those that made an image.
type step struct {
	CreatedBy string `json:"created_by"`
	Empty     bool   `json:"empty_layer"`
}

// parseManifest reads one, nil where it is no JSON object.
func parseManifest(body []byte) *manifest {
	m := new(manifest)
	if json.Unmarshal(body, m) != nil || !strings.HasPrefix(strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n"), "{") {
		return nil
	}
	return m
}

// parseConfig reads one, nil where it is none.
func parseConfig(body []byte) *config {
	c := new(config)
	if json.Unmarshal(body, c) != nil {
		return nil
	}
	c.History = slices.Clone(c.History[:min(len(c.History), 4*mostLayers)])
	return c
}

// short bounds a text that comes from the registry.
func short(text string) string {
	if len(text) <= mostText {
		return text
	}
	cut := mostText
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// is reports whether a platform is one that is asked for, of any variant where none is named.
func (p *platform) is(asked string) bool {
	name := p.name()
	return name == asked || strings.Count(asked, "/") == 1 && strings.HasPrefix(name, asked+"/")
}

// name is how a platform is written: linux/arm64/v8. Empty where it is none.
func (p *platform) name() string {
	if p == nil || p.OS == "" || p.OS == "unknown" || p.Architecture == "" || p.Architecture == "unknown" {
		return ""
	}
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return short(name)
}
