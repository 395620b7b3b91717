package acme

import (
	"strings"
	"testing"

	"gatehouse/authn"
)

// TestCheck: each row changes a good section in one point.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; empty: none
	}{
		{"good", func(*Config) {}, ""},
		{"http-01", func(c *Config) { c.Challenge = HTTP01 }, ""},
		{"another challenge", func(c *Config) { c.Challenge = "dns-01" }, "challenge: must be tls-alpn-01 or http-01"},
		{"no terms", func(c *Config) { c.TermsAgreed = false }, "terms_agreed: must be true"},
		{"no names", func(c *Config) { c.Names = nil }, "names: is required"},
		{"a wildcard", func(c *Config) { c.Names = []string{"a.test", "*.a.test"} }, "names[1]: \"*.a.test\" is a wildcard"},
		{"an address", func(c *Config) { c.Names = []string{"10.0.0.1"} }, "names[0]: \"10.0.0.1\" is an address"},
		{"an IPv6 address", func(c *Config) { c.Names = []string{"2001:db8::1"} }, "is an address"},
		{"twice", func(c *Config) { c.Names = []string{"a.test", "A.test"} }, "names[1]: \"A.test\" stands twice"},
		{"a dot at the end", func(c *Config) { c.Names = []string{"a.test."} }, "is no DNS name"},
		{"a port", func(c *Config) { c.Names = []string{"a.test:443"} }, "is no DNS name"},
		{"a path", func(c *Config) { c.Names = []string{"../a"} }, "is no DNS name"},
		{"letters", func(c *Config) { c.Names = []string{"müller.test"} }, "is no DNS name"},
		{"one label", func(c *Config) { c.Names = []string{"registry"} }, ""},
		{"plain HTTP", func(c *Config) { c.DirectoryURL = "http://ca.test/dir" }, "directory_url: must begin with https://"},
		{"plain HTTP here", func(c *Config) { c.DirectoryURL = "http://127.0.0.1:14000/dir" }, ""},
		{"no URL", func(c *Config) { c.DirectoryURL = "ca.test/dir" }, "directory_url: must be the URL"},
		{"a user", func(c *Config) { c.DirectoryURL = "https://u:p@ca.test/dir" }, "directory_url: must be the URL"},
		{"no address", func(c *Config) { c.Email = "admin" }, "email: must be one address"},
		{"two addresses", func(c *Config) { c.Email = "a@b.test, c@d.test" }, "email: must be one address"},
		{"an address with a tag", func(c *Config) { c.Email = "a+b@c.test" }, ""},
		{"a key", func(c *Config) {
			c.EABKid, c.EABKeyFile = "kid", authn.SecretFile{Name: "k", Secret: "c2VjcmV0X2tleQ=="}
		}, ""},
		{"no key", func(c *Config) { c.EABKid, c.EABKeyFile = "kid", authn.SecretFile{Name: "k", Secret: "no/key"} }, "eab_key_file: k holds no key in base64url"},
		{"no CA", func(c *Config) { c.CAFile = authn.File{Name: "ca", Data: []byte("x")} }, "ca_file: ca holds no PEM certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := section()
			test.change(&c)
			switch err := c.Check(); {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %s", err, test.want)
			case err != nil && strings.Contains(err.Error(), "no/key"):
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

// section is a good one.
func section() Config {
	var c Config
	c.Defaults()
	c.DirectoryURL, c.Names, c.TermsAgreed = "https://ca.test/dir", []string{"A.test", "b.test"}, true
	return c
}

// TestSame: a manager goes on where nothing that it works by has changed.
func TestSame(t *testing.T) {
	m := New(Options{Config: section(), Folder: "/a"})
	for name, test := range map[string]struct {
		change func(*Config)
		folder string
		want   bool
	}{
		"nothing":   {func(*Config) {}, "/a", true},
		"terms":     {func(c *Config) { c.TermsAgreed = false }, "/a", true}, // Check refuses it
		"folder":    {func(*Config) {}, "/b", false},
		"names":     {func(c *Config) { c.Names = c.Names[:1] }, "/a", false},
		"server":    {func(c *Config) { c.DirectoryURL = "https://other.test/" }, "/a", false},
		"challenge": {func(c *Config) { c.Challenge = HTTP01 }, "/a", false},
		"email":     {func(c *Config) { c.Email = "a@b.test" }, "/a", false},
		"CA":        {func(c *Config) { c.CAFile.Data = []byte("x") }, "/a", false},
		"key":       {func(c *Config) { c.EABKeyFile.Secret = "x" }, "/a", false},
		"key id":    {func(c *Config) { c.EABKid = "x" }, "/a", false},
	} {
		c := section()
		test.change(&c)
		if got := m.Same(&c, test.folder); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if none := (*Manager)(nil); none.Same(new(Config), "/a") {
		t.Error("no manager is the same as one")
	}
}
