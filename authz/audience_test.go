package authz

import (
	"strings"
	"testing"
)

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
