package browse

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/proxy/route"
)

const (
	scanLimit    = 2 * time.Minute // for finding out what all tags of a repository name
	scanPatience = 5 * time.Second // of a page for that
	scanReaders  = 32              // questions that wait for their turn at once
)

// current asks what a reference names now, whatever is kept.
func (v *Visit) current(ctx context.Context, name, reference string) (naming, error) {
	l, key := v.library, tagsKey{v.caller.Place, name}
	rt, err := target(http.MethodHead, name, "manifests/", reference)
	if err != nil {
		return naming{}, err
	}
	l.mu.Lock()
	r := l.repositoryLocked(key)
	l.mu.Unlock()
	now := time.Now()
	reply, err := v.read(ctx, "manifest", rt, http.Header{"Accept": {accepted}}, 0)
	if err != nil {
		return naming{}, err
	}
	digest := reply.header.Get("Docker-Content-Digest")
	if digest == "" && route.ValidDigest(reference) {
		digest = reference
	}
	if reply.status != http.StatusOK {
		return naming{}, reply.unexpected()
	}
	if !route.ValidDigest(digest) {
		return naming{}, fmt.Errorf("%w: a manifest without a digest", ErrAnswer)
	}
	media, _, _ := strings.Cut(reply.header.Get("Content-Type"), ";")
	n := naming{digest, short(strings.TrimSpace(media)), now}
	l.name(key, r, reference, n)
	return n, nil
}

// found is what is known of a repository's tags at one time.
type found struct {
	tags    map[string][]string // by digest
	indexes map[string]bool     // the digests of those that are indexes
	checked int                 // tags of which it is known what they name
	all     int                 // tags
}

// scan finds out what the tags of a repository name, and reads the indexes among them. It
// goes on after ctx ended, so that a later look finds more.
func (v *Visit) scan(ctx context.Context, name string) (*found, error) {
	tags, err := v.tags(ctx, name)
	if err != nil {
		return nil, err
	}
	l, key := v.library, tagsKey{v.caller.Place, name}
	ctx, cancel := context.WithTimeout(ctx, scanPatience)
	defer cancel()
	l.mu.Lock()
	r := l.repositoryLocked(key)
	l.mu.Unlock()
	_, _ = flight(ctx, l, "scan\x00"+r.serial, scanLimit, func(ctx context.Context) (any, error) {
		var readers errgroup.Group
		readers.SetLimit(scanReaders)
		for _, tag := range tags {
			readers.Go(func() error { v.look(ctx, name, tag); return ctx.Err() })
		}
		return nil, readers.Wait()
	})
	return l.found(key, tags), nil
}

// look finds out what one tag names, and what is in it where it is an index.
func (v *Visit) look(ctx context.Context, name, tag string) {
	l := v.library
	l.mu.Lock()
	n, known := l.repositoryLocked(tagsKey{v.caller.Place, name}).named[tag]
	l.mu.Unlock()
	if !known || time.Since(n.at) > scanLimit {
		var err error
		if n, err = v.current(ctx, name, tag); err != nil {
			return // it stays unchecked, and the page says so
		}
	}
	if n.isIndex() {
		_, _ = v.manifestOf(ctx, name, n.digest) // as above
	}
}

func (n *naming) isIndex() bool { return n.mediaType == typeIndex || n.mediaType == typeDockerList }

// found sums up what is known. A tag whose index was not read is not checked.
func (l *Library) found(key tagsKey, tags []string) *found {
	f := &found{tags: map[string][]string{}, indexes: map[string]bool{}, all: len(tags)}
	l.mu.Lock()
	defer l.mu.Unlock()
	named := l.repositoryLocked(key).named
	for _, tag := range tags {
		n, ok := named[tag]
		if !ok || time.Since(n.at) > 2*scanLimit {
			continue
		}
		f.tags[n.digest] = append(f.tags[n.digest], tag)
		if n.isIndex() {
			f.indexes[n.digest] = true
			if _, read := l.documents.get(documentKey{key.place, key.repository, n.digest}); !read {
				continue
			}
		}
		f.checked++
	}
	return f
}

// needing are the tags of the indexes that have a digest as a child.
func (v *Visit) needing(f *found, name, digest string) (tags []string) {
	for index := range f.indexes {
		d, ok := v.library.kept(v.key(name, index))
		if !ok || index == digest || d.manifest == nil {
			continue
		}
		for i := range d.manifest.Manifests.list {
			if d.manifest.Manifests.list[i].Digest == digest {
				tags = append(tags, f.tags[index]...)
				break
			}
		}
	}
	return tags
}
