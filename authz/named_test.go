package authz

import (
	"fmt"
	"strings"
	"testing"
)

// TestNamed: the rules that speak of nobody but somebody by name, and these names.
func TestNamed(t *testing.T) {
	for words, want := range map[string]string{
		"user:Mozart group:local/Night": `[{{0 mozart} } {{1 night} local}]`, "group:CN=Ops,DC=x": `[{{2 cn=ops,dc=x} }]`,
		"machine:robots/Team/jenkins": `[{{3 team/jenkins} robots}]`, "user:robots/x": `[{{0 x} robots}]`,
		"machine:robots/team/*": "", "machine:robots/**": "", "user:x machine:robots/a*": "",
		"everyone": "", "authenticated": "", "people": "", "machines": "", "directory:local": "", "user:x directory:local": "",
	} {
		p, err := New(Config{Directories: []string{"local", "robots"}, Machines: []string{"robots"},
			Rules: []Rule{{Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"everyone"}}, {Deny: []string{"pull"}, Repositories: []string{"a"}, To: strings.Fields(words)}}})
		if p == nil {
			t.Fatalf("%s: %v", words, err)
		}
		named := p.Named()
		got := ""
		if names, ok := named[1]; ok {
			got = fmt.Sprint(names)
		}
		if got != want || len(named) > 1 {
			t.Errorf("%s: %s of %v, want %s", words, got, named, want)
		}
	}
}
