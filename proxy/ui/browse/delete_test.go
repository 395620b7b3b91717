package browse

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/authz"
)

// guarded are rules under which alice may delete everything but what is released.
var guarded = []authz.Rule{
	{Position: "gatehouse.yaml:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"user:alice"}},
	{Position: "gatehouse.yaml:2", Deny: []string{"delete"}, Repositories: []string{"prod/**"}, Tags: []string{"v*"}, To: []string{"authenticated"}},
	{Position: "gatehouse.yaml:3", Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"user:bob"}},
}

// TestPlans: all tags of the image, how many were looked at, who needs it, what the policy says.
func TestPlans(t *testing.T) {
	d := newDouble(t, guarded...)
	amd := d.image("team/app", "amd", "linux/amd64", someDay, 1)
	d.tag("team/app", "same", amd)
	all := d.index("team/app", "all", child(amd, "linux/amd64"))
	d.image("prod/app", "v1", "linux/amd64", someDay, 1)
	v := d.visit(d.library(t), "alice")
	plans := v.Plans(t.Context(), []Target{{"team/app", "amd"}, {"team/app", amd}, {"team/app", "all"}, {"team/app", "none"}, {"prod/app", "v1"}})
	for i, want := range []Plan{
		{State: Ready, Digest: amd, Tags: []string{"amd", "same"}, Checked: 3, All: 3, NeededBy: []string{"all"}, Tag: authz.Decision{Allowed: true, Rule: "gatehouse.yaml:1"}, Image: authz.Decision{Allowed: true, Rule: "gatehouse.yaml:1"}},
		{State: Ready, Digest: amd, Tags: []string{"amd", "same"}, Checked: 3, All: 3, NeededBy: []string{"all"}, Image: authz.Decision{Allowed: true, Rule: "gatehouse.yaml:1"}},
		{State: Ready, Digest: all, Tags: []string{"all"}, Checked: 3, All: 3, Tag: authz.Decision{Allowed: true, Rule: "gatehouse.yaml:1"}, Image: authz.Decision{Allowed: true, Rule: "gatehouse.yaml:1"}},
		{State: Absent},
		{State: Ready, Digest: plans[4].Digest, Tags: []string{"v1"}, Checked: 1, All: 1, Tag: authz.Decision{Rule: "gatehouse.yaml:2"}, Image: authz.Decision{Rule: "gatehouse.yaml:2"}},
	} {
		want.Target = plans[i].Target
		slices.Sort(plans[i].Tags)
		if fmt.Sprint(plans[i]) != fmt.Sprint(want) {
			t.Errorf("%s:\n%+v, want\n%+v", want.Target, plans[i], want)
		}
	}
	if plans := d.visit(v.library, "eve").Plans(t.Context(), []Target{{"team/app", "amd"}}); plans[0].State != Absent || plans[0].Digest != "" {
		t.Errorf("eve: %+v", plans)
	}
}

// TestDelete: each order by itself.
func TestDelete(t *testing.T) {
	d := newDouble(t, guarded...)
	one := d.image("team/app", "a", "linux/amd64", someDay, 1)
	d.tag("team/app", "b", one)
	d.tag("team/app", "c", one)
	two := d.image("team/app", "d", "linux/arm64", someDay, 1)
	released := d.image("prod/app", "v1", "linux/amd64", someDay, 1)
	d.tag("prod/app", "edge", released)
	l := d.library(t)
	for _, c := range []struct {
		user string
		o    Order
		want string
	}{
		{"bob", Order{Target{"team/app", "a"}, one, false}, "denied "},
		{"eve", Order{Target{"team/app", "a"}, one, true}, "denied "},
		{"alice", Order{Target{"team/app", one}, one, false}, "unsupported "},
		{"alice", Order{Target{"team/app", "a"}, two, false}, "moved "},
		{"alice", Order{Target{"team/app", "a"}, two, true}, "moved "},
		{"alice", Order{Target{"team/app", "a"}, one, false}, "deleted "},
		{"alice", Order{Target{"team/app", "a"}, one, false}, "absent "},
		{"alice", Order{Target{"prod/app", "v1"}, released, false}, "denied gatehouse.yaml:2"},
		{"alice", Order{Target{"prod/app", "edge"}, released, true}, "denied gatehouse.yaml:2"},
		{"alice", Order{Target{"prod/app", released}, released, true}, "denied gatehouse.yaml:2"},
		{"alice", Order{Target{"prod/app", "edge"}, released, false}, "deleted gatehouse.yaml:2"},
	} {
		r := d.visit(l, c.user).Delete(t.Context(), []Order{c.o})[0]
		if got := string(r.Status) + " " + r.Rule; strings.TrimSuffix(c.want, "gatehouse.yaml:2") != string(r.Status)+" " || r.Status == Refused && got != c.want {
			t.Errorf("%s %s: %s, want %s", c.user, c.o.Target, got, c.want)
		}
	}
	if want := []string{"team/app a ", "team/app a ", "prod/app v1 gatehouse.yaml:2", "prod/app edge gatehouse.yaml:2", "prod/app " + released + " gatehouse.yaml:2"}; !slices.Equal(d.refused, want) {
		t.Errorf("noted as refused: %q", d.refused)
	}
	if tags := d.in("team/app").tags; len(tags) != 3 || tags["a"] != "" {
		t.Errorf("%v are left", tags)
	}
	results := d.visit(l, "alice").Delete(t.Context(), []Order{{Target{"team/app", "b"}, one, true}, {Target{"team/app", "c"}, one, true}, {Target{"team/app", two}, two, true}})
	if results[0].Status != Deleted || results[1].Status != Along || results[2].Status != Deleted || len(d.in("team/app").tags) != 0 {
		t.Errorf("%+v, %v are left", results, d.in("team/app").tags)
	}
}

// TestDeleteRefused: what registries answer that cannot.
func TestDeleteRefused(t *testing.T) {
	d := newDouble(t)
	one := d.image("team/app", "a", "linux/amd64", someDay, 1)
	v := d.visit(d.library(t), "alice")
	for _, c := range []struct {
		status int
		image  bool
		want   Status
	}{
		{400, false, Unsupported}, {405, false, Unsupported}, {405, true, Off}, {404, false, Missing}, {500, true, Broken}, {403, true, Broken}, {202, true, Deleted}, {307, true, Broken},
	} {
		for _, reference := range []string{"a", one} {
			d.answers["DELETE /v2/team/app/manifests/"+reference] = reply{status: c.status}
		}
		if r := v.Delete(t.Context(), []Order{{Target{"team/app", "a"}, one, c.image}})[0]; r.Status != c.want || r.Digest != one {
			t.Errorf("%d: %+v, want %s", c.status, r, c.want)
		}
	}
}
