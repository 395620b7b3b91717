package ldap_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// onRelay is a cached directory on a slapd whose operations are counted.
func onRelay(t *testing.T, cfg authn.CacheConfig) (*authn.Cache, *authntest.Relay) {
	t.Helper()
	s := authntest.StartSlapd(t, authntest.Options{})
	relay := authntest.StartRelay(t, s.URL())
	direct := config(s)
	direct.Servers = []string{relay.URL()}
	cache, err := authn.NewCache(open(t, direct), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	return cache, relay
}

// TestOperations counts what slapd is asked: a repeat login costs one bind, or
// nothing where the password is remembered; a lookup of somebody known nothing;
// and a hundred logins at once with one wrong password one bind.
func TestOperations(t *testing.T) {
	const times = 100
	cached := authn.CacheConfig{FreshFor: time.Hour, StaleFor: time.Hour, WrongPasswordFor: time.Minute}
	remembering := cached
	remembering.PasswordFor = time.Minute
	t.Run("first login", func(t *testing.T) {
		c, relay := onRelay(t, cached)
		if _, err := login(c, "mozart", authntest.Password); err != nil {
			t.Fatal(err)
		}
		wantOperations(t, relay, 1, 1, 1)
	})
	t.Run("repeat login", func(t *testing.T) {
		c, relay := warm(t, cached)
		for range times {
			if _, err := login(c, "mozart", authntest.Password); err != nil {
				t.Fatal(err)
			}
		}
		wantOperations(t, relay, 0, 0, times)
	})
	t.Run("repeat login, password remembered", func(t *testing.T) {
		c, relay := warm(t, remembering)
		for range times {
			if _, err := login(c, "mozart", authntest.Password); err != nil {
				t.Fatal(err)
			}
		}
		wantOperations(t, relay, 0, 0, 0)
	})
	t.Run("lookup", func(t *testing.T) {
		c, relay := warm(t, cached)
		id, err := c.Find(t.Context(), "mozart")
		for range times {
			if err == nil {
				id, err = c.Lookup(t.Context(), authn.Ref{Directory: "example", Username: "mozart", ID: id.ID})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		wantOperations(t, relay, 0, 0, 0)
	})
	t.Run("one wrong password at once", func(t *testing.T) {
		c, relay := warm(t, cached)
		relay.Delay(20 * time.Millisecond) // so that all are there before the answer
		chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{c}})
		var all sync.WaitGroup
		for range times {
			all.Go(func() {
				_, err := chain.Authenticate(context.Background(), authn.Attempt{Login: "mozart", Password: "wrong"})
				if !errors.Is(err, authn.ErrInvalidCredentials) {
					t.Errorf("login: %v", err)
				}
			})
		}
		all.Wait()
		wantOperations(t, relay, 0, 0, 1)
	})
}

// warm has mozart logged in once, and counts from there.
func warm(t *testing.T, cfg authn.CacheConfig) (*authn.Cache, *authntest.Relay) {
	t.Helper()
	c, relay := onRelay(t, cfg)
	if _, err := login(c, "mozart", authntest.Password); err != nil {
		t.Fatal(err)
	}
	relay.Reset()
	return c, relay
}

func wantOperations(t *testing.T, relay *authntest.Relay, service, search, bind int) {
	t.Helper()
	got := [3]int{relay.Count("service"), relay.Count("search"), relay.Count("bind")}
	if want := [3]int{service, search, bind}; got != want || relay.Operations() != service+search+bind {
		t.Errorf("service binds, searches and binds: %v, want %v; %d operations in all", got, want, relay.Operations())
	}
}
