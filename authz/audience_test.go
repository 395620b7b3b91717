package authz

import (
	"strings"
	"testing"
)

// TestMisses: words whose people are surely not all in an audience.
func TestMisses(t *testing.T) {
	for _, c := range []struct{ all, words, want string }{
		{"people", "everyone people authenticated directory:local user:local/x group:y machines machine:robots/x", ""},
		{"authenticated", "people group:x", ""}, {"everyone", "people", ""}, {"", "user:local/x machines", "user:local/x"},
		{"group:dev", "people group:dev group:ops user:local/x directory:local machines", "people directory:local"},
		{"directory:local", "everyone directory:local directory:example user:local/x", "everyone directory:example"},
		{"user:local/a user:b", "user:local/a user:local/b user:example/a group:x", "user:example/a group:x"},
		{"machines", "people user:local/x", "people user:local/x"},
	} {
		lists := map[string]*Audience{}
		for _, words := range []string{c.all, c.words} {
			a, err := NewAudience(strings.Fields(words), []string{"local", "example", "robots"}, []string{"robots"})
			if a == nil {
				t.Fatalf("%s: %v", words, err)
			}
			lists[words] = a
		}
		var got []string
		for _, i := range lists[c.all].Misses(lists[c.words]) {
			got = append(got, strings.Fields(c.words)[i])
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q misses %q of %q, want %q", c.all, got, c.words, c.want)
		}
	}
}

// TestAudience: the words are those of a rule.
func TestAudience(t *testing.T) {
	for words, want := range map[string]string{
		"": "", "everyone": "- admin bach mozart odd", "user:local/admin": "admin", "user:Admin group:release": "admin mozart", "directory:example": "bach mozart", "authenticated": "admin bach mozart odd",
	} {
		a, err := NewAudience(strings.Fields(words), []string{"local", "example"}, nil)
		if a == nil {
			t.Fatalf("%s: %v", words, err)
		}
		var has []string
		for _, name := range strings.Fields("- admin bach mozart odd") {
			if a.Has(people[name]) {
				has = append(has, name)
			}
		}
		if got := strings.Join(has, " "); got != want {
			t.Errorf("%s: %s, want %s", words, got, want)
		}
	}
	if a, err := NewAudience([]string{"everyone", "all", "user:x", "directory:corp"}, []string{"local", "example"}, nil); a != nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), `"all" is none of`) {
		t.Errorf("%v, %v", a, err)
	}
	if (*Audience)(nil).Has(admin) || (&Audience{}).Has(anonymous) {
		t.Error("nobody is somebody")
	}
}
