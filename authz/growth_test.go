package authz

import (
	"fmt"
	"strings"
	"testing"

	"gatehouse/authn"
)

// The benchmarks below show how the work grows: with the number of rules (row A7)
// and with the number of the caller's groups (row A20).

// rulesOf are n rules, each of a repository and a group of its own: pattern and
// subject have %d for the number.
func rulesOf(n int, pattern, subject string) []Rule {
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = allow("*", numbered(pattern, i), numbered(subject, i))
	}
	return rules
}

func numbered(text string, i int) string {
	if strings.Contains(text, "%") {
		return fmt.Sprintf(text, i)
	}
	return text
}

// member is somebody in n groups.
func member(n int) authn.Identity {
	id := authn.Identity{Directory: "example", Username: "mozart"}
	for i := range n {
		name := fmt.Sprintf("group-%06d", i)
		id.Groups = append(id.Groups, authn.Group{Name: name, DN: "cn=" + name + ",ou=groups,dc=example,dc=com"})
	}
	return id
}

// BenchmarkGrantByRules is the realm's work on a request for 1,000 scopes.
func BenchmarkGrantByRules(b *testing.B) {
	var scopes []string
	for i := range 1000 {
		scopes = append(scopes, fmt.Sprintf("repository:team-%06d/app-%d:*", i, i))
	}
	asked, err := ParseScope(scopes)
	if err != nil {
		b.Fatal(err)
	}
	for _, shape := range []struct{ name, pattern, subject string }{
		{"head", "team-%06d/**", "group:example/group-%06d"}, {"tail", "**/app-%d", "group:example/group-%06d"},
		{"any", "**", "group:example/group-%06d"}, {"everyone", "team-%06d/**", "everyone"},
	} {
		for _, n := range []int{1000, 30_000} {
			p := policy(b, rulesOf(n, shape.pattern, shape.subject)...)
			for who, id := range map[string]authn.Identity{"anonymous": {}, "signed-in": member(10)} {
				b.Run(fmt.Sprintf("%s/rules=%d/%s", shape.name, n, who), func(b *testing.B) {
					for b.Loop() {
						p.Grant(id, asked, modelSources[1])
					}
				})
			}
		}
	}
}

// BenchmarkDecideByRules is one request.
func BenchmarkDecideByRules(b *testing.B) {
	for _, n := range []int{1000, 30_000} {
		p := policy(b, rulesOf(n, "team-%06d/**", "group:example/group-%06d")...)
		id := member(10)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			for b.Loop() {
				p.Decide(id, Request{Repository: "team-000005/app", Action: Push, Tags: []string{"v1"}})
			}
		})
	}
}

// BenchmarkDecideByGroups is one request of somebody in many groups.
func BenchmarkDecideByGroups(b *testing.B) {
	for _, shape := range []struct {
		name             string
		rules            int
		pattern, subject string
	}{
		{"to", 1000, "**", "group:example/other-%06d"}, {"to-dn", 1000, "**", "group:cn=other-%06d,ou=groups,dc=example,dc=com"},
		{"placeholder", 100, "{group}/**", "authenticated"}, {"placeholder-within", 100, "team-*/x-{group}-*", "authenticated"},
	} {
		p := policy(b, append(rulesOf(shape.rules, shape.pattern, shape.subject), allow("pull", "**", "everyone"))...)
		for _, n := range []int{10, 100, 1000} {
			id := member(n)
			b.Run(fmt.Sprintf("%s/groups=%d", shape.name, n), func(b *testing.B) {
				for b.Loop() {
					if p.Decide(id, Request{Repository: "team-a/x-group-9-y", Action: Push}).Allowed {
						b.Fatal("allowed")
					}
				}
			})
		}
	}
}
