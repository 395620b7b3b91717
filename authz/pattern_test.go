package authz

import (
	"strings"
	"testing"

	"gatehouse/authn"
)

func TestPattern(t *testing.T) {
	mozart := authn.Identity{Directory: "d", Username: "mozart", Groups: []authn.Group{{Name: "musicians"}, {Name: "team-a"}}}
	named := func(user string, groups ...string) authn.Identity {
		id := authn.Identity{Directory: "d", Username: user}
		for _, g := range groups {
			id.Groups = append(id.Groups, authn.Group{Name: g})
		}
		return id
	}
	for _, c := range []struct {
		pattern, name string
		id            authn.Identity
		want          bool
	}{
		{"a", "a", mozart, true},
		{"a", "ab", mozart, false},
		{"a", "b/a", mozart, false},
		{"a", "a/b", mozart, false},
		{"a.b", "axb", mozart, false},
		{"a*", "a", mozart, true},
		{"a*", "abc", mozart, true},
		{"a*", "a/b", mozart, false},
		{"*", "abc", mozart, true},
		{"*", "a/b", mozart, false},
		{"*/b", "a/b", mozart, true},
		{"*b*", "abc", mozart, true},
		{"a*b*c", "abbbc", mozart, true},
		{"a*b*c", "acb", mozart, false},
		{"a*bc", "abcbc", mozart, true},
		{"**", "a/b/c", mozart, true},
		{"prod/**", "prod", mozart, true},
		{"prod/**", "prod/a/b", mozart, true},
		{"prod/**", "production", mozart, false},
		{"prod/**", "x/prod", mozart, false},
		{"prod/*", "prod", mozart, false},
		{"**/x", "x", mozart, true},
		{"**/x", "a/b/x", mozart, true},
		{"**/x", "a/b/xy", mozart, false},
		{"a/**/x", "a/x", mozart, true},
		{"a/**/x", "a/b/c/x", mozart, true},
		{"a/**/x", "a/b/c", mozart, false},
		{"**/a/**/b/**", "x/a/y/b/z", mozart, true},
		{"**/a/**/b/**", "b/a", mozart, false},
		{"**/**", "a", mozart, true},
		{"**/**/a", "a", mozart, true},
		{"**/**/a", "b", mozart, false},
		{"**/*-x/*", "a/b-x/c", mozart, true},
		{"users/{user}/**", "users/mozart/app", mozart, true},
		{"users/{user}/**", "users/bach/app", mozart, false},
		{"users/{user}", "users/mozart2", mozart, false},
		{"x-{user}-*", "x-mozart-1", mozart, true},
		{"{user}.{group}", "mozart.team-a", mozart, true},
		{"{group}/*", "team-a/app", mozart, true},
		{"{group}/*", "musicians/app", mozart, true},
		{"{group}/*", "team-b/app", mozart, false},
		{"{group}/*", "a/app", named("a"), false},
		{"{user}", "a", authn.Identity{}, false},
		{"x{user}", "x", authn.Identity{}, false},
		{"{user}", "a/b", named("a/b"), false},
		{"{user}/**", "a/b/c", named("a/b"), false},
		{"{user}", "abc", named(".*"), false},
		{"{user}", "abc", named("*"), false},
		{"{user}", "abc", named("**"), false},
		{"{user}", "a", named("A"), false},
		{"{user}/x", "../x", named(".."), false},
		{"{user}", "mozart@example.com", named("mozart@example.com"), false},
		{"{group}", "a/b", named("u", "a/b", "**", "*"), false},
		{"{group}", "ok", named("u", "a/b", "ok"), true},
	} {
		p, err := compilePattern(c.pattern)
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
			continue
		}
		if got := p.match(c.name, &person{Identity: c.id}); got != c.want {
			t.Errorf("%q on %q for %q: %v", c.pattern, c.name, c.id.Username, got)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":            "empty pattern",
		"a**":         "whole component",
		"**a/b":       "whole component",
		"a/***":       "whole component",
		"a//b":        "empty component",
		"/a":          "empty component",
		"a/":          "empty component",
		"{x}":         "{user}, {group} and {machine}",
		"a/{user":     "{user}, {group} and {machine}",
		"{User}":      "{user}, {group} and {machine}",
		"a:b":         `':'`,
		"a b":         `' '`,
		"a?":          `'?'`,
		"[a-z]":       `'['`,
		"^a$":         `'^'`,
		"a\\b":        `'\\'`,
		"é":           `'é'`,
		"a}":          `'}'`,
		"docker.io:*": `':'`,
	} {
		if _, err := compilePattern(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	if _, err := compileTagPattern("a/b"); err == nil {
		t.Error("a tag pattern may hold a slash")
	}
}

// simpleMatch is the language said as plainly as possible, for the fuzzer to
// hold the matcher against; its time grows without bound.
func simpleMatch(pattern, name []string, user string) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	if pattern[0] == "**" {
		return simpleMatch(pattern[1:], name, user) || len(name) > 0 && simpleMatch(pattern, name[1:], user)
	}
	return len(name) > 0 && simpleComponent(pattern[0], name[0], user) && simpleMatch(pattern[1:], name[1:], user)
}

func simpleComponent(pattern, name, user string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return simpleComponent(pattern[1:], name, user) || name != "" && simpleComponent(pattern, name[1:], user)
	case strings.HasPrefix(pattern, "{user}"):
		return ValidRepository(user) && !strings.Contains(user, "/") && strings.HasPrefix(name, user) &&
			simpleComponent(pattern[6:], name[len(user):], user)
	}
	return name != "" && pattern[0] == name[0] && simpleComponent(pattern[1:], name[1:], user)
}

func FuzzPattern(f *testing.F) {
	f.Add("a/**/x*y/{user}", "a/b/xyy/mozart", "mozart")
	f.Add("*a*b/**", "ab", "")
	f.Add("**/a/**/b", "a/a/b/b", "b")
	f.Add("{user}{user}*", "aaaa", "a")
	f.Fuzz(func(t *testing.T, pattern, name, user string) {
		p, err := compilePattern(pattern)
		if err != nil || !ValidRepository(name) || len(name) > 40 || strings.Count(pattern, "*") > 6 || strings.Contains(pattern, "{group}") {
			return
		}
		want := simpleMatch(strings.Split(pattern, "/"), strings.Split(name, "/"), user)
		if got := p.match(name, &person{Identity: authn.Identity{Directory: "d", Username: user}}); got != want {
			t.Fatalf("%q on %q for %q: %v", pattern, name, user, got)
		}
	})
}
