package authn

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"
)

// NormalizeName returns the one spelling of a name of a person or a group that
// Gatehouse compares. Names are equal as caseIgnoreMatch takes them (RFC 4517
// 4.2.11, prepared as in RFC 4518): without outer blanks, inner runs of blanks one
// space, lower case, Unicode normal form NFKC, invisible characters dropped. Case
// is simple lower case, as directory servers have it: ß does not become ss. What is
// not UTF-8 differs in every byte but those of ASCII letters and outer spaces.
func NormalizeName(name string) string {
	if !utf8.ValidString(name) {
		return strings.Trim(lowerASCII(name), " ")
	}
	name = norm.NFKC.String(strings.Map(prepared, name))
	// Lower case may undo the normal form, and the normal form bring upper case.
	name = norm.NFKC.String(strings.ToLower(name))
	return strings.Join(strings.Fields(name), " ")
}

// prepared is the mapping of RFC 4518 2.2: blanks of any kind are spaces, and
// characters that nobody sees are none.
func prepared(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case ignored(r):
		return -1
	}
	return r
}

// ignored holds for control and format characters, variation selectors and the
// object replacement character.
func ignored(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Variation_Selector) || r == '\u034f' || r == '\ufffc'
}

// Visible reports whether name is UTF-8 of which NormalizeName drops no character:
// what it drops some directories tell apart, and nobody sees.
func Visible(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, ignored)
}

// lowerASCII lowers A to Z alone.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// NormalizeDN returns the one spelling of a distinguished name that Gatehouse
// compares: attribute types by their short name in lower case, values as
// NormalizeName has them, no spaces around separators, escapes only where RFC 4514
// wants them, parts of a multi-valued RDN sorted. false: dn is none and comes back
// as it is, to be compared byte by byte.
func NormalizeDN(dn string) (string, bool) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return dn, false
	}
	rdns := make([]string, len(parsed.RDNs))
	for i, rdn := range parsed.RDNs {
		parts := make([]string, len(rdn.Attributes))
		for j, part := range rdn.Attributes {
			kind := NormalizeType(part.Type)
			if strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || kind == "" {
				return dn, false
			}
			parts[j] = kind + "=" + escapeRDN(NormalizeName(part.Value))
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ","), true
}

// shortTypes are the types of RFC 4514 3 under their other names (RFC 4519).
var shortTypes = map[string]string{
	"commonname": "cn", "2.5.4.3": "cn",
	"localityname": "l", "2.5.4.7": "l",
	"stateorprovincename": "st", "2.5.4.8": "st",
	"organizationname": "o", "2.5.4.10": "o",
	"organizationalunitname": "ou", "2.5.4.11": "ou",
	"countryname": "c", "2.5.4.6": "c",
	"streetaddress": "street", "2.5.4.9": "street",
	"domaincomponent": "dc", "0.9.2342.19200300.100.1.25": "dc",
	"userid": "uid", "0.9.2342.19200300.100.1.1": "uid",
}

// NormalizeType returns the one spelling of an attribute type: its short name where
// RFC 4514 has one, in lower case.
func NormalizeType(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if short, ok := shortTypes[name]; ok {
		return short
	}
	return name
}

// escapeRDN escapes a value as RFC 4514 2.4 says, leaving UTF-8 readable.
func escapeRDN(value string) string {
	var b strings.Builder
	text := utf8.ValidString(value)
	for i := range len(value) {
		c := value[i]
		outer := c == ' ' && (i == 0 || i == len(value)-1) || c == '#' && i == 0
		switch {
		case c < ' ' || c == 0x7f || c > 0x7f && !text:
			fmt.Fprintf(&b, `\%02x`, c)
			continue
		case outer, strings.IndexByte(`"+,;<>\`, c) >= 0:
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
