package authn

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var bach = Identity{Directory: "example", Username: "bach", ID: "u-bach", DN: "uid=bach", PasswordStamp: "1", Groups: []Group{{Name: "organists"}}}

// remembering runs a test with a memory, in its own time.
func remembering(t *testing.T, cfg CacheConfig, test func(*testing.T, *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newMemory(cfg, func() {})) })
}

func (m *memory) keep(id Identity, asked time.Time) *person {
	m.remember(keyOf(id), id, asked, m.generation)
	p, _ := m.people.Peek(keyOf(id))
	return p
}

// TestMemoryOfChanges: any change of somebody's account voids what is known of their
// password, and what says nothing of the account does not.
func TestMemoryOfChanges(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Identity)
		void   bool
	}{
		"the stamp":  {func(id *Identity) { id.PasswordStamp = "2" }, true},
		"a lock":     {func(id *Identity) { id.NoLogin = "locked" }, true},
		"the DN":     {func(id *Identity) { id.DN = "uid=bach,ou=elsewhere" }, true},
		"the groups": {func(id *Identity) { id.Groups = nil }, false},
		"nothing":    {func(*Identity) {}, false},
		"the end":    {func(id *Identity) { id.ValidUntil = time.Now().Add(time.Hour) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			remembering(t, cacheConfig, func(t *testing.T, m *memory) {
				asked := time.Now()
				m.keep(bach, asked)
				m.accept(keyOf(bach), bach, "fugue", asked, m.generation)
				later := bach
				test.change(&later)
				if changed(bach, later) != test.void {
					t.Errorf("changed: %v", !test.void)
				}
				time.Sleep(time.Second)
				if p := m.keep(later, time.Now()); p.id.PasswordStamp != later.PasswordStamp || len(p.id.Groups) != len(later.Groups) {
					t.Errorf("%+v is remembered", p.id)
				}
				if got := m.good.Contains(keyOf(bach)); got == test.void {
					t.Errorf("the password is remembered: %v", got)
				}
				if got := m.isGood(later, m.sealed(later, "fugue"), time.Now()); got == test.void {
					t.Errorf("the password is good: %v", got)
				}
			})
		})
	}
	if other := bach; !changed(bach, func() Identity { other.ID = "another"; return other }()) {
		t.Error("another id is no change")
	}
}

// TestMemoryKeepsTheLater: of two answers the one whose question was sent later
// counts, in whatever order they come.
func TestMemoryKeepsTheLater(t *testing.T) {
	remembering(t, cacheConfig, func(t *testing.T, m *memory) {
		early := time.Now()
		time.Sleep(time.Second)
		late := time.Now()
		renewed := bach
		renewed.Groups = []Group{{Name: "retired"}}
		m.keep(renewed, late)
		if p := m.keep(bach, early); p.id.Groups[0].Name != "retired" || p.asked != late {
			t.Errorf("an earlier answer replaced a later one: %+v", p)
		}
		if m.forget(keyOf(bach), early, ErrAbsent) || !m.people.Contains(keyOf(bach)) {
			t.Error("an earlier answer made somebody absent")
		}
		m.deny(negativeKey{personKey: keyOf(bach)}, early, ErrUnknownUser, time.Minute, m.generation)
		if err := m.denied(negativeKey{personKey: keyOf(bach)}, late); err != nil {
			t.Errorf("an earlier answer denied somebody: %v", err)
		}
		m.deny(negativeKey{personKey: keyOf(bach)}, late, ErrUnknownUser, time.Minute, m.generation)
		wantErr(t, m.denied(negativeKey{personKey: keyOf(bach)}, late), ErrUnknownUser)
		time.Sleep(time.Second)
		m.keep(bach, time.Now())
		if err := m.denied(negativeKey{personKey: keyOf(bach)}, time.Now()); err != nil {
			t.Errorf("somebody who was found is denied: %v", err)
		}
	})
}

// TestMemoryForgets: who is gone goes with their password, and counts as lost only
// where they were known and the directory showed nothing.
func TestMemoryForgets(t *testing.T) {
	for name, test := range map[string]struct {
		known bool
		why   error
		lost  bool
	}{
		"absent":             {true, ErrAbsent, true},
		"disabled":           {true, ErrHeld, false},
		"unusable":           {true, ErrUnusable, false},
		"absent and unknown": {false, ErrAbsent, false},
	} {
		t.Run(name, func(t *testing.T) {
			remembering(t, cacheConfig, func(t *testing.T, m *memory) {
				if test.known {
					m.keep(bach, time.Now())
					m.accept(keyOf(bach), bach, "fugue", time.Now(), m.generation)
				}
				if got := m.forget(keyOf(bach), time.Now(), test.why); got != test.lost {
					t.Errorf("lost: %v", got)
				}
				if m.people.Len()+m.good.Len() != 0 {
					t.Errorf("left: %v", m.sizes())
				}
			})
		})
	}
}

// TestMemoryOfNames: a typed name means somebody while both are fresh, and nobody
// who may be let in again any moment.
func TestMemoryOfNames(t *testing.T) {
	const name = "bach@example.com"
	locked := bach
	locked.NoLogin = "locked"
	for what, test := range map[string]struct {
		id    Identity
		then  func(m *memory)
		found bool
		was   bool
	}{
		"at once":                  {bach, func(*memory) {}, true, true},
		"locked":                   {locked, func(*memory) {}, false, true},
		"when it is over":          {bach, func(*memory) { time.Sleep(cacheConfig.FreshFor) }, false, true},
		"the name is fresh alone":  {bach, func(m *memory) { p, _ := m.people.Peek(keyOf(bach)); p.until = time.Time{} }, false, true},
		"the person is gone":       {bach, func(m *memory) { m.people.Remove(keyOf(bach)) }, false, false},
		"after a reload":           {bach, func(m *memory) { m.expire() }, false, true},
		"of an answer before that": {bach, func(m *memory) { m.expire(); m.keep(bach, time.Now()); m.name(name, bach, time.Now(), m.generation-1) }, false, true},
		"the person alone again":   {bach, func(m *memory) { m.expire(); m.keep(bach, time.Now()) }, false, true},
		"forgotten":                {bach, func(m *memory) { m.unname(name) }, false, false},
	} {
		t.Run(what, func(t *testing.T) {
			remembering(t, cacheConfig, func(t *testing.T, m *memory) {
				m.keep(test.id, time.Now())
				m.deny(negativeKey{login: name}, time.Now(), ErrUnknownUser, time.Hour, m.generation)
				m.name(name, test.id, time.Now(), m.generation)
				if err := m.denied(negativeKey{login: name}, time.Now()); err != nil {
					t.Errorf("a name that was found is denied: %v", err)
				}
				test.then(m)
				key, p, found := m.named(name, time.Now())
				if found != test.found || found && (key != keyOf(bach) || p.id.Username != "bach") {
					t.Errorf("%+v, %v", p, found)
				}
				if got := m.wasNamed(name); got != test.was {
					t.Errorf("meant somebody who is remembered: %v", got)
				}
				who, ok := m.unname(name)
				if ok != (what != "forgotten") || ok && who != keyOf(bach) || m.logins.Len() != 0 {
					t.Errorf("unname: %+v, %v", who, ok)
				}
				if _, _, found := m.named("kant", time.Now()); found || m.wasNamed("kant") {
					t.Error("a name that nobody typed means somebody")
				}
			})
		})
	}
}

// TestMemoryOfPasswords: which passwords need not be asked, and which speak for a change.
func TestMemoryOfPasswords(t *testing.T) {
	remembering(t, cacheConfig, func(t *testing.T, m *memory) {
		asked := time.Now()
		p := m.keep(bach, asked)
		good, bad := m.sealed(bach, "fugue"), m.sealed(bach, "canon")
		if m.isGood(bach, good, asked) || m.isWrong(bad, asked) || m.maybeOlder(bach, good) {
			t.Error("a password is known before anybody asked")
		}
		p.served = true
		if !m.maybeOlder(bach, good) {
			t.Error("an identity from memory cannot be older than an unusual password")
		}
		m.accept(keyOf(bach), bach, "fugue", asked, m.generation)
		m.reject(bach, bad, asked, ErrInvalidCredentials, m.generation)
		if !m.isGood(bach, good, asked) || m.isGood(bach, bad, asked) || !m.isWrong(bad, asked) || m.isWrong(good, asked) {
			t.Error("what was answered is not remembered")
		}
		if m.maybeOlder(bach, good) || !m.maybeOlder(bach, bad) {
			t.Error("the usual password and another one speak for the same")
		}
		p.served = false
		older := bach
		older.PasswordStamp = "0"
		if !m.maybeOlder(older, bad) || m.maybeOlder(bach, bad) {
			t.Error("a stamp that differs speaks for a change, and none for none")
		}
		locked := bach
		locked.NoLogin = "locked"
		m.accept(keyOf(bach), locked, "fugue", asked, m.generation)
		if m.isGood(locked, m.sealed(locked, "fugue"), asked) {
			t.Error("a lock does not stand before a good password")
		}
		m.accept(keyOf(bach), bach, "fugue", asked, m.generation)
		if end := asked.Add(cacheConfig.PasswordFor); !m.isGood(bach, good, end.Add(-1)) || m.isGood(bach, good, end) {
			t.Error("a good password does not end with password_for")
		}
		if end := asked.Add(cacheConfig.WrongPasswordFor); !m.isWrong(bad, end.Add(-1)) || m.isWrong(bad, end) {
			t.Error("a wrong password does not end with wrong_password_for")
		}
		m.people.Remove(keyOf(bach))
		if !m.maybeOlder(bach, bad) {
			t.Error("nothing is known of somebody, and nothing may be older")
		}
	})
}

// TestMemoryRejects: a refusal is remembered where it is surely the password's, and
// ends what was known of the same one as good.
func TestMemoryRejects(t *testing.T) {
	never := cacheConfig
	never.WrongPasswordFor = 0
	locked := bach
	locked.NoLogin = "locked"
	for name, test := range map[string]struct {
		cfg        CacheConfig
		id         Identity
		why        error
		generation int
		remembered bool
	}{
		"wrong":            {cacheConfig, bach, ErrInvalidCredentials, 0, true},
		"always asked":     {never, bach, ErrInvalidCredentials, 0, false},
		"locked":           {cacheConfig, locked, ErrInvalidCredentials, 0, false},
		"another reason":   {cacheConfig, bach, fmt.Errorf("%w: %w", ErrInvalidCredentials, ErrNotPassword), 0, false},
		"before a reload":  {cacheConfig, bach, ErrInvalidCredentials, -1, false},
		"locked, reloaded": {cacheConfig, locked, ErrInvalidCredentials, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			remembering(t, test.cfg, func(t *testing.T, m *memory) {
				sealed := m.sealed(test.id, "fugue")
				m.accept(keyOf(test.id), test.id, "other", time.Now(), m.generation)
				m.reject(test.id, sealed, time.Now(), test.why, m.generation+test.generation)
				if got := m.wrong.Contains(sealed); got != test.remembered || m.good.Len() != 1 {
					t.Errorf("remembered: %v; good ones: %d", got, m.good.Len())
				}
				m.accept(keyOf(test.id), test.id, "fugue", time.Now(), m.generation)
				m.reject(test.id, sealed, time.Now(), test.why, m.generation+test.generation)
				if m.good.Len() != 0 {
					t.Error("the same password is good and refused")
				}
				m.accept(keyOf(test.id), test.id, "fugue", time.Now(), m.generation-1)
				if m.good.Len() != 0 {
					t.Error("an answer from before a reload is remembered")
				}
			})
		})
	}
}

// TestMemoryExpires: after a reload everybody is due, nobody is forgotten, and
// neither passwords nor refusals are remembered; a later cache inherits the same.
func TestMemoryExpires(t *testing.T) {
	remembering(t, cacheConfig, func(t *testing.T, m *memory) {
		p := m.keep(bach, time.Now())
		p.fault = time.Now()
		m.name("bach", bach, time.Now(), m.generation)
		m.accept(keyOf(bach), bach, "fugue", time.Now(), m.generation)
		m.reject(bach, m.sealed(bach, "canon"), time.Now(), ErrInvalidCredentials, m.generation)
		m.deny(negativeKey{login: "kant"}, time.Now(), ErrUnknownUser, time.Hour, m.generation)
		generation := m.generation
		m.expire()
		next := newMemory(cacheConfig, func() {})
		next.inherit(m)
		for name, m := range map[string]*memory{"expired": m, "inherited": next} {
			p, _ := m.people.Peek(keyOf(bach))
			if p == nil || p.fresh(time.Now()) || !p.refresh.IsZero() || !p.fault.IsZero() || !m.usable(p, time.Now()) || p.id.Groups[0].Name != "organists" {
				t.Errorf("%s: %+v", name, p)
			}
			if _, _, found := m.named("bach", time.Now()); found || !m.wasNamed("bach") {
				t.Errorf("%s: the name means somebody fresh, or nobody who is remembered", name)
			}
			if got := m.sizes(); got["negative"]+got["password"]+got["wrong_password"] != 0 || got["identity"] != 1 {
				t.Errorf("%s: %v", name, got)
			}
		}
		m.deny(negativeKey{login: "kant"}, time.Now(), ErrUnknownUser, time.Hour, generation)
		m.deny(negativeKey{login: "hume"}, time.Now(), ErrUnknownUser, 0, m.generation)
		if m.negatives.Len() != 0 {
			t.Error("a refusal from before the reload, or one that lasts no time, is remembered")
		}
		time.Sleep(time.Second)
		m.remember(keyOf(bach), bach, time.Now(), generation)
		if p, _ := m.people.Peek(keyOf(bach)); p.fresh(time.Now()) || p.asked != time.Now() {
			t.Errorf("an answer from before the reload: %+v", p)
		}
	})
}

// TestMemoryOnAFault: how long somebody is still served, and what the metrics show of it.
func TestMemoryOnAFault(t *testing.T) {
	never := cacheConfig
	never.StaleFor = 0
	ends := bach
	for name, test := range map[string]struct {
		cfg   CacheConfig
		ends  time.Duration // of the account; 0: never
		after time.Duration
		want  bool
	}{
		"at once":                 {cacheConfig, 0, 0, true},
		"nearly stale_for":        {cacheConfig, 0, 10*time.Minute - 1, true},
		"stale_for":               {cacheConfig, 0, 10 * time.Minute, false},
		"never":                   {never, 0, 0, false},
		"the account goes on":     {cacheConfig, 3 * time.Minute, 3*time.Minute - 1, true},
		"the account ends before": {cacheConfig, 3 * time.Minute, 3 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			remembering(t, test.cfg, func(t *testing.T, m *memory) {
				ends.ValidUntil = time.Time{}
				if test.ends > 0 {
					ends.ValidUntil = time.Now().Add(test.ends)
				}
				p := m.keep(ends, time.Now())
				m.fault(keyOf(Identity{Username: "nobody"}))
				m.fault(keyOf(ends))
				if p.fault != time.Now() {
					t.Error("the fault is not noted")
				}
				time.Sleep(test.after)
				now := time.Now()
				if got := m.usable(p, now); got != test.want {
					t.Errorf("usable: %v", got)
				}
				if got := m.oldestStale(now.Add(-time.Second), now); got != 0 {
					t.Errorf("the oldest that is served stale, though nobody is: %s", got)
				}
				p.stale = now
				want := test.after
				if !test.want || p.fresh(now) {
					want = 0
				}
				if got := m.oldestStale(now.Add(-time.Second), now); got != want {
					t.Errorf("the oldest that is served stale: %s, want %s", got, want)
				}
			})
		})
	}
	t.Run("freshness ends with the account", func(t *testing.T) {
		remembering(t, cacheConfig, func(t *testing.T, m *memory) {
			now := time.Now()
			ends.ValidUntil = now.Add(10 * time.Second)
			if got := m.until(now, ends); got != ends.ValidUntil {
				t.Errorf("fresh for %s", got.Sub(now))
			}
			ends.ValidUntil = now.Add(time.Hour)
			if got := m.until(now, ends).Sub(now); got > cacheConfig.FreshFor || got < cacheConfig.FreshFor*9/10 {
				t.Errorf("fresh for %s", got)
			}
		})
	})
}

// TestDeniedLapses: a refusal is repeated until its time, and then no more.
func TestDeniedLapses(t *testing.T) {
	remembering(t, cacheConfig, func(t *testing.T, m *memory) {
		reason, now := errors.New("the reason"), time.Now()
		key := negativeKey{login: "kant"}
		m.deny(key, now, reason, time.Minute, m.generation)
		if got := m.denied(key, now.Add(time.Minute-1)); got != reason {
			t.Errorf("%v", got)
		}
		if got := m.denied(key, now.Add(time.Minute)); got != nil {
			t.Errorf("after its time: %v", got)
		}
		if got := m.denied(negativeKey{login: "hume"}, now); got != nil {
			t.Errorf("of another: %v", got)
		}
	})
}
