package authn

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// gated refuses names as an LDAP directory's login_pattern does.
type gated struct{ people }

func (g *gated) Name() string { return "corp" }

// TestReasonsInTheLog (D8, D16): the log says why a login was refused that no
// directory could judge, and neither the name nor the password.
func TestReasonsInTheLog(t *testing.T) {
	static := newStatic(t, StaticUser{Username: "carol", PasswordHash: quickHash(t, "x", 4)})
	for name, test := range map[string]struct {
		login, password string
		want            string
	}{
		"not UTF-8":             {"j\xfcrgen", "x", "a name that is not UTF-8"},
		"a long name":           {strings.Repeat("clara", 60), "x", "a name over 256 bytes"},
		"a long password":       {"carol", strings.Repeat("x", 5000), "a password over 4096 bytes"},
		"bcrypt's end":          {"carol", strings.Repeat("x", 73), "a password over 72 bytes, at which its bcrypt hash ends"},
		"a Latin-1 password":    {"carol", "gr\xfc\xdfe", "the password is not UTF-8"},
		"empty":                 {"clara", "", "empty name or password"},
		"unknown to all":        {"clara", "x", "unknown user in any directory (local: unknown user; corp: unknown user)"},
		"a password in no way":  {"carol", "y", "wrong password"},
		"all that bcrypt takes": {"carol", strings.Repeat("x", 72), "wrong password"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			c := NewChain(ChainConfig{Directories: []Directory{static, &gated{}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			_, err := c.Authenticate(t.Context(), Attempt{Login: test.login, Password: Secret(test.password)})
			wantErr(t, err, ErrInvalidCredentials)
			if got := log.String(); !strings.Contains(got, test.want) || strings.Contains(got, "clara") || strings.Contains(got, "rgen") || strings.Contains(got, "xxx") {
				t.Errorf("the log says %.300s; want %q", got, test.want)
			}
			if test.login == "clara" && test.password != "" {
				if _, err := c.Find(t.Context(), test.login); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("explain says %v", err)
				}
			}
		})
	}
}

// TestLongPasswordsCount (D8): a password that is too long to be looked at is
// throttled as any other, and refused in the same time.
func TestLongPasswordsCount(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		for i := range 5 {
			if got := ending(attempt(c, "bach", strings.Repeat("x", 4097)+fmt.Sprint(i), "192.0.2.1")); got != "no" {
				t.Fatalf("%d: %s", i, got)
			}
		}
		if got := ending(attempt(c, "bach", "y", "192.0.2.1")); got != "throttled" {
			t.Error(got)
		}
		if p.finds+p.binds != 0 {
			t.Errorf("%d finds, %d binds", p.finds, p.binds)
		}
	})
}
