package authn_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// faultConfig is a directory on f; one question may take a second.
func faultConfig(f *authntest.Fake) authn.LDAPConfig {
	return authn.LDAPConfig{
		Name: "fake", Servers: []string{f.URL()}, Timeout: time.Second,
		BindDN: authntest.ServiceDN, BindPassword: authntest.Password,
		UsersBase: authntest.UsersDN, UsersFilter: "(uid={login})",
	}
}

// TestFaultyServer: whatever a server does instead of answering, the person is
// neither known nor unknown, within the time limit.
func TestFaultyServer(t *testing.T) {
	for name, behaviour := range map[string]authntest.Behaviour{
		"silent": authntest.Silent, "stops reading": authntest.StopsReading, "closes at once": authntest.CloseAtOnce,
		"closes on use": authntest.CloseOnUse, "busy": authntest.Busy, "its own size limit": authntest.SizeLimit,
		"malformed": authntest.Malformed, "truncated": authntest.Truncated, "referral": authntest.ReferralOnly,
		"no such object": authntest.NoSuchObject, "forbidden": authntest.Forbidden,
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connected before: %v", name, warm), func(t *testing.T) {
				t.Parallel()
				f := authntest.StartFake(t)
				d, err := authn.NewLDAP(faultConfig(f))
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if warm {
					if _, err := login(d, "mozart", authntest.Password); err != nil {
						t.Fatal(err)
					}
				}
				f.Behave(behaviour)
				start := time.Now()
				id, err := d.Find(t.Context(), "mozart")
				if !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, authn.ErrUnknownUser) {
					t.Errorf("Find = %+v, %v", id, err)
				}
				if took := time.Since(start); took > 1500*time.Millisecond {
					t.Errorf("took %s, the limit is 1s", took)
				}
				f.Behave(authntest.Good)
				if took := await(t, func() bool { _, err := login(d, "mozart", authntest.Password); return err == nil }); took > 10*time.Second {
					t.Errorf("good again after %s", took)
				}
			})
		}
	}
}

// TestFaultyServerLeavesNothing goes through the worst behaviours and then looks
// for goroutines (open does) and connections.
func TestFaultyServerLeavesNothing(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	for _, behaviour := range []authntest.Behaviour{authntest.Silent, authntest.CloseOnUse, authntest.Malformed, authntest.Good} {
		f.Behave(behaviour)
		for range 3 {
			login(d, "mozart", authntest.Password)
		}
	}
	d.Close()
	await(t, func() bool { return f.Open() == 0 })
	if _, err := d.Find(t.Context(), "nobody at all"); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("the gate after Close: %v", err)
	}
}

// TestMuteServerForBinds: a bind that gets no answer is no wrong password.
func TestMuteServerForBinds(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	id, err := login(d, "mozart", authntest.Password)
	if err != nil {
		t.Fatal(err)
	}
	binds := f.Count("bind")
	f.Behave(authntest.Silent)
	if _, err := d.Verify(t.Context(), id, authntest.Password); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Verify = %v", err)
	}
	if got := f.Count("bind") - binds; got != 1 {
		t.Errorf("the password was sent %d times", got)
	}
}

// TestReferences are ignored: nothing is asked elsewhere, nobody is lost.
func TestReferences(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	f.Behave(authntest.WithReference)
	if id, err := d.Find(t.Context(), "mozart"); err != nil || id.Username != "mozart" {
		t.Errorf("Find = %+v, %v", id, err)
	}
}

// TestEntries: two are nobody, none is nobody, and neither is a fault.
func TestEntries(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	for _, behaviour := range []authntest.Behaviour{authntest.TwoEntries, authntest.Empty} {
		f.Behave(behaviour)
		if id, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnknownUser) || errors.Is(err, authn.ErrUnavailable) {
			t.Errorf("behaviour %d: %+v, %v", behaviour, id, err)
		}
	}
	if !d.Available() {
		t.Error("answers made the server count as down")
	}
}

// TestNoTraffic: what is refused before LDAP is not sent to it.
func TestNoTraffic(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	for _, name := range []string{"", " mozart", "mozart\x00", "*", "a)(uid=*"} {
		if _, err := d.Find(t.Context(), name); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("Find(%q): %v", name, err)
		}
	}
	for _, password := range []authn.Secret{"", "\x00", "\x00\x00", " "} {
		if _, err := d.Verify(t.Context(), authn.Identity{DN: authntest.MozartDN}, password); !errors.Is(err, authn.ErrInvalidCredentials) {
			t.Errorf("Verify(%q): %v", string(password), err)
		}
	}
	if _, err := d.Verify(t.Context(), authn.Identity{DN: authntest.MozartDN, NoLogin: "locked"}, authntest.Password); !errors.Is(err, authn.ErrInvalidCredentials) {
		t.Errorf("Verify of one who may not log in: %v", err)
	}
	if got := f.Count("connect"); got != 0 {
		t.Errorf("%d connections were made", got)
	}
}

// TestStartTLSRefused: nothing is sent in plain text instead.
func TestStartTLSRefused(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.StartTLS = true
	d := open(t, cfg)
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find = %v", err)
	}
	if f.Count("starttls") == 0 || f.Count("service")+f.Count("bind")+f.Count("search") != 0 {
		t.Errorf("sent: %d starttls, %d service binds, %d searches", f.Count("starttls"), f.Count("service"), f.Count("search"))
	}
}

// TestConnectionsAreShared: logins one after the other need two connections, and
// idle ones that the server closed are replaced without anybody noticing.
func TestConnectionsAreShared(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	for range 20 {
		if _, err := login(d, "mozart", authntest.Password); err != nil {
			t.Fatal(err)
		}
	}
	if connects, binds, searches := f.Count("connect"), f.Count("bind"), f.Count("search"); connects != 2 || binds != 20 || searches != 20 {
		t.Errorf("20 logins took %d connections, %d binds, %d searches", connects, binds, searches)
	}
	for range 3 {
		f.Disconnect()
		if _, err := login(d, "mozart", authntest.Password); err != nil {
			t.Errorf("login after the server closed all connections: %v", err)
		}
	}
}

// TestServiceAccountIsSpared: a refused service account is not tried over and over.
func TestServiceAccountIsSpared(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.BindPassword = "wrong"
	d := open(t, cfg)
	for range 50 {
		if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
			t.Fatalf("Find = %v", err)
		}
	}
	if got := f.Count("service"); got != 1 {
		t.Errorf("the service account was tried %d times", got)
	}
}

// TestSlowServer: many questions at once to a slow server share a few connections.
func TestSlowServer(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.Timeout = 20 * time.Second
	d := open(t, cfg)
	f.Delay(5 * time.Millisecond)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := login(d, "mozart", authntest.Password); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := f.Count("connect"); got > 4+16 {
		t.Errorf("%d connections were made", got)
	}
}
