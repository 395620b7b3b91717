package browse

import (
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// imageLimit is how long the page of one image waits for the registry.
const imageLimit = 20 * time.Second

// Image is one image, index or artifact.
type Image struct {
	// Summary is that of the reference; of an index, SizeOf is the platform that is shown.
	Summary
	// Also are tags of the same digest, as far as that is known; the one asked for is not
	// among them.
	Also []string
	// Variants are the images of an index.
	Variants []Variant
	// Parts are what an index holds beside those and beside attestations.
	Parts []Part
	// Shown is the digest of the manifest that is described: that of the chosen platform.
	Shown string
	// Config is what its configuration says.
	Config ImageConfig
	// Layers are its layers, or an artifact's files, 1,000 at most.
	Layers []Layer
	// MoreLayers is how many there are beside.
	MoreLayers int
	// Annotations are the manifest's, sorted by key.
	Annotations []Pair
	// Subject is the digest that it refers to; empty: it is no referrer.
	Subject string
	// Raw is the manifest of the reference where it is small enough to be read, else nil.
	Raw []byte
	// HasConfig says that there is a configuration to show raw.
	HasConfig bool
	// ConfigFault is why the configuration is not known, in a sentence without capital; empty:
	// it is, or there is none.
	ConfigFault string
	// Rights are the caller's in the repository.
	Rights []Right
	// DeletableTag and Deletable say that the policy lets the caller delete the tag, and
	// the image itself but for its tags.
	DeletableTag, Deletable bool
}

// Variant is the image of an index for one platform.
type Variant struct {
	// Platform is its name, such as linux/arm64/v8.
	Platform string
	// Digest is its manifest's.
	Digest string
	// Shown says that it is the one that is described.
	Shown bool
}

// Part is a manifest in an index that says no platform, or is an index itself.
type Part struct {
	// Digest is its own.
	Digest string
	// MediaType is what the index says that it is.
	MediaType string
	// Size is the manifest's in bytes; -1: unknown.
	Size int64
}

// ImageConfig is what an image says of itself. Its zero value is that of an image of which
// that is not known.
type ImageConfig struct {
	// Author is who made it.
	Author string
	// Entrypoint and Cmd are what it runs.
	Entrypoint, Cmd []string
	// User and WorkingDir are who runs it, and where.
	User, WorkingDir string
	// Ports and Volumes are those that it names, sorted.
	Ports, Volumes []string
	// Env is the environment, KEY=VALUE; it may hold secrets.
	Env []string
	// Labels are sorted by key.
	Labels []Pair
}

// Pair is a key with its value.
type Pair struct {
	// Key is its name.
	Key string
	// Value is as it came, 4 KiB at most.
	Value string
}

// Layer is one layer of an image, or one file of an artifact.
type Layer struct {
	// Digest is its blob's.
	Digest string
	// MediaType is its blob's.
	MediaType string
	// Size is in bytes, compressed; -1: unknown.
	Size int64
	// Share is its part of the whole, 0 to 100.
	Share int
	// Command is what made it; empty: unknown.
	Command string
	// Title is the name of an artifact's file.
	Title string
}

// Image describes what a tag or a digest names. Of an index it is the image for the platform;
// without one that for linux/amd64 or the first. The error is *Denied, ErrAbsent (also of a
// platform that is not there), ErrSlow, or what kept it from being read.
func (v *Visit) Image(ctx context.Context, name, reference, platform string) (*Image, error) {
	if err := v.may(authz.Pull, name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, imageLimit)
	defer cancel()
	d, child, config, err := v.pieces(ctx, name, reference, platform)
	if err != nil {
		return nil, err
	}
	i := &Image{Summary: summarize(d, child, config), Shown: image(d, child).digest, Raw: d.body, Rights: v.Rights(name)}
	i.Deletable = v.Decide(authz.Delete, name).Allowed
	if !route.ValidDigest(reference) {
		i.DeletableTag = v.Decide(authz.Delete, name, reference).Allowed
	}
	if i.Also = v.library.sameDigest(tagsKey{v.caller.Place, name})[d.digest]; i.Also != nil {
		i.Also = slices.DeleteFunc(i.Also, func(tag string) bool { return tag == reference })
	}
	i.variants(d, child)
	i.describe(image(d, child), config)
	return i, nil
}

// pieces reads the manifest of a reference, in an index that of the platform, and the
// configuration.
func (v *Visit) pieces(ctx context.Context, name, reference, platform string) (d, child, config *document, err error) {
	n, err := v.named(ctx, name, reference)
	if err != nil {
		return nil, nil, nil, err
	}
	if d, err = v.manifestOf(ctx, name, n.digest); err != nil {
		return nil, nil, nil, err
	}
	chosen := d.first()
	if platform != "" && d.isIndex() {
		if chosen = d.variant(platform); chosen == nil {
			return nil, nil, nil, ErrAbsent
		}
	}
	if chosen != nil {
		if child, err = v.manifestOf(ctx, name, chosen.Digest); ignored(err) != nil {
			return nil, nil, nil, err
		}
	}
	if c := image(d, child).configuration(); c != nil {
		if config, err = v.configOf(ctx, name, c.Digest); ignored(err) != nil {
			return nil, nil, nil, err
		}
	}
	if platform != "" && !d.isIndex() && (config == nil || config.config == nil || !config.config.is(platform)) {
		return nil, nil, nil, ErrAbsent
	}
	return d, child, config, nil
}

// variant is the image of an index for a platform, without a variant in its name the first of
// them where none is just that; nil: there is none.
func (d *document) variant(platform string) *descriptor {
	var near *descriptor
	images, _ := d.children()
	for i := range images {
		switch p := images[i].Platform; {
		case p.name() == platform:
			return &images[i]
		case near == nil && p.is(platform):
			near = &images[i]
		}
	}
	return near
}

func (i *Image) variants(d, child *document) {
	images, _ := d.children()
	for at := range images {
		one := Variant{Platform: images[at].Platform.name(), Digest: short(images[at].Digest)}
		if one.Shown = child != nil && one.Digest == child.digest; one.Shown {
			i.SizeOf = one.Platform
		}
		i.Variants = append(i.Variants, one)
	}
	if !d.isIndex() {
		return
	}
	for _, m := range d.manifest.Manifests.list {
		if m.role() == part && route.ValidDigest(m.Digest) {
			i.Parts = append(i.Parts, Part{Digest: m.Digest, MediaType: short(m.MediaType), Size: int64(m.Size)})
		}
	}
}

// describe adds what the manifest that is shown, and its configuration, say.
func (i *Image) describe(d, config *document) {
	if d.manifest == nil {
		return
	}
	i.Annotations = pairs(d.manifest.Annotations)
	if s := d.manifest.Subject; s != nil && route.ValidDigest(s.Digest) {
		i.Subject = s.Digest
	}
	i.HasConfig = config != nil && config.body != nil || d.otherConfiguration() != nil
	switch {
	case config == nil:
	case config.config == nil:
		i.ConfigFault = config.fault
	default:
		i.Config = config.config.shown()
	}
	if d.isIndex() {
		return
	}
	i.addLayers(d.layers(), commands(config))
}

func (i *Image) addLayers(layers *descriptors, commands []string) {
	i.MoreLayers = layers.more
	for n, layer := range layers.list {
		one := Layer{Digest: short(layer.Digest), MediaType: short(layer.MediaType), Size: int64(layer.Size), Title: short(layer.Annotations[markTitle])}
		if layers.sum > 0 && layer.Size >= 0 {
			one.Share = int(float64(layer.Size) / float64(layers.sum) * 100)
		}
		if len(commands) == len(layers.list)+layers.more {
			one.Command = commands[n]
		}
		i.Layers = append(i.Layers, one)
	}
}

// commands are what made the layers of an image, in their order.
func commands(config *document) []string {
	if config == nil || config.config == nil {
		return nil
	}
	var list []string
	for _, h := range config.config.History {
		if !h.Empty {
			list = append(list, short(h.CreatedBy))
		}
	}
	return list
}

func (c *config) shown() ImageConfig {
	return ImageConfig{Author: short(c.Author), Entrypoint: shorten(c.Config.Entrypoint), Cmd: shorten(c.Config.Cmd), User: short(c.Config.User),
		WorkingDir: short(c.Config.WorkingDir), Ports: shorten(slices.Sorted(maps.Keys(c.Config.Ports))),
		Volumes: shorten(slices.Sorted(maps.Keys(c.Config.Volumes))), Env: shorten(c.Config.Env), Labels: pairs(c.Config.Labels)}
}

func shorten(list []string) []string {
	var out []string
	for _, text := range list[:min(len(list), mostValues)] {
		out = append(out, short(text))
	}
	return out
}

func pairs(t texts) []Pair {
	var out []Pair
	for _, key := range slices.Sorted(maps.Keys(t))[:min(len(t), mostValues)] {
		out = append(out, Pair{short(key), short(t[key])})
	}
	return out
}

// RawManifest is the JSON of the manifest that a reference names, of an index with a platform
// that of its image. The errors are Image's; ErrAnswer where it is too large.
func (v *Visit) RawManifest(ctx context.Context, name, reference, platform string) ([]byte, error) {
	d, child, _, err := v.raw(ctx, name, reference, platform)
	if err != nil {
		return nil, err
	}
	if platform != "" {
		d = image(d, child)
	}
	return d.whole()
}

// RawConfig is the JSON of its configuration, also of a type that is not known here.
func (v *Visit) RawConfig(ctx context.Context, name, reference, platform string) ([]byte, error) {
	d, child, config, err := v.raw(ctx, name, reference, platform)
	if c := image(d, child).otherConfiguration(); err == nil && c != nil {
		config, err = v.configOf(ctx, name, c.Digest)
	}
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, ErrAbsent
	}
	return config.whole()
}

func (v *Visit) raw(ctx context.Context, name, reference, platform string) (d, child, config *document, err error) {
	if err := v.may(authz.Pull, name); err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, imageLimit)
	defer cancel()
	return v.pieces(ctx, name, reference, platform)
}

func (d *document) whole() ([]byte, error) {
	if d.body == nil {
		return nil, ErrAnswer
	}
	return d.body, nil
}
