package migrate

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"gatehouse/authn"
	"gatehouse/authz"
)

// policyOf is the policy of a config that was written.
func policyOf(t interface{ Fatalf(string, ...any) }, text string) *authz.Policy {
	var cfg struct{ Policy []authz.Rule }
	if err := yaml.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	policy, err := authz.New(authz.Config{Rules: cfg.Policy, Directories: []string{localName, ldapName}})
	if policy == nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return policy
}

// lost are the lines of what was told as lost.
func lost(r *result) (list []string) {
	for _, f := range r.told {
		if !f.note {
			list = append(list, fmt.Sprintf("%d: %s", f.line, f.text))
		}
	}
	return list
}

// TestExamples holds twelve configs, such as docker_auth's documentation describes, against
// docker_auth's list on a grid of our own making.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) != 12 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := dockerAuth("f", text)
			if err != nil {
				t.Fatal(err)
			}
			wanted := regexp.MustCompile(`(?m)^# lost: (.*)$`).FindAllStringSubmatch(string(text), -1)
			told := lost(r)
			if len(wanted) != len(told) {
				t.Errorf("told %d losses, want %d:\n%s", len(told), len(wanted), strings.Join(told, "\n"))
			}
			for _, want := range wanted {
				if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, want[1]) }) {
					t.Errorf("not told: %s\n%s", want[1], strings.Join(told, "\n"))
				}
			}
			held(t, text, r)
		})
	}
}

// held asks both lists, of people, names and addresses that are not made of the entries.
func held(t interface {
	Fatalf(string, ...any)
	Errorf(string, ...any)
}, text []byte, r *result) {
	s, tr, err := parseSource(text)
	if err != nil {
		t.Fatalf("%v", err)
	}
	m := &migration{result: &result{}, source: s, byName: map[int]bool{}}
	m.lowerCase()
	m.model = &model{acl: s.acl, anonymous: s.anonymous, compiled: map[string]*regexp.Regexp{}}
	m.label, m.service = m.groupLabel(tr), m.serviceName()
	policy := policyOf(t, r.texts[ConfigName])
	different := 0
	for _, c := range testPeople(m) {
		for _, name := range []string{"a", "b", "a/b", "a/b/c", "open/x", "dev/x", "prod/app", "prod/app/x", "mozart/x", "mozart", "team-dev/x", "test/a/b", "pub"} {
			for _, ip := range []string{"192.0.2.1", "10.1.2.3", "127.0.0.1", "2001:db8::5"} {
				for _, action := range actions {
					was, line := m.model.decide(request{c.account, c.labels, name, m.service, netip.MustParseAddr(ip), action})
					is := policy.Decide(c.id, authz.Request{Repository: name, Action: authz.Action(action), Source: netip.MustParseAddr(ip)})
					if is.Allowed && !was {
						t.Errorf("wider: %s of %s by %s from %s (line %d)\n%s\n%s", action, name, c, ip, line, text, r.texts[ConfigName])
					}
					if is.Allowed != was {
						different++
					}
				}
			}
		}
	}
	if different > 0 && len(lost(r)) == 0 {
		t.Errorf("%d answers differ, and nothing was told\n%s\n%s", different, text, r.texts[ConfigName])
	}
}

// testPeople are the users of a config, and people of its directory.
func testPeople(m *migration) []caller {
	var list []caller
	if m.source.anonymous {
		list = append(list, caller{})
	}
	for _, p := range m.source.users {
		list = append(list, m.caller(localName, p.name, m.source.labels[p.name]))
	}
	if m.source.ldap == nil {
		return list
	}
	for _, name := range []string{"bach", "open", "prod", "a"} {
		for _, groups := range [][]string{nil, {"dev"}, {"open"}, {"dev", "prod"}} {
			list = append(list, m.caller(ldapName, name, m.labelled(groups...)))
		}
	}
	return list
}

const ldapAuth = "ldap_auth: {addr: \"127.0.0.1:389\", base: dc=x, filter: \"(uid=${account})\", labels: {group: {attribute: memberOf, parse_cn: true}, title: {attribute: title}}}\n"

// TestNeverWider draws lists of entries and holds each one.
func TestNeverWider(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
		var b strings.Builder
		fmt.Fprintf(&b, "users:\n  mozart: {password: %q, labels: {group: [dev], title: [b]}}\n  test: {password: %q, labels: {group: [%s]}}\n", bcrypt, bcrypt, pick("group", "open", "prod", "a, open", "'*', dev"))
		if rapid.Bool().Draw(t, "anonymous") {
			b.WriteString("  \"\": {}\n")
		}
		if rapid.Bool().Draw(t, "ldap") {
			b.WriteString(ldapAuth)
		}
		b.WriteString("acl:\n")
		for range rapid.IntRange(1, 6).Draw(t, "entries") {
			var match []string
			add := func(key string, values ...string) {
				if v := pick(key, append([]string{"-", "-"}, values...)...); v != "-" {
					match = append(match, key+": "+v)
				}
			}
			add("account", "''", "mozart", "test", "'/.+/'", "'*'", "'?*'", "'/^(mozart|bach)$/'", "'/^m/'", "bach")
			add("name", "'a/*'", "'*'", "'open/*'", "'prod/*'", "'/^prod\\/.*/'", "'/prod/'", "'${account}/*'", "'${labels:group}/*'", "'/^${labels:group}\\/.+$/'",
				"'team-${labels:group}/*'", "'/^(a|b)$/'", "'pu?'", "'[a-c]/*'", "'/^a/'", "'/.*/'", "'${labels:title}/*'", "'/^.*b$/'", "'test/**'")
			add("labels", "{group: dev}", "{group: open}", "{group: '*'}", "{title: b}", "{group: '/^(dev|prod)$/'}", "{group: prod, title: b}")
			add("ip", "10.0.0.0/8", "127.0.0.1", "'2001:db8::/32'")
			fmt.Fprintf(&b, "- match: {%s}\n  actions: [%s]\n", strings.Join(match, ", "), pick("actions", "'*'", "pull", "'pull', 'push'", "", "push", "delete"))
		}
		r, err := dockerAuth("f", []byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		held(t, []byte(b.String()), r)
	})
}

// TestModel holds the rules of docker_auth's list.
func TestModel(t *testing.T) {
	s, _, err := parseSource([]byte("users: {'': {}}\nacl:\n- match: {account: stopped}\n  actions: []\n- match: {account: lame}\n- match: {account: many, name: 'a.b/${account}'}\n  actions: ['*', pull]\n" +
		"- match: {account: regex, name: '/b/'}\n  actions: [push]\n- match: {account: glob, name: '*'}\n  actions: ['*']\n- match: {account: label, name: '${labels:g}/x'}\n  actions: ['*']\n- match: {account: ''}\n  actions: [pull]\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := &model{acl: s.acl, anonymous: true, compiled: map[string]*regexp.Regexp{}}
	labels := map[string][]string{"g": {"one", "*"}}
	for question, want := range map[string]bool{
		"stopped pull a": false, "lame pull a": false, "many pull a.b/many": true, "many push a.b/many": false, "many pull axb/many": false,
		"regex push abc": true, "regex push ac": false, "regex pull b": false, "glob delete a": true, "glob delete a/b": false,
		"label push one/x": true, "label push any/x": true, "label push a/b/x": false, "- pull a": true, "- push a": false, "nobody pull a": false,
	} {
		f := strings.Fields(question)
		if got, _ := m.decide(request{account: strings.Trim(f[0], "-"), action: f[1], name: f[2], labels: labels}); got != want {
			t.Errorf("%s: %v", question, got)
		}
	}
	m.anonymous = false
	if got, _ := m.decide(request{action: "pull", name: "a"}); got {
		t.Error("nobody is let in who gives no name")
	}
}

// TestRepositories holds what a pattern of names comes to.
func TestRepositories(t *testing.T) {
	for p, want := range map[string]string{ // at least, then at most where that is more
		"a/*": "a/*", "*": "*", "**": "*", "a/**": "a/*", "/.*/": "**", "/.+/": "**", "/^prod\\/.*/": "prod/*/**", "/^prod/": "prod*/**", "/^prod$/": "prod",
		"/app$/": "**/*app", "/^a.*b$/": "a*/**/*b a*b", "/^(a|b)\\/c$/": "a/c b/c", "/^team-.+$/": "team-*/**", "/^[^\\/]+\\/app$/": "*/app", "/^a(\\/.*)?$/": "a a/*/**",
		"${account}/*": "{user}/*", "/^${labels:group}\\/.+$/": "{group}/*/**", "x-${labels:group}": "x-{group}", "/^a.+$/": " < a*/**", "a?": " < a*", "[ab]": " < *",
		"/^[0-9]+$/": " < *", "A": "", "/(?i)^ABC$/": "abc", "": "", "/^$/": "", "${labels:other}/x": " < **/*/x", "/^prod\\/[a-c]$/": "prod/a prod/b prod/c",
	} {
		s := reader{nameLetters, "group"}.repositories(p, true)
		got := strings.Join(s.under, " ")
		if !s.exact() {
			got += " < " + strings.Join(s.over, " ")
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", p, got, want)
		}
	}
}

// TestPatternsAgree: an exact reading of a pattern matches what the pattern does, and one
// that is not lies on the right side of it.
func TestPatternsAgree(t *testing.T) {
	parts := []string{"a", "b", "/", ".*", ".+", "[^/]*", "[^/]+", "(a|/)", "-", "(/.*)?", ".", "[ab]"}
	m := &model{compiled: map[string]*regexp.Regexp{}}
	rapid.Check(t, func(t *rapid.T) {
		p := "/" + rapid.SampledFrom([]string{"^", ""}).Draw(t, "begin") + strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 1, 5).Draw(t, "parts"), "") + rapid.SampledFrom([]string{"$", ""}).Draw(t, "end") + "/"
		s := reader{nameLetters, ""}.repositories(p, true)
		name := rapid.StringMatching(`[ab]([-a-b]?[ab])?(/[ab]([-a]?b)?){0,3}`).Draw(t, "name")
		if !authz.ValidRepository(name) {
			return
		}
		is := m.match(p, name)
		if low := allows(t, s.under, name); low && !is {
			t.Fatalf("%s does not match %s, and %q does", p, name, s.under)
		}
		if high := allows(t, s.over, name); is && !high {
			t.Fatalf("%s matches %s, and %q does not", p, name, s.over)
		}
	})
}

func allows(t *rapid.T, patterns []string, name string) bool {
	if len(patterns) == 0 {
		return false
	}
	policy, err := authz.New(authz.Config{Rules: []authz.Rule{{Allow: []string{"*"}, Repositories: patterns, To: []string{"everyone"}}}})
	if policy == nil {
		t.Fatalf("%v", err)
	}
	return policy.Decide(authn.Identity{}, authz.Request{Repository: name, Action: authz.Pull}).Allowed
}

// TestCovers: what one pattern covers of another, it matches.
func TestCovers(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "*", "**", "a*", "*b", "ab"})
	rapid.Check(t, func(t *rapid.T) {
		p, q := strings.Join(rapid.SliceOfN(part, 1, 3).Draw(t, "p"), "/"), strings.Join(rapid.SliceOfN(part, 1, 3).Draw(t, "q"), "/")
		name := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "aab", "c"}), 1, 4).Draw(t, "name"), "/")
		inP, inQ := allows(t, []string{p}, name), allows(t, []string{q}, name)
		if covers(p, q) && inQ && !inP {
			t.Fatalf("%s does not cover %s: %s", p, q, name)
		}
		both, met := common(strings.Split(p, "/"), strings.Split(q, "/"))
		if inP && inQ && !met {
			t.Fatalf("%s and %s overlap: %s", p, q, name)
		}
		if one := strings.Join(both, "/"); met && one != "" && (!allows(t, []string{p}, one) || !allows(t, []string{q}, one)) {
			t.Fatalf("%s and %s do not both match %s", p, q, one)
		}
	})
}
