package browse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

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
	plans, err := v.Plans(t.Context(), []Target{{"team/app", "amd"}, {"team/app", amd}, {"team/app", "all"}, {"team/app", "none"}, {"prod/app", "v1"}})
	if err != nil {
		t.Error(err)
	}
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
	eve := d.visit(v.library, "eve")
	if plans, err := eve.Plans(t.Context(), []Target{{"team/app", "amd"}}); !errors.Is(err, ErrAbsent) || plans[0].State != Absent || plans[0].Digest != "" {
		t.Errorf("eve: %+v %v", plans, err)
	}
}

// TestPlansOfNone: where nothing is to be shown the error says why, and what is only absent never
// hides that the registry is at fault.
func TestPlansOfNone(t *testing.T) {
	for tags, want := range map[string]struct {
		err    error
		states string
	}{
		"a down odd none": {nil, "ready failed failed absent"},
		"none down":       {errAny, "absent failed"},
		"down none":       {errAny, "failed absent"},
		"none odd":        {ErrAnswer, "absent failed"},
		"none":            {ErrAbsent, "absent"},
		"none slow":       {ErrSlow, "absent loading"},
		"slow a":          {nil, "loading ready"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDouble(t, guarded...)
			for _, tag := range []string{"a", "down", "odd", "slow"} {
				d.image("team/app", tag, "linux/amd64", someDay, 1)
			}
			d.answers["HEAD /v2/team/app/manifests/down"] = reply{status: -1}
			d.answers["HEAD /v2/team/app/manifests/odd"] = reply{status: 500}
			d.wait["HEAD /v2/team/app/manifests/slow"] = make(chan struct{})
			var targets []Target
			for tag := range strings.FieldsSeq(tags) {
				targets = append(targets, Target{"team/app", tag})
			}
			plans, err := d.visit(d.library(t), "alice").Plans(t.Context(), targets)
			var states []string
			for _, p := range plans {
				states = append(states, string(p.State))
			}
			if got := strings.Join(states, " "); got != want.states || !errors.Is(err, want.err) && (want.err != errAny || err == nil) {
				t.Errorf("%s: %q %v, want %q %v", tags, got, err, want.states, want.err)
			}
		})
	}
	d := newDouble(t, guarded...)
	l, targets := d.library(t), []Target{{"team/app", "a"}, {"team/app", "none"}}
	for user, want := range map[string]bool{"alice": true, "bob": true, "eve": false} {
		if err := d.visit(l, user).Visible(targets); (err == nil) != want || !want && !errors.As(err, new(*Denied)) {
			t.Errorf("visible to %s: %v", user, err)
		}
	}
}

var errAny = errors.New("any but those that have a name")

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
		{"eve", Order{Target{"team/app", "a"}, one, true}, "absent "},
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
		if got := string(r.Status) + " " + r.Rule; r.Status == Missing && r.Rule != "" || strings.TrimSuffix(c.want, "gatehouse.yaml:2") != string(r.Status)+" " || r.Status == Refused && got != c.want {
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

// TestDeleteAlong: of several tags of one image that goes, each went with it, whether its digest
// was shown or not, and whether or not the registry has forgotten it already; a tag that was
// moved meanwhile stays.
func TestDeleteAlong(t *testing.T) {
	for name, c := range map[string]struct {
		refs, shown, want string
		kept              bool // the registry still has what it said it deleted
	}{
		"shown":           {refs: "a b c", shown: "one one two", want: "deleted along deleted"},
		"not shown":       {refs: "a b c", want: "deleted along deleted"},
		"some shown":      {refs: "c a b", shown: "two - one", want: "deleted deleted along"},
		"a digest first":  {refs: "@one b a", want: "deleted along along"},
		"a digest last":   {refs: "b none @one", want: "deleted absent along"},
		"twice":           {refs: "a a", want: "deleted along"},
		"kept for a time": {refs: "a b", want: "deleted along", kept: true},
		"moved":           {refs: "a c", shown: "one one", want: "deleted moved"},
		"moved before":    {refs: "c b", shown: "one one", want: "moved deleted"},
		"one alone":       {refs: "none", want: "absent"},
	} {
		d := newDouble(t, guarded...)
		digests := map[string]string{"": "", "-": "", "one": d.image("team/app", "a", "linux/amd64", someDay, 1), "two": d.image("team/app", "c", "linux/arm64", someDay, 1)}
		d.tag("team/app", "b", digests["one"])
		if c.kept {
			d.answers["DELETE /v2/team/app/manifests/"+digests["one"]] = reply{status: 202}
		}
		shown := append(strings.Fields(c.shown), "", "", "")
		var orders []Order
		for i, ref := range strings.Fields(c.refs) {
			if short, ok := strings.CutPrefix(ref, "@"); ok {
				ref = digests[short]
			}
			orders = append(orders, Order{Target{"team/app", ref}, digests[shown[i]], true})
		}
		var got []string
		for i, r := range d.visit(d.library(t), "alice").Delete(t.Context(), orders) {
			got = append(got, string(r.Status))
			if r.Target != orders[i].Target || r.Status == Along && r.Digest != digests["one"] {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

// TestDeleteSomeHidden: of many, those that their caller may not see are as absent, and stay;
// the audit stream hears of the refusal.
func TestDeleteSomeHidden(t *testing.T) {
	d := newDouble(t, authz.Rule{Position: "gatehouse.yaml:1", Allow: []string{"*"}, Repositories: []string{"team/**"}, To: []string{"user:alice"}},
		authz.Rule{Position: "gatehouse.yaml:2", Allow: []string{"delete"}, Repositories: []string{"blind"}, To: []string{"user:alice"}})
	one := d.image("secret", "a", "linux/amd64", someDay, 1)
	d.image("team/app", "a", "linux/amd64", someDay, 1)
	d.image("blind", "a", "linux/amd64", someDay, 1)
	d.requests()
	results := d.visit(d.library(t), "alice").Delete(t.Context(), []Order{{Target{"secret", "a"}, one, true}, {Target{"team/app", "a"}, "", true}, {Target{"secret", one}, "", true}, {Target{"none", "a"}, "", true}, {Target{"blind", "a"}, "", true}})
	for i, want := range []Status{Missing, Deleted, Missing, Missing, Missing} {
		if r := results[i]; r.Status != want || want == Missing && (r.Rule != "" || r.Digest != "") {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	if want := []string{"secret a ", "secret " + one + " ", "none a ", "blind a "}; !slices.Equal(d.refused, want) {
		t.Errorf("noted as refused: %q", d.refused)
	}
	for _, line := range d.requests() {
		if !strings.Contains(line, "team/app") {
			t.Errorf("the registry was asked %s", line)
		}
	}
}

// TestDeleteUnseen: what its caller was not shown is not deleted, neither the tag nor the image, by
// tag or by digest; nor does the registry hear of it. What is not there, or not theirs, is said as
// ever.
func TestDeleteUnseen(t *testing.T) {
	for _, whole := range []bool{true, false} {
		d := newDouble(t, guarded...)
		one := d.image("team/app", "a", "linux/amd64", someDay, 1)
		two := d.image("team/app", "b", "linux/arm64", someDay, 1)
		d.image("prod/app", "v1", "linux/amd64", someDay, 1)
		d.image("team/app", "down", "linux/amd64", someDay, 2)
		d.answers["HEAD /v2/team/app/manifests/down"] = reply{status: 500}
		var orders []Order
		for _, o := range []Target{{"team/app", "a"}, {"team/app", "none"}, {"team/app", "down"}, {"prod/app", "v1"}, {"team/app", "b"}} {
			orders = append(orders, Order{Target: o, Image: whole, Shown: Unseen})
		}
		orders[4].Shown = two
		if whole {
			orders = append(orders, Order{Target: Target{"team/app", one}, Image: true, Shown: Unseen})
		}
		want := []Status{Moved, Missing, Broken, Refused, Deleted, Moved}
		for i, r := range d.visit(d.library(t), "alice").Delete(t.Context(), orders) {
			if r.Status != want[i] {
				t.Errorf("image %v: %+v, want %s", whole, r, want[i])
			}
		}
		if kept := d.in("team/app").tags; kept["a"] != one || kept["down"] == "" || kept["b"] != "" {
			t.Errorf("image %v: left are %v", whole, kept)
		}
		for _, line := range d.requests() {
			if strings.HasPrefix(line, "DELETE") && !strings.HasSuffix(line, "/b") && !strings.HasSuffix(line, two) {
				t.Errorf("image %v: the registry was asked %s", whole, line)
			}
		}
	}
}
