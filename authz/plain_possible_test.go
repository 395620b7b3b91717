package authz

import (
	"strings"
	"testing"
)

// TestPossible: a pattern is possible where it matches one of many names, and all patterns
// of up to four letters of a small alphabet are held against all names of up to five.
func TestPossible(t *testing.T) {
	var names []string
	for _, name := range textsOf("a-._/", 5) {
		if ValidRepository(name) {
			names = append(names, name)
		}
	}
	for _, text := range textsOf("aB-._/*", 4) {
		p, err := NewPattern(text)
		if err != nil {
			continue
		}
		found := false
		for _, name := range names {
			found = found || p.Match(name)
		}
		if p.Possible() != found && (found || len(strings.ReplaceAll(text, "*", "a")) <= 5) {
			t.Errorf("%s: %v, want %v", text, p.Possible(), found)
		}
	}
	for text, want := range map[string]bool{"**": true, "**/..": false, "team/**/A": false, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false} {
		if p, err := NewPattern(text); err != nil || p.Possible() != want {
			t.Errorf("%.20s: %v", text, err)
		}
	}
	c, err := NewCeiling([]string{"a/**", "A/**", "b", ".*"}, nil)
	if err != nil || strings.Join(c.Impossible(), " ") != "A/** .*" {
		t.Errorf("%v, %v", c, err)
	}
}

// textsOf are all texts of 1 to most of these letters.
func textsOf(letters string, most int) (all []string) {
	last := []string{""}
	for range most {
		var next []string
		for _, word := range last {
			for _, letter := range letters {
				next = append(next, word+string(letter))
			}
		}
		last, all = next, append(all, next...)
	}
	return all
}
