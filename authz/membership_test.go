package authz

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/authn"
)

// naming is a policy that names some groups of member by their names, one by its DN, and one
// in an exception.
func naming(t testing.TB) *Policy {
	return policy(t, allow("pull", "**", "group:example/group-000003"), allow("pull", "**", "group:group-000005"),
		allow("pull", "**", "group:cn=group-000007,ou=groups,dc=example,dc=com"), allow("pull", "**", "authenticated", except("group:group-000011")))
}

func names(groups []authn.Group) string {
	var list []string
	for _, g := range groups {
		list = append(list, strings.TrimPrefix(g.Name, "group-0000"))
	}
	return strings.Join(list, " ")
}

// TestMembership: of many groups a policy looks at those that it names, in the two orders in
// which they are asked for; {group} may be any.
func TestMembership(t *testing.T) {
	id := member(20)
	slices.Reverse(id.Groups)
	for i := range id.Groups { // the DNs in another order than the names
		id.Groups[i].DN = strings.Replace(id.Groups[i].DN, "cn=group-000003", "cn=z", 1)
	}
	m := naming(t).groups.of(id.Groups)
	if got := []string{names(m.byName), names(m.byDN), names(m.all)}; !slices.Equal(got, []string{"03 05 07 11", "05 07 11 03", names(member(20).Groups)}) {
		t.Errorf("%q", got)
	}
	if m = naming(t).groups.of(member(20).Groups); m.all != nil {
		t.Error("a list that is in order is copied")
	}
	c := naming(t).caller(id)
	if p := &c.person; names(p.named()) != "03 05 07 11" || p.inNamed("group-000004") || !p.inNamed("group-000011") || !p.inGroup("group-000004") || p.inGroup("group-000020") {
		t.Error("a wrong answer")
	}
	few := naming(t).caller(member(few))
	if p := &few.person; len(p.named()) != 8 || p.found != nil {
		t.Error("few groups are not walked")
	}
}

// TestMembershipsKept: what a list has is found out once, for as long as it is the same list;
// another policy finds it out itself.
func TestMembershipsKept(t *testing.T) {
	p, id := naming(t), member(20)
	first := p.groups.of(id.Groups)
	if p.groups.of(id.Groups) != first {
		t.Error("found out twice")
	}
	if p.groups.of(slices.Clone(id.Groups)) == first || p.groups.of(id.Groups[:19]) == first || p.groups.of(id.Groups[1:]) == first || naming(t).groups.of(id.Groups) == first {
		t.Error("taken for another list, or by another policy")
	}
	if got := names(p.groups.of(id.Groups[:6]).byName); got != "03 05" {
		t.Errorf("of the first six: %s", got)
	}
	if allocs := testing.AllocsPerRun(100, func() { p.Decide(id, Request{Repository: "a", Action: Pull}) }); allocs != 0 {
		t.Errorf("%v allocations of a list that is known", allocs)
	}
}

// TestMembershipsGone: what is kept does not hold a list, and one that comes in its place in
// memory is another.
func TestMembershipsGone(t *testing.T) {
	p, gone := naming(t), make(chan struct{})
	func() {
		list := member(20).Groups
		runtime.AddCleanup(&list[0], func(struct{}) { close(gone) }, struct{}{})
		p.groups.of(list)
	}()
	for runtime.GC(); !closed(gone); runtime.GC() {
	}
	for i := range p.groups.kept {
		if k := p.groups.kept[i].Load(); k != nil && k.first.Value() != nil {
			t.Error("a list that is gone is known")
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestMembershipsTogether: more lists than are kept, asked about at once by two policies of
// which one names others; each answer is that of the list.
func TestMembershipsTogether(t *testing.T) {
	both := []*Policy{naming(t), policy(t, allow("pull", "**", "group:example/group-000009"))}
	people := make([]authn.Identity, keptLists+100)
	for i := range people {
		people[i] = member(9 + i%3)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i, id := range people {
				for which, p := range both {
					want := which == 0 || i%3 > 0
					if got := p.Decide(id, Request{Repository: "a", Action: Pull}).Allowed; got != want {
						t.Errorf("%d groups, policy %d: %v", len(id.Groups), which, got)
						return
					}
				}
			}
		})
	}
	wait.Wait()
}

// TestAudienceOfMany: somebody in many groups is among those that one of them names.
func TestAudienceOfMany(t *testing.T) {
	a, err := NewAudience([]string{"group:example/group-000500", "group:cn=group-000700,ou=groups,dc=example,dc=com"}, []string{"example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for groups, want := range map[int]bool{500: false, 501: true, 1000: true} {
		if a.Has(member(groups)) != want {
			t.Errorf("%d groups: %v", groups, !want)
		}
	}
	last := member(701)
	last.Groups = last.Groups[600:]
	if !a.Has(last) || len(a.groups.of(last.Groups).byName) != 1 {
		t.Error("a group by its DN is not found")
	}
}
