package ldap

import (
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// TestJudge: every attribute that ends an account or holds off a login.
func TestJudge(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	const gone, noLogin, good, fault = "gone", "noLogin", "", "fault"
	for _, test := range []struct {
		attribute, value, want string
	}{
		{"userAccountControl", "512", good},
		{"userAccountControl", "514", gone},
		{"useraccountcontrol", "514", gone},
		{"userAccountControl", "x", fault},
		{"msDS-User-Account-Control-Computed", "0", good},
		{"msDS-User-Account-Control-Computed", "16", noLogin},
		{"msDS-User-Account-Control-Computed", "8388608", noLogin},
		{"lockoutTime", "0", good},
		{"lockoutTime", "134247600000000000", noLogin},
		{"accountExpires", "0", good},
		{"accountExpires", "9223372036854775807", good},
		{"accountExpires", "134247600000000000", gone}, // 2026-05-31
		{"accountExpires", "139000000000000000", good},
		{"pwdLastSet", "0", noLogin},
		{"pwdLastSet", "134247600000000000", good},
		{"nsAccountLock", "TRUE", gone},
		{"nsAccountLock", "true", gone},
		{"nsAccountLock", "FALSE", good},
		{"krbPrincipalExpiration", "20260601115959Z", gone},
		{"krbPrincipalExpiration", "20260601120001Z", good},
		{"krbPrincipalExpiration", "tomorrow", fault},
		{"krbPasswordExpiration", "20260101000000Z", noLogin},
		{"pwdAccountLockedTime", "000001010000Z", gone},
		{"pwdAccountLockedTime", "20260601115959Z", good}, // the bind decides
		{"pwdReset", "TRUE", noLogin},
		{"pwdReset", "FALSE", good},
		{"pwdEndTime", "20260601115959.5Z", gone},
		{"shadowExpire", "-1", good},
		{"shadowExpire", "0", gone},
		{"shadowExpire", "20604", gone}, // 2026-05-31
		{"shadowExpire", "20700", good},
		{"loginDisabled", "TRUE", gone},
		{"lockedByIntruder", "TRUE", noLogin},
		{"description", "TRUE", good},
	} {
		entry := ldap.NewEntry("uid=x", map[string][]string{test.attribute: {test.value}})
		s, err := judge(entry, now)
		got := good
		switch {
		case err != nil:
			got = fault
		case s.gone != "":
			got = gone
		case s.noLogin != "":
			got = noLogin
		}
		if got != test.want {
			t.Errorf("%s: %s is %+v, %v; want %q", test.attribute, test.value, s, err, test.want)
		}
	}
	lockEnded := ldap.NewEntry("uid=x", map[string][]string{"msDS-User-Account-Control-Computed": {"0"}, "lockoutTime": {"134247600000000000"}})
	if s, err := judge(lockEnded, now); s != (state{}) || err != nil {
		t.Errorf("a lock that has ended: %+v, %v", s, err)
	}
	passwordNeverExpires := ldap.NewEntry("uid=x", map[string][]string{"userAccountControl": {"66048"}, "pwdLastSet": {"0"}})
	if s, err := judge(passwordNeverExpires, now); s != (state{}) || err != nil {
		t.Errorf("pwdLastSet 0 with a password that never expires: %+v, %v", s, err)
	}
}

// TestPasswordStamp: two spellings of one time are one stamp.
func TestPasswordStamp(t *testing.T) {
	stamp := func(name, value string) string {
		return passwordStamp(ldap.NewEntry("uid=x", map[string][]string{name: {value}}))
	}
	if a, b := stamp("pwdChangedTime", "20260601120000Z"), stamp("pwdchangedtime", "20260601140000.0+0200"); a == "" || a != b {
		t.Errorf("stamps differ: %q, %q", a, b)
	}
	if a, b := stamp("pwdLastSet", "134247600000000000"), stamp("pwdLastSet", "134247600000000001"); a == b {
		t.Errorf("two changes have one stamp %q", a)
	}
	if got := stamp("description", "20260601120000Z"); got != "" {
		t.Errorf("stamp %q from nothing", got)
	}
}

// TestAccountEnds: the first of the times at which an account will end is known.
func TestAccountEnds(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		attributes map[string][]string
		want       string
	}{
		{nil, ""},
		{map[string][]string{"accountExpires": {"9223372036854775807"}, "shadowExpire": {"-1"}}, ""},
		{map[string][]string{"accountExpires": {"134248320000000000"}}, "2026-06-02T00:00:00Z"},
		{map[string][]string{"shadowExpire": {"20607"}}, "2026-06-03T00:00:00Z"},
		{map[string][]string{"krbPrincipalExpiration": {"20260601120001Z"}, "shadowExpire": {"20607"}}, "2026-06-01T12:00:01Z"},
	} {
		s, err := judge(ldap.NewEntry("uid=x", test.attributes), now)
		got := ""
		if !s.ends.IsZero() {
			got = s.ends.Format(time.RFC3339)
		}
		if err != nil || s.gone != "" || got != test.want {
			t.Errorf("%v ends %q (%+v, %v), want %q", test.attributes, got, s, err, test.want)
		}
	}
}
