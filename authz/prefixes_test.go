package authz

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"gatehouse/authn"
)

// TestPrefixes (row A6): no name that can be pulled begins otherwise.
func TestPrefixes(t *testing.T) {
	p, err := New(Config{Directories: []string{"corp"}, Rules: []Rule{
		{Allow: []string{"pull"}, Repositories: []string{"team/**", "team/app", "tools-*/x", "a/b"}, To: []string{"group:dev"}},
		{Allow: []string{"*"}, Repositories: []string{"home/{user}/**", "g/{group}-x/y"}, To: []string{"authenticated"}},
		{Allow: []string{"push"}, Repositories: []string{"push/**"}, To: []string{"authenticated"}},
		{Allow: []string{"pull"}, Repositories: []string{"inside/**"}, To: []string{"everyone"}, Networks: []string{"10.0.0.0/8"}},
		{Allow: []string{"pull"}, Repositories: []string{"**/app"}, To: []string{"user:root"}},
		{Deny: []string{"pull"}, Repositories: []string{"**"}, To: []string{"user:liszt"}},
		{Allow: []string{"pull"}, Repositories: []string{"ci/{machine}/**", "of-{machine}"}, To: []string{"authenticated"}},
	}})
	if p == nil {
		t.Fatal(err)
	}
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		id     authn.Identity
		source netip.Addr
		want   []string
	}{
		{authn.Identity{}, outside, nil},
		{authn.Identity{}, inside, []string{"inside/"}},
		{authn.Identity{Directory: "corp", Username: "liszt"}, outside, []string{"g/", "home/liszt/"}},
		{authn.Identity{Directory: "corp", Username: "clara", Groups: []authn.Group{{Name: "dev"}}}, outside, []string{"a/b/", "g/", "home/clara/", "team/", "tools-"}},
		{authn.Identity{Directory: "corp", Username: "root"}, inside, []string{""}},
		{authn.Identity{Directory: "corp", Machine: true, Username: "a/b"}, outside, []string{"ci/a/b/", "g/", "home//", "of-a/b/"}},
		{authn.Identity{Directory: "corp", Machine: true, Username: "a..b"}, outside, []string{"g/", "home//"}},
	} {
		if got := p.For(c.id).Prefixes(c.source); !slices.Equal(got, c.want) {
			t.Errorf("%s from %s: %q, want %q", c.id.Username, c.source, got, c.want)
		}
	}
}

// TestPrefixesOfManyRules: rules that speak to anybody are not walked where they are many,
// and no name that may be pulled begins otherwise; the caller's own are told apart.
func TestPrefixesOfManyRules(t *testing.T) {
	for _, c := range []struct {
		rules                int
		pattern, to          string
		mozart, bach, nobody string
	}{
		{manyOpen, "team/%04d/**", "authenticated", "1001", "1000", `[]`},
		{manyOpen + 1, "team/%04d/**", "authenticated", `["team/" "x/a/"]`, `["team/"]`, `[]`},
		{manyOpen + 1, "team/%04d/**", "user:example/bach", `["x/a/"]`, "1001", `[]`},
		{manyOpen + 1, "team/a/x-%04d/**", "everyone", `["team/a/" "x/a/"]`, `["team/a/"]`, `["team/a/"]`},
		{manyOpen, "team/a/%04d", "everyone", "1001", "1000", "1000"},
		{manyOpen + 1, "%04d/**", "people", `[""]`, `[""]`, `[]`},
		{manyOpen + 1, "home/{user}/%04d", "people", `["home/" "x/a/"]`, `["home/"]`, `[]`},
		{manyOpen + 1, "team/x-{group}/%04d", "authenticated", `["team/x-" "x/a/"]`, `["team/x-"]`, `[]`},
		{manyOpen + 1, "ci/a/{machine}/%04d", "authenticated", `["ci/a/" "x/a/"]`, `["ci/a/"]`, `[]`},
		{manyOpen + 1, "**/%04d", "authenticated", `[""]`, `[""]`, `[]`},
	} {
		rules := append(rulesOf(c.rules, c.pattern, c.to), allow("pull", "x/a/**", "user:mozart"), allow("push", "x/b/**", "user:mozart"), deny("pull", "**", "user:bach"))
		p := policy(t, rules...)
		for _, w := range []struct {
			id   authn.Identity
			want string
		}{{mozart, c.mozart}, {bach, c.bach}, {anonymous, c.nobody}} {
			list := p.For(w.id).Prefixes(netip.Addr{})
			got := fmt.Sprintf("%q", list)
			if len(list) > 3 {
				got = fmt.Sprint(len(list))
			}
			if got != w.want {
				t.Errorf("%d rules of %s to %s: %s has %s, want %s", c.rules, c.pattern, c.to, w.id.Username, got, w.want)
			}
		}
	}
	p := policy(t, append(rulesOf(manyOpen+1, "team/%04d", "everyone"), deny("pull", "**", "everyone"))...)
	list := p.For(anonymous).Prefixes(netip.Addr{})
	list[0] = "changed"
	if got := p.For(anonymous).Prefixes(netip.Addr{}); !slices.Equal(got, []string{"team/"}) {
		t.Errorf("a caller's list is the policy's: %q", got)
	}
	if p = policy(t, rulesOf(manyOpen+1, "a/**", "everyone")...); p.open[0] != "a/" || cap(p.open) != 1 {
		t.Errorf("%q holds %d", p.open, cap(p.open))
	}
	denies := rulesOf(manyOpen+1, "a/**", "authenticated")
	for i := range denies {
		denies[i].Allow, denies[i].Deny = nil, denies[i].Allow
	}
	if p = policy(t, denies...); p.open == nil || len(p.For(bach).Prefixes(netip.Addr{})) != 0 {
		t.Error("many rules that allow nothing are walked, or begin somewhere")
	}
}
