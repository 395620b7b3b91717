package authz

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"gatehouse/authn"
)

// TestAnswer: the JSON of an answer, of people, of machines and of nobody.
func TestAnswer(t *testing.T) {
	p, err := New(Config{Directories: []string{"local"}, Rules: []Rule{
		{Position: "p:1", Name: "out-stays", Deny: []string{"overwrite", "delete"}, Repositories: []string{"**"}, Tags: []string{"v*"}, To: []string{"authenticated"}},
		{Position: "p:2", Allow: []string{"push"}, Repositories: []string{"team/**"}, To: []string{"user:ann"}}}})
	if err != nil {
		t.Fatal(err)
	}
	ann := authn.Identity{Directory: "local", Username: "ann", ID: "1", DN: "cn=ann", Groups: []authn.Group{{Name: "dev"}, {Name: "ops", DN: "cn=ops"}}, NoLogin: "locked"}
	const who = `"identity":{"user":"ann","directory":"local","id":"1","dn":"cn=ann","groups":["dev","ops (cn=ops)"],"no_login":"locked"}`
	for _, test := range []struct {
		id   authn.Identity
		r    Request
		want string
	}{
		{ann, Request{Repository: "team/app", Action: Push, Tags: []string{"v1"}}, `{"allowed":false,"rule":{"name":"out-stays","position":"p:1"},` + who + `,"conditions":[]}`},
		{ann, Request{Repository: "team/app", Action: Create, Tags: []string{"v1"}}, `{"allowed":true,"rule":{"name":"","position":"p:2"},` + who + `,"conditions":[]}`},
		{authn.Identity{}, Request{Repository: "x", Action: Pull}, `{"allowed":false,"rule":{"name":"","position":"none"},"identity":{"user":"(anonymous)","groups":[]},"conditions":[]}`},
		{authn.Identity{Directory: "local", Username: "ci", Machine: true}, Request{Repository: "x", Action: Overwrite},
			`{"allowed":false,"rule":{"name":"","position":"none"},"identity":{"machine":"ci","directory":"local","groups":[]},"conditions":["p:1 (out-stays) denies overwrite,delete if the tag is v*"]}`},
	} {
		text, err := json.Marshal(p.Answer(test.id, test.r))
		if err != nil || string(text) != test.want {
			t.Errorf("%+v: %s, want %s (%v)", test.r, text, test.want, err)
		}
	}
	if got := p.Answer(ann, Request{Repository: "team/app", Action: Push, Tags: []string{"v1"}}).Rule.Label(); got != "p:1 (out-stays)" {
		t.Errorf("the label %q", got)
	}
}

// TestRuleFor: the names of a caller stand in the place of the placeholders, and what no
// repository can have stands nowhere.
func TestRuleFor(t *testing.T) {
	r := Rule{Repositories: []string{"home/{user}/**", "ci/{machine}/**", "team/{group}/x-{group}", "team/{group}-{group}/*", "robots/{machine}", "all/**"}, Tags: []string{"{user}-*", "v*"}}
	ann := authn.Identity{Directory: "local", Username: "ann", Groups: []authn.Group{{Name: "dev"}, {Name: "night shift"}, {Name: "ops"}}}
	build := authn.Identity{Directory: "local", Username: "ci/build", Machine: true, Groups: []authn.Group{{Name: "dev"}}}
	spaced, slashed := authn.Identity{Directory: "local", Username: "clara schumann"}, authn.Identity{Directory: "local", Username: "mo/zart"}
	for _, test := range []struct {
		id                 authn.Identity
		repositories, tags []string
	}{
		{ann, []string{"home/ann/**", "team/dev/x-dev", "team/ops/x-ops", "team/dev-dev/*", "team/ops-ops/*", "all/**"}, []string{"ann-*", "v*"}},
		{build, []string{"ci/ci/build/**", "team/dev/x-dev", "team/dev-dev/*", "robots/ci/build", "all/**"}, []string{"v*"}},
		{robot("a/b"), []string{"ci/a/b/**", "robots/a/b", "all/**"}, []string{"v*"}},
		{robot("mozart"), []string{"ci/mozart/**", "robots/mozart", "all/**"}, []string{"v*"}},
		{robot("a..b"), []string{"all/**"}, []string{"v*"}},
		{spaced, []string{"all/**"}, []string{"v*"}},
		{slashed, []string{"all/**"}, []string{"v*"}},
	} {
		if got := r.For(test.id); !slices.Equal(got.Repositories, test.repositories) || !slices.Equal(got.Tags, test.tags) {
			t.Errorf("%s: %q %q", test.id.Username, got.Repositories, got.Tags)
		}
	}
	if r.Repositories[0] != "home/{user}/**" {
		t.Error("the rule itself was changed")
	}
}

// TestRuleCounts: a rule has a time, of a day its first and its last moment.
func TestRuleCounts(t *testing.T) {
	r := Rule{From: "2026-12-01", Until: "2026-12-24"}
	for text, want := range map[string]bool{"2026-11-30T23:59:59Z": false, "2026-12-01T00:00:00Z": true, "2026-12-24T23:59:59Z": true, "2026-12-25T00:00:00Z": false} {
		now, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Counts(now); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if !(Rule{}).Counts(time.Now()) {
		t.Error("a rule without a time is there")
	}
}

// TestUnknown: the answer about nobody is complete, and refuses.
func TestUnknown(t *testing.T) {
	a := Unknown(Person{User: "eve", Directory: "local"}, errors.New("there is no eve"))
	text, err := json.Marshal(a)
	if err != nil || a.Allowed || a.Rule.Position != "none" || a.Identity.User != "eve" || a.Identity.Unknown != "there is no eve" || a.Identity.Groups == nil || a.Conditions == nil {
		t.Errorf("%s, %v", text, err)
	}
}
