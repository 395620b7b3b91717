package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn"
)

// The tests write rules as one line: actions, repositories and people, each a
// list with spaces, and options behind.
func allow(actions, repositories, to string, more ...func(*Rule)) Rule {
	r := Rule{Allow: strings.Fields(actions), Repositories: strings.Fields(repositories), To: strings.Fields(to)}
	for _, m := range more {
		m(&r)
	}
	return r
}

func deny(actions, repositories, to string, more ...func(*Rule)) Rule {
	r := allow(actions, repositories, to, more...)
	r.Allow, r.Deny = nil, r.Allow
	return r
}

func tags(list string) func(*Rule)     { return func(r *Rule) { r.Tags = strings.Fields(list) } }
func networks(list string) func(*Rule) { return func(r *Rule) { r.Networks = strings.Fields(list) } }
func except(list string) func(*Rule)   { return func(r *Rule) { r.Except = strings.Fields(list) } }

// policy compiles rules, whose positions are p:1, p:2 and so on.
func policy(t interface{ Fatalf(string, ...any) }, rules ...Rule) *Policy {
	for i := range rules {
		rules[i].Position = fmt.Sprintf("p:%d", i+1)
	}
	p, err := New(Config{Rules: rules, Directories: []string{"local", "example", "robots"}, Machines: []string{"robots"}})
	if p == nil {
		t.Fatalf("New: %v", err)
	}
	return p
}

const releaseDN = "cn=release,ou=groups,dc=example,dc=com"

var (
	anonymous = authn.Identity{}
	admin     = authn.Identity{Directory: "local", Username: "admin", Groups: []authn.Group{{Name: "admins"}}}
	mozart    = authn.Identity{Directory: "example", Username: "mozart", Groups: []authn.Group{{Name: "release", DN: releaseDN}, {Name: "team-a", DN: "cn=team-a,dc=example"}}}
	bach      = authn.Identity{Directory: "example", Username: "bach"}
	people    = map[string]authn.Identity{"-": anonymous, "admin": admin, "mozart": mozart, "bach": bach,
		"odd": {Directory: "local", Username: "odd", Groups: []authn.Group{{Name: "cn=x", DN: "odd"}}}}
)

// request reads "mozart push a/b:v1,v2 @10.0.0.1".
func request(text string) (authn.Identity, Request) {
	f := strings.Fields(text)
	name, list, tagged := strings.Cut(f[2], ":")
	r := Request{Repository: name, Action: Action(f[1])}
	if tagged {
		r.Tags = strings.Split(list, ",")
	}
	if len(f) > 3 {
		r.Source = netip.MustParseAddr(f[3][1:])
	}
	return people[f[0]], r
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []Rule
		want  map[string]string // the request to +rule or -rule
	}{
		{"nothing is allowed that no rule allows", nil, map[string]string{"admin pull a": "-", "- pull a": "-"}},
		{"actions", []Rule{allow("pull push", "**", "authenticated"), allow("*", "x", "user:admin")}, map[string]string{
			"bach pull a": "+p:1", "bach push a": "+p:1", "bach delete a": "-", "admin delete x": "+p:2", "admin delete a": "-",
			"- pull a": "-", "bach admin a": "-", "bach PULL a": "-",
		}},
		{"people", []Rule{allow("pull", "everyone", "everyone"), allow("pull", "signed", "authenticated"), allow("pull", "user", "user:Mozart"),
			allow("pull", "bound", "user:local/mozart"), allow("pull", "group", "group:RELEASE"), allow("pull", "boundgroup", "group:example/release"),
			allow("pull", "othergroup", "group:local/release"), allow("pull", "dn", "group:CN=Release,OU=groups,DC=example,DC=com"), allow("pull", "dn2", "group:example/"+releaseDN),
			allow("pull", "dir", "directory:example")}, map[string]string{
			"- pull everyone": "+p:1", "bach pull everyone": "+p:1", "- pull signed": "-", "bach pull signed": "+p:2", "mozart pull user": "+p:3", "bach pull user": "-",
			"mozart pull bound": "-", "mozart pull group": "+p:5", "bach pull group": "-", "mozart pull boundgroup": "+p:6", "mozart pull othergroup": "-",
			"mozart pull dn": "+p:8", "bach pull dn": "-", "mozart pull dn2": "+p:9", "mozart pull dir": "+p:10", "admin pull dir": "-", "- pull dir": "-",
		}},
		{"except", []Rule{allow("pull", "**", "authenticated", except("group:release user:admin"))}, map[string]string{
			"bach pull a": "+p:1", "mozart pull a": "-", "admin pull a": "-",
		}},
		{"a deny wins wherever it stands", []Rule{deny("push", "prod/**", "authenticated", except("group:release")), allow("*", "**", "authenticated"), deny("*", "secret/**", "everyone")}, map[string]string{
			"bach push prod": "-p:1", "bach push prod/a": "-p:1", "mozart push prod/a": "+p:2", "bach pull prod/a": "+p:2", "admin pull secret/x": "-p:3", "- pull secret/x": "-p:3",
		}},
		{"own namespaces", []Rule{allow("*", "users/{user}/** groups/{group}/**", "authenticated")}, map[string]string{
			"bach push users/bach/a": "+p:1", "bach push users/mozart/a": "-", "mozart push groups/team-a/x": "+p:1", "mozart push groups/team-b/x": "-", "bach push groups/team-a/x": "-",
		}},
		{"allowed tags", []Rule{allow("push delete", "a", "authenticated", tags("dev-* latest")), allow("push", "a", "user:mozart", tags("v*"))}, map[string]string{
			"bach push a:dev-1": "+p:1", "bach push a:latest": "+p:1", "bach push a:v1": "-", "bach push a": "+p:1", "bach delete a:dev-1": "+p:1", "bach delete a": "-",
			"mozart push a:v1": "+p:2", "mozart push a:dev-1,v1": "+p:1", "mozart push a:v1,dev-1": "+p:2", "mozart push a:v1,x": "-", "bach push a:dev-1,v1": "-", "bach push b": "-",
		}},
		{"denied tags", []Rule{allow("*", "**", "authenticated"), deny("push delete", "prod/**", "authenticated", tags("v*"), except("group:release"))}, map[string]string{
			"bach push prod/a:dev": "+p:1", "bach push prod/a:v1": "-p:2", "bach push prod/a:dev,v1": "-p:2", "bach push prod/a": "+p:1", "bach delete prod/a": "-p:2",
			"bach delete prod/a:dev": "+p:1", "mozart delete prod/a:v1": "+p:1", "bach pull prod/a:v1": "+p:1", "bach push other:v1": "+p:1", "bach push prod/a:V1": "+p:1",
		}},
		{"halves of a push", []Rule{allow("create", "team/**", "authenticated"), allow("push", "prod/**", "authenticated"), deny("overwrite delete", "prod/**", "authenticated", tags("v*")),
			allow("overwrite", "team/**", "user:admin", tags("latest"))}, map[string]string{
			"bach create team/a:v1": "+p:1", "bach overwrite team/a:v1": "-", "bach push team/a:v1": "-", "bach create team/a": "+p:1", "bach overwrite team/a": "-",
			"bach create prod/a:v1": "+p:2", "bach overwrite prod/a:v1": "-p:3", "bach push prod/a:v1": "-p:3", "bach push prod/a:dev": "+p:2", "bach push prod/a": "+p:2", "bach overwrite prod/a:dev,v1": "-p:3",
			"admin overwrite team/a:latest": "+p:4", "admin overwrite team/a:v1": "-", "admin push team/a:latest": "+p:1", "admin overwrite team/a": "-", "admin push team/a": "-", "bach delete prod/a": "-p:3", "bach delete team/a": "-",
		}},
		{"no tag", []Rule{allow("push", "a", "authenticated", tags("v*")), allow("create overwrite", "b", "authenticated", tags("v*")), allow("overwrite", "c", "authenticated", tags("v*")), allow("create", "c", "authenticated"),
			allow("overwrite", "d", "authenticated")}, map[string]string{"bach push a": "+p:1", "bach create a": "+p:1", "bach overwrite a": "-", "bach overwrite a:v1": "+p:1", "bach push b": "+p:2", "bach overwrite b": "-",
			"bach push c": "-", "bach create c": "+p:4", "bach overwrite c": "-", "bach overwrite c:v1": "+p:3", "bach overwrite d": "+p:5"}},
		{"own tags", []Rule{allow("push", "a", "authenticated", tags("{user}-*"))}, map[string]string{"bach push a:bach-1": "+p:1", "bach push a:mozart-1": "-"}},
		{"networks", []Rule{allow("pull", "a", "everyone", networks("10.0.0.0/8 2001:db8::/32 192.0.2.1 ::ffff:172.16.0.0/108")), deny("pull", "a", "everyone", networks("10.6.6.0/24"))}, map[string]string{
			"- pull a @10.1.1.1": "+p:1", "- pull a @11.1.1.1": "-", "- pull a": "-p:2", "- pull a @2001:db8::1": "+p:1", "- pull a @2001:db9::1": "-", "- pull a @192.0.2.1": "+p:1",
			"- pull a @192.0.2.2": "-", "- pull a @::ffff:10.1.1.1": "+p:1", "- pull a @2001:db8::1%eth0": "+p:1", "- pull a @10.6.6.6": "-p:2", "- pull a @172.16.1.1": "+p:1",
		}},
		{"networks as IPv6", []Rule{allow("pull", "a", "everyone", networks("::ffff:0:0/96")), allow("pull", "b", "everyone", networks("::ffff:0:0/90")), allow("pull", "c", "everyone", networks("2001:db8::1:0/112"))}, map[string]string{
			"- pull a @10.1.1.1": "+p:1", "- pull a @2001:db8::1": "-", "- pull b @::ffe0:0:1": "+p:2", "- pull b @10.1.1.1": "-", "- pull c @2001:db8::1:9": "+p:3", "- pull c @2001:db8::2:9": "-",
		}},
		{"a name that looks like a DN is none, and the other way round", []Rule{allow("pull", "**", "group:cn=x"), allow("push", "**", "group:odd")}, map[string]string{"odd pull a": "-", "odd push a": "-"}},
		// Row A2: who has no address is outside of every allow's networks and inside every deny's.
		{"a client without an address", []Rule{allow("pull", "a", "everyone"), deny("pull", "a", "everyone", networks("10.0.0.0/8")), allow("pull", "b", "everyone", networks("0.0.0.0/0 ::/0")),
			allow("push", "c", "everyone"), deny("push", "c", "everyone", tags("v*"), networks("192.0.2.1"))}, map[string]string{
			"- pull a": "-p:2", "- pull a @10.1.2.3": "-p:2", "- pull a @192.0.2.1": "+p:1", "- pull b": "-", "- pull b @10.1.2.3": "+p:3",
			"- push c:v1": "-p:5", "- push c:dev": "+p:4", "- push c:v1 @192.0.2.2": "+p:4",
		}},
		{"single addresses", []Rule{allow("pull", "a", "everyone", networks("::ffff:192.0.2.1 fe80::1%eth0"))}, map[string]string{
			"- pull a @192.0.2.1": "+p:1", "- pull a @::ffff:192.0.2.1": "+p:1", "- pull a @192.0.2.2": "-", "- pull a @fe80::1": "+p:1", "- pull a @fe80::1%eth1": "+p:1",
		}},
		{"all of IPv4 is not all", []Rule{allow("pull", "a", "everyone"), deny("pull", "a", "everyone", networks("0.0.0.0/0"))}, map[string]string{
			"- pull a @192.0.2.1": "-p:2", "- pull a @::ffff:192.0.2.1": "-p:2", "- pull a @2001:db8::1": "+p:1",
		}},
		{"names outside the grammar", []Rule{allow("*", "**", "everyone")}, map[string]string{"- pull A": "-", "- pull a/../b": "-", "- pull a//b": "-", "- pull a/b": "+p:1"}},
	} {
		p := policy(t, c.rules...)
		for text, want := range c.want {
			id, r := request(text)
			if d := bare(p.Decide(id, r)); d != (Decision{Allowed: want[0] == '+', Rule: want[1:]}) {
				t.Errorf("%s: %q is %+v, want %s", c.name, text, d, want)
			}
		}
	}
	if d := policy(t, allow("*", "**", "authenticated")).Decide(admin, Request{Action: Catalog}); !d.Allowed {
		t.Error("Decide does not know the catalog")
	}
	if (&subject{}).matches(&person{Identity: admin}) || (&subject{}).matches(&person{}) {
		t.Error("a subject that was never filled in means somebody")
	}
	if d := (&Policy{}).Decide(admin, Request{Repository: "a", Action: Pull}); d.Allowed {
		t.Error("the zero Policy allows")
	}
}

func TestGrant(t *testing.T) {
	for _, c := range []struct {
		name        string
		rules       []Rule
		who, source string
		asked, want string
	}{
		{"empty policy", nil, "admin", "", "repository:a:*", ""},
		{"part of it", []Rule{allow("pull", "a/**", "authenticated")}, "bach", "", "repository:a/x:pull,push repository:b:pull", "repository:a/x:pull"},
		{"all of it", []Rule{allow("*", "**", "authenticated")}, "bach", "", "repository:a:*", "repository:a:pull,push,delete"},
		{"no more than asked", []Rule{allow("*", "**", "authenticated")}, "bach", "", "repository:a:pull", "repository:a:pull"},
		{"an allow with tags grants", []Rule{allow("push delete", "a", "authenticated", tags("dev-*"))}, "bach", "", "repository:a:*", "repository:a:push,delete"},
		{"a deny with tags takes nothing", []Rule{allow("*", "**", "authenticated"), deny("push delete", "a", "authenticated", tags("v*"))}, "bach", "", "repository:a:*", "repository:a:pull,push,delete"},
		{"a deny takes", []Rule{deny("push", "a", "authenticated"), allow("*", "**", "authenticated")}, "bach", "", "repository:a:*", "repository:a:pull,delete"},
		{"within the network", []Rule{allow("pull", "a", "everyone", networks("10.0.0.0/8"))}, "-", "10.1.1.1", "repository:a:pull", "repository:a:pull"},
		{"outside of it", []Rule{allow("pull", "a", "everyone", networks("10.0.0.0/8"))}, "-", "11.1.1.1", "repository:a:pull", ""},
		{"no address", []Rule{allow("pull", "a", "everyone", networks("10.0.0.0/8"))}, "-", "", "repository:a:pull", ""},
		{"no address, and a deny", []Rule{allow("pull", "a", "everyone"), deny("pull", "a", "everyone", networks("10.0.0.0/8"))}, "-", "", "repository:a:pull", ""},
		{"a half is a push", []Rule{allow("create", "a", "authenticated"), allow("overwrite delete", "b", "authenticated"), allow("push", "c", "authenticated"), deny("overwrite", "c", "authenticated")}, "bach", "",
			"repository:a:push,create repository:b:* repository:c:push", "repository:a:push repository:b:push,delete repository:c:push"},
		{"a half that is denied", []Rule{allow("create", "a", "authenticated"), deny("create", "a", "authenticated"), allow("push", "b", "authenticated"), deny("create overwrite", "b", "authenticated")}, "bach", "",
			"repository:a:push repository:b:push", ""},
		{"scopes know no halves", []Rule{allow("*", "**", "authenticated")}, "bach", "", "repository:a:create,overwrite repository:b:create,pull", "repository:b:pull"},
		{"the catalog, signed in", nil, "bach", "", "registry:catalog:*", "registry:catalog:*"},
		{"the catalog, anonymous", []Rule{allow("pull", "public/**", "everyone")}, "-", "", "registry:catalog:*", "registry:catalog:*"},
		{"anonymous push only", []Rule{allow("push", "drop/**", "everyone")}, "-", "", "registry:catalog:*", ""},
		{"a deny to everyone", []Rule{deny("pull", "**", "everyone")}, "-", "", "registry:catalog:*", ""},
		{"pull for the signed in", []Rule{allow("pull", "**", "authenticated")}, "-", "", "registry:catalog:* repository:a:pull", ""},
	} {
		asked, err := ParseScope([]string{c.asked})
		if err != nil {
			t.Fatal(err)
		}
		source, _ := netip.ParseAddr(c.source)
		if got := policy(t, c.rules...).Grant(people[c.who], asked, source); got.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	p := policy(t,
		allow("pull push", "**", "authenticated"),
		deny("push delete", "prod/**", "authenticated", tags("v* release-*"), except("group:release")),
		deny("pull", "**", "authenticated", networks("192.0.2.0/24")),
		allow("delete", "prod/**", "authenticated", tags("dev"), networks("10.0.0.0/8")))
	for text, want := range map[string]string{
		"bach push prod/a":                 "+p:1|p:2 denies push,delete if the tag is v* or release-*",
		"bach push prod/a:dev":             "+p:1",
		"bach push prod/a:v1":              "-p:2",
		"mozart push prod/a":               "+p:1",
		"bach push x":                      "+p:1",
		"bach pull x":                      "+p:1|p:3 denies pull if the client is in 192.0.2.0/24",
		"bach pull x @10.0.0.1":            "+p:1",
		"bach pull x @192.0.2.1":           "-p:3",
		"mozart delete prod/a":             "-|p:4 allows delete if the tag is dev and the client is in 10.0.0.0/8",
		"mozart delete prod/a @10.0.0.1":   "-|p:4 allows delete if the tag is dev",
		"mozart delete prod/a @11.0.0.1":   "-",
		"mozart delete prod/a:dev":         "-|p:4 allows delete if the client is in 10.0.0.0/8",
		"mozart delete prod/a:v1":          "-",
		"bach delete prod/a:dev @10.1.1.1": "+p:4",
		"- push prod/a":                    "-",
	} {
		id, r := request(text)
		e := p.Explain(id, r)
		got := "-" + e.Rule
		if e.Allowed {
			got = "+" + e.Rule
		}
		if got = strings.Join(append([]string{got}, e.Conditions...), "|"); got != want {
			t.Errorf("%q: %s\nwant %s", text, got, want)
		}
	}
}

func TestNewFaults(t *testing.T) {
	ok := allow("pull", "**", "everyone")
	with := func(change func(*Rule)) []Rule { r := ok; change(&r); return []Rule{ok, r} }
	for _, c := range []struct {
		name  string
		rules []Rule
		want  string // "key: part of the text", with ! before a warning
	}{
		{"no rules", nil, "!: everything is refused"},
		{"neither", with(func(r *Rule) { r.Allow = nil }), "[1]: allow or deny"},
		{"both", with(func(r *Rule) { r.Deny = []string{"pull"} }), "[1]: either"},
		{"unknown action", with(func(r *Rule) { r.Allow = []string{"pull", "admin"} }), `[1].allow[1]: unknown action "admin"; there are pull, push, delete`},
		{"no repositories", with(func(r *Rule) { r.Repositories = nil }), "[1].repositories: needs"},
		{"bad pattern", with(func(r *Rule) { r.Repositories = []string{"a", "a**"} }), "[1].repositories[1]: whole component"},
		{"upper case", with(func(r *Rule) { r.Repositories = []string{"Team/**"} }), "![1].repositories[0]: can never match"},
		{"no one", with(func(r *Rule) { r.To = nil }), "[1].to: somebody"},
		{"unknown subject", with(func(r *Rule) { r.To = []string{"everyone", "all"} }), "[1].to[1]: none of"},
		{"empty name", with(func(r *Rule) { r.To = []string{"user:"} }), "[1].to[0]: missing"},
		{"empty name behind a directory", with(func(r *Rule) { r.To = []string{"user:local/"} }), "[1].to[0]: missing"},
		{"blanks", with(func(r *Rule) { r.To = []string{"user: \u00a0 "} }), "[1].to[0]: a name is missing after the colon"},
		{"nothing to see", with(func(r *Rule) { r.To = []string{"user:\u200b"} }), "[1].to[0]: a name is missing after the colon"},
		{"blanks behind a directory", with(func(r *Rule) { r.To = []string{"group:local/ \u200b"} }), "[1].to[0]: missing after the slash"},
		{"a group with a slash", with(func(r *Rule) { r.To = []string{"group:ops/night"} }), // row D11
			`[1].to[0]: there is no directory "ops"; there are: example, local; a name that has a slash itself is written group:DIRECTORY/ops/night`},
		{"a user with a slash", with(func(r *Rule) { r.Except = []string{"user:ops/night"} }), `[1].except[0]: is written user:DIRECTORY/ops/night`},
		{"wildcard", with(func(r *Rule) { r.Except = []string{"user:*"} }), "[1].except[0]: wildcards"},
		{"unknown directory", with(func(r *Rule) { r.To = []string{"directory:corp"} }), `[1].to[0]: no directory "corp"; there are: example, local`},
		{"unknown directory of a user", with(func(r *Rule) { r.To = []string{"user:corp/x"} }), `[1].to[0]: no directory "corp"`},
		{"unknown directory of a DN", with(func(r *Rule) { r.To = []string{"group:corp/cn=x"} }), `[1].to[0]: no directory "corp"`},
		{"unknown directory and no name", with(func(r *Rule) { r.To = []string{"user:corp/"} }), `[1].to[0]: no directory "corp"`},
		{"no DN", with(func(r *Rule) { r.To = []string{"group:cn=x,,"} }), "[1].to[0]: distinguished name"},
		{"bare user", with(func(r *Rule) { r.To = []string{"user:x"} }), "![1].to[0]: several directories"},
		{"bare group", with(func(r *Rule) { r.Except = []string{"group:x"} }), "![1].except[0]: several directories"},
		{"pull with tags", with(func(r *Rule) { r.Tags = []string{"v*"} }), "[1].tags: pull by digest"},
		{"star with tags", with(func(r *Rule) { r.Allow, r.Deny, r.Tags = nil, []string{"*"}, []string{"v*"} }), "[1].tags: pull by digest"},
		{"tag with a slash", with(func(r *Rule) { r.Allow, r.Tags = []string{"push"}, []string{"v/1"} }), "[1].tags[0]: no /"},
		{"no half beside the whole", with(func(r *Rule) { r.Allow = []string{"push", "create"} }), "[1].allow[1]: create beside push"},
		{"nor in a deny", with(func(r *Rule) { r.Allow, r.Deny = nil, []string{"overwrite", "push", "delete"} }), "[1].deny[0]: overwrite beside push"},
		{"no name", with(func(r *Rule) { r.Name = "Releases" }), `[1].name: "Releases" is no name`},
		{"a doubled name", []Rule{{Position: "p:1", Name: "x", Allow: ok.Allow, Repositories: ok.Repositories, To: ok.To}, {Name: "x", Allow: ok.Allow, Repositories: ok.Repositories, To: ok.To}},
			`[1].name: "x" is the name of the rule at p:1 too`},
		{"a time without a zone", with(func(r *Rule) { r.From = "2026-12-01T08:00:00" }), "[1].from: no time with its zone"},
		{"no time", with(func(r *Rule) { r.Until = "tomorrow" }), "[1].until: no time with its zone"},
		{"until before from", with(func(r *Rule) { r.From, r.Until = "2026-12-02", "2026-12-01" }), "[1].until: 2026-12-01 is before from (2026-12-02)"},
		{"over", with(func(r *Rule) { r.Until = "2020-12-01" }), "![1].until: 2020-12-01 is over"},
		{"no network", with(func(r *Rule) { r.Networks = []string{"10.0.0.0/33"} }), "[1].networks[0]: no network"},
		{"host bits", with(func(r *Rule) { r.Networks = []string{"10.0.0.1/8"} }), "![1].networks[0]: bits are set"},
		// Row A13: all of one address family is not every client.
		{"all of IPv4", with(func(r *Rule) { r.Networks = []string{"10.0.0.0/8", "0.0.0.0/0"} }), "![1].networks: no IPv6 client"},
		{"all of IPv4 in a deny", with(func(r *Rule) { r.Allow, r.Deny, r.Networks = nil, []string{"pull"}, []string{"0.0.0.0/0"} }), "![1].networks: no IPv6 client"},
		{"all of IPv4 as IPv6", with(func(r *Rule) { r.Networks = []string{"::ffff:0:0/96", "2001:db8::/32"} }), "![1].networks: no IPv6 client"},
		{"all of IPv6", with(func(r *Rule) { r.Networks = []string{"::/0", "192.0.2.0/24"} }), "![1].networks: no IPv4 client"},
	} {
		p, err := New(Config{Rules: c.rules, Directories: []string{"local", "example"}})
		var fault *authn.KeyError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want, warning := strings.CutPrefix(c.want, "!")
		key, text, _ := strings.Cut(want, ": ")
		if fault.Key != key || !strings.Contains(fault.Err.Error(), text) || fault.Warning != warning || (p != nil) != warning {
			t.Errorf("%s: %v (warning %v, policy %v), want %s", c.name, fault, fault.Warning, p != nil, c.want)
		}
	}
	p, err := New(Config{Rules: []Rule{allow("pull", "**", "user:x", networks("10.0.0.0/8 ::ffff:10.0.0.0/104 2001:db8::/32 0.0.0.0/0 ::/0"))}, Directories: []string{"one"}})
	if err != nil {
		t.Errorf("a bare name with one directory, and networks without host bits: %v", err)
	}
	for name, want := range map[string]bool{"x": true, "y": false} {
		if d := p.Decide(authn.Identity{Directory: "one", Username: name}, Request{Repository: "a", Action: Pull, Source: netip.MustParseAddr("10.0.0.1")}); d.Allowed != want {
			t.Errorf("%s with one directory: %+v", name, d)
		}
	}
	_, err = New(Config{Rules: []Rule{{}, allow("x", "a//b", "user:")}})
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n != 6 {
		t.Errorf("%d faults are told at once: %v", n, err)
	}
}

// TestSpellings (row D3): rules compare names and DNs as directories do, so that no
// other spelling of a name slips past a deny.
func TestSpellings(t *testing.T) {
	clara := authn.Identity{Directory: "example", Username: "clara schumann", Groups: []authn.Group{
		{Name: "interns", DN: "cn=interns,ou=groups,dc=example"}, {Name: "night shift", DN: "cn=night shift,dc=example"}, {Name: "ops/night"}, {Name: "ops/on=call"}, {Name: "größe", DN: `cn=größe\, b,dc=example`}}}
	for who, want := range map[string]bool{
		"user:clara schumann": true, "user:Clara   Schumann": true, "user:  Clara Schumann ": true, "user:Clara\u00a0Schumann": true, "user:\u200bclara schumann": true,
		"user:example/Clara  Schumann": true, "user:example/ Clara Schumann": true, "user: Example / clara schumann": true, "directory: EXAMPLE ": true,
		"user:claraschumann": false, "user:local/clara schumann": false, "user:clara": false,
		"group:interns ": true, "group:  Interns": true, "group:Night\tShift": true, "group:example/Night  Shift": true, "group:nightshift": false,
		"group:example/ops/night": true, "group:example/Ops/Night ": true, "group:local/ops/night": false, "group:example/ops/on=call": true,
		"group:GR\u00d6\u00dfE": true, "group:gro\u0308ße": true, "group:grösse": false,
		"group:CN=Interns , OU=Groups,DC=Example": true, "group:cn= interns,ou=groups,dc=example": true, "group:2.5.4.3=interns,ou=groups,dc=example": true, "group:CommonName=#0C07696e7465726e73,ou=groups,dc=example": true,
		"group:example/CN=Night  Shift,DC=Example": true, "group:cn=night\\20shift,dc=example": true, "group:cn=nightshift,dc=example": false,
		`group:cn=Gr\C3\B6\C3\9Fe\2C b,dc=example`: true, `group:example/cn=GRO\CC\88ße\,  B,dc=example`: true, `group:cn=größe\, c,dc=example`: false,
	} {
		p, err := New(Config{Rules: []Rule{{Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{who}}}, Directories: []string{"local", "example"}})
		if p == nil {
			t.Errorf("%q: %v", who, err)
			continue
		}
		if d := p.Decide(clara, Request{Repository: "a", Action: Pull}); d.Allowed != want {
			t.Errorf("to %q: %v", who, d.Allowed)
		}
	}
}

// TestRules: which rules speak of a caller, whatever they are of.
func TestRules(t *testing.T) {
	p := policy(t, allow("pull", "public/**", "everyone"), deny("push", "**", "authenticated", except("group:release")),
		allow("push", "a", "user:mozart", tags("v*"), networks("10.0.0.0/8")), allow("*", "**", "directory:local"))
	for name, want := range map[string]string{"-": "p:1", "mozart": "p:1 p:3", "bach": "p:1 p:2", "admin": "p:1 p:2 p:4"} {
		var got []string
		for _, r := range p.Rules(people[name]) {
			got = append(got, r.Position)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	want := "allow [push] repositories [a] tags [v*] networks [10.0.0.0/8] to [user:mozart]"
	if got := p.Rules(mozart)[1].String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want = "deny [push] repositories [**] to [authenticated] except [group:release]"
	if got := p.Rules(bach)[1].String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestManyGroups (row A20): a group is found among a thousand, and among an unsorted
// thousand, by name, by DN and in a name of a repository.
func TestManyGroups(t *testing.T) {
	p := policy(t, allow("pull", "name", "group:g-777"), allow("pull", "dn", "group:cn=g-777,dc=x"), deny("pull", "secret", "authenticated", except("group:g-777")), allow("pull", "secret", "authenticated"),
		allow("pull", "team/{group}/**", "authenticated"), allow("pull", "**/{group}/end", "authenticated"), allow("push", "tagged", "authenticated", tags("{group}-*")),
		allow("push", "team/x-{group}", "authenticated"), allow("delete", "*-{group}-*", "authenticated"), allow("delete", "twice/{group}/{group}", "authenticated"))
	id := authn.Identity{Directory: "example", Username: "many"}
	for i := range 1000 {
		id.Groups = append(id.Groups, authn.Group{Name: fmt.Sprintf("g-%d", i), DN: fmt.Sprintf("cn=g-%d,dc=x", i)})
	}
	sorted := id
	sorted.Groups = slices.SortedFunc(slices.Values(id.Groups), func(a, b authn.Group) int { return strings.Compare(a.Name, b.Name) })
	people := map[string]authn.Identity{"unsorted": id, "sorted": sorted, "without": {Directory: "example", Username: "without",
		Groups: slices.DeleteFunc(slices.Clone(sorted.Groups), func(g authn.Group) bool { return g.Name == "g-777" })}}
	for text, want := range map[string]string{
		"pull name": "+p:1", "pull dn": "+p:2", "pull secret": "+p:4", "pull team/g-777": "+p:5", "pull team/g-777/a": "+p:5", "pull a/b/g-777/end": "+p:6", "pull team/g-7777": "-",
		"push tagged:g-777-1": "+p:7", "push tagged:g-7777-1": "-", "push tagged:x-g-777-1": "-", "push team/x-g-777": "+p:8", "push team/xg-777": "-",
		"delete a-g-777-b": "+p:9", "delete g-777": "-", "delete twice/g-777/g-777": "+p:10", "delete twice/g-777/g-776": "-",
	} {
		for who, id := range people {
			want := want
			switch {
			case who == "without" && text == "pull secret":
				want = "-p:3"
			case who == "without":
				want = "-"
			}
			_, r := request("- " + text)
			if d := bare(p.Decide(id, r)); d != (Decision{Allowed: want[0] == '+', Rule: want[1:]}) {
				t.Errorf("%s %s: %+v, want %s", who, text, d, want)
			}
		}
	}
}

// twentyRules are a policy of a usual size, of which the last rule allows.
func twentyRules() []Rule {
	var rules []Rule
	for i := range 17 {
		rules = append(rules, allow("pull push", fmt.Sprintf("team-%d/**", i), fmt.Sprintf("group:example/team-%d", i)))
	}
	return append(rules, deny("push delete", "prod/**", "authenticated", tags("v*"), except("group:example/release")),
		allow("pull", "public/**", "everyone"), allow("*", "users/{user}/**", "authenticated"))
}

func BenchmarkDecide(b *testing.B) {
	p := policy(b, twentyRules()...)
	id := mozart
	for i := range 20 {
		id.Groups = append(slices.Clip(id.Groups), authn.Group{Name: fmt.Sprintf("group-%02d", i)})
	}
	r := Request{Repository: "users/mozart/app/backend", Action: Push, Tags: []string{"v1.2.3"}}
	b.ReportAllocs()
	for b.Loop() {
		if !p.Decide(id, r).Allowed {
			b.Fatal("denied")
		}
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	p := policy(t, twentyRules()...)
	r := Request{Repository: "users/mozart/app", Action: Push, Tags: []string{"v1"}}
	if n := testing.AllocsPerRun(100, func() { p.Decide(mozart, r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
