package authz

import (
	"net/netip"
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
	ask(first, Push, "a/x", reload) // by a request that began before: its rule is gone
	ask(second, Pull, "b/x", reload)
	want(second, "", "p:3", 0, 0, never, reload)
	want(second, "readers", "p:2", 3, 0, reload, begin)
	c.Take(policy(t, guard), reload)
	c.Take(second, reload.Add(time.Hour))
	want(second, "readers", "p:2", 0, 0, never, reload.Add(time.Hour)) // what goes begins again
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
