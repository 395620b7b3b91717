package authz

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestCounts: each request is counted for the rule that decided it, over policies for as
// long as the rule has its name, or without one its text.
func TestCounts(t *testing.T) {
	named := allow("pull", "a/**", "user:bach")
	named.Name = "readers"
	other := allow("push", "a/**", "user:bach")
	guard := deny("push", "a/locked", "authenticated")
	first := policy(t, named, other, guard)
	var c Counts
	begin, later := moment(t, "2026-01-01"), moment(t, "2026-02-01")
	c.Take(first, begin)
	ask := func(p *Policy, action Action, repository string, at time.Time) {
		c.Add(p.Decide(bach, Request{Repository: repository, Action: action}), at)
	}
	ask(first, Pull, "a/x", later)
	ask(first, Pull, "a/x", later.Add(time.Hour))
	ask(first, Push, "a/locked", later)
	ask(first, Pull, "elsewhere", later) // no rule decides
	want := func(p *Policy, name, position string, allowed, denied int64, last time.Time, since time.Time) {
		t.Helper()
		for _, r := range c.Rules(p) {
			if r.Position != position {
				continue
			}
			if r.Name != name || r.Allowed != allowed || r.Denied != denied || (r.Last == nil) != last.IsZero() || r.Last != nil && !r.Last.Equal(last) || !r.Since.Equal(since) {
				t.Errorf("%s: %+v", position, r)
			}
			return
		}
		t.Errorf("there is no rule at %s", position)
	}
	never := time.Time{}
	want(first, "readers", "p:1", 2, 0, later.Add(time.Hour), begin)
	want(first, "", "p:2", 0, 0, never, begin)
	want(first, "", "p:3", 0, 1, later, begin)
	if text := c.Rules(first)[2].Text; text != "deny [push] repositories [a/locked] to [authenticated]" {
		t.Error(text)
	}

	// Another text under the name, another place of the same text, another text.
	named.Repositories, other.To = []string{"b/**"}, []string{"user:mozart"}
	second := policy(t, guard, named, other)
	reload := later.Add(24 * time.Hour)
	c.Take(second, reload)
	want(second, "readers", "p:2", 2, 0, later.Add(time.Hour), begin)
	want(second, "", "p:3", 0, 0, never, reload)
	want(second, "", "p:1", 0, 1, later, begin)
	ask(first, Push, "a/x", reload) // by a request that began before: its rule is away
	ask(second, Pull, "b/x", reload)
	want(second, "", "p:3", 0, 0, never, reload)
	want(second, "readers", "p:2", 3, 0, reload, begin)
	c.Take(policy(t, guard), reload)
	c.Take(second, reload.Add(time.Hour))
	want(second, "readers", "p:2", 3, 0, reload, begin) // what was away for a reload is as it was
	c.Take(first, reload.Add(time.Hour))
	want(first, "", "p:2", 1, 0, reload, begin)
}

// TestCountsAway: what was counted of a rule that is away is still added up elsewhere, once,
// and a rule that is away and unused is none of what is kept; the least used are forgotten.
func TestCountsAway(t *testing.T) {
	begin := moment(t, "2026-01-02")
	one, two := policy(t, allow("pull", "a", "everyone", named("one"))), policy(t, allow("pull", "a", "everyone", named("two")))
	var c Counts
	c.Take(one, begin)
	c.Add(one.Decide(anonymous, Request{Repository: "a", Action: Pull}), begin)
	c.Take(two, begin)
	if fresh := c.Fresh(); len(fresh) != 2 || fresh["one"].Allowed != 1 {
		t.Errorf("%+v", fresh)
	}
	c.Know(map[string]Tally{"one": {Allowed: 1, Last: begin, Since: begin}})
	if fresh := c.Fresh(); len(fresh) != 1 {
		t.Errorf("of what is away and unused: %+v", fresh)
	}
	for i := range maxAway + 1 {
		c.Take(policy(t, allow("pull", "a", "everyone", named("other-"+strconv.Itoa(i)))), begin)
	}
	c.Take(one, begin.Add(time.Hour))
	if r := c.Rules(one)[0]; r.Allowed != 1 || !r.Since.Equal(begin) {
		t.Errorf("used, and forgotten before those that never were: %+v", r)
	}
	n := 0
	c.each(func(string, *count) { n++ })
	if n > maxAway+1 {
		t.Errorf("%d are remembered", n)
	}
}

// TestCountsHalves: a push of which both halves are decided alike counts for the rule of each.
func TestCountsHalves(t *testing.T) {
	p := policy(t, allow("create", "a b", "authenticated"), allow("overwrite", "a", "user:bach"), deny("create", "c", "authenticated"), deny("overwrite", "c", "authenticated"), allow("push", "d", "authenticated"))
	var c Counts
	c.Take(p, moment(t, "2026-01-01"))
	for repository, times := range map[string]int{"a": 1, "c": 2, "d": 4} {
		for range times {
			d, open := p.DecidePush(bach, Request{Repository: repository, Tags: []string{"v1"}})
			if open != nil {
				t.Errorf("%s: %v is open", repository, open)
			}
			c.Add(d, moment(t, "2026-02-01"))
		}
	}
	c.Add(p.Decide(bach, Request{Repository: "a", Action: Create}), moment(t, "2026-02-01"))
	var got []int64
	for _, r := range c.Rules(p) {
		got = append(got, r.Allowed, r.Denied)
	}
	if want := []int64{2, 0, 1, 0, 0, 2, 0, 2, 4, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestCountsAtOnce: none is lost of those that are counted at the same time.
func TestCountsAtOnce(t *testing.T) {
	p := policy(t, allow("pull", "**", "everyone"))
	var c Counts
	c.Take(p, time.Now())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				c.Add(p.Decide(anonymous, Request{Repository: "a", Action: Pull, Source: netip.Addr{}}), time.Now())
			}
		})
	}
	all.Wait()
	if got := c.Rules(p)[0].Allowed; got != 8000 {
		t.Errorf("%d", got)
	}
}

// TestCountsElsewhere: what is taken out is counted once, whether it is added up elsewhere
// or comes back.
func TestCountsElsewhere(t *testing.T) {
	begin, at := moment(t, "2026-01-02"), moment(t, "2026-02-01")
	named := allow("pull", "a", "everyone")
	named.Name = "one"
	p := policy(t, named, deny("push", "a", "everyone"))
	var c Counts
	c.Take(p, begin)
	for range 3 {
		c.Add(p.Decide(anonymous, Request{Repository: "a", Action: Pull}), at)
		c.Add(p.Decide(anonymous, Request{Repository: "a", Action: Push}), at)
	}
	sums := func() (allowed, denied int64) { r := c.Rules(p); return r[0].Allowed, r[1].Denied }
	fresh := c.Fresh()
	if got := fresh["one"]; len(fresh) != 2 || got != (Tally{Allowed: 3, Last: at, Since: begin}) {
		t.Errorf("%+v", fresh)
	}
	if a, d := sums(); a != 0 || d != 0 {
		t.Errorf("taken out, and there: %d %d", a, d)
	}
	c.Back(fresh)
	if a, d := sums(); a != 3 || d != 3 {
		t.Errorf("they come back as %d %d", a, d)
	}
	c.Fresh()
	earlier := begin.Add(-time.Hour)
	c.Know(map[string]Tally{"one": {Allowed: 10, Since: earlier, Last: at.Add(time.Hour)}, "another": {Allowed: 5}})
	c.Add(p.Decide(anonymous, Request{Repository: "a", Action: Pull}), at)
	if r := c.Rules(p); r[0].Allowed != 11 || !r[0].Since.Equal(earlier) || !r[0].Last.Equal(at.Add(time.Hour)) || r[1].Denied != 0 || !r[1].Since.Equal(begin) {
		t.Errorf("%+v", r)
	}
	one, two := Tally{Allowed: 1, Denied: 2, Since: begin}, Tally{Allowed: 3, Denied: 4, Last: at, Since: earlier}
	want := Tally{Allowed: 4, Denied: 6, Last: at, Since: earlier}
	if one.Plus(two) != want || two.Plus(one) != want || (Tally{}).Plus(one) != one || one.Plus(Tally{}) != one {
		t.Errorf("%+v, %+v, %+v, %+v", one.Plus(two), two.Plus(one), (Tally{}).Plus(one), one.Plus(Tally{}))
	}
}

// TestCountsOf: one rule, whether or not it is counted; what is known stays known where
// less is told.
func TestCountsOf(t *testing.T) {
	rule := allow("pull", "a", "everyone", named("one"))
	p := policy(t, rule)
	var c Counts
	if got := c.Of(p.rules[0].source); got != (RuleCount{Name: "one", Position: "p:1", Text: rule.String()}) {
		t.Errorf("not counted: %+v", got)
	}
	begin := moment(t, "2026-01-01")
	c.Take(p, begin)
	c.Know(map[string]Tally{"one": {Allowed: 7, Since: begin}})
	c.Know(map[string]Tally{"two": {Allowed: 1}})
	c.Add(p.Decide(anonymous, Request{Repository: "a", Action: Pull}), begin)
	if got := c.Of(p.rules[0].source); got.Allowed != 8 || !got.Last.Equal(begin) || !got.Since.Equal(begin) {
		t.Errorf("%+v", got)
	}
}

// TestFingerprint: it stands for names and texts, and not for places.
func TestFingerprint(t *testing.T) {
	first, second := allow("pull", "a", "everyone"), allow("pull", "b", "everyone")
	same, named := first, first
	named.Name = "x"
	prints := map[string]bool{}
	for _, p := range []*Policy{nil, policy(t, first), policy(t, second), policy(t, named), policy(t, first, second), policy(t, second, first), policy(t, same)} {
		prints[p.Fingerprint()] = true
	}
	if len(prints) != 6 || !prints[""] {
		t.Errorf("%v", prints)
	}
}

// TestCountsReturn: what was counted of rules that are away is there when they come back.
func TestCountsReturn(t *testing.T) {
	var c Counts
	old, begin := policy(t, allow("pull", "a", "everyone"), allow("pull", "b", "everyone"), allow("pull", "c", "everyone")), time.Unix(1_700_000_000, 0)
	c.Take(old, begin)
	for _, name := range []string{"a", "b", "c"} {
		c.Add(old.Decide(anonymous, Request{Repository: name, Action: Pull}), begin)
	}
	c.Take(policy(t, allow("pull", "d", "everyone")), begin)
	c.Take(old, begin.Add(time.Hour))
	for _, r := range c.Rules(old) {
		if r.Allowed != 1 || !r.Since.Equal(begin) {
			t.Errorf("of a rule that was away: %+v", r)
		}
	}
}
