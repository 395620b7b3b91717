package ldap_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// shared is a log that several goroutines write and one reads.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestServicePasswordIsReadAgain (D15): the service account's password was changed
// in the directory and in its file; the first refused bind reads the file, and
// nobody has to reload anything.
func TestServicePasswordIsReadAgain(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	var log shared
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	cfg.BindPasswordFile = password("before")
	cfg.BindPasswordFile.Reread = func() (authn.Secret, error) { return authntest.Password, nil }
	d := open(t, cfg)
	for range 3 {
		if _, err := login(d, "mozart", authntest.Password); err != nil {
			t.Fatal(err)
		}
		f.Disconnect()
	}
	if got := f.Count("connect"); got < 2 {
		t.Fatalf("%d connections, want several", got)
	}
	if strings.Count(log.String(), "read again from bind_password_file") != 1 || strings.Contains(log.String(), "before") {
		t.Errorf("the log says %s", log.String())
	}
	if findings := d.Inspect(t.Context()); !findings[0].OK {
		t.Errorf("Inspect: %s", findings[0].Detail)
	}
}

// TestServicePasswordStaysRefused (D15): the fault says what became of the file,
// and the account is tried once more only with another password.
func TestServicePasswordStaysRefused(t *testing.T) {
	for name, test := range map[string]struct {
		read  func() (authn.Secret, error)
		binds int
		want  string
	}{
		"unchanged":  {func() (authn.Secret, error) { return "wrong", nil }, 1, "still holds the refused password"},
		"also wrong": {func() (authn.Secret, error) { return "sesame", nil }, 2, "refused too"},
		"unreadable": {func() (authn.Secret, error) { return "", errors.New("it is gone") }, 1, "it is gone"},
		"no file":    {nil, 1, "binding as bind_dn"},
	} {
		t.Run(name, func(t *testing.T) {
			f := authntest.StartFake(t)
			cfg := faultConfig(f)
			cfg.BindPasswordFile = password("wrong")
			cfg.BindPasswordFile.Reread = test.read
			d := open(t, cfg)
			_, err := d.Find(t.Context(), "mozart")
			if !errors.Is(err, authn.ErrUnavailable) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("Find: %v", err)
			}
			if got := f.Count("service"); got != test.binds {
				t.Errorf("%d binds of the service account, want %d", got, test.binds)
			}
			if findings := d.Inspect(t.Context()); findings[0].OK || !strings.Contains(findings[0].Detail, "check bind_dn and bind_password_file") {
				t.Errorf("Inspect: %+v", findings)
			}
		})
	}
}

// TestChangedReasonIsLogged (D15): a server that was down, and refuses the service
// account now, says so in the log; the same reason again does not.
func TestChangedReasonIsLogged(t *testing.T) {
	f := authntest.StartFake(t)
	var log shared
	cfg := faultConfig(f)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d := open(t, cfg)
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Fatal(err)
	}
	f.Behave(authntest.CloseAtOnce)
	f.Disconnect()
	await(t, func() bool { return !d.Available() })
	d.ServicePassword("changed")
	f.Behave(authntest.Good)
	d.Recover()
	d.Recover()
	if got := strings.Count(log.String(), "LDAP server is still down"); got != 1 || !strings.Contains(log.String(), "Invalid Credentials") {
		t.Errorf("the reason was logged %d times: %s", got, log.String())
	}
}

// TestQuietServer (D18): a server that ends idle connections is not given new ones
// for ever while nobody asks: one a minute at most.
func TestQuietServer(t *testing.T) {
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Fatal(err)
	}
	d.Quiet()
	f.Disconnect()
	await(t, func() bool { return f.Count("connect") == 2 && d.Connections() == 1 })
	f.Disconnect()
	await(t, func() bool { return d.Connections() == 0 })
	if got := f.Count("connect"); got != 2 || d.Dialing() {
		t.Errorf("%d connections in all, want 2; one more is being opened: %v", got, d.Dialing())
	}
	if _, err := d.Find(t.Context(), "mozart"); err != nil {
		t.Errorf("the next question: %v", err)
	}
}
