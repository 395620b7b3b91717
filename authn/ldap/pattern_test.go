package ldap

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestPatternOfTheDocs (D8): the wider login_pattern that docs/ldap.md offers takes
// the names that it is offered for, and no more than names.
func TestPatternOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/ldap.md")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Pattern string `yaml:"login_pattern"`
	}
	line := regexp.MustCompile(`login_pattern: '.*`).FindString(string(text))
	if err := yaml.Unmarshal([]byte(line), &doc); err != nil {
		t.Fatal(err)
	}
	wide, err := newLoginRule(doc.Pattern, nil)
	if err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]string{
		"jürgen": "", "Clara Schumann": "", `CORP\clara`: "", "clara@example.com": "", "Дмитрий": "", "o": "",
		"a)(uid=*": "login_pattern", "*": "login_pattern", "-x": "login_pattern", "j\xfcrgen": "UTF-8", " clara": "space", "a\x00": "invisible", "ｃlara": "NFKC",
	} {
		err := wide.check(login)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", login, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "clara") {
			t.Errorf("the reason has the name: %v", err)
		}
	}
}
