package browse

import (
	"encoding/json"
	"math"
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

func (d *document) weight() int64 { return 3 * int64(len(d.body)) }

// manifest is a manifest or an index of any kind, as far as it is shown. The structs of the
// specification would refuse all of it for one size that is out of range.
type manifest struct {
	MediaType    string       `json:"mediaType"`
	ArtifactType string       `json:"artifactType"`
	Config       *descriptor  `json:"config"`
	Layers       []descriptor `json:"layers"`
	Blobs        []descriptor `json:"blobs"`
	Manifests    []descriptor `json:"manifests"`
	Subject      *descriptor  `json:"subject"`
	Annotations  texts        `json:"annotations"`
}

type descriptor struct {
	MediaType    string    `json:"mediaType"`
	ArtifactType string    `json:"artifactType"`
	Digest       string    `json:"digest"`
	Size         size      `json:"size"`
	Platform     *platform `json:"platform"`
	Annotations  texts     `json:"annotations"`
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
	History []struct {
		CreatedBy string `json:"created_by"`
		Comment   string `json:"comment"`
		Empty     bool   `json:"empty_layer"`
	} `json:"history"`
}

// size is a number of bytes; -1 is one that cannot be.
type size int64

// UnmarshalJSON takes any value for a size.
func (s *size) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err != nil || n < 0 {
		n = -1
	}
	*s = size(n)
	return nil
}

// plus adds sizes; what has a part that is not known, or is beyond all bounds, is not known.
func (s size) plus(o size) size {
	if s < 0 || o < 0 || s > math.MaxInt64-o {
		return -1
	}
	return s + o
}

// moment is a time; zero is one that cannot be.
type moment struct{ time.Time }

// UnmarshalJSON takes any value for a time (RFC 3339).
func (m *moment) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		m.Time = parseTime(text)
	}
	return nil
}

// parseTime reads a time of this calendar, zero where there is none.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// list is a list of texts, or one text.
type list []string

// UnmarshalJSON takes any value for a list.
func (l *list) UnmarshalJSON(b []byte) error {
	var one string
	switch {
	case json.Unmarshal(b, (*[]string)(l)) == nil:
	case json.Unmarshal(b, &one) == nil:
		*l = list{one}
	default:
		*l = nil
	}
	return nil
}

// texts are texts by name.
type texts map[string]string

// UnmarshalJSON takes any value for texts; those that are none are left out.
func (t *texts) UnmarshalJSON(b []byte) error {
	var all map[string]any
	if json.Unmarshal(b, &all) != nil {
		return nil
	}
	*t = texts{}
	for key, value := range all {
		if text, ok := value.(string); ok {
			(*t)[key] = text
		}
	}
	return nil
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
