package ldap

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse/authn"
)

// loginMax bounds a login name, in bytes.
const loginMax = 256

var errLoginName = fmt.Errorf("%w: the login name is not allowed", authn.ErrUnknownUser)

// loginRule refuses login names before any directory sees them. Directories match
// generously: case, outer spaces, full-width letters and, in one product, a
// trailing NUL all find the plain name's entry (measured on slapd and Samba).
// What such a name would find is refused here, so one person has one name in
// caches and counters whatever is typed.
type loginRule struct {
	pattern *regexp.Regexp
	domains []string // cut off, in any letter case
}

// newLoginRule compiles pattern, anchored at both ends. It is compiled alone first,
// because `a)|(?:b` is only a pattern once it stands in our parentheses.
func newLoginRule(pattern string, domains []string) (loginRule, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return loginRule{}, err
	}
	anchored, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	return loginRule{anchored, domains}, err
}

// name is what the directory is asked for at a login: without its domain. An error
// wraps authn.ErrUnknownUser.
func (r loginRule) name(login string) (string, error) {
	name := r.cut(login)
	return name, r.check(name)
}

// cut takes DOMAIN\ or @domain off a login, where it is one of the directory's.
func (r loginRule) cut(login string) string {
	is := func(domain string) bool {
		return slices.ContainsFunc(r.domains, func(ours string) bool { return strings.EqualFold(ours, domain) })
	}
	if domain, name, ok := strings.Cut(login, `\`); ok && is(domain) {
		return name
	}
	if at := strings.LastIndexByte(login, '@'); at >= 0 && is(login[at+1:]) {
		return login[:at]
	}
	return login
}

// check returns an error that wraps ErrUnknownUser unless login may be asked for.
func (r loginRule) check(login string) error {
	reason := r.fault(login)
	if reason == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errLoginName, reason)
}

func (r loginRule) fault(login string) error {
	switch {
	case login == "":
		return errors.New("it is empty")
	case len(login) > loginMax:
		return fmt.Errorf("it has more than %d bytes", loginMax)
	case !utf8.ValidString(login):
		return errors.New("it is not UTF-8")
	case strings.ContainsFunc(login, invisible):
		return errors.New("it has control or invisible characters")
	case strings.TrimSpace(login) != login:
		return errors.New("it begins or ends with a space")
	case !norm.NFKC.IsNormalString(login):
		return errors.New("it is not in Unicode normal form (NFKC)")
	case !r.pattern.MatchString(login):
		return errors.New("it is outside users.login_pattern")
	}
	return nil
}

// invisible holds for control, format, private and surrogate characters.
func invisible(r rune) bool { return unicode.Is(unicode.C, r) }
