package ldap_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
	"gatehouse/metrics"
)

// faultConfig is a directory on f; one question may take a second.
func faultConfig(f *authntest.Fake) ldap.Config {
	return ldap.Config{
		Name: "fake", Servers: []string{f.URL()}, Timeout: time.Second,
		BindDN: authntest.ServiceDN, BindPasswordFile: authn.SecretFile{Secret: authntest.Password},
		Users: ldap.Users{Base: authntest.UsersDN, Filter: "(uid={login})"},
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
				d, err := ldap.New(faultConfig(f))
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
				if took := time.Since(start); took > 5*time.Second { // however busy this machine is
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
		t.Errorf("the login rule after Close: %v", err)
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
	f.Disconnect()
}

// TestLateIsNotDown (audit, plausible): with a short timeout one search that takes
// longer than we wait does not take the server out of use, for it answers.
func TestLateIsNotDown(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Fatal(err)
	}
	f.Delay(1100 * time.Millisecond) // the server's own limit is a second
	if id, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find = %+v, %v", id, err)
	}
	f.Delay(0)
	await(t, func() bool { return d.InFlight() == 0 })
	if _, err := login(d, "mozart", authntest.Password); err != nil || f.Count("connect") > 3 {
		t.Errorf("after a late answer: %v, with %d connections", err, f.Count("connect"))
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

// TestStartTLSSilent: a handshake that never goes on ends with the time limit.
func TestStartTLSSilent(t *testing.T) {
	f := authntest.StartFake(t)
	f.Behave(authntest.SilentTLS)
	cfg := faultConfig(f)
	cfg.StartTLS = true
	d := open(t, cfg)
	start := time.Now()
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find = %v", err)
	}
	if took := time.Since(start); took > 1500*time.Millisecond {
		t.Errorf("took %s, the limit is 1s", took)
	}
	if f.Count("starttls") == 0 {
		t.Error("no StartTLS was sent")
	}
}

// TestKeptConnections: a search connection that rests is used now and then, so
// that a silent server is noticed before anybody waits for it; after long it ends.
func TestKeptConnections(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	d.KeepEvery(200 * time.Millisecond) // so long that a busy machine asks often before it ends
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return f.Count("search") > 3 })
	await(t, func() bool { return f.Open() == 0 })
	if connects := f.Count("connect"); connects != 1 {
		t.Errorf("%d connections, want one that ended by itself", connects)
	}
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Errorf("after the idle connection was closed: %v", err)
	}
	f.Behave(authntest.Silent)
	await(t, func() bool { return !d.Available() })
}

// TestSeveralAddresses: localhost is ::1 as well, where nobody listens.
func TestSeveralAddresses(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.Servers = []string{strings.Replace(f.URL(), "127.0.0.1", "localhost", 1)}
	if _, err := open(t, cfg).Find(t.Context(), "mozart"); err != nil {
		t.Error(err)
	}
}

// TestStartsWhileDown: nothing is needed of the servers at the start.
func TestStartsWhileDown(t *testing.T) {
	f := authntest.StartFake(t)
	f.Behave(authntest.CloseAtOnce)
	d := open(t, faultConfig(f))
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find = %v", err)
	}
	f.Behave(authntest.Good)
	await(t, func() bool { _, err := d.Find(t.Context(), "mozart"); return err == nil })
}

// TestFailsBack: the first server is asked again once it has stayed good.
func TestFailsBack(t *testing.T) {
	first, second := authntest.StartFake(t), authntest.StartFake(t)
	cfg := faultConfig(first)
	cfg.Servers = append(cfg.Servers, second.URL())
	d := open(t, cfg)
	first.Behave(authntest.CloseAtOnce)
	for range 20 {
		if _, err := d.Find(t.Context(), "mozart"); err != nil {
			t.Fatal(err)
		}
	}
	if got := first.Count("connect"); got > 2 {
		t.Errorf("requests went on trying the first server: %d times", got)
	}
	first.Behave(authntest.Good)
	d.Recover()
	before := first.Count("search")
	if _, err := d.Find(t.Context(), "mozart"); err != nil || first.Count("search") != before {
		t.Errorf("asked again at once (%v)", err)
	}
	d.Settle()
	if _, err := d.Find(t.Context(), "mozart"); err != nil || first.Count("search") != before+1 {
		t.Errorf("not asked again after it stayed good (%v)", err)
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
	cfg.BindPasswordFile = password("wrong")
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

// TestServiceAccountIsSparedUnderLoad: where connections are bound since before the
// account's password changed, load does not try to open further ones over and over.
func TestServiceAccountIsSparedUnderLoad(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.Timeout = 20 * time.Second
	d := open(t, cfg)
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Fatal(err)
	}
	d.ServicePassword("changed")
	f.Delay(2 * time.Millisecond)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 3 {
				if _, err := d.Find(t.Context(), "mozart"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := f.Count("service"); got != 2 {
		t.Errorf("the service account was tried %d times, want once well and once not", got)
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
	// At most 4 and 16 at a time, but a bind connection too many is closed in a
	// pause, and opened again after it.
	if got := f.Count("connect"); got > 100 {
		t.Errorf("400 operations took %d connections", got)
	}
}

// TestBindAnswers: what the server says to a bind, what becomes of it, and under
// which name it is counted.
func TestBindAnswers(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.Metrics = metrics.New(metrics.BuildInfo{})
	d := open(t, cfg)
	id, err := d.Find(t.Context(), "mozart")
	if err != nil {
		t.Fatal(err)
	}
	ad := func(code string) string {
		return "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " + code + ", v2580"
	}
	want := map[string]int{}
	for _, test := range []struct {
		code   uint16
		text   string
		want   error
		reason string
		metric string
	}{
		{49, "", authn.ErrInvalidCredentials, "wrong password", "bad"},
		{49, ad("52e"), authn.ErrInvalidCredentials, "wrong password", "bad"},
		{49, ad("525"), authn.ErrInvalidCredentials, "no such user", "refused"},
		{49, ad("530"), authn.ErrInvalidCredentials, "not allowed at this hour", "refused"},
		{49, ad("532"), authn.ErrInvalidCredentials, "the password has expired", "expired"},
		{49, ad("533"), authn.ErrInvalidCredentials, "the account is disabled", "disabled"},
		{49, ad("701"), authn.ErrInvalidCredentials, "the account has expired", "expired"},
		{49, ad("773"), authn.ErrInvalidCredentials, "the password must be changed", "must_change"},
		{49, ad("775"), authn.ErrInvalidCredentials, "the account is locked", "locked"},
		{53, "Account inactivated. Contact system administrator.", authn.ErrInvalidCredentials, "inactive", "disabled"},
		{19, "Exceed password retry limit. Please try later.", authn.ErrInvalidCredentials, "the account is locked", "locked"},
		{19, "something else", authn.ErrInvalidCredentials, "something else", "refused"},
		{32, "", authn.ErrInvalidCredentials, "No Such Object", "refused"},
		{51, "", authn.ErrUnavailable, "Busy", "fault"},
		{52, "", authn.ErrUnavailable, "Unavailable", "fault"},
		{8, "", authn.ErrUnavailable, "Strong Auth Required", "fault"},
		{80, "", authn.ErrUnavailable, "Other", "fault"},
		{10, "", authn.ErrUnavailable, "Referral", "fault"},
	} {
		f.AnswerBinds(test.code, test.text)
		_, err := d.Verify(t.Context(), id, authntest.Password)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%d %s: %v, want %v: %s", test.code, test.text, err, test.want, test.reason)
		}
		want[test.metric]++
	}
	shown := scrape(cfg.Metrics)
	for result, n := range want {
		if line := fmt.Sprintf("gatehouse_ldap_binds_total{directory=\"fake\",result=%q} %d\n", result, n); !strings.Contains(shown, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

func scrape(m *metrics.Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// TestMetrics: what is seen from outside of two servers, of which one fails.
func TestMetrics(t *testing.T) {
	first, second := authntest.StartFake(t), authntest.StartFake(t)
	cfg := faultConfig(first)
	cfg.Servers = append(cfg.Servers, second.URL())
	cfg.Metrics = metrics.New(metrics.BuildInfo{})
	d := open(t, cfg)
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Fatal(err)
	}
	second.Behave(authntest.TwoEntries)
	has := func(text string) bool {
		return strings.Contains(scrape(cfg.Metrics), strings.NewReplacer("FIRST", first.URL(), "SECOND", second.URL()).Replace(text)+"\n")
	}
	want := func(lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !has(line) {
				t.Errorf("the metrics lack %s", line)
			}
		}
	}
	want(`gatehouse_ldap_up{directory="fake",server="FIRST"} 1`,
		`gatehouse_ldap_active{directory="fake",server="FIRST"} 1`,
		`gatehouse_ldap_active{directory="fake",server="SECOND"} 0`,
		`gatehouse_ldap_connections{directory="fake",kind="search",server="FIRST"} 1`,
		`gatehouse_ldap_connections{directory="fake",kind="bind",server="FIRST"} 1`,
		`gatehouse_ldap_in_flight{directory="fake",server="FIRST"} 0`,
		`gatehouse_ldap_dials_total{directory="fake",result="ok"} 2`,
		`gatehouse_ldap_operation_duration_seconds_count{directory="fake",operation="search",result="ok",server="FIRST"} 1`,
		`gatehouse_ldap_operation_duration_seconds_count{directory="fake",operation="bind",result="ok",server="FIRST"} 1`,
		`gatehouse_ldap_failovers_total{directory="fake"} 0`)
	first.Behave(authntest.Silent)
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("Find on the second server: %v", err)
	}
	await(t, func() bool { return has(`gatehouse_ldap_up{directory="fake",server="FIRST"} 0`) })
	want(`gatehouse_ldap_retries_total{directory="fake"} 1`,
		`gatehouse_ldap_ambiguous_total{directory="fake"} 1`,
		`gatehouse_ldap_operation_duration_seconds_count{directory="fake",operation="search",result="fault",server="FIRST"} 1`)
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("Find on the second server: %v", err)
	}
	want(`gatehouse_ldap_active{directory="fake",server="SECOND"} 1`, `gatehouse_ldap_failovers_total{directory="fake"} 1`)
	d.Close()
	if has(`gatehouse_ldap_up{directory="fake",server="FIRST"} 0`) {
		t.Error("a closed directory is shown")
	}
}

// TestMetricsServiceAccount: a refused service account is seen.
func TestMetricsServiceAccount(t *testing.T) {
	cfg := faultConfig(authntest.StartFake(t))
	cfg.BindPasswordFile, cfg.Metrics = password("wrong"), metrics.New(metrics.BuildInfo{})
	if _, err := open(t, cfg).Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find = %v", err)
	}
	shown := scrape(cfg.Metrics)
	for _, line := range []string{`gatehouse_ldap_service_bind_failures_total{directory="fake"} 1`, `gatehouse_ldap_dials_total{directory="fake",result="refused"} 1`} {
		if !strings.Contains(shown, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
