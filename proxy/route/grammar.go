package route

import "strings"

// ValidDigest holds a digest against the grammar of the image specification
// (descriptor.md, "Digests"), with the lengths of the registered algorithms.
func ValidDigest(s string) bool {
	algorithm, encoded, _ := strings.Cut(s, ":")
	if !validAlgorithm(algorithm) || len(encoded) < 32 || len(encoded) > 512 {
		return false
	}
	switch algorithm {
	case "sha256":
		return len(encoded) == 64 && isHex(encoded)
	case "sha384":
		return len(encoded) == 96 && isHex(encoded)
	case "sha512":
		return len(encoded) == 128 && isHex(encoded)
	}
	return isHex(encoded)
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validAlgorithm: lower-case components joined by one of `+._-`.
func validAlgorithm(s string) bool {
	separated := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			separated = false
		case strings.IndexByte("+._-", c) >= 0 && !separated:
			separated = true
		default:
			return false
		}
	}
	return !separated && len(s) <= 32
}

// validSession: what the known registries give as session ids. Dots alone were
// refused with the dot segments.
func validSession(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.=", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 512
}
