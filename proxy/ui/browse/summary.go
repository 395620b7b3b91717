package browse

import (
	"context"
	"errors"
	"strings"
	"time"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"gatehouse/proxy/route"
)

// State is how far something is read.
type State string

// The states.
const (
	Ready   State = "ready"
	Loading State = "loading" // the registry has not answered yet; a later look may find it
	Absent  State = "absent"  // the registry does not have it, or no longer
	Failed  State = "failed"  // the registry's answer cannot be read, see Summary.Fault
)

// Kind is what a manifest is of.
type Kind string

// The kinds.
const (
	ImageKind    Kind = "image"
	IndexKind    Kind = "index"    // images for several platforms
	ChartKind    Kind = "chart"    // of helm
	ArtifactKind Kind = "artifact" // anything else, see Summary.ArtifactType
	UnknownKind  Kind = "unknown"  // of a type that is not known here
)

const typeChart = "application/vnd.cncf.helm.config.v1+json"

// Summary is what a list shows of a manifest.
type Summary struct {
	// State is how far it is read.
	State State
	// Fault is why not, in a sentence without capital; empty where all was read.
	Fault string
	// Digest is what the tag names; empty until that is known.
	Digest string
	// MediaType is the manifest's.
	MediaType string
	// ArtifactType is that of an artifact.
	ArtifactType string
	// Kind is what it is of.
	Kind Kind
	// Platforms are those that it is for, such as linux/arm64/v8.
	Platforms []string
	// Attestations is the number of BuildKit's attestations in an index.
	Attestations int
	// Size is the sum of its layers in bytes, compressed, with its configuration; -1: unknown.
	Size int64
	// SizeOf is the platform whose size and time those of an index are; empty: it is no index.
	SizeOf string
	// Built is the time in its configuration; zero: unknown.
	Built time.Time
}

// summary describes what a reference names, as far as that can be read until ctx ends.
func (v *Visit) summary(ctx context.Context, name, reference string) Summary {
	n, err := v.named(ctx, name, reference)
	if err != nil {
		return unread("", err)
	}
	if s, known := v.library.summaryOf(v.key(name, n.digest)); known {
		return s
	}
	s, err := flight(ctx, v.library, "row\x00"+v.caller.Place+"\x00"+name+"\x00"+n.digest, readLimit, func(ctx context.Context) (Summary, error) {
		return v.readSummary(ctx, name, n.digest)
	})
	if err != nil {
		return unread(n.digest, err)
	}
	return s
}

// unread is the summary of what could not be read.
func unread(digest string, err error) Summary {
	s := Summary{State: Failed, Digest: digest, Size: -1, Fault: "the registry's answer cannot be read"}
	switch {
	case errors.Is(err, ErrSlow):
		s.State, s.Fault = Loading, "the registry has not answered yet"
	case errors.Is(err, ErrAbsent):
		s.State, s.Fault = Absent, "the registry does not have it"
	case errors.Is(err, ErrAnswer):
	default:
		s.Fault = "the registry cannot be asked"
	}
	return s
}

// readSummary reads what the summary of a manifest needs.
func (v *Visit) readSummary(ctx context.Context, name, digest string) (Summary, error) {
	d, err := v.manifestOf(ctx, name, digest)
	if err != nil {
		return Summary{}, err
	}
	var child, config *document
	if first := d.first(); first != nil {
		if child, err = v.manifestOf(ctx, name, first.Digest); err != nil {
			return summarize(d, nil, nil), ignored(err)
		}
	}
	if c := image(d, child).configuration(); c != nil {
		if config, err = v.configOf(ctx, name, c.Digest); err != nil {
			return summarize(d, child, nil), ignored(err)
		}
	}
	return summarize(d, child, config), nil
}

// ignored leaves out the errors of a part that the registry does not have: the rest is shown.
func ignored(err error) error {
	if errors.Is(err, ErrAbsent) || errors.Is(err, ErrAnswer) {
		return nil
	}
	return err
}

// knownSummary is the summary of a tag by what is here, however old.
func (l *Library) knownSummary(place, name, tag string) (s Summary, known bool) {
	l.mu.Lock()
	n, ok := l.repositoryLocked(tagsKey{place, name}).named[tag]
	l.mu.Unlock()
	if !ok {
		return Summary{}, false
	}
	return l.summaryOf(documentKey{place, name, n.digest})
}

// summaryOf is the summary of a manifest by what is here; known says that nothing is missing.
func (l *Library) summaryOf(key documentKey) (s Summary, known bool) {
	d, ok := l.kept(key)
	if !ok {
		return Summary{}, false
	}
	var child, config *document
	if first := d.first(); first != nil {
		if child, ok = l.kept(documentKey{key.place, key.repository, first.Digest}); !ok {
			return Summary{}, false
		}
	}
	if c := image(d, child).configuration(); c != nil {
		if config, ok = l.kept(documentKey{key.place, key.repository, c.Digest}); !ok {
			return Summary{}, false
		}
	}
	return summarize(d, child, config), true
}

// image is the manifest of the image that is described: the child's, where there is one.
func image(d, child *document) *document {
	if child != nil {
		return child
	}
	return d
}

// isIndex reports whether a document is a list of manifests.
func (d *document) isIndex() bool {
	return d.manifest != nil && (d.mediaType == typeIndex || d.mediaType == typeDockerList)
}

// children are the images of an index, one for each platform, and how many attestations
// stand among them.
func (d *document) children() (images []descriptor, attestations int) {
	if !d.isIndex() {
		return nil, 0
	}
	for _, m := range d.manifest.Manifests.list {
		switch m.role() {
		case attestation:
			attestations++
		case variant:
			images = append(images, m)
		}
	}
	return images, attestations
}

// role is what a manifest is to the index that holds it.
type role int

// The roles: how something was built, the image for a platform, and anything else.
const (
	attestation role = iota
	variant
	part
)

func (m *descriptor) role() role {
	switch {
	case m.Annotations[markReference] == "attestation-manifest":
		return attestation
	case m.MediaType != typeIndex && m.MediaType != typeDockerList && m.Platform.name() != "":
		return variant
	}
	return part
}

// first is the image of an index that stands for it in a list: that for linux/amd64, or the
// first one. nil: there is none.
func (d *document) first() *descriptor {
	images, _ := d.children()
	for i := range images {
		if images[i].Platform.name() == "linux/amd64" {
			return &images[i]
		}
	}
	if len(images) == 0 {
		return nil
	}
	return &images[0]
}

// configuration is where the configuration of an image stands; nil: there is none of a known type.
func (d *document) configuration() *descriptor {
	if d.manifest == nil || d.isIndex() || d.manifest.Config == nil {
		return nil
	}
	switch d.manifest.Config.MediaType {
	case spec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json":
		return d.manifest.Config
	}
	return nil
}

// otherConfiguration is where JSON stands that an artifact, such as a chart, has in the place of
// an image's configuration; nil: there is none that can be shown.
func (d *document) otherConfiguration() *descriptor {
	if d == nil || d.manifest == nil || d.isIndex() || d.manifest.Config == nil || d.configuration() != nil {
		return nil
	}
	c := d.manifest.Config
	if !route.ValidDigest(c.Digest) || c.MediaType == spec.MediaTypeEmptyJSON || !strings.HasSuffix(c.MediaType, "json") || c.Size > mostConfig {
		return nil
	}
	return c
}

// kind is what a manifest is of.
func (d *document) kind() Kind {
	switch {
	case d.manifest == nil:
		return UnknownKind
	case d.isIndex():
		return IndexKind
	case d.mediaType == typeArtifact:
		return ArtifactKind
	case d.mediaType != typeManifest && d.mediaType != typeDockerManifest:
		return UnknownKind
	case d.manifest.Config != nil && d.manifest.Config.MediaType == typeChart:
		return ChartKind
	case d.configuration() == nil || d.manifest.ArtifactType != "":
		return ArtifactKind
	}
	return ImageKind
}

// artifactType is that of an artifact (image specification, "Guidelines for Artifact Usage").
func (d *document) artifactType() string {
	switch m := d.manifest; {
	case m == nil:
		return ""
	case m.ArtifactType != "":
		return short(m.ArtifactType)
	case m.Config != nil && m.Config.MediaType != spec.MediaTypeEmptyJSON && d.configuration() == nil:
		return short(m.Config.MediaType)
	}
	return ""
}

// size is what a pull of a manifest takes, but for the manifest itself; -1: it does not say.
func (d *document) size() int64 {
	if d.manifest == nil || d.isIndex() || d.kind() == UnknownKind && d.manifest.Config == nil && len(d.layers().list) == 0 {
		return -1
	}
	sum := d.layers().sum
	if d.manifest.Config != nil {
		sum = sum.plus(d.manifest.Config.Size)
	}
	return int64(sum)
}

func (d *document) layers() *descriptors {
	if d.mediaType == typeArtifact {
		return &d.manifest.Blobs
	}
	return &d.manifest.Layers
}

// summarize describes a manifest by what was read of it.
func summarize(d, child, config *document) Summary {
	s := Summary{State: Ready, Digest: d.digest, MediaType: d.mediaType, Kind: d.kind(), ArtifactType: d.artifactType(), Size: -1, Fault: d.fault}
	if d.fault != "" {
		s.State = Failed
		return s
	}
	of := image(d, child)
	if !d.isIndex() || child != nil {
		s.Size = of.size()
	}
	if images, n := d.children(); d.isIndex() {
		s.Attestations = n
		for i := range images {
			s.Platforms = append(s.Platforms, images[i].Platform.name())
		}
		if first := d.first(); first != nil {
			s.SizeOf = first.Platform.name()
		}
	}
	s.Built = builtOf(of, config)
	if config != nil && config.config != nil && !d.isIndex() {
		if name := config.config.platform.name(); name != "" {
			s.Platforms = []string{name}
		}
	}
	return s
}

// builtOf is when an image was built: its configuration says that, or an annotation.
func builtOf(d, config *document) time.Time {
	if config != nil && config.config != nil {
		return config.config.Created.Time
	}
	if d.manifest != nil {
		return parseTime(d.manifest.Annotations[spec.AnnotationCreated])
	}
	return time.Time{}
}
