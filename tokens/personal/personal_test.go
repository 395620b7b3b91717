package personal

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
	"gatehouse/tokens"
	"gatehouse/tokens/store"
)

var (
	alice = authn.Identity{Directory: "corp", Username: "alice", ID: "u-1"}
	bob   = authn.Identity{Directory: "corp", Username: "bob", ID: "u-2"}
)

// office is a desk with a clock of its own.
type office struct {
	*Desk
	t      *testing.T
	clock  atomic.Pointer[time.Time] // looks at the store run beside the test
	store  *store.Store
	server *miniredis.Miniredis // nil: a file
}

func (o *office) now() time.Time  { return *o.clock.Load() }
func (o *office) set(t time.Time) { o.clock.Store(&t) }

func newOffice(t *testing.T, kind string) *office {
	t.Helper()
	o := &office{t: t}
	o.set(time.Unix(1_800_000_000, 0).UTC())
	var backend store.Backend
	var err error
	if kind == "file" {
		backend, err = store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	} else {
		o.server = miniredis.RunT(t)
		backend, err = store.NewShared(store.Redis{URL: "redis://" + o.server.Addr(), Prefix: "p:"})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	o.store = store.Watched(backend, store.Config{FreshFor: 15 * time.Second, StaleFor: 5 * time.Minute}, nil, nil)
	o.Desk = o.another()
	return o
}

// another is the desk of another gateway of the same store.
func (o *office) another() *Desk {
	o.t.Helper()
	clock := o.now
	revoker := tokens.NewRevoker(nil, clock)
	if err := revoker.Use(o.t.Context(), o.store); err != nil {
		o.t.Fatal(err)
	}
	makers, err := authz.NewAudience([]string{"people"}, []string{"corp"}, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	d := &Desk{Book: NewBook(revoker, clock), Makers: makers, Keep: 7 * time.Hour}
	d.Defaults()
	d.Book.Use(o.store)
	return d
}

func (o *office) make(owner authn.Identity, name string) (apitoken.Token, Token) {
	o.t.Helper()
	secret, made, err := o.Make(o.t.Context(), owner, Order{Name: name, After: o.Book.revoker.Last(owner.Directory, owner.Username)})
	if err != nil {
		o.t.Fatal(err)
	}
	return shown(o.t, secret), made
}

func shown(t *testing.T, secret authn.Secret) apitoken.Token {
	t.Helper()
	token, err := apitoken.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func span(d time.Duration) *time.Duration { return &d }

func each(t *testing.T, run func(*testing.T, *office)) {
	for _, kind := range []string{"file", "redis"} {
		t.Run(kind, func(t *testing.T) { run(t, newOffice(t, kind)) })
	}
}

// TestLife: a token is made, found, shown to its owner alone, and ended by its owner
// alone; then nothing of it is left but an entry on the list of what is revoked.
func TestLife(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		secret, made := o.make(alice, "ci")
		if made.Name != "ci" || *made.Expires != o.now().Add(720*time.Hour) || len(made.Repositories) != 0 || strings.Join(made.Actions, " ") != "pull" || made.ID != secret.ID {
			t.Errorf("%+v", made)
		}
		held, err := o.Find(t.Context(), secret)
		if err != nil || held.ID != made.ID || held.Owner != (authn.Ref{Directory: "corp", Username: "alice", ID: "u-1"}) || held.Ends != *made.Expires || held.Ceiling == nil {
			t.Errorf("%+v, %v", held, err)
		}
		forged := secret
		forged.Hash[5]++
		if _, err := o.Find(t.Context(), forged); !errors.Is(err, authn.ErrUnknownToken) {
			t.Errorf("the id with another secret: %v", err)
		}
		if _, err := o.End(t.Context(), forged); !errors.Is(err, authn.ErrUnknownToken) {
			t.Errorf("ended by another secret: %v", err)
		}
		if list, err := o.List(t.Context(), alice); len(list) != 1 || list[0].ID != made.ID || err != nil {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err := o.List(t.Context(), bob); len(list) != 0 || list == nil || err != nil {
			t.Errorf("bob's: %+v, %v", list, err)
		}
		recreated := alice
		recreated.ID = "u-9"
		for _, other := range []authn.Identity{bob, recreated} {
			if _, err := o.Revoke(t.Context(), other, made.ID); !errors.Is(err, ErrNone) {
				t.Errorf("ended by %s: %v", other.ID, err)
			}
		}
		if got, err := o.Revoke(t.Context(), alice, made.ID); err != nil || got.ID != made.ID {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := o.Revoke(t.Context(), alice, made.ID); !errors.Is(err, ErrNone) {
			t.Errorf("twice: %v", err)
		}
		if _, err := o.Find(t.Context(), secret); !errors.Is(err, authn.ErrUnknownToken) {
			t.Errorf("found after its end: %v", err)
		}
		for _, table := range []string{allTokens, allUses, tableOf(made.Owner)} {
			if all, err := o.store.List(t.Context(), table); len(all) != 0 || err != nil {
				t.Errorf("%s keeps %q, %v", table, all, err)
			}
		}
		if list, err := o.store.Since(t.Context(), "revoked", ""); len(list) != 1 || !strings.Contains(string(list[0].Value), made.ID) || err != nil {
			t.Errorf("the list of what is revoked: %q, %v", list, err)
		}
	})
}

// TestNothingSecret: what is kept opens nothing.
func TestNothingSecret(t *testing.T) {
	o := newOffice(t, "redis")
	secret, made, err := o.Make(t.Context(), alice, Order{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	if dump := o.server.Dump(); strings.Contains(dump, string(secret)[15:]) || !strings.Contains(dump, made.ID) {
		t.Error(dump)
	}
}

// TestOrders: what may be wanted of a token.
func TestOrders(t *testing.T) {
	o := newOffice(t, "file")
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint("r", i)
	}
	for _, c := range []struct {
		order Order
		want  error
	}{
		{Order{Name: "a"}, nil}, {Order{Name: "a"}, ErrTaken}, {Order{Name: "A"}, nil}, {Order{Name: strings.Repeat("ü", 64)}, nil},
		{Order{Name: ""}, ErrInvalid}, {Order{Name: " "}, ErrInvalid}, {Order{Name: strings.Repeat("x", 65)}, ErrInvalid}, {Order{Name: "a\nb"}, ErrInvalid}, {Order{Name: "\xff"}, ErrInvalid},
		{Order{Name: "a\u202eb"}, ErrInvalid}, {Order{Name: "a\u200bb"}, ErrInvalid}, {Order{Name: "a\u2028b"}, ErrInvalid}, {Order{Name: "a\ufffdb"}, ErrInvalid}, {Order{Name: "\u7d44\u3000\U0001F680"}, nil},
		{Order{Name: "m1", Repositories: []string{"A/b"}}, ErrInvalid}, {Order{Name: "m2", Repositories: []string{"a", ".."}}, ErrInvalid}, {Order{Name: "m3", Repositories: []string{"team/-*/x"}}, ErrInvalid},
		{Order{Name: "m4", Repositories: []string{"team/*-x", "**/a_*", "*.*"}}, nil},
		{Order{Name: "1s", Lifetime: span(time.Second)}, nil}, {Order{Name: "0s", Lifetime: span(0)}, ErrInvalid}, {Order{Name: "-1s", Lifetime: span(-time.Second)}, ErrInvalid},
		{Order{Name: "short", Lifetime: span(999 * time.Millisecond)}, ErrInvalid}, {Order{Name: "most", Lifetime: span(8760 * time.Hour)}, nil}, {Order{Name: "more", Lifetime: span(8760*time.Hour + 1)}, ErrInvalid},
		{Order{Name: "all", Repositories: []string{"a/**", "b/*"}, Actions: []string{"delete", "pull", "push", "pull"}}, nil},
		{Order{Name: "p1", Repositories: []string{"{user}/**"}}, ErrInvalid}, {Order{Name: "p2", Repositories: []string{"{machine}/**"}}, ErrInvalid}, {Order{Name: "p3", Repositories: []string{""}}, ErrInvalid},
		{Order{Name: "p4", Repositories: []string{"a**"}}, ErrInvalid}, {Order{Name: "p5", Repositories: many}, ErrInvalid}, {Order{Name: "p6", Repositories: many[:20]}, nil},
		{Order{Name: "p7", Repositories: []string{strings.Repeat("x", 257)}}, ErrInvalid},
		{Order{Name: "a1", Actions: []string{"fly"}}, ErrInvalid}, {Order{Name: "a2", Actions: []string{"create"}}, ErrInvalid}, {Order{Name: "a3", Actions: []string{"*"}}, ErrInvalid},
	} {
		_, made, err := o.Make(t.Context(), alice, c.order)
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %+v, %v, want %v", c.order, made, err, c.want)
		}
		if c.order.Name == "all" && strings.Join(made.Actions, " ") != "pull push delete" {
			t.Errorf("actions %q", made.Actions)
		}
	}
	o.MaxLifetime = 0
	if _, made, err := o.Make(t.Context(), alice, Order{Name: "for ever", Lifetime: span(0)}); err != nil || made.Expires != nil {
		t.Errorf("without end: %+v, %v", made, err)
	}
	o.MaxLifetime = time.Hour
	if _, made, err := o.Make(t.Context(), alice, Order{Name: "default"}); err != nil || *made.Expires != o.now().Add(time.Hour) {
		t.Errorf("the default above the longest: %+v, %v", made, err)
	}
	for _, nobody := range []authn.Identity{{}, {Directory: "corp", Username: "ci/app", Machine: true}} {
		if _, _, err := o.Make(t.Context(), nobody, Order{Name: "x"}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: %v", nobody, err)
		}
	}
}

// TestOldCeilings: a token of which a pattern can match nothing is still good for the rest.
func TestOldCeilings(t *testing.T) {
	o := newOffice(t, "file")
	for name, want := range map[string]string{"a\u202e": "characters that are not seen", "a\x00": "characters that are not seen", "": "1 to 64 characters"} {
		if _, _, err := o.Make(t.Context(), alice, Order{Name: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	made := record{Name: "old", Directory: alice.Directory, User: alice.Username, LastingID: alice.ID, Made: o.now(), Repositories: []string{"A/b", "team/**"}, Actions: []string{"pull"}}
	secret := made.key()
	if err := o.add(t.Context(), made, func(map[string][]byte) ([]store.Write, error) { return written(made), nil }); err != nil {
		t.Fatal(err)
	}
	if held, err := o.Find(t.Context(), shown(t, secret)); err != nil || held.Owner.Username != alice.Username {
		t.Errorf("%+v, %v", held, err)
	}
}

// TestPerUser: of many who make tokens at once, as many succeed as may be; those that have
// ended do not count, and neither do others'.
func TestPerUser(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.PerUser = 3
		var all sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for i := range 8 {
			all.Go(func() {
				_, _, err := o.Make(context.Background(), alice, Order{Name: fmt.Sprint(i), Lifetime: span(time.Minute)})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else if !errors.Is(err, ErrTooMany) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made != 3 {
			t.Errorf("%d were made", made)
		}
		o.make(bob, "another")
		o.set(o.now().Add(time.Minute))
		o.make(alice, "0")
	})
}

// TestEnds: a token ends at its time and not before, is counted so, told once over all
// gateways, and gone a week later.
func TestEnds(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		secret, made, err := o.Make(t.Context(), alice, Order{Name: "x", Lifetime: span(20 * 24 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		other := o.another()
		count := func(want string) {
			t.Helper()
			active, expiring, expired := o.Book.Count()
			if got := fmt.Sprint(active, expiring, expired); got != want {
				t.Errorf("counted %s, want %s", got, want)
			}
		}
		count("1 0 0")
		o.set(o.now().Add(7 * 24 * time.Hour))
		count("0 1 0")
		o.set(made.Expires.Add(-time.Second))
		if _, err := o.Find(t.Context(), shown(t, secret)); err != nil {
			t.Error(err)
		}
		if ended, err := o.Book.Sweep(t.Context(), 0); len(ended) != 0 || err != nil {
			t.Errorf("%+v, %v", ended, err)
		}
		o.set(*made.Expires)
		if held, err := o.Find(t.Context(), shown(t, secret)); !errors.Is(err, authn.ErrExpiredToken) || held.Owner.Username != "alice" {
			t.Errorf("%+v, %v", held, err)
		}
		here := o.Book.Due(t.Context())
		_, err = o.Book.Sweep(t.Context(), 0)
		there, err2 := other.Book.Sweep(t.Context(), 0)
		again, err3 := o.Book.Sweep(t.Context(), 0)
		if len(here) != 1 || len(there) != 0 || len(again) != 0 || here[0].ID != made.ID || errors.Join(err, err2, err3) != nil {
			t.Errorf("told %d, %d, %d times, %v", len(here), len(there), len(again), errors.Join(err, err2, err3))
		}
		count("0 0 1")
		if list, _ := o.List(t.Context(), alice); len(list) != 1 || !list[0].Ended(o.now()) {
			t.Errorf("%+v", list)
		}
		o.set(o.now().Add(keepEnded))
		for range 2 {
			if ended, err := o.Book.Sweep(t.Context(), 0); len(ended) != 0 || err != nil {
				t.Errorf("%+v, %v", ended, err)
			}
		}
		if list, _ := o.List(t.Context(), alice); len(list) != 0 {
			t.Errorf("a week later: %+v", list)
		}
		count("0 0 0")
	})
}

// TestUnused: a token ends that nobody uses; a use on any gateway counts on each.
func TestUnused(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.UnusedFor = time.Hour
		idleOne, idle := o.make(alice, "idle")
		busyOne, busy := o.make(alice, "busy")
		other := o.another()
		o.set(o.now().Add(50 * time.Minute))
		other.Used(busy.ID, netip.MustParseAddr("2001:db8::1"))
		if err := other.Book.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.set(o.now().Add(10 * time.Minute))
		if _, err := o.Find(t.Context(), idleOne); !errors.Is(err, authn.ErrExpiredToken) {
			t.Errorf("idle: %v", err)
		}
		if _, err := o.Find(t.Context(), busyOne); err != nil {
			t.Errorf("busy: %v", err)
		}
		ended, err := o.Book.Sweep(t.Context(), time.Hour)
		if len(ended) != 1 || ended[0].ID != idle.ID || err != nil {
			t.Errorf("%+v, %v", ended, err)
		}
		list, err := o.List(t.Context(), alice)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, token := range list {
			if used := token.LastUsed != nil && token.LastNetwork == "2001:db8::/64"; used != (token.ID == busy.ID) || token.Ended(o.now()) != (token.ID == idle.ID) {
				t.Errorf("%+v", token)
			}
		}
	})
}

// TestRotate: the new token is of the same kind, and the old one goes on for a day.
func TestRotate(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.PerUser = 2
		order := Order{Name: "ci", Lifetime: span(100 * time.Hour), Repositories: []string{"a/**"}, Actions: []string{"pull", "push"}}
		old, first, err := o.Make(t.Context(), alice, order)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Find(t.Context(), shown(t, old)); err != nil {
			t.Error(err)
		}
		if _, _, err := o.Rotate(t.Context(), bob, first.ID, time.Time{}); !errors.Is(err, ErrNone) {
			t.Errorf("by bob: %v", err)
		}
		o.set(o.now().Add(time.Hour))
		secret, second, err := o.Rotate(t.Context(), alice, first.ID, time.Time{})
		if err != nil || second.Name != "ci" || *second.Expires != o.now().Add(100*time.Hour) || strings.Join(second.Repositories, "") != "a/**" || strings.Join(second.Actions, " ") != "pull push" {
			t.Fatalf("%+v, %v", second, err)
		}
		if _, _, err := o.Rotate(t.Context(), alice, first.ID, time.Time{}); !errors.Is(err, ErrNone) {
			t.Errorf("once more: %v", err)
		}
		for _, text := range []authn.Secret{old, secret} {
			if _, err := o.Find(t.Context(), shown(t, text)); err != nil {
				t.Error(err)
			}
		}
		o.set(o.now().Add(24 * time.Hour))
		if _, err := o.Find(t.Context(), shown(t, old)); !errors.Is(err, authn.ErrExpiredToken) {
			t.Errorf("the old one a day later: %v", err)
		}
		if _, err := o.Find(t.Context(), shown(t, secret)); err != nil {
			t.Error(err)
		}
	})
}

// TestRedisAway: what was known goes on for stale_for, what was not is told as a fault;
// nothing is made or ended meanwhile.
func TestRedisAway(t *testing.T) {
	o := newOffice(t, "redis")
	known, made := o.make(alice, "known")
	stranger, _ := o.make(alice, "stranger")
	if _, err := o.Find(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	o.server.SetError("LOADING")
	fault := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want a fault", what, err)
		}
	}
	find := func(token apitoken.Token) error { _, err := o.Find(t.Context(), token); return err }
	fault("one that was not asked for", find(stranger))
	for _, later := range []time.Duration{0, 16 * time.Second, 4 * time.Minute} {
		o.set(made.Created.Add(later))
		if err := find(known); err != nil {
			t.Errorf("after %s: %v", later, err)
		}
	}
	_, _, err := o.Make(t.Context(), alice, Order{Name: "new"})
	fault("making", err)
	_, err = o.Revoke(t.Context(), alice, made.ID)
	fault("ending", err)
	_, err = o.End(t.Context(), known)
	fault("ending by its holder", err)
	_, err = o.List(t.Context(), alice)
	fault("listing", err)
	o.set(made.Created.Add(5 * time.Minute))
	fault("beyond stale_for", find(known))
	started := o.Desk
	started.Book = NewBook(nil, nil)
	fault("one without a store", find(known))
}

// TestStaleIsAskedAgain: what is older than fresh_for is given out at once and asked for
// again meanwhile, by one question.
func TestStaleIsAskedAgain(t *testing.T) {
	o := newOffice(t, "redis")
	token, made := o.make(alice, "x")
	other := o.another()
	if _, err := other.Find(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Revoke(t.Context(), alice, made.ID); err != nil {
		t.Fatal(err)
	}
	o.set(o.now().Add(20 * time.Second))
	if _, err := other.Find(t.Context(), token); err != nil {
		t.Errorf("what is known is not given out: %v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; <-time.After(time.Millisecond) {
		if _, err := other.Find(t.Context(), token); errors.Is(err, authn.ErrUnknownToken) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not asked for again")
		}
	}
}

// TestRevokeAll ends all tokens of a person, in one directory or in each, and no others.
func TestRevokeAll(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		namesake := authn.Identity{Directory: "lab", Username: "alice", ID: "u-7"}
		o.Makers, _ = authz.NewAudience([]string{"people"}, []string{"corp", "lab"}, nil)
		o.make(alice, "1")
		o.make(alice, "2")
		o.make(namesake, "3")
		o.make(bob, "4")
		if list, err := o.All(t.Context(), "LAB/Alice"); len(list) != 1 || err != nil {
			t.Errorf("%+v, %v", list, err)
		}
		if ended, err := o.RevokeAll(t.Context(), "corp/Alice", time.Hour); len(ended) != 2 || err != nil {
			t.Errorf("%+v, %v", ended, err)
		}
		if ended, err := o.RevokeAll(t.Context(), "alice", time.Hour); len(ended) != 1 || err != nil {
			t.Errorf("%+v, %v", ended, err)
		}
		if list, err := o.All(t.Context(), ""); len(list) != 1 || list[0].Owner.Username != "bob" || err != nil {
			t.Errorf("left: %+v, %v", list, err)
		}
	})
}

// TestCheck: what may stand in the section.
func TestCheck(t *testing.T) {
	for text, change := range map[string]func(*Config){
		"":                       func(*Config) {},
		" ":                      func(c *Config) { c.MaxLifetime = time.Hour },
		"  ":                     func(c *Config) { c.MaxLifetime, c.DefaultLifetime = 0, 0 },
		"default_lifetime: must": func(c *Config) { c.DefaultLifetime = 0 },
		"max_lifetime: must":     func(c *Config) { c.MaxLifetime = time.Millisecond },
		"unused_for: must":       func(c *Config) { c.UnusedFor = time.Second },
		"required_of: needs":     func(c *Config) { c.RequiredOf = []string{"people"} },
		"to: is empty":           func(c *Config) { c.Enabled, c.To = true, nil },
	} {
		var c Config
		c.Defaults()
		change(&c)
		if err := c.Check(); (err == nil) != (strings.TrimSpace(text) == "") || err != nil && !strings.HasPrefix(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestMadeMeanwhile: a token whose making was under way while all of its owner's ended does not
// come back when that is forgotten, whichever gateway made it, and a new one is good.
func TestMadeMeanwhile(t *testing.T) {
	for _, kind := range []string{"file", "redis"} {
		t.Run(kind, func(t *testing.T) {
			o := newOffice(t, kind)
			other := o.another()
			old, _ := o.make(alice, "old")
			r, _, err := other.record(alice, Order{Name: "late"})
			if err != nil {
				t.Fatal(err)
			}
			if ended, err := o.RevokeAll(t.Context(), "corp/alice", time.Hour); err != nil || len(ended) != 1 {
				t.Fatalf("%+v %v", ended, err)
			}
			if err := other.add(t.Context(), r, func(map[string][]byte) ([]store.Write, error) { return written(r), nil }); err != nil {
				t.Fatal(err)
			}
			if err := other.last(t.Context(), r); !errors.Is(err, ErrForbidden) {
				t.Errorf("made meanwhile: %v", err)
			}
			if list, err := o.List(t.Context(), alice); err != nil || len(list) != 0 {
				t.Errorf("%+v %v", list, err)
			}
			if _, err := o.Find(t.Context(), old); !errors.Is(err, authn.ErrUnknownToken) {
				t.Errorf("the old one: %v", err)
			}
			_, made := o.make(alice, "new")
			if _, _, err := other.Rotate(t.Context(), alice, made.ID, time.Time{}); !errors.Is(err, ErrForbidden) {
				t.Errorf("rotated in a session of before: %v", err)
			}
			if _, _, err := other.Make(t.Context(), alice, Order{Name: "later"}); !errors.Is(err, ErrForbidden) {
				t.Errorf("made in a session of before: %v", err)
			}
			fresh, made := o.make(alice, "newer")
			next, second, err := other.Rotate(t.Context(), alice, made.ID, o.Book.revoker.Last("corp", "alice"))
			if err != nil || second.Name != "newer" {
				t.Fatalf("%+v %v", second, err)
			}
			for _, token := range []apitoken.Token{fresh, shown(t, next)} {
				if h, err := o.Find(t.Context(), token); err != nil || !h.After.After(h.Made) {
					t.Errorf("%+v %v", h, err)
				}
			}
		})
	}
}
