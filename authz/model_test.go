package authz

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/authn"
)

// model is the policy once more, written from its description alone and as
// plainly as can be: nothing is compiled, nothing ordered to be quick, patterns
// become regular expressions at each question. It shares the types of questions
// and answers with the product and nothing else.
type model []Rule

var (
	modelComponent = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	modelName      = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// decide: a deny that matches always wins; else each tag that the request names
// needs an allow, or the request itself where it names none.
func (m model) decide(id authn.Identity, q Request) Decision {
	if q.Action == Catalog {
		return m.catalog(id)
	}
	if !slices.Contains([]Action{Pull, Push, Delete}, q.Action) || !modelName.MatchString(q.Repository) || len(q.Repository) > 255 {
		return Decision{}
	}
	for _, r := range m {
		if modelSpeaks(r, r.Deny, id, q) && modelDeniesTags(r, id, q) {
			return Decision{Rule: r.Position}
		}
	}
	if len(q.Tags) == 0 {
		return m.allow(id, q, func(r Rule) bool { return len(r.Tags) == 0 || q.Action == Push })
	}
	var answer Decision
	for i, tag := range q.Tags {
		one := m.allow(id, q, func(r Rule) bool { return len(r.Tags) == 0 || modelMatches(r.Tags, tag, id) })
		if !one.Allowed {
			return one
		}
		if i == 0 {
			answer = one
		}
	}
	return answer
}

// allow is the first rule that allows the request and says yes to its tags.
func (m model) allow(id authn.Identity, q Request, tags func(Rule) bool) Decision {
	for _, r := range m {
		if modelSpeaks(r, r.Allow, id, q) && tags(r) {
			return Decision{Allowed: true, Rule: r.Position}
		}
	}
	return Decision{}
}

func modelDeniesTags(r Rule, id authn.Identity, q Request) bool {
	return len(r.Tags) == 0 || len(q.Tags) == 0 && q.Action == Delete ||
		slices.ContainsFunc(q.Tags, func(tag string) bool { return modelMatches(r.Tags, tag, id) })
}

// grant is what the realm gives of one access: tags are not known there, so a
// deny with tags takes nothing away and an allow with tags grants.
func (m model) grant(id authn.Identity, q Request) bool {
	denied := slices.ContainsFunc(m, func(r Rule) bool { return len(r.Tags) == 0 && modelSpeaks(r, r.Deny, id, q) })
	return !denied && modelName.MatchString(q.Repository) &&
		slices.ContainsFunc(m, func(r Rule) bool { return modelSpeaks(r, r.Allow, id, q) })
}

// catalog is for everyone signed in, and for the anonymous caller where a rule
// that speaks to everyone allows some pull.
func (m model) catalog(id authn.Identity) Decision {
	if id.Directory != "" {
		return Decision{Allowed: true}
	}
	for _, r := range m {
		pull := slices.Contains(r.Allow, "pull") || slices.Contains(r.Allow, "*")
		if pull && slices.Contains(r.To, "everyone") && !slices.Contains(r.Except, "everyone") {
			return Decision{Allowed: true, Rule: r.Position}
		}
	}
	return Decision{}
}

func modelSpeaks(r Rule, actions []string, id authn.Identity, q Request) bool {
	means := func(who string) bool { return modelMeans(who, id) }
	return (slices.Contains(actions, string(q.Action)) || slices.Contains(actions, "*")) &&
		modelMatches(r.Repositories, q.Repository, id) &&
		slices.ContainsFunc(r.To, means) && !slices.ContainsFunc(r.Except, means) &&
		(len(r.Networks) == 0 || !q.Source.IsValid() && len(r.Deny) > 0 || slices.ContainsFunc(r.Networks, func(n string) bool { return modelContains(n, q.Source) }))
}

// modelMeans reports whether an entry of `to` or `except` means the caller.
func modelMeans(who string, id authn.Identity) bool {
	kind, name, _ := strings.Cut(strings.ToLower(who), ":")
	name = strings.ReplaceAll(strings.Join(strings.Fields(name), " "), "/ ", "/")
	if kind == "everyone" || id.Directory == "" {
		return kind == "everyone"
	}
	is := func(value string) bool { return name == value || name == id.Directory+"/"+value }
	switch kind {
	case "user":
		return is(id.Username)
	case "group":
		return slices.ContainsFunc(id.Groups, func(g authn.Group) bool { return is(g.Name) || is(g.DN) })
	case "directory":
		return name == id.Directory
	}
	return true // authenticated
}

// modelMatches reports whether one of the patterns matches, with each of the
// caller's groups in turn (or none) where a pattern has {group}.
func modelMatches(patterns []string, name string, id authn.Identity) bool {
	groups := append([]authn.Group{{}}, id.Groups...)
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return slices.ContainsFunc(groups, func(g authn.Group) bool {
			return modelPattern(pattern, id.Username, g.Name).MatchString(name + "/")
		})
	})
}

// modelPattern writes a pattern as a regular expression of names with a slash
// behind each component.
func modelPattern(pattern, user, group string) *regexp.Regexp {
	literal := func(value string) string {
		if !modelComponent.MatchString(value) {
			return `[^\s\S]` // nothing
		}
		return regexp.QuoteMeta(value)
	}
	words := strings.NewReplacer("**/", `([^/]+/)*`, "*", `[^/]*`, ".", `\.`, "{user}", literal(user), "{group}", literal(group))
	return regexp.MustCompile(`^` + words.Replace(pattern+"/") + `$`)
}

func modelContains(network string, source netip.Addr) bool {
	ip := net.ParseIP(source.WithZone("").String())
	if _, n, err := net.ParseCIDR(network); err == nil {
		return source.IsValid() && n.Contains(ip)
	}
	return source.IsValid() && net.ParseIP(network).Equal(ip)
}

// The generators below draw from words that often meet, and from some that must
// not: names that would be patterns, and names that are no component.
func listOf(words string, least, most int) *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(strings.Fields(words)), least, most, rapid.ID)
}

// blanks are written ~ in a list of words.
func blanks(list []string) []string {
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "~", " ")
	}
	return list
}

func pathOf(words string) *rapid.Generator[string] {
	parts := rapid.SliceOfN(rapid.SampledFrom(strings.Fields(words)), 1, 4)
	return rapid.Map(parts, func(list []string) string { return strings.Join(list, "/") })
}

var (
	modelPatterns = pathOf("** ** * a b a* *b *-* a.b {user} {group} x-{user} {group}-* {user}.{group} *{group} *-{group}-* {group}{group} mozart release")
	modelRule     = rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{
			Allow:        listOf("pull push delete", 1, 3).Draw(t, "actions"),
			Repositories: rapid.SliceOfN(modelPatterns, 1, 2).Draw(t, "repositories"),
			To:           blanks(listOf(modelSubjects, 1, 3).Draw(t, "to")),
			Except:       blanks(listOf(modelSubjects, 0, 1).Draw(t, "except")),
		}
		if rapid.IntRange(0, 3).Draw(t, "narrow") == 0 {
			r.Networks = listOf("10.0.0.0/8 10.1.0.0/16 192.0.2.1 ::ffff:10.0.0.0/104 ::ffff:192.0.2.1 2001:db8::/32 0.0.0.0/0 ::/0", 1, 2).Draw(t, "networks")
		}
		if !slices.Contains(r.Allow, "pull") && rapid.Bool().Draw(t, "tagged") {
			r.Tags = listOf("v* latest {user} {group}-* * v1.0 *", 1, 2).Draw(t, "tags")
		} else if len(r.Allow) == 3 {
			r.Allow = []string{"*"}
		}
		if rapid.IntRange(0, 2).Draw(t, "deny") == 0 {
			r.Allow, r.Deny = nil, r.Allow
		}
		return r
	})
	modelPerson = rapid.Custom(func(t *rapid.T) authn.Identity {
		id := authn.Identity{Directory: rapid.SampledFrom([]string{"", "local", "example"}).Draw(t, "directory")}
		if id.Directory == "" {
			return id
		}
		id.Username = rapid.SampledFrom(strings.Fields("mozart mozart bach a b a.b b/a a..b ** * .* o'hara -")).Draw(t, "name")
		names := blanks(listOf("release team-a a b a/b night~shift ** .* {user}", 0, 3).Draw(t, "groups"))
		if rapid.Bool().Draw(t, "many") {
			names = append(names, strings.Fields("z9 z8 z7 z6 z5 z4 z3 z2 z1 z0 y-1")...)
		}
		for _, name := range names {
			id.Groups = append(id.Groups, authn.Group{Name: name, DN: "cn=" + name + ",dc=x"})
		}
		return id
	})
	modelRequest = rapid.Custom(func(t *rapid.T) Request {
		return Request{
			Repository: pathOf("a a b ab a.b axb mozart bach release team-a x-mozart release-1 mozart.release x-release-1 aa a-a-a z0 A a..b .. ** {user}").Draw(t, "repository"),
			Action:     rapid.SampledFrom([]Action{Pull, Push, Delete, Pull, Push, Delete, Catalog, "*", "Pull", ""}).Draw(t, "action"),
			Tags:       rapid.SliceOfN(rapid.SampledFrom(strings.Fields("v1 v1.0 v1x0 latest mozart release-1 x")), 0, 2).Draw(t, "tags"),
			Source:     rapid.SampledFrom(modelSources).Draw(t, "source"),
		}
	})
	modelSources = []netip.Addr{{}, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("192.0.2.1"),
		netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("2001:db8::1%eth0"), netip.MustParseAddr("2001:db9::1")}
)

const modelSubjects = "everyone authenticated authenticated user:mozart user:Mozart user:local/mozart user:example/bach user:a " +
	"group:release group:Team-A group:example/release group:local/a group:cn=Release,dc=x group:local/cn=b,dc=x directory:local directory:example " +
	"user:~Mozart group:release~ group:Night~~Shift group:example/~night~shift group:local/a/b group:z5"

// checkModel draws a policy and asks product and model the same questions.
func checkModel(t *rapid.T) {
	rules := rapid.SliceOfN(modelRule, 0, 6).Draw(t, "rules")
	p := policy(t, rules...)
	m := model(rules)
	for range 20 {
		id, q := modelPerson.Draw(t, "who"), modelRequest.Draw(t, "request")
		if got, want := p.Decide(id, q), m.decide(id, q); got != want {
			t.Fatalf("%+v for %+v: %+v, the model says %+v", q, id, got, want)
		}
		asked, _ := ParseScope([]string{"registry:catalog:* repository:" + q.Repository + ":" + string(q.Action)})
		granted := p.Grant(id, asked, q.Source)
		for _, q.Action = range repositoryActions {
			if got, want := granted.Allows(q.Repository, q.Action), asked.Allows(q.Repository, q.Action) && m.grant(id, q); got != want {
				t.Fatalf("the realm grants %+v to %+v: %v, the model says %v", q, id, got, want)
			}
		}
		if granted.Allows("", Catalog) != m.catalog(id).Allowed {
			t.Fatalf("the realm grants the catalog to %+v: %v", id, granted.Allows("", Catalog))
		}
	}
}

// TestModel: for any policy, person and request the product says what the model
// says, in /v2/ and at the realm, and names the same rule.
func TestModel(t *testing.T) { rapid.Check(t, checkModel) }

// FuzzModel is TestModel with the fuzzer choosing what to draw.
func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkModel)) }

// TestLaws: what must hold of any policy, whatever its rules mean. The names of
// rules are left out of it, for they hang on the order.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, more := rapid.SliceOfN(modelRule, 0, 6).Draw(t, "rules"), modelRule.Draw(t, "more")
		shuffled := rapid.Permutation(rules).Draw(t, "shuffled")
		p, wider, other := policy(t, slices.Clone(rules)...), policy(t, append(slices.Clone(rules), more)...), policy(t, shuffled...)
		for range 10 {
			id, q := modelPerson.Draw(t, "who"), modelRequest.Draw(t, "request")
			before, after := p.Decide(id, q).Allowed, wider.Decide(id, q).Allowed
			asked, _ := ParseScope([]string{fmt.Sprintf("repository:%s:%s", q.Repository, q.Action)})
			granted := p.Grant(id, asked, q.Source)
			switch {
			case q.Action != Catalog && (&Policy{}).Decide(id, q).Allowed:
				t.Fatalf("the empty policy allows %+v", q)
			case len(more.Allow) > 0 && before && !after:
				t.Fatalf("an allow took %+v away", q)
			case len(more.Deny) > 0 && !before && after:
				t.Fatalf("a deny gave %+v", q)
			case other.Decide(id, q).Allowed != before:
				t.Fatalf("the order of the rules decides on %+v", q)
			case other.Grant(id, asked, q.Source).String() != granted.String():
				t.Fatalf("the order of the rules decides on the grant of %+v", q)
			case before && q.Action != Catalog && !granted.Allows(q.Repository, q.Action):
				t.Fatalf("%+v is allowed and never granted", q)
			case before && q.Action == Pull && !slices.ContainsFunc(p.For(id).Prefixes(q.Source), func(b string) bool { return strings.HasPrefix(q.Repository+"/", b) }):
				t.Fatalf("%+v is allowed and begins with none of %q", q, p.For(id).Prefixes(q.Source))
			}
			for _, scope := range granted.Strings() {
				for _, one := range strings.Split(scope[strings.LastIndex(scope, ":")+1:], ",") {
					if !strings.HasPrefix(scope, "repository:"+q.Repository+":") || !asked.Allows(q.Repository, Action(one)) {
						t.Fatalf("granted %q of %q", granted, asked)
					}
				}
			}
		}
	})
}
