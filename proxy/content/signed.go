package content

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// signed reports whether an answer is of Docker's schema 1, the digest of which is one of a
// part of it, without the signatures.
func signed(kind Kind, h Header) bool {
	return kind == Manifest && strings.HasPrefix(h.get("Content-Type"), "application/vnd.docker.distribution.manifest.v1+")
}

// hasDigest reports whether content has a digest: all of it, or where it is signed what was signed.
func hasDigest(digest string, body []byte, isSigned bool) bool {
	return digestOf(digest, body) == digest || isSigned && digestOf(digest, payload(body)) == digest
}

// payload is what was signed of a manifest of Docker's schema 1: as much of its beginning as its
// first signature says (a JSON Web Signature, RFC 7515, in its JSON form), and the end that it says. nil: it is not signed.
func payload(body []byte) []byte {
	var manifest struct {
		Signatures []struct {
			Protected string `json:"protected"`
		} `json:"signatures"`
	}
	var format struct {
		Length int    `json:"formatLength"`
		Tail   string `json:"formatTail"`
	}
	if json.Unmarshal(body, &manifest) != nil || len(manifest.Signatures) == 0 {
		return nil
	}
	protected, err := base64.RawURLEncoding.DecodeString(manifest.Signatures[0].Protected)
	if err != nil || json.Unmarshal(protected, &format) != nil || format.Length < 0 || format.Length > len(body) {
		return nil
	}
	tail, err := base64.RawURLEncoding.DecodeString(format.Tail)
	if err != nil {
		return nil
	}
	return append(body[:format.Length:format.Length], tail...)
}
