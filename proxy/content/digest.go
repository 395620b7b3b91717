package content

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strings"
)

// digestOf is the digest of content under the algorithm of another digest; "" where
// that is none that we know.
func digestOf(like string, content []byte) string {
	algorithm, _, _ := strings.Cut(like, ":")
	switch algorithm {
	case "sha256":
		sum := sha256.Sum256(content)
		return "sha256:" + hex.EncodeToString(sum[:])
	case "sha384":
		sum := sha512.Sum384(content)
		return "sha384:" + hex.EncodeToString(sum[:])
	case "sha512":
		sum := sha512.Sum512(content)
		return "sha512:" + hex.EncodeToString(sum[:])
	}
	return ""
}

// lengths are how many hexadecimal digits the digests that we know have.
var lengths = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}

// Known reports whether a digest is whole and of an algorithm that can be verified here.
func Known(digest string) bool {
	algorithm, encoded, _ := strings.Cut(digest, ":")
	n, ok := lengths[algorithm]
	return ok && len(encoded) == n && strings.Trim(encoded, "0123456789abcdef") == ""
}

// key stands for a repository and what is asked of it. It is the first half of a hash of its
// parts, so that however many there are they take little room: of one that is given, nobody
// finds another with the same 128 bits.
type key [sha256.Size / 2]byte

func keyOf(parts ...string) key {
	var room [512]byte
	text := room[:0]
	for _, p := range parts {
		text = append(text, byte(len(p)), byte(len(p)>>8), byte(len(p)>>16))
		text = append(text, p...)
	}
	sum := sha256.Sum256(text)
	return key(sum[:sha256.Size/2])
}
