package ldap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// expand puts values, escaped for a filter (RFC 4515), in the place of names
// (`{login}`), all in one pass: a value that looks like a name stays as it is.
func expand(filter string, namesAndValues ...string) string {
	pairs := make([]string, len(namesAndValues))
	for i, text := range namesAndValues {
		pairs[i] = text
		if i%2 == 1 {
			pairs[i] = ldap.EscapeFilter(text)
		}
	}
	return strings.NewReplacer(pairs...).Replace(filter)
}

// escapeBytes writes bytes for a filter (RFC 4515).
func escapeBytes(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\%02x`, c)
	}
	return s.String()
}

// each is a filter for each of several things, one behind the other.
func each[T any](all []T, filter func(T) string) string {
	var filters strings.Builder
	for _, one := range all {
		filters.WriteString(filter(one))
	}
	return filters.String()
}

// placeholderPattern is what looks like a placeholder.
var placeholderPattern = regexp.MustCompile(`\{[A-Za-z_]*\}`)

// allPlaceholders are those of every filter, and what people take for one.
var allPlaceholders = []string{"{login}", "{dn}", "{username}", "{gid_number}", "{user}", "{uid}", "{name}", "{mail}", "{group}"}

// checkFilter reports what is wrong with a filter of the config (RFC 4515), with the
// column, from 1, in which it stands. A placeholder that is none of those known would
// be taken for a text, and match nobody; upper case is for schemes of userPassword
// ({CRYPT}), but where it is one of ours.
func checkFilter(filter string, placeholders ...string) error {
	r := filterReader{text: filter}
	for _, at := range placeholderPattern.FindAllStringIndex(filter, -1) {
		found := filter[at[0]:at[1]]
		lower := strings.ToLower(found)
		scheme := found != lower && found == strings.ToUpper(found) && !slices.Contains(allPlaceholders, lower)
		if !scheme && !slices.Contains(placeholders, found) {
			return r.fault(at[0], `%s is none of the placeholders %s; a { that is meant is written \7b`, found, strings.Join(placeholders, ", "))
		}
	}
	if err := r.filter(); err != nil {
		return err
	}
	if r.at < len(r.text) {
		return r.extra()
	}
	_, err := ldap.CompileFilter(filter)
	return err
}

// filterReader reads a filter from the left.
type filterReader struct {
	text string
	at   int // the next byte
}

func (r *filterReader) next() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// fault says what is wrong at a byte.
func (r *filterReader) fault(at int, format string, args ...any) error {
	return fmt.Errorf("column %d: %w", utf8.RuneCountInString(r.text[:at])+1, fmt.Errorf(format, args...))
}

// filter reads one filter in its parentheses.
func (r *filterReader) filter() error {
	if r.next() != '(' {
		return r.fault(r.at, "a filter begins with (, and no blank stands between its parts")
	}
	open := r.at
	r.at++
	if err := r.inner(); err != nil {
		return err
	}
	switch r.next() {
	case ')':
		r.at++
		return nil
	case 0:
		return r.fault(open, "this ( has no ) that ends it")
	}
	return r.extra()
}

// inner reads what stands between parentheses.
func (r *filterReader) inner() error {
	switch r.next() {
	case '&', '|':
		for r.at++; r.next() == '('; {
			if err := r.filter(); err != nil {
				return err
			}
		}
		return nil
	case '!':
		r.at++
		return r.filter()
	}
	return r.comparison()
}

// attributePattern is what stands before the = of a comparison (RFC 4515 3).
var attributePattern = regexp.MustCompile(`\A(?:[A-Za-z0-9][A-Za-z0-9._-]*(?:;[A-Za-z0-9-]+)*)?(?::dn)?(?::[A-Za-z0-9][A-Za-z0-9.-]*)?[:~<>]?\z`)

// comparison reads an attribute and a value, up to the parenthesis that ends it.
func (r *filterReader) comparison() error {
	start := r.at
	end := strings.IndexAny(r.text[start:], "=()")
	if end < 0 || r.text[start+end] != '=' {
		return r.fault(start, "attribute=value is expected")
	}
	if attribute := r.text[start : start+end]; attribute == "" || !attributePattern.MatchString(attribute) {
		return r.fault(start, "%q is no attribute", attribute)
	}
	for r.at = start + end + 1; r.next() != ')'; r.at++ {
		switch r.next() {
		case 0:
			return r.fault(start-1, "this ( has no ) that ends it")
		case '(':
			return r.fault(r.at, `a ( within a value is written \28, and a ) \29`)
		case '\\':
			if err := r.escape(); err != nil {
				return err
			}
		}
	}
	return nil
}

var escapePattern = regexp.MustCompile(`\A\\[0-9A-Fa-f]{2}`)

func (r *filterReader) escape() error {
	if escapePattern.MatchString(r.text[r.at:]) {
		return nil
	}
	after, _ := utf8.DecodeRuneInString(r.text[r.at+1:] + " ")
	return r.fault(r.at, `a \ within a value is written \5c (so \%c of a DN is \5c%c), a ( \28 and a ) \29`, after, after)
}

// extra is what to say of text after a parenthesis that ended something.
func (r *filterReader) extra() error {
	before := strings.LastIndexByte(r.text[:r.at], ')')
	switch {
	case r.next() == ' ' || r.next() == '\n':
		return r.fault(r.at, "no blank stands between the parts of a filter, nor after it")
	case before < 0:
		return r.fault(r.at, "( is expected")
	case r.next() == '(':
		return r.fault(r.at, "a filter has ended here; several are joined by (&...) or (|...)")
	}
	return r.fault(before, `this ) ends the value or the filter; within a value it is written \29, and a ( \28`)
}

// noEquality is a part of a filter that compares a login otherwise than by
// equality (RFC 4515: extensible, approximate, ordering): there * is no wildcard.
var noEquality = regexp.MustCompile(`\([^()=]*[:~<>]=[^()]*\{login\}[^()]*\)`)

// partOfValue is a part of a filter that puts a login into a longer value.
var partOfValue = regexp.MustCompile(`\(([^()=]+)=([^()]*\{login\}[^()]*)\)`)

// whoever is a filter for all who can log in by some name.
func whoever(filter string) string {
	filter = noEquality.ReplaceAllLiteralString(filter, "(objectClass=*)")
	filter = partOfValue.ReplaceAllStringFunc(filter, func(part string) string {
		if p := partOfValue.FindStringSubmatch(part); isDN(p[2]) {
			return "(" + p[1] + "=*)" // servers match DNs as a whole, and nothing by a part of one
		}
		return part
	})
	return stars.ReplaceAllString(strings.ReplaceAll(filter, "{login}", "*"), "*")
}

// stars are several wildcards in a row, which servers take for nothing at all.
var stars = regexp.MustCompile(`\*{2,}`)

func isDN(value string) bool {
	dn, err := ldap.ParseDN(value)
	if err != nil || len(dn.RDNs) == 0 {
		return false
	}
	return !slices.ContainsFunc(dn.RDNs, func(r *ldap.RelativeDN) bool { return !attributeName.MatchString(r.Attributes[0].Type) })
}
