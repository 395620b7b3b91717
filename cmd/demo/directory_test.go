package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestDirectory: the demo's directory answers what the gateway asks, and takes the
// passwords that the demo shows.
func TestDirectory(t *testing.T) {
	directory, err := startDirectory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(directory.Close)
	client, err := ldap.DialURL(directory.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.Bind(serviceAccount, "salieri"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
	if err := client.Bind(serviceAccount, password); err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]string{
		"mozart":           "mozart composers pianists",
		"bach@example.com": "bach composers",
		"kant":             "",
		`\2a`:              "",
	} {
		filter := strings.ReplaceAll("(&(|(uid=LOGIN)(mail=LOGIN))(objectClass=person))", "LOGIN", login)
		found, err := client.Search(ldap.NewSearchRequest(musiciansBase, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 2, false, filter, nil, nil))
		if err != nil {
			t.Errorf("%s: %v", login, err)
			continue
		}
		var got []string
		for _, e := range found.Entries {
			got = append(got, e.GetAttributeValue("uid"))
			if shown := e.GetAttributeValues("userPassword"); len(shown) > 0 {
				t.Errorf("%s: the password is shown: %v", login, shown)
			}
			got = append(got, groupNames(e)...)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: got %q, want %q", login, text, want)
		}
	}
}

// groupNames are the names in memberOf, sorted.
func groupNames(e *ldap.Entry) []string {
	var names []string
	for _, dn := range e.GetAttributeValues("memberOf") {
		rdn, _, _ := strings.Cut(dn, ",")
		names = append(names, strings.TrimPrefix(rdn, "cn="))
	}
	slices.Sort(names)
	return names
}
