package route

import "strings"

// Clean gives back the path of a request target where it is canonical, with a digest in it
// decoded; else the error is an *Error.
func Clean(target string) (string, error) {
	path, _, _ := strings.Cut(target, "?")
	clean, err := cleanPath(path)
	switch {
	case err != nil:
		return "", err
	case strings.Contains(target, "#"):
		return "", malformed("a fragment does not belong in a request target")
	}
	return clean, nil
}

// cleanPath gives back the path if it is canonical. A path that would have to be
// cleaned or decoded first is refused, because the upstream might clean or
// decode it in another way. The sole exception is `%3A` in a digest.
func cleanPath(path string) (string, error) {
	if _, rest, absolute := strings.Cut(path, "://"); absolute && !strings.HasPrefix(path, "/") {
		authority, _, _ := strings.Cut(rest, "/") // it became the Host
		path = rest[len(authority):]
	}
	if !strings.HasPrefix(path, "/") {
		return "", malformed("the request target has no path")
	}
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return "", malformed("the path has a byte that no endpoint has")
		}
	}
	if strings.Contains(path, "%") {
		cut := strings.LastIndexByte(path, '/') + 1
		decoded, ok := decodeDigest(path[cut:])
		if !ok || strings.Contains(path[:cut], "%") {
			return "", malformed("the path is percent-encoded")
		}
		path = path[:cut] + decoded
	}
	if strings.Contains(path, "//") {
		return "", malformed("the path has an empty segment")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", malformed("the path has a dot segment")
		}
	}
	return path, nil
}

// decodeDigest decodes the one `%3A` of an encoded digest.
func decodeDigest(s string) (string, bool) {
	algorithm, hex, found := strings.Cut(s, "%3A")
	if !found {
		algorithm, hex, _ = strings.Cut(s, "%3a")
	}
	digest := algorithm + ":" + hex
	return digest, ValidDigest(digest)
}
