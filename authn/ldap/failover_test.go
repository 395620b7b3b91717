package ldap_test

import (
	"errors"
	"fmt"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// pair is a directory on two fakes, in the order in which they are asked.
func pair(t *testing.T) (d *ldap.Directory, first, second *authntest.Fake) {
	t.Helper()
	first, second = authntest.StartFake(t), authntest.StartFake(t)
	cfg := faultConfig(first)
	cfg.Servers = append(cfg.Servers, second.URL())
	return open(t, cfg), first, second
}

// TestFailsOverOnTrouble (A8): a server that answers that it cannot (it is empty,
// refers elsewhere, lacks a right) does not decide while another one can. It is
// taken out of use at once, so that its binds call no good password wrong, and
// comes back by a probe.
func TestFailsOverOnTrouble(t *testing.T) {
	for name, behaviour := range map[string]authntest.Behaviour{
		"no such object": authntest.NoSuchObject, "referral": authntest.ReferralOnly, "forbidden": authntest.Forbidden,
	} {
		t.Run(name, func(t *testing.T) {
			d, first, second := pair(t)
			first.Behave(behaviour)
			for range 3 {
				if _, err := login(d, "mozart", authntest.Password); err != nil {
					t.Errorf("login: %v", err)
				}
			}
			if _, err := d.Find(t.Context(), "nobody"); !errors.Is(err, authn.ErrUnknownUser) {
				t.Errorf("Find of nobody: %v", err)
			}
			if searches, binds := first.Count("search"), first.Count("bind"); searches != 1 || binds != 0 {
				t.Errorf("the first server got %d searches and %d binds, want one and none", searches, binds)
			}
			first.Behave(authntest.Good)
			d.Recover()
			d.Settle()
			before := second.Count("search")
			if _, err := login(d, "mozart", authntest.Password); err != nil || second.Count("search") != before {
				t.Errorf("the first server is not asked again (%v)", err)
			}
		})
	}
}

// TestTroubleOfBoth (A8): where both servers say that they cannot, it is a fault,
// nobody is unknown, and both go on being asked.
func TestTroubleOfBoth(t *testing.T) {
	d, first, second := pair(t)
	first.Behave(authntest.NoSuchObject)
	second.Behave(authntest.Forbidden)
	for range 5 {
		if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("Find = %v", err)
		}
	}
	if !d.Available() || first.Count("search") != 5 || second.Count("search") != 5 {
		t.Errorf("available: %v; searches: %d and %d, want 5 each", d.Available(), first.Count("search"), second.Count("search"))
	}
}

// TestTroubledIsBetterThanNone (A8): a server that was taken out of use because
// another did better is asked again where that one is gone.
func TestTroubledIsBetterThanNone(t *testing.T) {
	d, first, second := pair(t)
	first.Behave(authntest.Forbidden)
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Fatal(err)
	}
	first.Behave(authntest.Good)
	second.Behave(authntest.CloseAtOnce)
	await(t, func() bool { _, err := d.Find(t.Context(), "mozart"); return err == nil })
}

// TestTroubleOfOneAlone (A8): where there is no other server, the same question is
// not asked twice, and the server is not taken out of use.
func TestTroubleOfOneAlone(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	f.Behave(authntest.NoSuchObject)
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find = %v", err)
	}
	if f.Count("search") != 1 || !d.Available() {
		t.Errorf("%d searches, available: %v", f.Count("search"), d.Available())
	}
}

// TestOftenBusy (A8): a server that is busy again and again, while another one
// answers, leaves the work to it.
func TestOftenBusy(t *testing.T) {
	d, first, _ := pair(t)
	first.Behave(authntest.Busy)
	for range 10 {
		if _, err := d.Find(t.Context(), "mozart"); err != nil {
			t.Errorf("Find: %v", err)
		}
	}
	if got := first.Count("search"); got != 3 {
		t.Errorf("the busy server was asked %d times, want 3", got)
	}
}

// TestUnjudgedBinds (A8): a bind that the first server answers without a look at
// the password goes to the other one; a refused one never does.
func TestUnjudgedBinds(t *testing.T) {
	for code, elsewhere := range map[uint16]int{10: 1, 13: 1, 51: 1, 52: 1, 49: 0, 53: 0, 19: 0} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			d, first, second := pair(t)
			id, err := d.Find(t.Context(), "mozart")
			if err != nil {
				t.Fatal(err)
			}
			first.AnswerBinds(code, "not now")
			_, err = d.Verify(t.Context(), id, authntest.Password)
			if got := second.Count("bind"); got != elsewhere || (err == nil) != (elsewhere == 1) {
				t.Errorf("%d binds at the second server, %v", got, err)
			}
		})
	}
}

// TestUnjudgedAtBoth (A8): a password that nobody looked at is not wrong.
func TestUnjudgedAtBoth(t *testing.T) {
	d, first, second := pair(t)
	first.AnswerBinds(51, "busy")
	second.AnswerBinds(51, "busy")
	if _, err := login(d, "mozart", authntest.Password); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("login: %v", err)
	}
}

// TestFillingServer (A8): a first server that has its base and, for now, no people
// is a fault once, and then leaves the work to the second, which shows the canary
// user. It comes back when it shows them too.
func TestFillingServer(t *testing.T) {
	first, second := authntest.StartFake(t), authntest.StartFake(t)
	cfg := faultConfig(first)
	cfg.Servers, cfg.CanaryUser = append(cfg.Servers, second.URL()), "mozart"
	d := open(t, cfg)
	first.Put(authntest.UsersDN, nil)
	second.Put(authntest.UsersDN, nil)
	second.Put(authntest.MozartDN, map[string][]string{"uid": {"mozart"}})
	if err := d.Canary(t.Context()); err == nil {
		t.Error("what the first server hides counts as absent")
	}
	before := first.Count("search")
	for range 3 {
		if _, err := login(d, "mozart", authntest.Password); err != nil {
			t.Errorf("login: %v", err)
		}
		d.Settle()
	}
	if err := d.Canary(t.Context()); err != nil {
		t.Errorf("the canary at the second server: %v", err)
	}
	if first.Count("search") != before || first.Count("bind") != 0 {
		t.Error("the first server is still asked")
	}
	d.Recover()
	d.Settle()
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Errorf("after a probe of a server that is still empty: %v", err)
	}
	first.Put(authntest.MozartDN, map[string][]string{"uid": {"mozart"}})
	d.Recover()
	d.Settle()
	used := second.Count("search")
	if _, err := d.Find(t.Context(), "mozart"); err != nil || second.Count("search") != used {
		t.Errorf("the first server is not asked again: %v", err)
	}
}

// TestCanaryIsGoneEverywhere (A8): where no server shows the canary user, none is
// taken out of use for it.
func TestCanaryIsGoneEverywhere(t *testing.T) {
	first, second := authntest.StartFake(t), authntest.StartFake(t)
	cfg := faultConfig(first)
	cfg.Servers, cfg.CanaryUser = append(cfg.Servers, second.URL()), "haydn"
	d := open(t, cfg)
	for _, f := range []*authntest.Fake{first, second} {
		f.Put(authntest.UsersDN, nil)
		f.Put(authntest.MozartDN, map[string][]string{"uid": {"mozart"}})
	}
	for range 3 {
		if err := d.Canary(t.Context()); err == nil {
			t.Error("a canary that is gone is shown")
		}
	}
	used := second.Count("search")
	if _, err := d.Find(t.Context(), "mozart"); err != nil || second.Count("search") != used {
		t.Errorf("the first server is not asked any more: %v", err)
	}
}
