package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"
)

const (
	lineRate    = 125_000_000 // bytes a second: 1 Gbit/s
	linePiece   = 64 << 10
	lineBlob    = 32 << 20
	standings   = 100_000
	sourceMaker = 7 // of the random bytes
)

// source is an upstream in this process, whose cost is not the gateway's: one blob, and
// as many manifests as are asked for, over a line of 1 Gbit/s that all connections share.
type source struct {
	blob      []byte
	digest    string         // of the blob
	manifests map[string]int // digests, by what manifest of makes its bytes
	address   string
	line      *rate.Limiter
	gets      atomic.Int64 // of the blob
}

func newSource() *source {
	s := &source{blob: make([]byte, lineBlob), manifests: make(map[string]int, standings), line: rate.NewLimiter(lineRate, 4*linePiece)}
	random := rand.NewChaCha8([32]byte{sourceMaker})
	_, _ = random.Read(s.blob) // it never fails
	s.digest = digestOf(s.blob)
	for i := range standings {
		s.manifests[digestOf(manifestOf(i))] = i
	}
	return s
}

// manifestOf is the content of a small manifest.
func manifestOf(i int) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%064x","size":2},"layers":[],"annotations":{"filler":%q}}`,
		manifestType, i, strings.Repeat("m", 1200))
}

// serve answers at an address until the listener is closed.
func (s *source) serve(address string) (stop func() error, err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(listener) }() // it ends by Close
	return server.Close, nil
}

// ServeHTTP answers GET and HEAD as a registry does.
func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	digest := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	number, known := s.manifests[digest]
	switch {
	case r.URL.Path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case digest == s.digest:
		s.gets.Add(1)
		s.give(w, r, "application/octet-stream", digest, s.blob)
	case known:
		s.give(w, r, manifestType, digest, manifestOf(number))
	default:
		http.NotFound(w, r)
	}
}

// give writes the content as fast as the line takes it.
func (s *source) give(w http.ResponseWriter, r *http.Request, kind, digest string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Etag", strconv.Quote(digest))
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodHead {
		return
	}
	for len(content) > 0 {
		n := min(linePiece, len(content))
		if s.line.WaitN(r.Context(), n) != nil {
			return // the asker is gone
		}
		if _, err := w.Write(content[:n]); err != nil {
			return
		}
		content = content[n:]
	}
}
