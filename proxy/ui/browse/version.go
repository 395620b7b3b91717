package browse

import (
	"cmp"
	"slices"
	"strings"

	"gatehouse/authz"
)

// version is a tag with its place in the order of versions. There may be a million of them,
// so they are compared where they stand.
type version struct {
	tag  string
	core int // where its first digit stands; -1: none, it is a word
	rest int // where its numbers end
}

// The ranks of a part of what follows the numbers, such as `-rc1` or `-alpine3`: an early
// version stands below the release, which has no part there, and anything else beside it.
const (
	early = iota - 1
	ended
	beside
)

// earlyWords are the names of versions before a release.
var earlyWords = map[string]bool{"alpha": true, "beta": true, "rc": true, "pre": true, "dev": true, "snapshot": true}

func parseVersion(tag string) version {
	v := version{tag: tag, core: strings.IndexFunc(tag, isDigit)}
	if v.core < 0 {
		return v
	}
	for v.rest = v.core; v.rest < len(tag) && (isDigit(rune(tag[v.rest])) || tag[v.rest] == '.' && v.rest+1 < len(tag) && isDigit(rune(tag[v.rest+1]))); {
		v.rest++
	}
	return v
}

func (v *version) word() bool { return v.core < 0 }

// prefix is what stands before the first digit, a lone v left out.
func (v *version) prefix() string {
	prefix := v.tag[:max(v.core, 0)]
	if prefix == "v" || prefix == "V" {
		return ""
	}
	return prefix
}

// early reports whether it is a version before a release.
func (v *version) early() bool {
	for rest := v.tag[v.rest:]; rest != ""; {
		var part string
		if part, rest = nextPart(rest); rankOf(part) == early {
			return true
		}
	}
	return false
}

// nextPart cuts off the first part of what follows the numbers, "" where there is none.
func nextPart(s string) (part, rest string) {
	s = strings.TrimLeft(s, "-_")
	if end := strings.IndexAny(s, "-_"); end >= 0 {
		return s[:end], s[end:]
	}
	return s, ""
}

func rankOf(part string) int {
	if part == "" {
		return ended
	}
	letters := strings.TrimLeft(part, ".")
	if end := strings.IndexFunc(letters, func(c rune) bool { return c < 'A' || c > 'Z' && c < 'a' || c > 'z' }); end >= 0 {
		letters = letters[:end]
	}
	if earlyWords[strings.ToLower(letters)] {
		return early
	}
	return beside
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
	if v.word() || o.word() {
		return v.compareWords(o)
	}
	return cmp.Or(comparePrefixes(v.prefix(), o.prefix()), compareCores(v.tag[v.core:v.rest], o.tag[o.core:o.rest]),
		compareRests(v.tag[v.rest:], o.tag[o.rest:]), strings.Compare(v.tag, o.tag))
}

// compareCores compares numbers with dots between them.
func compareCores(a, b string) int {
	for a != "" && b != "" {
		var m, n string
		m, a = digits(strings.TrimPrefix(a, "."))
		n, b = digits(strings.TrimPrefix(b, "."))
		if c := compareNumbers(m, n); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b)) // one of them has no more
}

// compareRests compares what follows the numbers, part by part.
func compareRests(a, b string) int {
	for a != "" || b != "" {
		var p, q string
		p, a = nextPart(a)
		q, b = nextPart(b)
		rank := rankOf(p)
		if c := cmp.Compare(rank, rankOf(q)); c != 0 {
			return c
		}
		if rank == early {
			p, q = strings.ToLower(p), strings.ToLower(q)
		}
		if c := compareNatural(p, q); c != 0 {
			return c
		}
	}
	return 0
}

// compareWords puts latest at the end, before it the other words from z to a, and before
// these what has a number.
func (v *version) compareWords(o *version) int {
	rank := func(v *version) int {
		switch {
		case !v.word():
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

// newestOf is the newest release of tags in the order of versions, of its kinds the one without a
// word behind its numbers, such as 1.1 beside 1.1-alpine; where there is no release, the newest
// version, or the last word. What the registry lists and is no tag is none, as it would stand in
// a command. "": there are no tags.
func newestOf(sorted []string) string {
	newest, release := version{core: -1}, version{core: -1}
	for _, tag := range slices.Backward(sorted) {
		if !authz.ValidTag(tag) {
			continue
		}
		v := parseVersion(tag)
		of := !v.word() && v.prefix() == "" && !v.early()
		switch {
		case of && release.word():
			release = v
		case !release.word() && (v.word() || v.prefix() != "" || compareCores(v.tag[v.core:v.rest], release.tag[release.core:release.rest]) != 0):
			return release.tag
		}
		if of && v.rest == len(tag) {
			return tag
		}
		if newest.tag == "" || newest.word() && !v.word() {
			newest = v
		}
	}
	if !release.word() {
		return release.tag
	}
	return newest.tag
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
