package browse

import (
	"context"
	_ "crypto/sha512" // of digests
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"gatehouse/proxy/route"
)

// named is what a tag or a digest names, as the registry said within tagsFor. The caller may
// pull there.
func (v *Visit) named(ctx context.Context, name, reference string) (naming, error) {
	l, key := v.library, tagsKey{v.caller.Place, name}
	l.mu.Lock()
	r := l.repositoryLocked(key)
	n, known := r.named[reference]
	l.mu.Unlock()
	if known && time.Since(n.at) < tagsFor {
		return n, nil
	}
	return flight(ctx, l, "named\x00"+r.serial+"\x00"+reference, readLimit, func(ctx context.Context) (naming, error) {
		return v.readNaming(ctx, name, reference, n, r)
	})
}

// readNaming asks for a manifest, but not for what is here already.
func (v *Visit) readNaming(ctx context.Context, name, reference string, before naming, r *repository) (naming, error) {
	rt, err := target(http.MethodGet, name, "manifests/", reference)
	if err != nil {
		return naming{}, err
	}
	header, now := http.Header{"Accept": {accepted}}, time.Now()
	kept, ok := v.library.kept(v.key(name, before.digest))
	if ok && kept.fault == "" {
		header.Set("If-None-Match", `"`+before.digest+`"`)
	}
	reply, err := v.read(ctx, "manifest", rt, header, mostBody)
	if err != nil {
		return naming{}, err
	}
	n := naming{before.digest, before.mediaType, now}
	switch reply.status {
	case http.StatusOK:
		d, err := v.received(name, reference, reply)
		if err != nil {
			return naming{}, err
		}
		n.digest, n.mediaType = d.digest, d.mediaType
	case http.StatusNotModified:
		if header.Get("If-None-Match") == "" {
			return naming{}, reply.unexpected()
		}
	default:
		return naming{}, reply.unexpected()
	}
	v.library.name(tagsKey{v.caller.Place, name}, r, reference, n)
	return n, nil
}

// name keeps what a reference names, where nothing changed since it was asked.
func (l *Library) name(key tagsKey, since *repository, reference string, n naming) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.repositoryLocked(key)
	if r.serial != since.serial {
		return
	}
	if _, known := r.named[reference]; !known {
		r.held += namingBytes
		l.repositories.grown(namingBytes)
	}
	r.named[reference] = n
}

// received keeps a manifest that came for a reference. It counts under the digest that the
// registry gives it only where it has that one.
func (v *Visit) received(name, reference string, r *reply) (*document, error) {
	want := r.header.Get("Docker-Content-Digest")
	switch {
	case route.ValidDigest(reference):
		want = reference
	case want == "" && !r.large:
		want = digest.FromBytes(r.body).String()
	case !route.ValidDigest(want):
		return nil, fmt.Errorf("%w: a manifest without a digest", ErrAnswer)
	}
	d := newDocument(want, r)
	if d.fault == faultDigest {
		return nil, fmt.Errorf("%w: %s", ErrAnswer, faultDigest)
	}
	d.manifest = parseManifest(d.body)
	if media, _, _ := strings.Cut(r.header.Get("Content-Type"), ";"); d.mediaType == "" {
		d.mediaType = short(strings.TrimSpace(media))
	}
	if d.manifest == nil && d.fault == "" {
		d.fault = "it is no manifest that can be read"
	}
	v.library.keep(v.key(name, want), d)
	return d, nil
}

// Why content is not known.
const (
	faultDigest = "its content does not have its digest"
	faultLarge  = "it is too large to be read"
	// faultWithheld: also where it stands in a store that the gateway does not ask.
	faultWithheld = "the registry does not give it out"
)

// newDocument takes content, where it has the digest.
func newDocument(want string, r *reply) *document {
	d := &document{digest: want, at: time.Now()}
	switch algorithm := digest.Digest(want).Algorithm(); {
	case r.large:
		d.fault = faultLarge
	case !algorithm.Available() || algorithm.FromBytes(r.body).String() != want:
		d.fault = faultDigest
	default:
		d.body = r.body
	}
	return d
}

func (v *Visit) key(name, digest string) documentKey {
	return documentKey{v.caller.Place, name, digest}
}

// kept is a document that is here.
func (l *Library) kept(key documentKey) (*document, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.documents.get(key)
	return d, ok && (d.fault == "" || time.Since(d.at) < tagsFor)
}

func (l *Library) keep(key documentKey, d *document) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.documents.put(key, d)
}

// manifestOf is a manifest by its digest, which may have been deleted since.
func (v *Visit) manifestOf(ctx context.Context, name, digest string) (*document, error) {
	return v.document(ctx, name, digest, "manifest", "manifests/", mostBody)
}

// configOf is the configuration of an image.
func (v *Visit) configOf(ctx context.Context, name, digest string) (*document, error) {
	return v.document(ctx, name, digest, "config", "blobs/", mostConfig)
}

func (v *Visit) document(ctx context.Context, name, digest, kind, under string, most int64) (*document, error) {
	key := v.key(name, digest)
	d, ok := v.library.kept(key)
	v.library.metrics.CacheRequest("ui_image", outcome(ok, ok))
	if ok {
		return d, nil
	}
	return flight(ctx, v.library, kind+"\x00"+key.place+"\x00"+key.repository+"\x00"+key.digest, readLimit, func(ctx context.Context) (*document, error) {
		rt, err := target(http.MethodGet, name, under, digest)
		if err != nil {
			return nil, err
		}
		reply, err := v.read(ctx, kind, rt, http.Header{"Accept": {accepted}}, most)
		switch {
		case kind == "config":
			return v.receivedConfig(key, reply, err)
		case err != nil:
			return nil, err
		case reply.status != http.StatusOK:
			return nil, reply.unexpected()
		}
		return v.received(name, digest, reply)
	})
}

// receivedConfig keeps a configuration, and for a while that there is none that can be read:
// the rest of the image is shown without it. The error is *Denied, or ErrSlow.
func (v *Visit) receivedConfig(key documentKey, r *reply, err error) (*document, error) {
	d := &document{digest: key.digest, at: time.Now()}
	switch {
	case errors.As(err, new(*Denied)), errors.Is(err, ErrSlow):
		return nil, err
	case err != nil || r.status != http.StatusOK:
		d.fault = faultWithheld
	default:
		d = newDocument(key.digest, r)
		if d.config = parseConfig(d.body); d.config == nil && d.fault == "" {
			d.fault = "it is no configuration that can be read"
		}
	}
	v.library.keep(key, d)
	return d, nil
}
