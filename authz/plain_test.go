package authz

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func plain(t *testing.T, text string) Pattern {
	t.Helper()
	p, err := NewPattern(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

func TestPlainPattern(t *testing.T) {
	for _, text := range []string{"{user}/**", "a/{group}", "x-{user}", "", "a//b"} {
		if _, err := NewPattern(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if p := plain(t, "team-a/**"); !p.Match("team-a") || !p.Match("team-a/x/y") || p.Match("team-ab") || p.Match("x/team-a") {
		t.Error("team-a/** does not match as in a rule")
	}
}

// TestPatternCovers: whether an earlier pattern takes all that a later one could.
func TestPatternCovers(t *testing.T) {
	for _, c := range []struct {
		p, other string
		want     bool
	}{
		{"**", "team/**", true}, {"**", "*", true}, {"**", "**", true}, {"**/*", "**", true}, {"*/**", "**", true},
		{"team/**", "team", true}, {"team/**", "team/a", true}, {"team/**", "team/*/x", true}, {"team/**", "**", false},
		{"team/*/**", "team/**", false}, {"team/*/**", "team/*", true}, {"team/*", "team/a", true}, {"team/*", "team/**", false},
		{"team-*/**", "team-a/**", true}, {"team-a/**", "team-*/**", false}, {"*", "a*", true}, {"a*", "*", false},
		{"a*b", "a*c*b", true}, {"a*c*b", "a*b", false}, {"*/*", "*", false}, {"**/x", "a/**/x", true}, {"a/**/x", "**/x", false},
		{"**/x/**", "x", true}, {"**/x/**", "**/x", true}, {"**/x/**", "y", false}, {"a/b", "a/b", true}, {"a/b", "a/bc", false},
		{"**/**", "**", true}, {"**", "a/**/b/**/c/**/d/**", false}, // not known
	} {
		if got := plain(t, c.p).Covers(plain(t, c.other)); got != c.want {
			t.Errorf("%s covers %s: %v", c.p, c.other, got)
		}
	}
}

// TestPatternCoversHolds: no name is matched by a pattern that is covered, and not by the other.
func TestPatternCoversHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	draw := func(words ...string) string {
		list := make([]string, 1+r.IntN(3))
		for i := range list {
			list[i] = words[r.IntN(len(words))]
		}
		return strings.Join(list, "/")
	}
	covered := 0
	for range 3000 {
		p, other := plain(t, draw("a", "b", "*", "**", "a*", "*b")), plain(t, draw("a", "b", "*", "**", "a*", "*b"))
		covers, seen := p.Covers(other), true
		for range 60 {
			name := draw("a", "b", "ab", "ba", "c", "acb")
			if other.Match(name) && !p.Match(name) {
				seen = false
				if covers {
					t.Fatalf("%s covers %s, but not %s", p.compiled, other.compiled, name)
				}
			}
		}
		if covers && seen {
			covered++
		}
	}
	if covered < 300 {
		t.Errorf("only %d pairs were covered", covered)
	}
}
