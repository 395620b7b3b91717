package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/proxy/freeze"
	"gatehouse/tokens"
)

// sharing are gateways without listeners that share a Redis and a key; ann's password is
// "right".
func sharing(t *testing.T, n int) (list []*server, redis *miniredis.Miniredis) {
	redis = miniredis.RunT(t)
	key, err := tokens.GenerateKey()
	dir := t.TempDir()
	for name, text := range map[string]string{"key.pem": string(key.Secret), "password": "right"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	text := minimal + "store: {redis: {url: \"redis://" + redis.Addr() + "\"}}\npolicy: [{name: one, allow: [pull], repositories: [\"**\"], to: [people]}]\n" +
		"tokens: {key_files: [" + dir + "/key.pem]}\ndirectories: [{name: local, static: [{username: ann, password_file: " + dir + "/password}]}]\n"
	for range n {
		s, _ := newTestServer(t, text)
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

// TestFreezeLost: a store that comes back empty thaws nothing, and gets the freeze back; a
// thaw is one thereafter too, and an order whose time is up is not written again.
func TestFreezeLost(t *testing.T) {
	gateways, redis := sharing(t, 2)
	one, two := gateways[0], gateways[1]
	answer, err := one.freeze(t.Context(), admin.FreezeRequest{Reason: "collection", Repositories: []string{"a/**"}})
	if err != nil || !answer.(admin.FreezeAnswer).Others || !answer.(admin.FreezeAnswer).Stored {
		t.Fatalf("%+v %v", answer, err)
	}
	two.followFreeze(t.Context())
	redis.FlushAll()
	for _, s := range []*server{one, two, one} {
		if o := s.shared.Load.Freeze(); !s.followFreeze(t.Context()) || o.Closes("a/x") == nil || o.Closes("b") != nil {
			t.Errorf("after the loss: %v", o.Now())
		}
	}
	fresh := two.shared.Load.Freeze()
	fresh.Set(nil)
	if two.recall(t.Context()); fresh.Closes("a/x") == nil {
		t.Error("it was not written again")
	}
	redis.FlushAll()
	redis.SetError("LOADING")
	if one.followFreeze(t.Context()) || one.shared.Load.Freeze().Closes("a/x") == nil {
		t.Error("empty and away")
	}
	redis.SetError("")
	if _, err := two.thaw(t.Context(), struct{}{}); err != nil { // before the first has seen the loss
		t.Fatal(err)
	}
	for _, s := range gateways {
		if !s.followFreeze(t.Context()) || s.shared.Load.Freeze().Now() != nil {
			t.Errorf("after the thaw: %v", s.shared.Load.Freeze().Now())
		}
	}
	past := time.Now().Add(-time.Second)
	one.shared.Load.Freeze().Set(&freeze.Order{Reason: "over", Until: &past})
	redis.FlushAll()
	if !one.followFreeze(t.Context()) || one.shared.Load.Freeze().Seen() != nil || len(redis.Keys()) > 0 {
		t.Errorf("what is over is kept: %v %v", one.shared.Load.Freeze().Seen(), redis.Keys())
	}
}

// TestFreezeUnknown: a gateway that starts without the store refuses what changes something
// until the store says that there is no freeze, or which.
func TestFreezeUnknown(t *testing.T) {
	gateways, redis := sharing(t, 2)
	one, two := gateways[0], gateways[1]
	redis.SetError("LOADING")
	one.recall(t.Context())
	state := one.shared.Load.Freeze()
	if o := state.Closes("a/x"); o == nil || !strings.Contains(o.Reason, "whether there is a freeze") || o.Left(time.Now()) != 5*time.Second {
		t.Fatalf("started without the store: %+v", o)
	}
	if _, err := one.thaw(t.Context(), struct{}{}); err == nil || one.followFreeze(t.Context()) || state.Now() == nil {
		t.Errorf("a thaw without the store: %v", err)
	}
	redis.SetError("")
	if !one.followFreeze(t.Context()) || state.Now() != nil {
		t.Errorf("the store has none, and there is %v", state.Now())
	}
	redis.SetError("LOADING")
	if one.followFreeze(t.Context()) || state.Now() != nil {
		t.Errorf("it is no longer as last seen: %v", state.Now())
	}
	redis.SetError("")
	if _, err := two.freeze(t.Context(), admin.FreezeRequest{Reason: "collection", Repositories: []string{"a/**"}}); err != nil {
		t.Fatal(err)
	}
	state.Set(freeze.Unsure(time.Now()))
	if !one.followFreeze(t.Context()) || state.Closes("a/x") == nil || state.Closes("b") != nil {
		t.Errorf("the freeze of another gateway: %v", state.Now())
	}
	if two.recall(t.Context()); two.shared.Load.Freeze().Closes("b") != nil {
		t.Error("a start with the store closes more than is frozen")
	}
}

// TestThrottlesShared: six wrong passwords spread over three gateways are throttled as six
// on one, after a reload too; without the store each counts alone.
func TestThrottlesShared(t *testing.T) {
	gateways, redis := sharing(t, 3)
	for _, s := range gateways {
		s.loginTime = 20 * time.Second // on a slow machine too
		s.shareThrottle(s.current.Load().Keyring)
	}
	login := func(s *server, password string) error {
		a := authn.Attempt{Login: "ann", Password: authn.Secret(password), Source: netip.MustParseAddr("192.0.2.1")}
		_, err := s.current.Load().Chain.Authenticate(t.Context(), a)
		return err
	}
	for i := range 5 {
		if err := login(gateways[i%3], fmt.Sprint("wrong", i)); !errors.Is(err, authn.ErrInvalidCredentials) {
			t.Errorf("%d: %v", i, err)
		}
		gateways[i%3].reload()
	}
	for _, s := range gateways {
		held := new(authn.ThrottledError)
		if err := login(s, "wrong6"); !errors.As(err, &held) || held.Limit != "failures" || held.RetryAfter < 4*time.Minute || held.RetryAfter > 5*time.Minute {
			t.Errorf("%v", err)
		}
	}
	for _, key := range redis.Keys() {
		if members, err := redis.ZMembers(key); err == nil && (strings.Contains(key, "ann") || strings.Contains(strings.Join(members, " "), "wrong")) {
			t.Errorf("names or passwords in Redis: %s %q", key, members)
		}
	}
	redis.SetError("LOADING")
	for i := range 3 { // gateway 0 has counted two
		if err := login(gateways[0], fmt.Sprint("other", i)); !errors.Is(err, authn.ErrInvalidCredentials) {
			t.Errorf("%d without the store: %v", i, err)
		}
	}
	if err := login(gateways[0], "right"); !errors.As(err, new(*authn.ThrottledError)) {
		t.Errorf("without the store it is open: %v", err)
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
