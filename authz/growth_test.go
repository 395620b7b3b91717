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

// shapes are of policies that grow: each rule is of another repository, of somebody
// else, or of both. What is asked is of rules here and there in the policy.
var shapes = []struct{ name, pattern, subject string }{
	{"heads", "team-%06d/**", "group:example/group-%06d"},
	{"projects", "team/project-%06d/**", "authenticated"},
	{"tails", "**/app-%06d", "group:example/group-%06d"},
	{"placeholder", "team/{group}/**", "group:example/group-%06d"},
	{"groups", "**", "group:example/group-%06d"},
	{"dns", "**", "group:cn=group-%06d,ou=groups,dc=example,dc=com"},
	{"users", "**", "user:example/user-%06d"},
	{"homes", "home/{user}/**", "user:example/user-%06d"},
	{"machines", "ci/{machine}/**", "machine:robots/job-%06d/*"},
	{"patterns", twentyPatterns(), "group:example/group-%06d"},
}

// twentyPatterns are those of one rule, some beginning alike, some ending.
func twentyPatterns() string {
	list := []string{"team-%06[1]d/**"}
	for i := range 9 {
		list = append(list, fmt.Sprintf("team-%%06[1]d/*-%d/**", i))
	}
	for i := range 5 {
		list = append(list, fmt.Sprintf("team/project-%%06[1]d/%d-*", i), fmt.Sprintf("**/app-%%06[1]d/%d", i))
	}
	return strings.Join(list, " ")
}

// asks are requests that a policy of a shape, with n rules, gets: of its rules, of
// nobody's rule, of people in as many groups and of machines.
func asks(n, groups int) (who []authn.Identity, what []Request) {
	for i := range 64 {
		at := i * (n - 1) / 63
		id := authn.Identity{Directory: "example", Username: fmt.Sprintf("user-%06d", at)}
		for g := range groups { // a few of which rules speak
			name := fmt.Sprintf("group-%06d", at+g)
			if g >= 3 {
				name = fmt.Sprintf("other-%06d", at+g)
			}
			id.Groups = append(id.Groups, authn.Group{Name: name, DN: "cn=" + name + ",ou=groups,dc=example,dc=com"})
		}
		name := fmt.Sprintf("team-%06d/a/app", at)
		switch i % 4 {
		case 1:
			name = fmt.Sprintf("team/project-%06d/app-%06d", at, at)
		case 2:
			name = fmt.Sprintf("team/group-%06d/app", at)
		case 3:
			name = fmt.Sprintf("home/user-%06d/app", at)
		}
		if i%16 == 8 {
			id, name = authn.Identity{Directory: "robots", Machine: true, Username: fmt.Sprintf("job-%06d/main", at)}, fmt.Sprintf("ci/job-%06d/main/app", at)
		}
		who, what = append(who, id), append(what, Request{Repository: name, Action: Push, Tags: []string{"v1"}})
	}
	return who, what
}

// TestLookedAt: of thousands of rules a question looks at hardly more than of ten,
// whether they are of other repositories or of other people.
func TestLookedAt(t *testing.T) {
	for _, shape := range shapes {
		most := map[int]int{}
		for _, n := range []int{10, 3000} {
			p := policy(t, rulesOf(n, shape.pattern, shape.subject)...)
			who, what := asks(n, 40)
			for i := range who {
				most[n] = max(most[n], lookedAt(p, who[i], what[i].Repository))
			}
		}
		if most[3000] > max(fewEntries, most[10]) {
			t.Errorf("%s: %d of ten rules are looked at, and %d of three thousand", shape.name, most[10], most[3000])
		}
	}
}

// lookedAt is how many patterns are held against a name for somebody.
func lookedAt(p *Policy, id authn.Identity, repository string) (count int) {
	c := p.caller(id)
	for _, h := range p.signedIn.lists(nil, repository, repository) {
		for _, entries := range h.lists(nil, &c.person) {
			count += len(entries)
		}
	}
	return count
}

// BenchmarkNew is what loading costs, with the search for rules that decide nothing.
func BenchmarkNew(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{1000, 100_000} {
			rules := rulesOf(n, shape.pattern, shape.subject)
			b.Run(fmt.Sprintf("%s/rules=%d", shape.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					policy(b, rules...)
				}
			})
		}
	}
}

// BenchmarkCatalogByRules is the filter over 1,000 names of a catalog, and what it reads
// of the catalog at all.
func BenchmarkCatalogByRules(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{10, 1000, 100_000} {
			p := policy(b, rulesOf(n, shape.pattern, shape.subject)...)
			who, what := asks(n, 10)
			b.Run(fmt.Sprintf("%s/rules=%d", shape.name, n), func(b *testing.B) {
				for b.Loop() {
					c := p.For(who[1])
					c.Prefixes(modelSources[1])
					for i := range 1000 {
						c.Decide(Request{Repository: what[i%64].Repository, Action: Pull})
					}
				}
			})
		}
	}
}

// BenchmarkDecideByRules is one request.
func BenchmarkDecideByRules(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
			p := policy(b, rulesOf(n, shape.pattern, shape.subject)...)
			for _, groups := range []int{10, 1000} {
				who, what := asks(n, groups)
				b.Run(fmt.Sprintf("%s/groups=%d/rules=%d", shape.name, groups, n), func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						p.Decide(who[i%64], what[i%64])
					}
				})
			}
		}
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
