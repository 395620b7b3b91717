package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// memoryRegistry is a registry as distribution is one, its mistakes included, which
// notes what it is asked.
type memoryRegistry struct {
	mu        sync.Mutex
	manifests map[string]stored // REPOSITORY@DIGEST
	blobs     map[string][]byte
	tags      map[string]string // REPOSITORY:TAG
	asked     []string
	down      bool
	before    func(*http.Request)                               // nil: nothing
	instead   func(w http.ResponseWriter, r *http.Request) bool // true: it answered
}

// stored is a manifest.
type stored struct {
	mediaType string
	body      []byte
}

func newMemoryRegistry() *memoryRegistry {
	return &memoryRegistry{manifests: map[string]stored{}, blobs: map[string][]byte{}, tags: map[string]string{}}
}

// take gives what was asked since the last call.
func (m *memoryRegistry) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked
	m.asked = nil
	return asked
}

// hook sets what happens before each request, and instead of its answer.
func (m *memoryRegistry) hook(before func(*http.Request), instead func(http.ResponseWriter, *http.Request) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.instead = before, instead
}

// change does something to what is stored.
func (m *memoryRegistry) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// ServeHTTP answers under /v2/.
func (m *memoryRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	before, instead := m.before, m.instead
	m.asked = append(m.asked, r.Method+" "+r.URL.Path)
	down := m.down
	m.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if before != nil {
		before(r)
	}
	if down {
		panic(http.ErrAbortHandler)
	}
	if instead != nil && instead(w, r) {
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	s := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	n := len(s)
	name, kind, reference := strings.Join(s[:n-2], "/"), s[n-2], s[n-1]
	switch {
	case kind == "manifests":
		m.manifest(w, r, name, reference, body)
	case kind == "blobs":
		m.blob(w, r, name, reference)
	case kind == "uploads" && r.Method == "POST":
		w.Header().Set("Location", r.URL.Path+"u1")
		w.WriteHeader(202)
	case kind == "uploads" && r.Method == "PUT":
		m.change(func() { m.blobs[strings.TrimSuffix(name, "/blobs")+"@"+r.URL.Query().Get("digest")] = body })
		w.Header().Set("Location", "/v2/"+strings.TrimSuffix(name, "/blobs")+"/blobs/"+r.URL.Query().Get("digest"))
		w.WriteHeader(201)
	}
}

func (m *memoryRegistry) unknown(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(404)
	fmt.Fprintf(w, `{"errors":[{"code":%q}]}`, code)
}

func (m *memoryRegistry) manifest(w http.ResponseWriter, r *http.Request, name, reference string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	digest, tagged := m.tags[name+":"+reference], !strings.Contains(reference, ":")
	if !tagged {
		digest = reference
	}
	switch r.Method {
	case "PUT":
		digest = sha(string(body))
		m.manifests[name+"@"+digest] = stored{r.Header.Get("Content-Type"), body}
		if tagged {
			m.tags[name+":"+reference] = digest
		}
		w.Header().Set("Docker-Content-Digest", digest)
		w.WriteHeader(201)
		return
	case "DELETE":
		delete(m.manifests, name+"@"+digest)
		for tag, to := range m.tags {
			if to == digest && strings.HasPrefix(tag, name+":") {
				delete(m.tags, tag)
			}
		}
		w.WriteHeader(202)
		return
	}
	if etag := r.Header.Get("If-None-Match"); digest != "" && (etag == digest || etag == `"`+digest+`"`) {
		w.WriteHeader(304) // distribution looks no further
		return
	}
	found, ok := m.manifests[name+"@"+digest]
	if !ok || !strings.Contains(strings.Join(r.Header["Accept"], ","), found.mediaType) {
		m.unknown(w, "MANIFEST_UNKNOWN")
		return
	}
	h := w.Header()
	h.Set("Content-Type", found.mediaType)
	h.Set("Content-Length", fmt.Sprint(len(found.body)))
	h.Set("Docker-Content-Digest", digest)
	h.Set("Etag", `"`+digest+`"`)
	if r.Method == "GET" {
		w.Write(found.body)
	}
}

func (m *memoryRegistry) blob(w http.ResponseWriter, r *http.Request, name, digest string) {
	m.mu.Lock()
	body, ok := m.blobs[name+"@"+digest]
	if r.Method == "DELETE" {
		delete(m.blobs, name+"@"+digest)
	}
	m.mu.Unlock()
	switch {
	case !ok:
		m.unknown(w, "BLOB_UNKNOWN")
	case r.Method == "DELETE":
		w.WriteHeader(202)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Etag", `"`+digest+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

// manifestOf is one that names nothing that is there.
func manifestOf(text string) []byte {
	body, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "annotations": map[string]string{"text": text}})
	return body
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"
