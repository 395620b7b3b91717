package content

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// newHash is the hash of a digest that is Known.
func newHash(digest string) hash.Hash {
	algorithm, _, _ := strings.Cut(digest, ":")
	switch algorithm {
	case "sha512":
		return sha512.New()
	case "sha384":
		return sha512.New384()
	}
	return sha256.New()
}

// matches reports whether a hash has come to the digest.
func matches(h hash.Hash, digest string) bool {
	_, encoded, _ := strings.Cut(digest, ":")
	return hex.EncodeToString(h.Sum(nil)) == encoded
}

// hashing hashes in a goroutine of its own what it is given, in turn. Two buffers go round:
// one is read into and written while the other is hashed.
type hashing struct {
	hash  hash.Hash
	empty chan []byte
	full  chan []byte
	done  chan struct{}
}

// pieces is how much is read and written at once, in bytes.
const pieces = 256 << 10

// hashes begins to hash for a digest. End has to be called.
func hashes(digest string) *hashing {
	h := &hashing{hash: newHash(digest), empty: make(chan []byte, 2), full: make(chan []byte, 2), done: make(chan struct{})}
	for range cap(h.empty) {
		h.empty <- make([]byte, pieces)
	}
	go func() {
		defer close(h.done)
		for piece := range h.full {
			h.hash.Write(piece)
			h.empty <- piece[:pieces]
		}
	}()
	return h
}

// end waits until all is hashed.
func (h *hashing) end() {
	close(h.full)
	<-h.done
}
