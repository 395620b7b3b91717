package authz

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn"
)

// The tests below count what is looked at, where the others see the answers only
// (rows A7 and A20).

// TestIndexEnds: under which components a pattern stands.
func TestIndexEnds(t *testing.T) {
	for text, want := range map[string][2]string{
		"prod/app": {"prod/app", ""}, "prod/**": {"prod", ""}, "a/b/*/c": {"a/b", "c"}, "**": {"", ""}, "*": {"", ""}, "**/app": {"", "app"}, "*/a/b": {"", "a/b"},
		"a*/b": {"", "b"}, "{user}/**": {"", ""}, "{group}": {"", ""}, "home/{user}": {"home", ""}, "a/x-{user}/b": {"a", "b"}, "a/**/a": {"a", "a"},
	} {
		p, err := compilePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if head, tail := ends(p.components); head != want[0] || tail != want[1] {
			t.Errorf("%s: %q and %q, want %q", text, head, tail, want)
		}
	}
}

// visited are the places of the rules that are looked at for a name, in order.
func visited(x *index, name string) []int {
	var places []int
	for _, h := range x.lists(nil, name, name) {
		for _, e := range h.entries {
			places = append(places, e.rule)
		}
	}
	slices.Sort(places)
	return places
}

// TestIndexVisit: a name is held against the patterns that stand under its own
// components and those that stand nowhere, and nobody's against rules that cannot
// speak to them.
func TestIndexVisit(t *testing.T) {
	p := policy(t, allow("pull", "a/**", "user:mozart"), allow("pull", "a/b/**", "everyone"), allow("pull", "b/** **/c", "user:mozart"), allow("pull", "**/b/c", "everyone"),
		allow("pull", "**", "user:mozart"), allow("pull", "a-longer-one/**", "everyone"), allow("pull", "*/x", "everyone", except("everyone")))
	for name, want := range map[string]string{
		"a": "[0 4]", "a/b": "[0 1 4]", "a/b/c": "[0 1 2 3 4]", "b": "[2 4]", "c": "[2 4]", "b/c": "[2 2 3 4]", "ab/x": "[4 6]", "x/a": "[4]",
		"a-longer-one": "[4 5]", "a-longer-one/a-longer-one": "[4 5]", "b/a-longer-one": "[2 4]",
	} {
		if got := fmt.Sprint(visited(&p.signedIn, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := fmt.Sprint(visited(&p.anonymous, "a/b/c")); got != "[1 3]" {
		t.Errorf("anonymous: %s", got)
	}
	c := p.For(authn.Identity{})
	if c.Decide(Request{Repository: "a/b", Action: Pull}).Rule != "p:2" || len(c.heard) != 1 {
		t.Errorf("an anonymous caller was held against %d lists", len(c.heard))
	}
}

// TestCallerRemembers: whether a rule speaks to the caller is found out once.
func TestCallerRemembers(t *testing.T) {
	p := policy(t, allow("pull", "**", "group:release"), allow("push", "**", "authenticated"), allow("delete", "**", "user:bach"))
	c, q := p.For(mozart), Request{Repository: "a", Action: Pull}
	if !c.Decide(q).Allowed {
		t.Fatal("denied")
	}
	key := p.signedIn.heads[""]
	if heard := c.heard[key]; len(heard) != 2 || heard[0].rule != 0 || heard[1].rule != 1 {
		t.Errorf("remembered: %+v", heard)
	}
	c.heard[key] = nil
	if c.Decide(q).Allowed {
		t.Error("what is remembered is not taken")
	}
	if !p.Decide(mozart, q).Allowed || p.Decide(bach, q).Allowed {
		t.Error("one question alone is answered otherwise")
	}
}

// TestReadings: how many texts of a name {group} may stand for, and which are tried.
func TestReadings(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		readings      int
		component     string // in which {group} stands
		tried         string
	}{
		{"{group}/**", "ab/c", 1, "ab", "ab"},
		{"x/{group}", "x/ab", 1, "ab", "ab"},
		{"x-{group}", "x-ab", 1, "x-ab", "ab"},
		{"{group}-x", "ab-x", 1, "ab-x", "ab"},
		{"{user}.{group}-x", "me.ab-x", 1, "me.ab-x", "ab"},
		{"{group}-*", "ab-", 3, "ab-", "ab a"},
		{"*-{group}", "a-bc", 4, "a-bc", "-bc bc c"},
		{"*{group}*", "abc", 9, "abc", "abc ab a bc b c"},
		{"{group}{group}", "aa", 2, "aa", "aa a"},
		{"**/{group}", "a/bc", 4, "bc", "bc"},
		{"**/{group}-*", "a/b-", 4, "b-", "b"},
		{"{group}/**/{group}", "ab/ab", 1, "ab", "ab"},
		{"xyz-{group}", "xyz", 1, "xyz", ""},
	} {
		p, err := compilePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.readings(c.name); got != c.readings {
			t.Errorf("%s in %s: %d readings, want %d", c.pattern, c.name, got, c.readings)
		}
		var tried []string
		p.components[p.ofGroup].readGroup(c.component, &person{Identity: authn.Identity{Directory: "d", Username: "me"}}, func(text string) bool {
			tried = append(tried, text)
			return false
		})
		if got := strings.Join(tried, " "); got != c.tried {
			t.Errorf("%s in %s: tried %q, want %q", c.pattern, c.component, got, c.tried)
		}
	}
	if p, err := compilePattern("a/{group}/{group}"); err != nil || p.ofGroup != 1 {
		t.Errorf("{group} stands first in %d, %v", p.ofGroup, err)
	}
}

// TestGroupsLookedUp: few groups are walked, many are put in order once, and a list
// that is in order is not copied.
func TestGroupsLookedUp(t *testing.T) {
	for n, want := range map[int]bool{few: false, few + 1: true} {
		p := person{Identity: member(n)}
		last := p.Groups[n-1]
		if !p.inGroup(last.Name) || !p.inNamed(last.Name) || !p.inNamedDN(last.DN) || p.inGroup("group-") || p.inNamed("group-") || p.inNamedDN(last.Name) {
			t.Errorf("%d groups: a wrong answer", n)
		}
		if (p.found != nil) != want {
			t.Errorf("%d groups: looked up in order %v, want %v", n, p.found != nil, want)
		}
	}
	sorted, turned := person{Identity: member(20)}, person{Identity: member(20)}
	slices.Reverse(turned.Groups)
	for _, p := range []*person{&sorted, &turned} {
		for range 2 {
			before := p.found
			if !p.inGroup("group-000007") || p.inGroup("group-7") || !p.inNamed("group-000007") || p.inNamed("group-7") || !p.inNamedDN(p.Groups[3].DN) {
				t.Error("a wrong answer")
			}
			if before != nil && before != p.found {
				t.Error("the order is made twice")
			}
		}
	}
	if sorted.found.all != nil || len(turned.found.all) != 20 || turned.Groups[0].Name != "group-000019" {
		t.Error("a list is copied without need, or changed")
	}
}

// TestLookingUpIsChosen: where the name has fewer readings than the caller has
// groups, they are looked up, else the groups are tried; a match is one either way.
func TestLookingUpIsChosen(t *testing.T) {
	p, err := compilePattern("{group}/**")
	if err != nil {
		t.Fatal(err)
	}
	many := person{Identity: member(20)}
	if !p.match("group-000003/a", &many) || many.found == nil {
		t.Error("twenty groups were tried for one reading")
	}
	within, err := compilePattern("*{group}*")
	if err != nil {
		t.Fatal(err)
	}
	tried := person{Identity: member(20)}
	if !within.match("x-group-000003-y", &tried) || tried.found != nil {
		t.Error("256 readings were looked up for twenty groups")
	}
}

// TestHearers: more than few entries stand under their names, and of those only the lists
// of the caller are handed out, whether their groups are more than the names or fewer.
func TestHearers(t *testing.T) {
	for n, settled := range map[int]bool{fewEntries: false, fewEntries + 1: true} {
		p := policy(t, rulesOf(n, "**", "group:example/group-%06d")...)
		h := p.signedIn.heads[""]
		if (h.byName != nil) != settled || len(h.lists(nil, &person{})) != 1 {
			t.Errorf("%d entries: under their names %v, want %v", n, h.byName != nil, settled)
		}
	}
	for _, subject := range []string{"group:example/group-%06d", "group:cn=group-%06d,ou=groups,dc=example,dc=com"} {
		p := policy(t, rulesOf(40, "**", subject)...)
		for groups, want := range map[int]int{3: 3, 39: 39, 40: 40, 41: 40, 60: 40} {
			id := member(groups)
			if got := lookedAt(p, id, "a"); got != want {
				t.Errorf("%s, %d groups: %d are looked at, want %d", subject, groups, got, want)
			}
			others := member(groups)
			for i := range others.Groups {
				others.Groups[i] = authn.Group{Name: "x" + others.Groups[i].Name, DN: "cn=x" + others.Groups[i].Name}
			}
			if got := lookedAt(p, others, "a"); got != 0 {
				t.Errorf("%s, %d other groups: %d are looked at", subject, groups, got)
			}
		}
	}
}

// TestHearersByTheirNames: where somebody is in more groups that rules name than the rules of
// one place do, these are looked up; each list of somebody is found, and no other.
func TestHearersByTheirNames(t *testing.T) {
	rules := append(rulesOf(40, "b/**", "group:example/group-%06d"), rulesOf(40, "b/**", "group:cn=group-%06d,ou=groups,dc=example,dc=com")...)
	for i := range 10 {
		name := fmt.Sprintf("group-%06d", 10+i)
		rules = append(rules, allow("*", "a/**", "group:example/"+name), allow("*", "a/**", "group:cn="+name+",ou=groups,dc=example,dc=com"))
	}
	p := policy(t, rules...)
	for groups, want := range map[int]int{10: 0, 11: 2, 15: 10, 20: 20, 21: 20, 30: 20, 40: 20} {
		if got := lookedAt(p, member(groups), "a/x"); got != want {
			t.Errorf("%d groups: %d are looked at, want %d", groups, got, want)
		}
		if d := p.Decide(member(groups), Request{Repository: "a/x", Action: Pull}); d.Allowed != (want > 0) || d.Allowed && d.Rule != "p:81" {
			t.Errorf("%d groups: %+v", groups, d)
		}
	}
	fewer := member(40)
	for i := range fewer.Groups { // the names of others, and their own DNs
		fewer.Groups[i].Name = "x" + fewer.Groups[i].Name
	}
	if d := p.Decide(fewer, Request{Repository: "a/x", Action: Pull}); d.Rule != "p:82" {
		t.Errorf("by DN alone: %+v", d)
	}
}

// TestOrderOfRules: the first rule of the policy decides, wherever the index has it.
func TestOrderOfRules(t *testing.T) {
	rules := []Rule{allow("pull", "a/b/c", "everyone"), allow("pull", "**/c", "everyone"), allow("pull", "a/b/**", "everyone"), allow("pull", "a/**", "everyone"), allow("pull", "**", "everyone")}
	for range rules {
		for _, id := range []authn.Identity{mozart, anonymous} {
			if d := policy(t, slices.Clone(rules)...).Decide(id, Request{Repository: "a/b/c", Action: Pull}); d.Rule != "p:1" {
				t.Errorf("%s decides, and %v is the first", d.Rule, rules[0].Repositories)
			}
		}
		rules = append(rules[1:], rules[0])
	}
}

// TestCoveringLooksOnce: each deny that may be all of a rule's is held against it once.
func TestCoveringLooksOnce(t *testing.T) {
	p := policy(t, deny("*", "**", "user:bach"), deny("*", "a/**", "user:bach"), deny("*", "a/b", "user:bach"), deny("*", "**/b", "user:bach"), deny("*", "c/**", "user:bach"))
	for text, want := range map[string]int{"**": 1, "a/b": 4, "a/**": 2, "**/b": 2, "a/*/b": 3, "b/**": 1, "*": 1} {
		r := policy(t, allow("pull", text, "everyone")).rules[0]
		a := &adviser{rules: p.rules, budget: 10}
		if by := a.covering(&p.signedIn, &r, anyPlace); by != nil || 10-a.budget != want {
			t.Errorf("%s: %d are held against it, want %d (%v)", text, 10-a.budget, want, by)
		}
	}
}
