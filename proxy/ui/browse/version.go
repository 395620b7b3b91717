package browse

import (
	"cmp"
	"slices"
	"strings"
)

// version is a tag, taken apart for its place in the order of versions.
type version struct {
	tag    string
	word   bool   // no digit is in it
	prefix string // what stands before the first digit, a lone v left out
	core   []string
	suffix []part
}

// part is one piece of what follows the numbers of a version: `-rc1` or `-alpine3`.
type part struct {
	rank int // see the ranks
	text string
}

// The ranks of a part: an early version stands below the release, which has no part there,
// and anything else beside it.
const (
	early = iota - 1
	ended
	beside
)

// earlyWords are the names of versions before a release.
var earlyWords = map[string]bool{"alpha": true, "beta": true, "rc": true, "pre": true, "dev": true, "snapshot": true}

func parseVersion(tag string) version {
	v := version{tag: tag}
	at := strings.IndexFunc(tag, isDigit)
	if at < 0 {
		v.word = true
		return v
	}
	if v.prefix = tag[:at]; v.prefix == "v" || v.prefix == "V" {
		v.prefix = ""
	}
	rest := tag[at:]
	for {
		number, after := digits(rest)
		v.core, rest = append(v.core, number), after
		if len(rest) < 2 || rest[0] != '.' || !isDigit(rune(rest[1])) {
			break
		}
		rest = rest[1:]
	}
	for text := range strings.FieldsFuncSeq(rest, func(c rune) bool { return c == '-' || c == '_' }) {
		v.suffix = append(v.suffix, newPart(text))
	}
	return v
}

func newPart(text string) part {
	letters := strings.ToLower(strings.TrimLeft(text, "."))
	if end := strings.IndexFunc(letters, func(c rune) bool { return c < 'a' || c > 'z' }); end >= 0 {
		letters = letters[:end]
	}
	if earlyWords[letters] {
		return part{early, strings.ToLower(text)}
	}
	return part{beside, text}
}

func isDigit(c rune) bool { return '0' <= c && c <= '9' }

// digits cuts the digits that a text begins with, without leading zeros.
func digits(s string) (number, rest string) {
	end := 0
	for end < len(s) && isDigit(rune(s[end])) {
		end++
	}
	return strings.TrimLeft(s[:end], "0"), s[end:]
}

// compare puts an older version before a newer one, and words after all of them: a total
// order, in which only the same tag is equal.
func (v *version) compare(o *version) int {
	if v.word || o.word {
		return v.compareWords(o)
	}
	if v.prefix != o.prefix {
		return comparePrefixes(v.prefix, o.prefix)
	}
	if c := slices.CompareFunc(v.core, o.core, compareNumbers); c != 0 {
		return c
	}
	for i := range max(len(v.suffix), len(o.suffix)) {
		if c := partAt(v.suffix, i).compare(partAt(o.suffix, i)); c != 0 {
			return c
		}
	}
	return strings.Compare(v.tag, o.tag)
}

// compareWords puts latest at the end, before it the other words from z to a, and before
// these what has a number.
func (v *version) compareWords(o *version) int {
	rank := func(v *version) int {
		switch {
		case !v.word:
			return 0
		case v.tag == "latest":
			return 2
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(v), rank(o)), strings.Compare(o.tag, v.tag))
}

// comparePrefixes puts a version without one last, so that it is the newest.
func comparePrefixes(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a))
	}
	return strings.Compare(b, a)
}

func partAt(parts []part, i int) part {
	if i < len(parts) {
		return parts[i]
	}
	return part{}
}

func (p part) compare(o part) int {
	return cmp.Or(cmp.Compare(p.rank, o.rank), compareNatural(p.text, o.text))
}

// compareNatural compares runs of digits by their number, and all else as text.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		if isDigit(rune(a[0])) && isDigit(rune(b[0])) {
			var m, n string
			m, a = digits(a)
			n, b = digits(b)
			if c := compareNumbers(m, n); c != 0 {
				return c
			}
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// compareNumbers compares digits without leading zeros.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// sortVersions sorts tags from the oldest version to the newest.
func sortVersions(tags []string) []string {
	list := make([]version, len(tags))
	for i, tag := range tags {
		list[i] = parseVersion(tag)
	}
	slices.SortFunc(list, func(a, b version) int { return a.compare(&b) })
	sorted := make([]string, len(list))
	for i := range list {
		sorted[i] = list[i].tag
	}
	return sorted
}

// newestOf is the newest release of tags in the order of versions; where there is none,
// the newest version, or the last word. "": there are no tags.
func newestOf(sorted []string) string {
	newest := ""
	for _, tag := range slices.Backward(sorted) {
		v := parseVersion(tag)
		released := !v.word && v.prefix == "" && !slices.ContainsFunc(v.suffix, func(p part) bool { return p.rank == early })
		if released {
			return tag
		}
		if newest == "" || parseVersion(newest).word && !v.word {
			newest = tag
		}
	}
	return newest
}

// split takes apart the tags that people gave, and those under which tools keep
// signatures and what else refers to an image.
func split(tags []string) (shown, hidden []string) {
	for _, tag := range tags {
		if auxiliary(tag) {
			hidden = append(hidden, tag)
		} else {
			shown = append(shown, tag)
		}
	}
	return shown, hidden
}

// auxiliary reports whether a tag is one that tools keep for what refers to an image: the
// fallback of the distribution specification, and those of cosign before version 3.
func auxiliary(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") || strings.HasSuffix(tag, ".sig") || strings.HasSuffix(tag, ".att") || strings.HasSuffix(tag, ".sbom")
}
