package workload

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gatehouse/authn"
)

// TestParseClaims: a name may be a pointer, and stand several times.
func TestParseClaims(t *testing.T) {
	for text, want := range map[string]string{
		"":                      `{}`,
		"a=b":                   `{"a":"b"}`,
		"a=b=c a= ":             `{"a":["b=c",""]}`,
		"a=1 a=2 a=3":           `{"a":["1","2","3"]}`,
		"/k.io/ns=x /k.io/sa=y": `{"k.io":{"ns":"x","sa":"y"}}`,
		"/a~1b=c":               `{"a/b":"c"}`,
		"a":                     "no claim",
		"=b":                    "no claim",
		"/a~=b":                 "no JSON pointer",
		"a=b /a/c=d":            "cannot stand in a claim that is a text",
		"/a/c=d a=b":            "other claims stand in it",
	} {
		all, err := ParseClaims(strings.Fields(text))
		if got := Claims(all).String(); err != nil && !strings.Contains(err.Error(), want) || err == nil && got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

// TestDescribe: claims must come out as the name; without any it is the name alone, with the
// groups that nothing can take from it.
func TestDescribe(t *testing.T) {
	open := Workload{Match: match("repository", "octo-org/*"), Name: "{repository}", Groups: []string{"ci", "jobs"}, Record: []string{"run"}}
	second := Workload{Match: match("/k.io/ns", "prod"), Name: "pods/{/k.io/sa}", Groups: []string{"ci", "{team}"}}
	twice := Workload{Match: match("repository", "octo-org/*"), Name: "{repository}", Groups: []string{"ci", "CI"}}
	for _, c := range []struct {
		list               []Workload
		name, claims, want string
	}{
		{[]Workload{open}, "octo-org/App", "repository=octo-org/app run=7", "octo-org/app [ci jobs] "},
		{[]Workload{open}, "octo-org/app", "", "octo-org/app [ci jobs] "},
		{[]Workload{open, open}, "octo-org/app", "", "octo-org/app [ci jobs] "},
		{[]Workload{twice}, "octo-org/app", "", "octo-org/app [ci] "},
		{[]Workload{open, second}, "octo-org/app", "", "octo-org/app [ci] " + hang},
		{[]Workload{second, open}, "any/thing", "", "any/thing [ci] " + hang},
		{[]Workload{open, second}, "pods/web", "/k.io/ns=prod /k.io/sa=web team=a team=b", "pods/web [a b ci] "},
		{[]Workload{open, second}, "pods/web", "/k.io/ns=dev /k.io/sa=web", `unknown user: the token is refused: mismatch: no workload takes it: workloads[0]: repository is absent; workloads[1]: /k.io/ns is "dev"`},
		{[]Workload{open}, "octo-org/app", "repository=octo-org/other", "unknown user: the claims are those of octo-org/other"},
		{[]Workload{open}, "a b", "", `unknown user: "a b" is no name of a machine`},
		{[]Workload{open}, "", "", `unknown user: "" is no name of a machine`},
	} {
		claims, err := ParseClaims(strings.Fields(c.claims))
		if err != nil {
			t.Fatal(err)
		}
		r, note, err := mapping(t, Form{}, c.list...).Describe(c.name, claims)
		var groups []string
		for _, g := range r.Groups {
			groups = append(groups, g.Name)
		}
		got := fmt.Sprintf("%s %v %s", r.Name, groups, note)
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err != nil && !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("%s %s: %s; want %s", c.name, c.claims, got, c.want)
		}
	}
	closed := mapping(t, Form{Claims: []string{"cn"}}, Workload{Match: match("cn", "**"), Name: "{cn}"})
	key := new(authn.KeyError)
	if _, _, err := closed.Describe("x", map[string]any{"email": "x"}); !errors.As(err, &key) || key.Key != "claim" || !strings.Contains(err.Error(), `there is no "email"; there are: cn`) {
		t.Error(err)
	}
}
