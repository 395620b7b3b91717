package apitoken

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGitleaks: the rule that we ship finds every token in the midst of a text, and none
// that is longer, shorter or of another kind.
func TestGitleaks(t *testing.T) {
	text, err := os.ReadFile("../../deploy/gitleaks.toml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^regex = '''(.*)'''$`).FindSubmatch(text)
	if found == nil || !strings.Contains(string(text), `keywords = ["gthp_", "gthm_"]`) {
		t.Fatalf("no rule in:\n%s", text)
	}
	rule := regexp.MustCompile(string(found[1]))
	for i := range 1000 {
		token := string([]Kind{Personal, Machine}[i%2].New())
		for _, line := range []string{token, "password: " + token, `"` + token + `"`, "https://x:" + token + "@registry.example/", "TOKEN=" + token + "\n"} {
			if rule.FindString(line) != token {
				t.Fatalf("%q is not found", line)
			}
		}
		for _, line := range []string{token + "0", token[:52], "x" + token, "gthx_" + token[5:], "GTHM_" + token[5:], token[:20] + "-" + token[21:], "_" + token, token[5:]} {
			if rule.MatchString(line) {
				t.Fatalf("%q is found", line)
			}
		}
	}
}
