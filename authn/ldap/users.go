package ldap

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
)

// Users is the section `users`.
type Users struct {
	// Base is the DN below which people are searched. Required.
	Base string `yaml:"base,needed"`
	// Filter (RFC 4515) finds the one entry of a login, which stands for {login},
	// escaped. Required without a preset.
	Filter string `yaml:"filter"`
	// UsernameAttribute holds the canonical name. Default uid.
	UsernameAttribute string `yaml:"username_attribute" default:"uid"`
	// LoginPattern is a regular expression that a whole login matches; others are
	// refused without asking. Default [A-Za-z0-9][A-Za-z0-9._@+-]*.
	LoginPattern string `yaml:"login_pattern" default:"[A-Za-z0-9][A-Za-z0-9._@+-]*"`
	// Domains are domain names, in any letter case, whose NAME\ or @name is cut off a
	// login before anything is done with it. Default: none.
	Domains []string `yaml:"domains"`
}

// attributeName is an attribute description without options (RFC 4512 2.5).
var attributeName = regexp.MustCompile(`\A(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)\z`)

func (u *Users) check(faults *authn.Faults) {
	checkBase(faults, "users.base", u.Base)
	if !attributeName.MatchString(u.UsernameAttribute) {
		faults.Add("users.username_attribute", fmt.Errorf("%q is no attribute name", u.UsernameAttribute))
	}
	faults.Add("users.filter", checkUsersFilter(u.Filter))
	for i, domain := range u.Domains {
		if domain == "" || strings.ContainsAny(domain, "\\@/ \t") {
			faults.Add(fmt.Sprintf("users.domains[%d]", i), fmt.Errorf("%q is no domain name; write EXAMPLE or example.com, without \\ and @", domain))
		}
	}
}

func checkBase(faults *authn.Faults, key, dn string) {
	if dn == "" {
		faults.Add(key, errors.New("is required, such as ou=people,dc=example,dc=com"))
		return
	}
	_, err := ldap.ParseDN(dn)
	faults.Add(key, err)
}

// loginFilter looks for whoever logs in by name.
func (u *Users) loginFilter(name string) string { return expand(u.Filter, "{login}", name) }

// lookupFilter looks for username by its own attribute, because the login may
// have been another one (a mail address), and for the operator's conditions: by
// whatever branch of users.filter somebody came in, they are found again.
func (u *Users) lookupFilter(username string) string {
	attribute, filter := u.UsernameAttribute, u.Filter
	named := "(" + strings.ToLower(attribute) + "={login})"
	exact := expand(filter, "{login}", username)
	switch byName := strings.Count(strings.ToLower(filter), named); byName {
	case strings.Count(filter, "{login}"):
		filter = exact
	case 0:
		filter = whoever(filter)
	default:
		filter = "(|" + exact + whoever(filter) + ")"
	}
	return "(&(" + attribute + "=" + ldap.EscapeFilter(username) + ")" + filter + ")"
}

// caseIgnored are attributes of names that every directory compares without case
// (RFC 4519, RFC 4524, [MS-ADA1..3]).
var caseIgnored = []string{"uid", "userid", "cn", "commonname", "mail", "rfc822mailbox", "employeenumber", "samaccountname", "userprincipalname"}

// equalInDirectory reports whether a search for a canonical name surely finds the
// value that it was made of. Some attributes compare case (FreeIPA's
// krbPrincipalName), and some servers blanks and forms of Unicode.
func (u *Users) equalInDirectory(username string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return slices.Contains(caseIgnored, strings.ToLower(u.UsernameAttribute)) && !strings.ContainsFunc(username, odd)
}

// checkUsersFilter wants a filter that finds one person of a login.
func checkUsersFilter(filter string) error {
	switch {
	case filter == "":
		return errors.New("is required, such as (uid={login})")
	case !strings.Contains(filter, "{login}"):
		return errors.New("must contain {login}, else everybody is the same person")
	}
	if err := checkFilter(filter, "{login}"); err != nil {
		return err
	}
	_, err := ldap.CompileFilter(whoever(filter)) // as a lookup puts it
	return err
}
