package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
)

func named(name string) func(*Rule) { return func(r *Rule) { r.Name = name } }
func during(from, until string) func(*Rule) {
	return func(r *Rule) { r.From, r.Until = from, until }
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, _, err := ParseTime(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestTime: outside its time a rule is as absent, for requests, at the realm and for
// the catalog; both ends belong to it.
func TestTime(t *testing.T) {
	p := policy(t, allow("push", "a", "authenticated", during("2026-12-01T08:00:00+01:00", "2026-12-24")), allow("pull", "**", "everyone", during("2026-12-03", "")),
		deny("push", "a", "authenticated", during("2026-12-10", "2026-12-10T12:00:00Z"), named("pause")))
	scopes, err := ParseScope([]string{"repository:a:pull,push registry:catalog:*"})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"2026-12-01T06:59:59Z": "-", "2026-12-01T07:00:00Z": "+p:1", "2026-12-24T23:59:59Z": "+p:1", "2026-12-25": "-",
		"2026-12-09T23:59:59Z": "+p:1", "2026-12-10": "-p:3 (pause)", "2026-12-10T12:00:00Z": "-p:3 (pause)", "2026-12-10T13:00:00.5+01:00": "+p:1",
	} {
		q := Request{Repository: "a", Action: Push, Tags: []string{"v1"}, At: moment(t, at)}
		d := p.Decide(bach, q)
		if bare(d) != (Decision{Allowed: want[0] == '+', Rule: want[1:]}) {
			t.Errorf("%s: %+v, want %s", at, d, want)
		}
		p.clock = func() time.Time { return q.At }
		now := q
		if now.At = (time.Time{}); bare(p.Decide(bach, now)) != bare(d) {
			t.Errorf("%s: what is so at a time is not so now", at)
		}
		if granted := p.Grant(bach, scopes, netip.Addr{}); granted.Allows("a", Push) != d.Allowed {
			t.Errorf("%s: granted %s", at, granted)
		}
	}
	for at, want := range map[string]Decision{"2026-12-02T23:59:59.999Z": {}, "2026-12-03": {Allowed: true, Rule: "p:2"}} {
		p.clock = func() time.Time { return moment(t, at) }
		if d := bare(p.Catalog(anonymous)); d != want || len(p.For(anonymous).Prefixes(netip.Addr{})) > 0 != want.Allowed {
			t.Errorf("the catalog at %s: %+v", at, d)
		}
		if d := bare(p.Decide(anonymous, Request{Action: Catalog})); d != want {
			t.Errorf("the catalog at %s: %+v", at, d)
		}
	}
	if fresh := policy(t, allow("pull", "**", "everyone", during("2020-01-01", ""))); !fresh.Decide(anonymous, Request{Repository: "a", Action: Pull}).Allowed {
		t.Error("a policy has no clock")
	}
}

// TestExplainTime: a rule out of its time is a condition, with its name.
func TestExplainTime(t *testing.T) {
	p := policy(t, allow("push", "a", "authenticated", during("2026-12-01T08:00:00+01:00", "2026-12-24"), named("advent")), deny("overwrite", "a", "authenticated", tags("v*"), during("", "2026-11-30"), named("stays")))
	for at, want := range map[string]string{
		"2026-11-30": "-|p:1 (advent) allows push if the time is from 2026-12-01T08:00:00+01:00 until 2026-12-24|p:2 (stays) denies overwrite if the tag is v*",
		"2026-12-02": "+p:1 (advent)|p:2 (stays) denies overwrite if the tag is v* and the time is until 2026-11-30",
	} {
		e := p.Explain(bach, Request{Repository: "a", Action: Push, At: moment(t, at)})
		got := "-" + e.Rule
		if e.Allowed {
			got = "+" + e.Rule
		}
		if got = strings.Join(append([]string{got}, e.Conditions...), "|"); got != want {
			t.Errorf("%s: %s\nwant %s", at, got, want)
		}
	}
	for from, want := range map[string]string{"2020-01-01": "+ 0", "2090-01-01": "- 1"} { // without a time it is asked as of now
		e := policy(t, allow("push", "a", "authenticated", during(from, ""))).Explain(bach, Request{Repository: "a", Action: Push})
		if got := fmt.Sprint(sign(e.Decision), " ", len(e.Conditions)); got != want {
			t.Errorf("from %s: %s, want %s", from, got, want)
		}
	}
	want := "allow [push] repositories [a] to [authenticated] from 2026-12-01T08:00:00+01:00 until 2026-12-24"
	if got := p.Rules(bach)[0].String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDecidePush: what hangs on the tags, and what is settled without them.
func TestDecidePush(t *testing.T) {
	p := policy(t, allow("push", "**", "authenticated"), deny("overwrite", "**", "authenticated", tags("v*"), named("stays")), deny("push", "**", "authenticated", tags("never")),
		deny("create", "**", "authenticated", tags("old")))
	for tags, want := range map[string]string{
		"dev": "+p:1", "v1": "+p:1 v1:+-", "dev v1 v2": "+p:1 v1:+- v2:+-", "v1 never": "-p:3", "never v1": "-p:3", "old": "-p:4 old:-+", "v1 old": "+p:1 v1:+- old:-+", "dev dev": "+p:1",
	} {
		d, open := p.DecidePush(bach, Request{Repository: "a", Tags: strings.Fields(tags)})
		got := sign(d) + d.Rule
		if len(open) > 0 && !d.Allowed {
			t.Errorf("%s: open and refused", tags)
		} else if tags == "old" {
			got = "-" + d.Rule // by that of create
		}
		for _, h := range open {
			got += " " + h.Tag + ":" + sign(h.Create) + sign(h.Overwrite)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", tags, got, want)
		}
	}
	if d, open := p.DecidePush(anonymous, Request{Repository: "a", Tags: []string{"v1"}}); d != (Decision{}) || open != nil {
		t.Errorf("somebody without a rule: %+v %v", d, open)
	}
	if !p.Splits("a") || policy(t, allow("create overwrite pull delete", "**", "everyone"), allow("*", "**", "everyone")).Splits("a") {
		t.Error("which policies split a push")
	}
}

// TestSplits: a push is split where a rule of one half may match the repository, for anybody
// at any time, and nowhere else.
func TestSplits(t *testing.T) {
	for pattern, want := range map[string]string{
		"prod/**": "prod/a prod/a/b prod", "home/{user}/**": "home/x home/x/y", "g-{group}": "g-a g-a-b", "m/{machine}/end": "m/a/end m/a/b/end",
		"**/vault": "vault a/vault a/b/vault", "*/x-{user}": "a/x-b", "exact": "exact", "robots-{machine}/x": "robots-a/x robots-a/b/x",
	} {
		p := policy(t, allow("*", "**", "authenticated"), deny("overwrite", pattern, "user:local/nobody", tags("v*"), during("", "2020-01-01")))
		for _, name := range strings.Fields(want) {
			if !p.Splits(name) {
				t.Errorf("%s does not split %s", pattern, name)
			}
		}
		for _, name := range []string{"other", "team/a", "production/a", "home", "h/x", "g-a/b", "vault/a", "a/x", "exact/a", "a/exact"} {
			if p.Splits(name) && !strings.HasPrefix(pattern, "robots-{machine}") {
				t.Errorf("%s splits %s", pattern, name)
			}
		}
	}
	p := policy(t, allow("create pull", "prod/**", "authenticated"), allow("*", "**", "authenticated"), allow("overwrite", "move/*", "authenticated"))
	for name, want := range map[string]bool{"prod/a": true, "move/a": true, "move/a/b": false, "team/a": false} {
		if p.Splits(name) != want {
			t.Errorf("%s is split: %v", name, !want)
		}
	}
	if (&Policy{}).Splits("a") {
		t.Error("no policy splits a push")
	}
}

// TestParseTime: RFC 3339 and days, and nothing that is like them.
func TestParseTime(t *testing.T) {
	for text, good := range map[string]bool{
		"2026-12-24T08:00:00Z": true, "2026-12-24T08:00:00.123456789+01:00": true, "2026-12-24T08:00:00-23:59": true, "2026-12-24": true, "2028-02-29T23:59:59Z": true, "2026-12-24t08:00:00z": true, "2026-12-24t08:00:00.5+01:00": true,
		"2026-12-24T8:00:00Z": false, "2026-12-24T08:00:00,5Z": false, "2026-12-24T08:00:00.Z": false, "2026-12-24T08:00:00": false, "2026-12-24 08:00:00Z": false,
		"2026-12-24T08:00:00+24:00": false, "2026-12-24T08:00:00+01:60": false, "2026-12-24T08:00:00+0100": false, "2026-02-29T08:00:00Z": false, "2026-12-24T08:00Z": false,
		"2026-12-24T24:00:00Z": false, "2026-2-24": false, "26-12-24": false, "": false, " 2026-12-24": false, "2026-12-24T08:00:00Z ": false,
	} {
		if _, _, err := ParseTime(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		} else if !good && !strings.Contains(err.Error(), "is no time with its zone") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestHalvesBeside: neither half stands beside what holds it already.
func TestHalvesBeside(t *testing.T) {
	for actions, want := range map[string]string{
		"create push": "create beside push", "overwrite pull push": "overwrite beside push", "create *": `create beside "*"`, "* overwrite": `overwrite beside "*"`,
		"push *": "", "pull *": "", "create overwrite": "", "*": "",
	} {
		for _, r := range []Rule{allow(actions, "a", "everyone"), deny(actions, "a", "everyone")} {
			_, err := New(Config{Rules: []Rule{allow("pull", "b", "everyone"), r}, Directories: []string{"local"}})
			if want == "" && err != nil && strings.Contains(err.Error(), "beside") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", r, err, want)
			}
		}
	}
}

func sign(d Decision) string {
	if d.Allowed {
		return "+"
	}
	return "-"
}

// TestAdvice: what is warned of in a policy as a whole, and what is not.
func TestAdvice(t *testing.T) {
	all := allow("*", "**", "authenticated")
	for _, c := range []struct {
		name  string
		rules []Rule
		want  string // keys of the warnings
	}{
		{"nothing", []Rule{all, deny("overwrite delete", "prod/**", "authenticated", tags("v*")), allow("create pull", "team/**", "authenticated")}, ""},
		{"an allow below a deny", []Rule{deny("*", "prod/**", "everyone", named("shut")), allow("pull", "prod/a/*", "group:example/x"), all}, "[1]"},
		{"a deny behind a deny", []Rule{deny("push", "**", "authenticated"), deny("push", "a", "user:local/x", tags("v*")), deny("push", "**", "everyone")}, "[1]"},
		{"twice", []Rule{deny("pull", "a", "everyone"), deny("pull", "a", "everyone")}, "[1]"},
		{"not all of its actions", []Rule{deny("push", "a", "everyone"), allow("*", "a", "everyone")}, ""},
		{"not all of its repositories", []Rule{deny("push", "a/** b", "everyone"), allow("push", "a/b */c", "everyone"), allow("push", "a/b b", "everyone")}, "[2]"},
		{"not all of its people", []Rule{deny("push", "**", "authenticated"), allow("push", "a", "everyone"), deny("delete", "**", "directory:local"), allow("delete", "a", "user:local/x directory:example")}, ""},
		{"of a directory", []Rule{deny("push", "**", "directory:local group:local/x"), allow("push", "a", "user:local/x"), allow("push", "a", "group:example/x")}, "[1]"},
		{"a name of any directory", []Rule{deny("push", "**", "user:x"), allow("push", "a", "user:local/x")}, "[0].to[0] [1]"},
		{"exceptions", []Rule{deny("push", "**", "authenticated", except("group:local/x")), allow("push", "a", "authenticated"), allow("push", "a", "authenticated", except("directory:local"))}, "[2]"},
		{"tags of a push are not all of it", []Rule{deny("push", "**", "everyone", tags("*")), allow("push", "a", "everyone", tags("v*")), deny("push", "a", "everyone", tags("v1"))}, "[2]"},
		{"tags of a delete are", []Rule{deny("delete", "**", "everyone", tags("v* x")), allow("delete", "a", "everyone", tags("v1 x")), allow("delete", "a", "everyone", tags("w")), allow("delete", "a", "everyone")}, "[1]"},
		{"networks", []Rule{deny("pull", "**", "everyone", networks("10.0.0.0/8")), allow("pull", "a", "everyone", networks("10.1.0.0/16 10.2.0.1")), allow("pull", "a", "everyone", networks("10.0.0.0/7")), allow("pull", "a", "everyone")}, "[1]"},
		{"times", []Rule{deny("pull", "**", "everyone", during("2090-01-02", "2090-02-01")), allow("pull", "a", "everyone", during("2090-01-03", "2090-01-05")), allow("pull", "a", "everyone", during("2090-01-01", "2090-01-05")),
			allow("pull", "a", "everyone", during("2090-01-03", "")), allow("pull", "a", "everyone")}, "[1]"},
		{"networks of any client", []Rule{deny("pull", "**", "everyone", networks("0.0.0.0/0 ::/0")), allow("pull", "a", "everyone"), allow("pull", "b", "everyone", networks("10.0.0.0/8"))}, "[1] [2]"},
		{"an allow of any client's networks", []Rule{deny("pull", "**", "everyone", networks("10.0.0.0/8 ::/0 ")), allow("pull", "a", "everyone")}, "[0].networks"},
		{"people and machines", []Rule{deny("pull", "**", "people machines"), allow("pull", "a", "authenticated"), allow("pull", "b", "group:local/x directory:local"), allow("pull", "c", "everyone")}, "[1] [2]"},
		{"people alone", []Rule{deny("pull", "**", "people"), allow("pull", "a", "authenticated")}, ""},
		{"overwrites of any tag", []Rule{deny("overwrite delete", "**", "everyone", tags("*")), allow("overwrite", "a", "everyone"), allow("overwrite delete", "b", "everyone"), allow("push", "c", "everyone")}, "[1] [2]"},
		{"overwrites of some tags", []Rule{deny("overwrite delete", "**", "everyone", tags("v*")), allow("overwrite", "a", "everyone")}, ""},
		{"guarded, and never created again", []Rule{all, deny("overwrite", "prod/**", "authenticated", tags("v*")), deny("create", "**", "everyone")}, ""},
		{"guarded, and created again elsewhere", []Rule{all, deny("overwrite", "prod/**", "authenticated", tags("v*")), deny("create", "team/**", "everyone")}, "[1].deny"},
		{"a later deny", []Rule{allow("pull", "a", "everyone"), deny("pull", "**", "everyone")}, "[0]"},
		{"a deny by its end", []Rule{deny("pull", "**/secret", "everyone"), allow("pull", "*/secret", "everyone"), allow("pull", "*/secrets", "everyone")}, "[1]"},
		{"names of other kinds", []Rule{deny("pull", "**", "user:local/x group:local/y"), allow("pull", "a", "group:local/x"), allow("pull", "a", "user:local/y"), allow("pull", "a", "user:local/x")}, "[3]"},
		{"other networks", []Rule{deny("pull", "**", "everyone", networks("10.0.0.0/8")), allow("pull", "a", "everyone", networks("11.1.0.0/16")), allow("pull", "a", "everyone", networks("10.0.0.0/8"))}, "[2]"},
		{"a deny that ends before", []Rule{deny("pull", "**", "everyone", during("", "2090-01-02")), allow("pull", "a", "everyone", during("", "2090-01-03")), allow("pull", "a", "everyone", during("", "2090-01-02"))}, "[2]"},
		{"deny of create alone is no guard", []Rule{deny("create", "a", "authenticated")}, ""},
		{"deny of create alone, and delete allowed", []Rule{allow("delete", "a", "authenticated"), deny("create", "a", "authenticated")}, ""},
		{"create, and nobody deletes", []Rule{allow("create", "a", "authenticated")}, ""},
		{"over, and told once", []Rule{deny("*", "**", "everyone"), allow("pull", "a", "everyone", during("", "2020-01-01"))}, "[1].until"},
		{"a guard that is over", []Rule{all, deny("overwrite", "prod/**", "authenticated", tags("v*"), during("", "2020-01-01"))}, "[1].until"},
		{"a create that is over", []Rule{allow("create", "a", "authenticated", during("", "2020-01-01")), allow("delete", "a", "authenticated")}, "[0].until"},
		{"a delete that is over", []Rule{allow("create", "a", "authenticated"), allow("delete", "a", "authenticated", during("", "2020-01-01"))}, "[1].until"},
		{"a delete of people of a DN", []Rule{allow("create", "a", "people"), allow("delete", "a", "group:cn=x,dc=x")}, "[0].allow"},
		{"a delete elsewhere", []Rule{allow("create", "a/**", "people"), allow("delete", "b/**", "people"), allow("delete", "a-b", "people")}, ""},
		{"an overwrite beside a delete", []Rule{allow("create", "a", "people"), allow("delete overwrite", "a", "people")}, ""},
		{"guarded by half", []Rule{all, deny("overwrite", "prod/**", "authenticated", tags("v*"))}, "[1].deny"},
		{"guarded by another rule", []Rule{all, deny("overwrite", "prod/**", "authenticated", tags("v*")), deny("delete", "**", "everyone", tags("v*"))}, ""},
		{"guarded by too little", []Rule{all, deny("overwrite", "prod/**", "authenticated", tags("v*")), deny("delete", "prod/a", "everyone")}, "[1].deny"},
		{"create and delete", []Rule{allow("create delete", "a", "authenticated")}, "[0].allow"},
		{"create here and delete there", []Rule{allow("create", "a/b", "group:local/x"), allow("delete", "a/**", "authenticated")}, "[0].allow"},
		{"who may overwrite need not delete", []Rule{allow("create delete", "a", "authenticated"), allow("overwrite", "a", "authenticated")}, ""},
		{"create, and delete denied", []Rule{allow("create delete", "a", "authenticated"), deny("delete", "**", "authenticated", tags("*"))}, ""},
		{"create, and some of them delete", []Rule{allow("create pull", "prod/**", "authenticated"), allow("delete", "prod/**", "group:local/dev")}, "[0].allow"},
		{"create, and some of it is deleted", []Rule{allow("delete pull", "prod/a", "authenticated"), allow("create", "prod/**", "group:local/dev")}, "[1].allow"},
		{"create, and some of the tags are deleted", []Rule{allow("create", "a", "people", tags("v*")), allow("delete", "**", "group:local/dev", tags("*1"))}, "[0].allow"},
		{"create, and other tags are deleted", []Rule{allow("create", "a", "people", tags("v*")), allow("delete", "**", "group:local/dev", tags("dev-*"))}, ""},
		{"create, and others are deleted", []Rule{allow("create", "prod/**", "people"), allow("delete", "team/*", "people"), allow("delete", "production/x", "everyone")}, ""},
		{"create, and others delete", []Rule{allow("create", "**", "user:local/x group:local/a"), allow("delete", "**", "user:local/y group:local/b")}, ""},
		{"create, and those who delete overwrite", []Rule{allow("create", "**", "authenticated"), allow("*", "prod/**", "group:local/dev"), allow("delete", "prod/a", "group:local/dev")}, ""},
		{"create, and those who delete overwrite elsewhere", []Rule{allow("create", "**", "authenticated"), allow("overwrite", "prod/**", "group:local/dev"), allow("delete", "**", "group:local/dev")}, "[0].allow"},
		{"create, and who deletes is excepted", []Rule{allow("create", "**", "authenticated", except("group:local/dev")), allow("delete", "**", "group:local/dev")}, ""},
		{"create, and delete denied to who deletes", []Rule{allow("create", "prod/**", "authenticated"), allow("delete", "**", "group:local/dev"), deny("delete", "prod/**", "group:local/dev")}, ""},
		{"create, and delete denied where it is", []Rule{allow("create", "**", "authenticated"), allow("delete", "prod/a/**", "user:local/x"), deny("delete overwrite", "prod/**", "everyone")}, "[1]"},
		{"create, and delete denied to others", []Rule{allow("create", "prod/**", "authenticated"), allow("delete", "prod/**", "group:local/dev"), deny("delete", "prod/**", "group:local/ops")}, "[0].allow"},
		{"create, and deletes are over", []Rule{allow("create", "a", "people"), allow("delete", "a", "people", during("", "2020-01-01"))}, "[1].until"},
		{"create, and deletes at another time from elsewhere", []Rule{allow("create", "a", "people", during("", "2090-01-01"), networks("10.0.0.0/8")), allow("delete", "a", "people", during("2091-01-01", ""), networks("11.0.0.0/8"))}, "[0].allow"},
		{"create, and all of delete denied", []Rule{allow("create delete", "a", "authenticated"), deny("delete", "**", "authenticated")}, ""},
	} {
		_, err := New(Config{Rules: c.rules, Directories: []string{"local", "example"}})
		var keys []string
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				k := e.(*authn.KeyError)
				if keys = append(keys, k.Key); !k.Warning {
					t.Errorf("%s: %v is a fault", c.name, k)
				}
			}
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("%s: %q, want %q (%v)", c.name, got, c.want, err)
		}
	}
}

// TestCoversMachines: who is meant by a word is so by another.
func TestCoversMachines(t *testing.T) {
	for text, want := range map[string]bool{
		"everyone machines": true, "authenticated machines": true, "authenticated machine:robots/a": true, "machines machine:robots/**": true, "machines people": false, "people machines": false,
		"people user:local/x": true, "machines user:local/x": false, "directory:robots machine:robots/a": true, "machine:robots/** machine:robots/a/*": true, "machine:robots/* machine:robots/a/b": false,
		"machine:robots/a machine:robots/a": true, "machine:robots/a user:local/a": false, "machine:robots/a machines": false, "machines authenticated": false, "people people": true,
	} {
		first, second, _ := strings.Cut(text, " ")
		known := newDirectories([]string{"local", "robots"}, []string{"robots"})
		s, err := compileSubject(first, known)
		other, err2 := compileSubject(second, known)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if s.covers(other) != want {
			t.Errorf("%s covers %s: %v", first, second, !want)
		}
	}
}

// TestCovers: of patterns.
func TestCovers(t *testing.T) {
	for text, want := range map[string]bool{
		"** a/**/b": true, "a/** a": true, "a/** a/*": true, "a/** a/**/b/**": true, "a/* a/b": true, "a/* a/b*": true, "a/* a/**": false, "a a": true, "a a*": false, "a* ab": true, "a* b": false,
		"**/x a/x": true, "**/x **": false, "*/** **": false, "*/** a/**": true, "{user} {user}": true, "{user} a": false, "* {user}": true, "home/{user}/** home/{user}": true, "a/**/b a/b": true, "a/**/b a/**/c/b": true, "a/**/b a/**": false,
		"**/a/**/a a/a": true, "**/a/**/a a": false, "a/b a": false, "a a/b": false, "*b a": false, "*b ab": true, "*b *": false,
		"* {machine}": false, "*/* {machine}": false, "** {machine}": true, "{machine} {machine}": true, "ci/{machine}/** ci/{machine}/x": true, "{machine} a": false, "x-* x-{machine}": false,
	} {
		first, second, _ := strings.Cut(text, " ")
		p, err := compilePattern(first)
		q, err2 := compilePattern(second)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if p.covers(&q) != want {
			t.Errorf("%s covers %s: %v", first, second, !want)
		}
	}
}

// TestAdviceOnMany: what is warned of is so among thousands of rules of one
// repository too, and where there are too many to hold against each other it is said
// once, and nothing is guessed.
func TestAdviceOnMany(t *testing.T) {
	advice := func(rules []Rule) (keys []string) {
		_, err := New(Config{Rules: rules, Directories: []string{"local", "robots"}, Machines: []string{"robots"}})
		joined, ok := err.(interface{ Unwrap() []error })
		for ok && len(keys) < len(joined.Unwrap()) {
			keys = append(keys, joined.Unwrap()[len(keys)].(*authn.KeyError).Key)
		}
		return keys
	}
	rules := rulesOf(5000, "**", "user:local/user-%06d")
	for i, more := range []Rule{deny("*", "**", "user:local/user-000007"), deny("*", "**", "group:local/x"), allow("pull", "a", "group:local/x user:local/user-000007"), allow("pull", "a", "group:local/x"),
		deny("*", "**", "group:cn=x"), allow("pull", "a/**", "group:cn=x"), deny("*", "**", "machine:robots/a/**"), allow("pull", "a", "machine:robots/a/b/*"), allow("pull", "a", "machine:robots/ab/*")} {
		rules[2000+i] = more
	}
	for i := range 20 { // so that denies are many as well
		rules[i+100] = deny("*", "**", fmt.Sprintf("group:local/many-%d", i))
	}
	if got := strings.Join(advice(rules), " "); got != "[7] [2003] [2005] [2007]" {
		t.Errorf("%q", got)
	}
	alike := rulesOf(3000, "**", "authenticated")
	for i := range alike {
		alike[i].Allow, alike[i].Deny, alike[i].Tags = nil, []string{"overwrite"}, []string{fmt.Sprintf("v%d", i)}
	}
	alike = append(alike, deny("delete", "**", "authenticated"), allow("pull", "a", "everyone", during("", "2020-01-01")))
	if got := advice(alike); strings.Join(got, " ") != "[3001].until " {
		t.Errorf("%d: %.100q", len(got), got)
	}
}

// TestAdviceNamesTheFirst: of several rules that deny all of another the first is named.
func TestAdviceNamesTheFirst(t *testing.T) {
	_, err := New(Config{Rules: []Rule{deny("pull", "a/b", "everyone", named("one")), deny("pull push", "a/b", "everyone", named("two")), allow("pull", "a/b", "everyone")}})
	if err == nil || !strings.Contains(err.Error(), "(one) denies all of it") || strings.Contains(err.Error(), "(two)") {
		t.Error(err)
	}
}

// TestConditionFrom: a rule that has a beginning alone shows no end.
func TestConditionFrom(t *testing.T) {
	e := policy(t, allow("pull", "a", "everyone", during("2090-01-01", ""))).Explain(anonymous, Request{Repository: "a", Action: Pull})
	if len(e.Conditions) != 1 || e.Conditions[0] != "p:1 allows pull if the time is from 2090-01-01" {
		t.Errorf("%q", e.Conditions)
	}
}

// TestPushWithoutTags: where no tag is named nothing hangs on one, and one half of a push is
// none.
func TestPushWithoutTags(t *testing.T) {
	for half, others := range map[string]string{"create": "overwrite", "overwrite": "create"} {
		d, open := policy(t, allow(half, "a", "authenticated"), deny(others, "a", "authenticated")).DecidePush(bach, Request{Repository: "a"})
		if d.Allowed || open != nil {
			t.Errorf("%s alone: %+v %v", half, d, open)
		}
	}
}

// TestMeets: which patterns have a name in common, whichever is asked.
func TestMeets(t *testing.T) {
	for text, want := range map[string]bool{
		"a a": true, "a b": false, "** a/b": true, "a/** a": true, "a/** */b": true, "a/** b/**": false, "**/x x/**": true, "a/*/c */b/*": true, "a/* a/b/c": false,
		"a/**/z a/z": true, "a/**/z **/y": false, "v* *1": true, "v* w*": false, "*a *b": false, "a*c a*": true, "v1* v1": true, "home/{user} home/x": true,
		"home/{user} house/x": false, "m/{machine}/x m/a/b/x": true, "{group}-x a-*": true, "** **": true, "**/a/** **/b/**": true, "a/** **/b/**": true,
	} {
		first, second, _ := strings.Cut(text, " ")
		a, err := compilePattern(first)
		b, err2 := compilePattern(second)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if len(meetingPatterns([]pattern{a}, []pattern{b})) > 0 != want || len(meetingPatterns([]pattern{b}, []pattern{a})) > 0 != want {
			t.Errorf("%s meet: %v", text, !want)
		}
		if want && !near([]pattern{a}, []pattern{b}) {
			t.Errorf("%s meet, and are not near", text)
		}
	}
}
