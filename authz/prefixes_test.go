package authz

import (
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
