package content

import (
	"bytes"
	"strings"
	"unique"
)

// Act is what a request that is forwarded does.
type Act int

// The acts.
const (
	Look   Act = iota // it reads a manifest or a blob
	Put               // it stores something
	Delete            // it deletes a manifest or a blob
)

// Forwarded is a request that the registry is about to get as it came.
type Forwarded struct {
	Subject
	// Act is what it does.
	Act Act
	// Reference is a digest or a tag; "" where it has none.
	Reference string
	// Tag says that it is a tag.
	Tag bool
	// Tags are all that it names.
	Tags []string
	// Body is a manifest that is stored; nil: there is none.
	Body []byte
	// Accept are the media types that are wanted.
	Accept []string
	// MediaType is the body's Content-Type.
	MediaType string
}

// Watch is what the cache learns from a request that is forwarded.
type Watch struct {
	cache *Cache
	of    Forwarded
	sent  moment
}

// Watch begins before the request is sent.
func (c *Cache) Watch(of Forwarded) *Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &Watch{cache: c, of: of}
	w.changeLocked()
	w.sent = c.ledger.now()
	return w
}

// changeLocked voids what the registry said before a change.
func (w *Watch) changeLocked() {
	if w.of.Act == Look {
		return
	}
	w.cache.ledger.change(w.of.Repository, w.of.Act == Delete)
	for _, tag := range w.of.Tags {
		w.cache.ledger.unname(&w.of.Subject, tag)
	}
}

// Changed voids what the registry said before somebody else has changed something in a
// repository, or deleted it. A nil *Cache knows nothing.
func (c *Cache) Changed(of Subject, tags []string, deletes bool) {
	if c == nil {
		return
	}
	w := Watch{cache: c, of: Forwarded{Subject: of, Act: Put, Tags: tags}}
	if deletes {
		w.of.Act = Delete
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w.changeLocked()
}

// Answered ends it, before anybody gets the answer. Status 0 is none.
func (w *Watch) Answered(status int, h Header) {
	digest := w.stored(status, h)
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	l := w.cache.ledger
	undisturbed := l.counts(&w.of.Subject, w.sent)
	w.changeLocked()
	switch {
	case w.of.Act == Look && w.of.Tag:
		w.namedLocked(status, h)
	case w.of.Act == Look && refuses(status):
		l.refuse(&w.of.Subject, w.of.Reference)
	case w.of.Act == Look && status == 200 && names(h, w.of.Reference):
		l.renew(&w.of.Subject, w.of.Reference, w.sent, h)
	case digest != "" && undisturbed:
		w.keepLocked(digest)
	}
}

// namedLocked takes what the registry says of a tag. Content has to be here already.
func (w *Watch) namedLocked(status int, h Header) {
	l, digest := w.cache.ledger, h.get("Docker-Content-Digest")
	switch {
	case refuses(status):
		l.unname(&w.of.Subject, w.of.Reference)
	case status == 200 && Known(digest):
		l.name(&w.of.Subject, w.of.Reference, digest, w.sent, mayBeMade(w.of.Accept, h))
		l.renew(&w.of.Subject, digest, w.sent, h)
	}
}

// stored is the digest of a manifest that the registry took, by which it was put, or which it
// names itself; "": there is none.
func (w *Watch) stored(status int, h Header) string {
	digest := h.get("Docker-Content-Digest")
	if digest == "" && !w.of.Tag {
		digest = w.of.Reference // which its bytes have to have
	}
	if w.of.Act != Put || w.of.Body == nil || status != 201 || digestOf(digest, w.of.Body) != digest {
		return ""
	}
	if !w.of.Tag && w.of.Reference != digest {
		return ""
	}
	return digest
}

// keepLocked keeps a manifest that was stored, under the header that the registry will
// give to it.
func (w *Watch) keepLocked(digest string) {
	c, body := w.cache, bytes.Clone(w.of.Body)
	text, ok := label(c.mannerLocked(&w.of, digest), digest)
	if !ok || w.of.MediaType == "" || strings.ContainsAny(w.of.MediaType, "; ") {
		return
	}
	m := moment{c.ledger.count, w.sent.time} // the change itself has voided what was before
	c.memory.put(digest, body)
	c.ledger.make(&w.of.Subject, digest, &standing{moment: m, size: int64(len(body)), label: unique.Make(text)})
	if w.of.Tag {
		c.ledger.name(&w.of.Subject, w.of.Reference, digest, m, false)
	}
}

// mannerLocked is the header of a manifest as this registry gave it to another one, or where
// it gave none yet, as distribution does; nil: that depends on more than the type and the
// digest.
func (c *Cache) mannerLocked(of *Forwarded, digest string) Header {
	like := Header{"Etag": {`"` + digest + `"`}}
	if given, ok := c.manners[of.Upstream]; ok {
		like = unlabel(given, digest)
	}
	out := Header{"Content-Type": {of.MediaType}, "Docker-Content-Digest": {digest}}
	for name, values := range like {
		switch name {
		case "Content-Type", "Docker-Content-Digest":
		case "Docker-Distribution-Api-Version":
			out[name] = values
		case "Etag":
			if strings.Contains(like.get(name), digest) {
				out[name] = values
			}
		default:
			return nil
		}
	}
	return out
}
