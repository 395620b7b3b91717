package authz

import (
	"slices"
	"strings"
	"testing"
)

// TestMeetsNames: two patterns meet just where there is a name that both match, and they
// begin alike then.
func TestMeetsNames(t *testing.T) {
	grown := func(list, components []string, depth int) (all []string) {
		all = slices.Clone(list)
		for range depth - 1 {
			var longer []string
			for _, begin := range list {
				for _, c := range components {
					longer = append(longer, begin+"/"+c)
				}
			}
			all, list = append(all, longer...), longer
		}
		return all
	}
	texts, parts := []string{"a", "b", "ab"}, []string{"a", "*", "**", "a*", "*b"}
	names := grown(texts, texts, 5)
	var patterns []pattern
	for _, text := range grown(parts, parts, 2) {
		p, err := compilePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	who := &person{}
	for _, a := range patterns {
		var matched []string
		for _, name := range names {
			if a.match(name, who) {
				matched = append(matched, name)
			}
		}
		for _, b := range patterns {
			want := slices.ContainsFunc(matched, func(name string) bool { return b.match(name, who) })
			if got := meets(a.components, b.components); got != want {
				t.Errorf("%s and %s meet: %v", a, b, got)
			}
			if want && !near([]pattern{a}, []pattern{b}) {
				t.Errorf("%s and %s meet, and are not near", a, b)
			}
		}
	}
}

// TestMeetSubjects: who is meant by both of two words.
func TestMeetSubjects(t *testing.T) {
	known := newDirectories([]string{"local", "robots"}, []string{"robots"})
	for text, want := range map[string]string{
		"everyone authenticated": "authenticated", "authenticated group:local/dev": "group:local/dev", "people group:local/dev": "group:local/dev", "people user:local/x": "user:local/x",
		"group:local/dev group:local/dev": "group:local/dev", "group:local/dev group:local/ops": "", "user:local/x user:local/y": "", "people machines": "", "people machine:robots/a": "",
		"directory:local user:local/x": "user:local/x", "directory:local machine:robots/a": "", "machine:robots/** machine:robots/a": "machine:robots/a",
	} {
		first, second, _ := strings.Cut(text, " ")
		a, err := compileSubject(first, known)
		b, err2 := compileSubject(second, known)
		if err != nil || err2 != nil {
			t.Fatal(text, err, err2)
		}
		for _, pair := range [][2]subject{{a, b}, {b, a}} {
			who, ok := pair[0].meet(pair[1])
			if ok != (want != "") {
				t.Errorf("%s: %v", text, ok)
				continue
			}
			if wanted, err := compileSubject(want, known); ok && (err != nil || !wanted.covers(who) || !who.covers(wanted)) {
				t.Errorf("%s: %+v, want %s", text, who, want)
			}
		}
	}
}
