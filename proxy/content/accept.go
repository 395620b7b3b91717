package content

import "strings"

// accepts reports whether an Accept field takes what has that media type. A manifest's has
// to stand there letter by letter, as registries choose by it; a blob has only one form.
func accepts(field []string, kind Kind, mediaType string) bool {
	if kind == Blob && len(field) == 0 {
		return true
	}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	for _, value := range field {
		for element := range strings.SplitSeq(value, ",") {
			media, parameters, _ := strings.Cut(element, ";")
			media = strings.TrimSpace(media)
			matches := media == mediaType && media != "" || kind == Blob && media == "*/*"
			if matches && !zero(parameters) {
				return true
			}
		}
	}
	return false
}

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// mayBeMade reports whether an answer by tag may be one that the registry made for who asked: for
// those who take none of Docker's lists distribution chooses one manifest of a list.
func mayBeMade(accept []string, h Header) bool {
	return strings.HasPrefix(h.get("Content-Type"), dockerManifest) && !accepts(accept, Manifest, dockerList)
}

// meant reports whether what a tag was last seen to name is what it names for who accepts so.
func (h *hint) meant(accept []string) bool { return !h.made || !accepts(accept, Manifest, dockerList) }

// zero reports whether the quality among the parameters of an element is none (RFC 9110
// section 12.4.2).
func zero(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") && strings.Trim(value, "0.") == "" {
			return true
		}
	}
	return false
}
