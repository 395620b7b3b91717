package ldap

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gatehouse/authn"
)

// TestLoginRule: what directories would match besides the plain name is refused.
func TestLoginRule(t *testing.T) {
	plain, err := newLoginRule(`[A-Za-z0-9][A-Za-z0-9._@+-]*`, nil)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := newLoginRule(`.+`, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		login       string
		plain, wide bool
	}{
		{"mozart", true, true},
		{"MOZART", true, true},
		{"mozart@example.com", true, true},
		{"müller", false, true},
		{"two words", false, true},
		{"", false, false},
		{" mozart", false, false},
		{"mozart ", false, false},
		{"mozart\x00", false, false},
		{"mo\x00zart", false, false},
		{"mozart\n", false, false},
		{"mo\u200bzart", false, false},  // zero-width space
		{"mo\u00adzart", false, false},  // soft hyphen
		{"\uff4dozart", false, false},   // full-width m
		{"\u017fchubert", false, false}, // long s
		{"\u212aant", false, false},     // Kelvin sign
		{"mu\u0308ller", false, false},  // decomposed
		{"mozart\xff", false, false},
		{strings.Repeat("a", 256), true, true},
		{strings.Repeat("a", 257), false, false},
		{"a)(uid=*", false, true},
		{"*", false, true},
	} {
		for _, g := range []struct {
			rule loginRule
			want bool
		}{{plain, test.plain}, {wide, test.wide}} {
			if err := g.rule.check(test.login); (err == nil) != g.want || err != nil && !errors.Is(err, authn.ErrUnknownUser) {
				t.Errorf("%q at %s: %v, want let through: %v", test.login, g.rule.pattern, err, g.want)
			}
		}
	}
}

// TestLoginRulePattern: a pattern cannot break out of the anchors.
func TestLoginRulePattern(t *testing.T) {
	for _, pattern := range []string{`a)|(?:b`, `[`, `(`} {
		if _, err := newLoginRule(pattern, nil); err == nil {
			t.Errorf("pattern %q compiled", pattern)
		}
	}
	g, err := newLoginRule(`a|b`, nil)
	if err != nil || g.check("ax") == nil || g.check("xb") == nil || g.check("b") != nil {
		t.Errorf("a|b is not anchored as a whole (%v)", err)
	}
}

// FuzzLoginRule: whatever passes the widest loginRule is one visible line in normal form.
func FuzzLoginRule(f *testing.F) {
	g, err := newLoginRule(`(?s).*`, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"mozart", "a)(uid=*", "\x00", " x", "\uff4d", strings.Repeat("é", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, login string) {
		err := g.check(login)
		if err != nil && !errors.Is(err, authn.ErrUnknownUser) {
			t.Fatalf("%q: %v", login, err)
		}
		if err != nil {
			return
		}
		if login == "" || len(login) > 256 || !utf8.ValidString(login) || strings.TrimSpace(login) != login ||
			strings.ContainsFunc(login, unicode.IsControl) {
			t.Fatalf("%q passed", login)
		}
		if filter := expand("(uid={login})", "{login}", login); strings.ContainsAny(filter[5:len(filter)-1], "()*\x00") {
			t.Fatalf("%q became %q", login, filter)
		}
	})
}

// TestDomains: a domain of ours is cut off in any letter case, and nothing else is. // row D9
func TestDomains(t *testing.T) {
	g, err := newLoginRule("[A-Za-z0-9][A-Za-z0-9._@+-]*", []string{"ADTEST", "ad.test", "Büro"})
	if err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]string{
		`ADTEST\mozart`: "mozart", `adtest\Mozart`: "Mozart", `ad.test\mozart`: "mozart", `BÜRO\mozart`: "mozart",
		"mozart@ad.test": "mozart", "mozart@AD.TEST": "mozart", "mozart@adtest": "mozart", "a@b@ad.test": "a@b",
		"mozart": "mozart", "mozart@example.com": "mozart@example.com", "mozart@sub.ad.test": "mozart@sub.ad.test",
		"mozart@ad.test.": "mozart@ad.test.", "ad.test@mozart": "ad.test@mozart",
		`OTHER\mozart`: "", `ADTEST\`: "", "@ad.test": "", `ADTEST\ADTEST\mozart`: "", `\mozart`: "", `ADTEST\ mozart`: "",
		"ADTEST/mozart": "", `ADTEST\mo*`: "", `mozart\ADTEST`: "", "": "",
	} {
		got, err := g.name(login)
		if want == "" && !errors.Is(err, authn.ErrUnknownUser) || want != "" && (err != nil || got != want) {
			t.Errorf("%s is asked for as %q, %v; want %q", login, got, err, want)
		}
	}
}
