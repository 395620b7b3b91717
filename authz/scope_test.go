package authz

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseScope(t *testing.T) {
	long := strings.Repeat("a", 255)
	for _, c := range []struct {
		name string
		in   []string
		want string
	}{
		{"nothing", nil, ""},
		{"empty value", []string{""}, ""},
		{"spaces only", []string{"   ", " "}, ""},
		{"pull", []string{"repository:a/b:pull"}, "repository:a/b:pull"},
		{"docker push", []string{"repository:a:push,pull"}, "repository:a:pull,push"},
		{"crane delete", []string{"repository:a:push,pull,delete"}, "repository:a:pull,push,delete"},
		{"oras", []string{"repository:a:delete,pull"}, "repository:a:pull,delete"},
		{"skopeo delete", []string{"repository:a:*"}, "repository:a:pull,push,delete"},
		{"star among others", []string{"repository:a:pull,*"}, "repository:a:pull,push,delete"},
		{"said twice", []string{"repository:a:pull,pull"}, "repository:a:pull"},
		{"containerd's union", []string{"repository:a:pull repository:a:pull,push"}, "repository:a:pull,push"},
		{"union over values", []string{"repository:a:pull", "repository:a:delete"}, "repository:a:pull,delete"},
		{"several in one value", []string{"repository:b:pull repository:a:pull"}, "repository:a:pull repository:b:pull"},
		{"many spaces", []string{"  repository:a:pull   repository:b:pull "}, "repository:a:pull repository:b:pull"},
		{"sorted as text", []string{"repository:a:pull repository:a-b:pull"}, "repository:a-b:pull repository:a:pull"},
		{"plugin", []string{"repository(plugin):a:pull"}, "repository:a:pull"},
		{"plugin adds up", []string{"repository(plugin):a:pull repository:a:push"}, "repository:a:pull,push"},
		{"another class", []string{"repository(x):a:pull"}, ""},
		{"unclosed class", []string{"repository(plugin:a:pull"}, ""},
		{"catalog", []string{"registry:catalog:*"}, "registry:catalog:*"},
		{"catalog beside", []string{"registry:catalog:* repository:a:pull"}, "registry:catalog:* repository:a:pull"},
		{"catalog by another action", []string{"registry:catalog:pull"}, ""},
		{"catalog by all actions", []string{"registry:catalog:pull,push,delete"}, ""},
		{"catalog before another registry thing", []string{"registry:catalog:* registry:garbage:*"}, "registry:catalog:*"},
		{"another registry thing", []string{"registry:garbage:*"}, ""},
		{"unknown type", []string{"user:a:pull"}, ""},
		{"type in upper case", []string{"Repository:a:pull"}, ""},
		{"no actions", []string{"repository:a:"}, ""},
		{"no colon", []string{"repository"}, ""},
		{"one colon", []string{"repository:a"}, ""},
		{"no name", []string{"repository::pull"}, ""},
		{"unknown action", []string{"repository:a:admin"}, ""},
		{"unknown action beside a known one", []string{"repository:a:admin,pull"}, "repository:a:pull"},
		{"action in upper case", []string{"repository:a:PULL"}, ""},
		{"empty action", []string{"repository:a:,pull,"}, "repository:a:pull"},
		{"the catalog's action", []string{"repository:a:catalog"}, ""},
		{"host and port", []string{"repository:host:5000/a:pull repository:b:pull"}, "repository:b:pull"},
		{"host", []string{"repository:example.com/a:pull"}, "repository:example.com/a:pull"},
		{"upper case", []string{"repository:A:pull"}, ""},
		{"dot segments", []string{"repository:a/../b:pull repository:a/./b:pull"}, ""},
		{"slashes", []string{"repository:/a:pull repository:a/:pull repository:a//b:pull"}, ""},
		{"wildcard name", []string{"repository:*:pull repository:**:*"}, ""},
		{"tag in the name", []string{"repository:a:v1:pull"}, ""},
		{"255 bytes", []string{"repository:" + long + ":pull"}, "repository:" + long + ":pull"},
		{"256 bytes", []string{"repository:" + long + "a:pull"}, ""},
		{"line feed", []string{"repository:a:pull\nrepository:b:pull"}, ""},
		{"no-break space", []string{"repository:a:pull\u00a0"}, ""},
		{"quote", []string{`repository:a":pull`}, ""},
		{"NUL", []string{"repository:a\x00:pull"}, ""},
		{"bad ones do no harm", []string{"x :: repository:a:pull ::: repository:A:pull"}, "repository:a:pull"},
	} {
		s, err := ParseScope(c.in)
		if err != nil || s.String() != c.want {
			t.Errorf("%s: ParseScope(%q) = %q, %v; want %q", c.name, c.in, s, err, c.want)
		}
		if s.Empty() != (c.want == "") {
			t.Errorf("%s: Empty() = %v of %q", c.name, s.Empty(), s)
		}
	}
}

func TestParseScopeLimit(t *testing.T) {
	names := make([]string, 1001)
	for i := range names {
		names[i] = fmt.Sprintf("repository:r%d:pull", i)
	}
	s, err := ParseScope([]string{strings.Join(names[:400], " "), strings.Join(names[400:1000], " ")})
	if err != nil || len(s.Strings()) != 1000 {
		t.Errorf("1,000 scopes: %d, %v", len(s.Strings()), err)
	}
	for i := range 1000 {
		if !s.Allows(fmt.Sprintf("r%d", i), Pull) {
			t.Fatalf("r%d is not found among 1,000", i)
		}
	}
	if s, err := ParseScope([]string{strings.Join(names[:400], " "), strings.Join(names[400:], " ")}); !errors.Is(err, ErrTooManyScopes) || !s.Empty() {
		t.Errorf("1,001 scopes: %v", err)
	}
	if s, err := ParseScope([]string{strings.Repeat(" ", 2000) + names[0]}); err != nil || s.Empty() {
		t.Errorf("spaces count as scopes: %q, %v", s, err)
	}
	if _, err := ParseScope([]string{strings.Repeat("x ", 1001)}); !errors.Is(err, ErrTooManyScopes) {
		t.Errorf("1,001 bad scopes: %v", err)
	}
}

func TestScopeAllowsAndNarrows(t *testing.T) {
	s, _ := ParseScope([]string{"repository:a:pull,push repository:b:delete registry:catalog:*"})
	for _, c := range []struct {
		repository string
		action     Action
		want       bool
	}{
		{"a", Pull, true}, {"a", Push, true}, {"a", Delete, false}, {"b", Delete, true}, {"b", Pull, false},
		{"c", Pull, false}, {"", Pull, false}, {"a", "admin", false}, {"a", "", false}, {"", Catalog, true}, {"zzz", Catalog, true},
	} {
		if got := s.Allows(c.repository, c.action); got != c.want {
			t.Errorf("Allows(%q, %s) = %v", c.repository, c.action, got)
		}
	}
	if (Scope{}).Allows("a", Pull) || (Scope{}).Allows("", Catalog) {
		t.Error("the zero Scope allows something")
	}
	pulls := func(string, actionSet) actionSet { return pullBit | deleteBit }
	kept, listing := s.narrowed(false, pulls), s.narrowed(true, pulls)
	if kept.String() != "repository:a:pull repository:b:delete" || listing.String() != "registry:catalog:* "+kept.String() || s.String() != "registry:catalog:* repository:a:pull,push repository:b:delete" {
		t.Errorf("narrowed to %q of %q", kept, s)
	}
}

// names are generated near the grammar, where mistakes would be.
var nearNames = rapid.StringOfN(rapid.RuneFrom([]rune("ab0._-/_-.A:*\n")), 0, 24, -1)

// TestValidRepository holds the hand-written walk against the specification's own expression.
func TestValidRepository(t *testing.T) {
	spec := regexp.MustCompile(`\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z`)
	rapid.Check(t, func(t *rapid.T) {
		if name := nearNames.Draw(t, "name"); ValidRepository(name) != spec.MatchString(name) {
			t.Fatalf("ValidRepository(%q) = %v", name, ValidRepository(name))
		}
	})
	for name, want := range map[string]bool{
		"a": true, "a.b_c__d-e---f/0": true, "a___b": false, "a..b": false, "a-_b": false, "-a": false, "a-": false, "": false, "a/": false,
		strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
	} {
		if ValidRepository(name) != want {
			t.Errorf("ValidRepository(%q) = %v", name, !want)
		}
	}
}

func TestValidTag(t *testing.T) {
	spec := regexp.MustCompile(`\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z`)
	rapid.Check(t, func(t *rapid.T) {
		if tag := nearNames.Draw(t, "tag"); ValidTag(tag) != spec.MatchString(tag) {
			t.Fatalf("ValidTag(%q) = %v", tag, ValidTag(tag))
		}
	})
	for _, tag := range []string{"A", "Z", "a", "z", "0", "9", "_", "xA", "xZ", "xa", "xz", "x0", "x9", "x_", "x.", "x-"} {
		if !ValidTag(tag) {
			t.Errorf("%q is no tag", tag)
		}
	}
	for _, tag := range []string{"vł", "é", "v\u0141", "v\x80", "v\xff", "v1\x00", "v\u0161"} { // whose last byte alone may be a letter's
		if ValidTag(tag) {
			t.Errorf("%q is a tag", tag)
		}
	}
	if !ValidTag(strings.Repeat("a", 128)) || ValidTag(strings.Repeat("a", 129)) {
		t.Error("a tag ends at 128 bytes")
	}
}

func FuzzParseScope(f *testing.F) {
	f.Add("repository:a/b:pull,push registry:catalog:*")
	f.Add("repository(plugin):host:5000/x:* repository:a:pull")
	f.Fuzz(func(t *testing.T, value string) {
		s, err := ParseScope([]string{value})
		if err != nil {
			return
		}
		list := s.Strings()
		again, err := ParseScope(list)
		if err != nil || !slices.Equal(again.Strings(), list) {
			t.Fatalf("%q is read as %q, which is read as %q", value, list, again.Strings())
		}
		for _, a := range s.repositories {
			if !ValidRepository(a.repository) || a.actions == 0 {
				t.Fatalf("%q holds %+v", value, a)
			}
		}
	})
}
