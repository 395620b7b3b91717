package authz

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn"
)

// TestCeiling: on random policies, patterns and requests a caller below a ceiling may do
// what the policy lets them and the ceiling names, or everyone may pull; by every way of
// asking, and nothing else.
func TestCeiling(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	some := func(n int, one func() string) (list []string) {
		for range random.IntN(n) {
			list = append(list, one())
		}
		return list
	}
	pattern := func() string { return pick("**", "team/**", "team/*", "home/{user}/**", "a", "*/x", "team/app") }
	plain := func() string { return pick("**", "team/**", "team/*", "a", "*/x", "team/app", "home/alice/**") }
	repository := func() string { return pick("team/app", "team", "team/app/x", "a", "b/x", "home/alice/x", "home/bob/x") }
	allowed, withheld := 0, 0
	for range 3000 {
		var rules []Rule
		for range 1 + random.IntN(4) {
			r := Rule{Repositories: []string{pattern()}, To: []string{pick("everyone", "user:alice", "authenticated", "group:dev")}}
			actions := []string{pick("pull", "push", "delete", "create", "*")}
			if random.IntN(4) == 0 {
				r.Deny = actions
			} else {
				r.Allow = actions
			}
			rules = append(rules, r)
		}
		policy, _ := New(Config{Rules: rules, Directories: []string{"corp"}})
		repositories, actions := some(3, plain), some(3, func() string { return pick("pull", "push", "delete") })
		ceiling, err := NewCeiling(repositories, actions)
		if policy == nil || err != nil {
			t.Fatalf("%v %v", rules, err)
		}
		alice := authn.Identity{Directory: "corp", Username: "alice", Groups: []authn.Group{{Name: "dev"}}}
		below := alice
		below.Ceiling = ceiling
		if len(actions) == 0 {
			actions = []string{"pull"}
		}
		for range 10 {
			r := Request{Repository: repository(), Action: Action(pick("pull", "push", "delete", "create"))}
			named := slices.Contains(actions, string(r.Action)) || r.Action == Create && slices.Contains(actions, "push")
			within := len(repositories) == 0 || slices.ContainsFunc(repositories, func(text string) bool {
				p, _ := NewPattern(text)
				return p.Match(r.Repository)
			})
			everyones := r.Action == Pull && policy.Decide(authn.Identity{}, r).Allowed
			own := policy.Decide(alice, r)
			want := own.Allowed && (named && within || everyones)
			got := policy.Decide(below, r)
			if got.Allowed != want || got.Ceiling != (own.Allowed && !want) || want && got.Rule != own.Rule {
				t.Fatalf("%v, %q %q, %+v: %+v, want %v", rules, repositories, actions, r, got, want)
			}
			checkOtherWays(t, policy, below, r, want)
			if want {
				allowed++
			} else if own.Allowed {
				withheld++
			}
		}
	}
	if allowed < 1000 || withheld < 1000 {
		t.Errorf("%d allowed, %d withheld: too few to tell", allowed, withheld)
	}
}

// checkOtherWays: the realm and a push of a tag say the same.
func checkOtherWays(t *testing.T, policy *Policy, below authn.Identity, r Request, want bool) {
	t.Helper()
	if r.Action == Create {
		return
	}
	asked, err := ParseScope([]string{"repository:" + r.Repository + ":" + string(r.Action)})
	if err != nil {
		t.Fatal(err)
	}
	granted := policy.Grant(below, asked, netip.Addr{}).Allows(r.Repository, r.Action)
	if r.Action != Push && granted != want || r.Action == Push && want && !granted { // half a push is granted as one
		t.Fatalf("the realm grants %v, want %v: %+v", granted, want, r)
	}
	if r.Action == Push {
		if !granted {
			if d, open := policy.DecidePush(below, Request{Repository: r.Repository, Tags: []string{"v1"}}); d.Allowed || len(open) > 0 {
				t.Fatalf("a push of a tag: %+v, %v", d, open)
			}
		}
		if d, _ := policy.DecidePush(below, Request{Repository: r.Repository, Tags: []string{"v1"}}); want && !d.Allowed {
			t.Fatalf("a push of a tag: %+v", d)
		}
	}
}

// strange is no ceiling of ours.
type strange struct{}

func (strange) Below() {}

// TestStrangeCeiling: one that is not understood lets nothing through.
func TestStrangeCeiling(t *testing.T) {
	policy, _ := New(Config{Rules: []Rule{{Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"authenticated"}}}})
	for _, c := range []authn.Ceiling{strange{}, (*Ceiling)(nil)} {
		if policy.Decide(authn.Identity{Directory: "corp", Username: "a", Ceiling: c}, Request{Repository: "a", Action: Pull}).Allowed {
			t.Errorf("%T lets something through", c)
		}
	}
}

// TestNewCeiling: what cannot be one.
func TestNewCeiling(t *testing.T) {
	for _, bad := range [][2][]string{{{"{user}"}, nil}, {{"{group}"}, nil}, {{"{machine}"}, nil}, {{"a//b"}, nil}, {{""}, nil}, {nil, {"*"}}, {nil, {"overwrite"}}, {nil, {""}},
		{slices.Repeat([]string{"a"}, 21), nil}, {{strings.Repeat("a", 257)}, nil}} {
		if c, err := NewCeiling(bad[0], bad[1]); err == nil {
			t.Errorf("%q is taken: %+v", bad, c)
		}
	}
	c, err := NewCeiling(nil, []string{"push", "pull", "pull"})
	if err != nil || fmt.Sprint(c.Actions()) != "[pull push]" {
		t.Errorf("%v, %v", c.Actions(), err)
	}
	most := slices.Repeat([]string{strings.Repeat("a", 256)}, 20)
	if c, err := NewCeiling(most, nil); err != nil || !slices.Equal(c.Repositories(), most) {
		t.Errorf("twenty patterns of 256 bytes: %v", err)
	}
}
