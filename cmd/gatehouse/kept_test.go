package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
)

// sharing are gateways without listeners that share a Redis.
func sharing(t *testing.T, n int) (list []*server, redis *miniredis.Miniredis) {
	redis = miniredis.RunT(t)
	for range n {
		s, _ := newTestServer(t, minimal+"store: {redis: {url: \"redis://"+redis.Addr()+"\"}}\npolicy: [{name: one, allow: [pull], repositories: [\"**\"], to: [people]}]\n")
		t.Cleanup(func() {
			s.current.Load().Release()
			s.closeStore()
		})
		list = append(list, s)
	}
	return list, redis
}

// TestFreezeShared: what one gateway freezes all of them do, and a thaw is everybody's;
// while the store is away nothing changes, and nothing can be changed.
func TestFreezeShared(t *testing.T) {
	gateways, redis := sharing(t, 2)
	one, two := gateways[0], gateways[1]
	now := func(s *server) string {
		s.followFreeze(t.Context())
		if o := s.shared.Load.Freeze().Now(); o != nil {
			return o.Reason
		}
		return ""
	}
	freeze := func(s *server, reason string) error {
		_, err := s.freeze(t.Context(), admin.FreezeRequest{Reason: reason, Repositories: []string{"a/**"}})
		return err
	}
	if err := freeze(one, "first"); err != nil || now(one) != "first" || now(two) != "first" {
		t.Fatalf("%v: %q %q", err, now(one), now(two))
	}
	if o := two.shared.Load.Freeze(); o.Closes("a/x") == nil || o.Closes("b") != nil {
		t.Error("the other freezes other repositories")
	}
	if err := freeze(two, "second"); err != nil || now(one) != "second" {
		t.Errorf("%v: %q", err, now(one))
	}
	redis.SetError("LOADING")
	if err := freeze(one, "third"); err == nil || now(one) != "second" || now(two) != "second" {
		t.Errorf("without the store: %v %q", err, now(one))
	}
	if _, err := one.thaw(t.Context(), struct{}{}); err == nil || now(one) != "second" {
		t.Errorf("a thaw without the store: %v %q", err, now(one))
	}
	redis.SetError("")
	if _, err := two.thaw(t.Context(), struct{}{}); err != nil || now(one) != "" || now(two) != "" {
		t.Errorf("%v: %q %q", err, now(one), now(two))
	}
}

// TestCountsShared: counts of all gateways add up, none twice, and what cannot be kept now
// is kept later.
func TestCountsShared(t *testing.T) {
	gateways, redis := sharing(t, 2)
	count := func(s *server, n int) {
		p := s.current.Load().Policy
		for range n {
			s.shared.Load.Counts().Add(p.Decide(authn.Identity{Directory: "local", Username: "ann"}, authz.Request{Repository: "a", Action: authz.Pull}), time.Now())
		}
	}
	allowed := func(s *server) int64 { return s.current.Load().Gateway.Rules()[0].Allowed }
	count(gateways[0], 3)
	count(gateways[1], 4)
	for range 2 {
		for _, s := range gateways {
			s.keepCounts(t.Context())
		}
	}
	if a, b := allowed(gateways[0]), allowed(gateways[1]); a != 7 || b != 7 {
		t.Errorf("%d and %d", a, b)
	}
	redis.SetError("LOADING")
	count(gateways[0], 2)
	if gateways[0].keepCounts(t.Context()); allowed(gateways[0]) != 9 {
		t.Errorf("while the store is away: %d", allowed(gateways[0]))
	}
	redis.SetError("")
	gateways[0].keepCounts(t.Context())
	if gateways[1].keepCounts(t.Context()); allowed(gateways[0]) != 9 || allowed(gateways[1]) != 9 {
		t.Errorf("%d and %d, want 9", allowed(gateways[0]), allowed(gateways[1]))
	}
}

// TestMerged: counts of rules that are gone go after a while, those of others stay.
func TestMerged(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	text := func(t authz.Tally) []byte { b, _ := json.Marshal(t); return b } // it cannot fail
	old, young := authz.Tally{Allowed: 1, Since: now.Add(-2 * forgotten)}, authz.Tally{Allowed: 2, Since: now.Add(-2 * forgotten), Last: now.Add(-time.Hour)}
	known, changes, err := merged(map[string][]byte{"gone": text(old), "young": text(young), "there": text(old)}, map[string]authz.Tally{"there": {Since: now}, "new": {Denied: 1, Since: now, Last: now}}, now)
	if err != nil || len(known) != 3 || known["young"] != young || known["there"] != old || known["new"].Denied != 1 {
		t.Errorf("%+v %v", known, err)
	}
	written := map[string]bool{}
	for _, c := range changes {
		written[c.Key] = c.Value != nil
	}
	if put, ok := written["gone"]; !ok || put || !written["new"] || len(written) != 2 {
		t.Errorf("%v", changes)
	}
	if _, _, err := merged(map[string][]byte{"x": []byte("{")}, nil, now); err == nil {
		t.Error("nonsense is read")
	}
}
