package content

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unique"
)

// maxLabel is how much of a header is remembered, in bytes.
const maxLabel = 4 << 10

// Kind is as what something is asked for: a manifest's digest asked for as a blob is
// another question.
type Kind string

// The kinds.
const (
	Manifest Kind = "manifest"
	Blob     Kind = "blob"
)

// Header is the header of an answer.
type Header map[string][]string

func (h Header) get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// names are those of the fields that do not depend on how the answer was sent.
func (h Header) names() []string {
	list := make([]string, 0, len(h))
	for name := range h {
		if name != "Content-Length" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// length is the Content-Length; -1: there is none.
func (h Header) length() int64 {
	n, err := strconv.ParseInt(h.get("Content-Length"), 10, 64)
	if err != nil || n < 0 || len(h["Content-Length"]) != 1 {
		return -1
	}
	return n
}

// Subject is the part of a registry that a question is about. Its texts are opaque.
type Subject struct {
	// Upstream stands for the registry: its address and who we are there.
	Upstream string
	// Repository is its name.
	Repository string
	// Kind is Manifest or Blob.
	Kind Kind
}

type subject = Subject

func (s *Subject) key(digest string) key {
	return keyOf(s.Upstream, s.Repository, string(s.Kind), digest)
}

func (s *Subject) tagKey(tag string) key { return keyOf(s.Upstream, s.Repository, "tag", tag) }

type labelHandle = unique.Handle[string]

// Entry is content that may be given out.
type Entry struct {
	// Digest is its digest.
	Digest string
	// Header is what the registry said with it, and nobody's to change. The length may be
	// missing.
	Header Header
	// Size is how many bytes it has.
	Size int64
	// Body is all of it, and nobody's to change; nil: it is in File.
	Body []byte
	// File is it, and has to be closed by the asker; nil: it is in Body.
	File *File

	growth *growth // that brings it; nil: it is here
}

// mark stands for the digest in a label.
var mark = []byte{0}

// sep ends each field of a label, which no value of a header can hold.
const sep = "\n"

// label is a header in one text, with the digest taken out, so that all that was pushed
// the same way shares it.
func label(h Header, digest string) (string, bool) {
	if h == nil {
		return "", false
	}
	var text bytes.Buffer
	for _, name := range h.names() {
		for _, value := range h[name] {
			if strings.ContainsAny(value, "\x00\n") {
				return "", false
			}
			text.WriteString(name + ":" + strings.ReplaceAll(value, digest, string(mark)) + sep)
		}
	}
	return text.String(), text.Len() <= maxLabel
}

// unlabel is the header again.
func unlabel(text, digest string) Header {
	h := make(Header, 6)
	values := make([]string, 0, strings.Count(text, sep)) // one array for all fields: this is done for each hit
	text = strings.ReplaceAll(text, string(mark), digest)
	for line := range strings.SplitSeq(strings.TrimSuffix(text, sep), sep) {
		name, value, ok := strings.Cut(line, ":")
		switch before := h[name]; {
		case !ok:
		case before != nil:
			h[name] = append(before, value)
		default:
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	return h
}

// encoded reports whether content is sent in another form.
func encoded(h Header) bool {
	e := h.get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

// belies reports whether an answer says that it is another digest of the same algorithm.
func belies(h Header, digest string) bool {
	algorithm, _, _ := strings.Cut(digest, ":")
	return slices.ContainsFunc(h["Docker-Content-Digest"], func(named string) bool {
		return named != digest && strings.HasPrefix(named, algorithm+":")
	})
}

// names reports whether an answer is, by its own words, not another digest.
func names(h Header, digest string) bool {
	return !slices.ContainsFunc(h["Docker-Content-Digest"], func(named string) bool { return named != digest && named != "" })
}

// saysSame reports whether a 304 says so of a digest: its entity tag is not that of another one either.
func saysSame(h Header, digest string) bool {
	etag := strings.Trim(strings.TrimPrefix(h.get("Etag"), "W/"), `"`)
	return names(h, digest) && (etag == digest || !Known(etag))
}
