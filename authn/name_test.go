package authn

import "testing"

// TestNormalizeName: what caseIgnoreMatch takes for one name is one. // row D3
func TestNormalizeName(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"Liszt", "liszt"},
		{" liszt", "liszt"},
		{"interns ", "interns"},
		{"\tnight \u00a0\u3000 shift\n", "night shift"},
		{"Clara  Schumann", "clara schumann"},
		{"JU\u0308RGEN", "j\u00fcrgen"}, // NFD
		{"\uff2dozart", "mozart"},       // full width
		{"in\u00adterns\u200b", "interns"},
		{"Gr\u00f6\u00dfe", "gr\u00f6\u00dfe"},
		{"\u2120", "sm"}, // upper case only in its normal form
		{" \t\u200b", ""},
		{"", ""},
		{" A\xffB ", "a\xffb"},
		{"a\xfeb", "a\xfeb"},
	} {
		if got := NormalizeName(test.name); got != test.want {
			t.Errorf("NormalizeName(%q) = %q, want %q", test.name, got, test.want)
		}
	}
}

// TestNormalizeNameIsStable: the one spelling of the one spelling is itself.
func TestNormalizeNameIsStable(t *testing.T) {
	for r := rune(0); r < 0x20000; r++ {
		for _, name := range []string{string(r), "a" + string(r) + "\u0301b"} {
			if once := NormalizeName(name); NormalizeName(once) != once {
				t.Errorf("%U: %q, then %q", r, once, NormalizeName(once))
			}
		}
	}
}

// TestNormalizeDN: spellings of one name become one; what is none stays.
func TestNormalizeDN(t *testing.T) {
	for _, test := range []struct {
		dn, want string
		ok       bool
	}{
		{"cn=Composers,ou=groups,dc=example,dc=com", "cn=composers,ou=groups,dc=example,dc=com", true},
		{"CN = Composers , OU=Groups;DC=example,DC=com", "cn=composers,ou=groups,dc=example,dc=com", true},
		{`cn=a\,b,dc=x`, `cn=a\,b,dc=x`, true},
		{`cn=a\2cb,dc=x`, `cn=a\,b,dc=x`, true},
		{`cn=a\, cn\=admins,dc=x`, `cn=a\, cn=admins,dc=x`, true},
		{`cn=\20a\20,dc=x`, `cn=a,dc=x`, true}, // row D3
		{`cn=night \20 shift,dc=x`, `cn=night shift,dc=x`, true},
		{"cn=Bu\u0308ro,dc=x", "cn=b\u00fcro,dc=x", true},
		{`cn=\#a,dc=x`, `cn=\#a,dc=x`, true},
		{`cn=a\00b,dc=x`, `cn=ab,dc=x`, true},
		{`cn=a\ffb,dc=x`, `cn=a\ffb,dc=x`, true},
		{`cn=M\C3\9Cller,dc=x`, `cn=müller,dc=x`, true},
		{"cn=Müller,dc=x", "cn=müller,dc=x", true},
		{"uid=b+cn=A,dc=x", "cn=a+uid=b,dc=x", true},
		{"CommonName=A,2.5.4.11=b,domainComponent=x", "cn=a,ou=b,dc=x", true},
		{"", "", true},
		{"composers", "composers", false},
		{"\t=x", "\t=x", false},
		{`a\;b=x`, `a\;b=x`, false},
		{"cn=A,,dc=x", "cn=A,,dc=x", false},
	} {
		if got, ok := NormalizeDN(test.dn); got != test.want || ok != test.ok {
			t.Errorf("NormalizeDN(%q) = %q, %v; want %q, %v", test.dn, got, ok, test.want, test.ok)
		}
		if again, ok := NormalizeDN(test.want); again != test.want || ok != test.ok {
			t.Errorf("NormalizeDN(%q) = %q, %v: not stable", test.want, again, ok)
		}
	}
}
