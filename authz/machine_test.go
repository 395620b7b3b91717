package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"gatehouse/authn"
)

// robot is a machine of the directory robots.
func robot(name string, groups ...string) authn.Identity {
	id := authn.Identity{Directory: "robots", Username: name, ID: "machine:" + name, Machine: true}
	for _, g := range groups {
		id.Groups = append(id.Groups, authn.Group{Name: g})
	}
	return id
}

// TestMachineWords: who is meant by each word.
func TestMachineWords(t *testing.T) {
	person := authn.Identity{Directory: "local", Username: "jenkins"}
	namesake := authn.Identity{Directory: "robots", Username: "jenkins"} // a person, wherever they come from
	callers := []authn.Identity{{}, person, namesake, robot("jenkins", "ci"), robot("octo-org/app"), robot("octo-org/app/sub")}
	for word, means := range map[string]string{ // one letter for each of callers
		"everyone":                      "yyyyyy",
		"authenticated":                 "-yyyyy",
		"people":                        "-yy---",
		"machines":                      "---yyy",
		"directory:robots":              "--yyyy",
		"user:jenkins":                  "-yy---",
		"user:local/jenkins":            "-y----",
		"user:robots/jenkins":           "--y---", // a warning
		"group:ci":                      "---y--",
		"group:robots/ci":               "---y--",
		"machine:robots/jenkins":        "---y--",
		"machine:Robots/Jenkins":        "---y--",
		"machine:robots/*":              "---y--",
		"machine:robots/**":             "---yyy",
		"machine:robots/jenk*":          "---y--",
		"machine:robots/octo-org/*":     "----y-",
		"machine:robots/octo-org/**":    "----yy",
		"machine:robots/**/app":         "----y-",
		"machine:robots/octo*/app/**":   "----yy",
		"machine:robots/octo-org/a*/**": "----yy",
		"machine:robots/octo-org":       "------",
		"machine:robots/app":            "------",
		"machine:robots/jenkin":         "------",
	} {
		p := policy(t, Rule{Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{word}})
		got := ""
		for _, id := range callers {
			got += map[bool]string{true: "y", false: "-"}[p.Decide(id, Request{Repository: "a", Action: Pull}).Allowed]
		}
		if got != means {
			t.Errorf("%s means %s, want %s", word, got, means)
		}
	}
}

// TestMachinePattern: {machine} is the name with its slashes, and nothing for people or
// for a name that is no path.
func TestMachinePattern(t *testing.T) {
	app := robot("octo-org/app", "ci", "team-a")
	for _, c := range []struct {
		pattern, name string
		who           authn.Identity
		want          bool
	}{
		{"ci/{machine}/**", "ci/octo-org/app", app, true}, {"ci/{machine}/**", "ci/octo-org/app/x/y", app, true},
		{"ci/{machine}/**", "ci/octo-org/app2", app, false}, {"ci/{machine}/**", "ci/octo-org", app, false}, {"ci/{machine}", "ci/octo-org/app/x", app, false},
		{"{machine}", "octo-org/app", app, true}, {"{machine}", "x/octo-org/app", app, false}, {"**/{machine}", "x/y/octo-org/app", app, true},
		{"x-{machine}-*", "x-octo-org/app-1", app, true}, {"x-{machine}-*", "x-octo-org/app", app, false},
		{"{group}/{machine}", "team-a/octo-org/app", app, true}, {"{machine}/{group}-*", "octo-org/app/ci-1", app, true}, {"{machine}/{group}-*", "octo-org/app/dev-1", app, false},
		{"home/{user}/**", "home/octo-org/app", app, false}, {"home/{user}/**", "home/jenkins", robot("jenkins"), false}, {"{machine}/{user}", "jenkins/jenkins", robot("jenkins"), false},
		{"{machine}/**", "jenkins/x", robot("jenkins"), true}, {"{machine}/**", "jenkins/x", authn.Identity{Directory: "local", Username: "jenkins"}, false},
		{"{machine}/**", "a..b", robot("a..b"), false}, {"**/{machine}", "x/_a", robot("_a"), false}, {"{machine}", "a", robot("*"), false}, {"{machine}", "a/b", robot("**"), false},
		{"{machine}", strings.Repeat("a/", 126) + "a", robot(strings.Repeat("a/", 126) + "a"), true}, {"{machine}", "a", authn.Identity{}, false},
	} {
		p := policy(t, Rule{Allow: []string{"pull"}, Repositories: []string{c.pattern}, To: []string{"everyone"}})
		if got := p.Decide(c.who, Request{Repository: c.name, Action: Pull}).Allowed; got != c.want {
			t.Errorf("%s on %s for %s: %v", c.pattern, c.name, c.who.Username, got)
		}
		reaches := false
		for _, prefix := range p.For(c.who).Prefixes(netip.Addr{}) {
			reaches = reaches || strings.HasPrefix(c.name+"/", prefix)
		}
		if c.want && !reaches {
			t.Errorf("%s for %s: the catalog looks at %q alone", c.pattern, c.who.Username, p.For(c.who).Prefixes(netip.Addr{}))
		}
	}
}

// TestMachineFaults: what is wrong with a rule about machines, and what is odd.
func TestMachineFaults(t *testing.T) {
	for _, c := range []struct {
		to, except, repository, tag string
		want                        string // empty: nothing is said
		warning                     bool
	}{
		{to: "machine:robots/**"}, {to: "machines"}, {to: "people"}, {to: "user:mozart"}, {to: "user:local/mozart"}, // one directory of people
		{to: "machine:robots", want: "[0].to[0]: \"robots\": write machine:DIRECTORY/NAME"},
		{to: "machine:robots/", want: "write machine:DIRECTORY/NAME"},
		{to: "machine:", want: "a name is missing after the colon"},
		{to: "machine:nowhere/x", want: `there is no directory "nowhere"`},
		{to: "machine:local/x", want: `the directory "local" knows people and no machines`},
		{to: "machine:robots/a//b", want: "empty component"},
		{to: "machine:robots/a**", want: "** stands only as a whole component"},
		{to: "machine:robots/{user}", want: "takes no placeholder"}, {to: "machine:robots/x-{machine}", want: "takes no placeholder"},
		{to: "machine:robots/a b", want: "occurs in no name"},
		{to: "Machines", want: "is none of everyone"},
		{to: "user:robots/jenkins", want: "knows machines and no people", warning: true},
		{to: "group:ci", want: "with several directories", warning: true},
		{to: "authenticated", want: "[0].to[0]: authenticated is every machine too", warning: true},
		{to: "authenticated", except: "machines"},
		{to: "people", tag: "{machine}", want: "[0].tags[0]: pattern \"{machine}\": {machine} stands in repositories alone"},
	} {
		r := Rule{Allow: []string{"push"}, Repositories: []string{"ci/{machine}/**"}, To: []string{c.to}}
		if c.except != "" {
			r.Except = []string{c.except}
		}
		if c.tag != "" {
			r.Tags = []string{c.tag}
		}
		p, err := New(Config{Rules: []Rule{r}, Directories: []string{"local", "robots"}, Machines: []string{"robots"}})
		if text := fmt.Sprint(err); (p != nil) != (c.want == "" || c.warning) || (err == nil) != (c.want == "") || !strings.Contains(text, c.want) && c.want != "" {
			t.Errorf("%s: %s, want %q", c.to, text, c.want)
		}
	}
	deny := Rule{Deny: []string{"push"}, Repositories: []string{"**"}, To: []string{"authenticated"}}
	if _, err := New(Config{Rules: []Rule{deny}, Directories: []string{"robots"}, Machines: []string{"robots"}}); err != nil {
		t.Errorf("a deny to authenticated: %v", err)
	}
}

// TestMachineIsWhole: a name that is no path of a repository matches nothing, though the
// repository would be one.
func TestMachineIsWhole(t *testing.T) {
	p := policy(t, allow("pull", "x-{machine} {machine}-x", "machines"))
	for name, want := range map[string]bool{"b": true, "-b": false} {
		if got := p.Decide(robot(name), Request{Repository: "x-" + name, Action: Pull}).Allowed; got != want {
			t.Errorf("x-%s: %v", name, got)
		}
	}
}

// TestGroupsOfMachines: machines are in groups, so a rule may speak of one in their
// directory.
func TestGroupsOfMachines(t *testing.T) {
	for to, warned := range map[string]bool{"group:robots/ci": false, "user:robots/ci": true} {
		_, err := New(Config{Rules: []Rule{allow("pull", "a", to)}, Directories: []string{"robots"}, Machines: []string{"robots"}})
		if (err != nil) != warned {
			t.Errorf("%s: %v", to, err)
		}
	}
}
