package authn

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// state is what an entry says of its account besides its name. Rules are
// judged here and not in the search filter, so that a refusal has a reason.
type state struct {
	// gone says why the account counts as absent (disabled, expired); tokens end.
	gone string
	// noLogin says why there is no login just now; running tokens go on.
	noLogin string
}

// stateAttributes are asked with every person: Active Directory's, those of
// 389-ds and FreeIPA, of OpenLDAP's ppolicy, RFC 2307 and eDirectory. Servers
// leave out what their schema lacks.
var stateAttributes = []string{
	"userAccountControl", "msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet",
	"nsAccountLock", "krbPrincipalExpiration", "krbPasswordExpiration",
	"pwdAccountLockedTime", "pwdReset", "pwdEndTime",
	"shadowExpire",
	"loginDisabled", "loginExpirationTime", "lockedByIntruder",
}

// stampAttributes show when the password changed; the first that an entry has counts.
var stampAttributes = []string{"pwdChangedTime", "pwdLastSet", "krbLastPwdChange", "pwdUpdateTime"}

// Bits of userAccountControl and msDS-User-Account-Control-Computed ([MS-ADTS] 2.2.16).
const (
	uacDisabled        = 0x2
	uacLocked          = 0x10
	uacNeverExpires    = 0x10000
	uacPasswordExpired = 0x800000
)

// lockedForGood is the value of pwdAccountLockedTime for an account that an
// administrator locked (draft-behera-ldap-password-policy-10, 5.3.3).
const lockedForGood = "000001010000Z"

// Windows counts 100 ns since 1601; this many seconds of them precede 1970.
const windowsEpoch = 11644473600

// judge reads the account's state. A value that cannot be read is an error:
// guessing would let a disabled person in, or lock out a good one.
func judge(entry *ldap.Entry, now time.Time) (state, error) {
	r := reader{entry: entry}
	uac, computed := r.number("userAccountControl"), r.number("msDS-User-Account-Control-Computed")
	var s state
	switch {
	case uac&uacDisabled != 0, r.isTrue("nsAccountLock"), r.isTrue("loginDisabled"):
		s.gone = "the account is disabled"
	case strings.EqualFold(r.text("pwdAccountLockedTime"), lockedForGood):
		s.gone = "the account is locked by an administrator"
	case r.windowsPast("accountExpires", now), r.past("krbPrincipalExpiration", now),
		r.past("pwdEndTime", now), r.past("loginExpirationTime", now), r.dayPast("shadowExpire", now):
		s.gone = "the account has expired"
	}
	// Another value of pwdAccountLockedTime says when a lock began, not whether
	// it has ended: slapd removes it at the next good bind. So the bind decides.
	switch {
	case computed&uacLocked != 0, r.isTrue("lockedByIntruder"):
		s.noLogin = "the account is locked after wrong passwords"
	case computed&uacPasswordExpired != 0:
		s.noLogin = "the password has expired"
	case r.isTrue("pwdReset"), r.text("pwdLastSet") == "0" && uac&uacNeverExpires == 0:
		s.noLogin = "the password must be changed first"
	case r.past("krbPasswordExpiration", now):
		s.noLogin = "the password has expired"
	}
	return s, r.err
}

// passwordStamp is the time of the last password change as text, "" if the
// entry shows none.
func passwordStamp(entry *ldap.Entry) string {
	for _, name := range stampAttributes {
		value := entry.GetEqualFoldAttributeValue(name)
		if value == "" {
			continue
		}
		if at, err := parseGeneralizedTime(value); err == nil {
			return at.Format(time.RFC3339Nano)
		}
		return value
	}
	return ""
}

// reader reads typed attributes and keeps the first error.
type reader struct {
	entry *ldap.Entry
	err   error
}

func (r *reader) text(name string) string { return r.entry.GetEqualFoldAttributeValue(name) }

func (r *reader) isTrue(name string) bool { return strings.EqualFold(r.text(name), "TRUE") }

// number is 0 where the attribute is absent.
func (r *reader) number(name string) int64 {
	value := r.text(name)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		r.keep(name, err)
	}
	return n
}

// past holds for a generalized time (RFC 4517 3.3.13) that is over.
func (r *reader) past(name string, now time.Time) bool {
	value := r.text(name)
	if value == "" {
		return false
	}
	at, err := parseGeneralizedTime(value)
	if err != nil {
		r.keep(name, err)
	}
	return err == nil && !now.Before(at)
}

// windowsPast holds for a FILETIME that is over; 0 and the largest mean never.
func (r *reader) windowsPast(name string, now time.Time) bool {
	ticks := r.number(name)
	if ticks <= 0 || ticks == 1<<63-1 {
		return false
	}
	return now.Unix() >= ticks/1e7-windowsEpoch
}

// dayPast holds for a number of days since 1970 that is over; absent and -1
// mean never. Day 0 is how `chage -E 0` disables an account.
func (r *reader) dayPast(name string, now time.Time) bool {
	if r.text(name) == "" {
		return false
	}
	day := r.number(name)
	return day >= 0 && now.Unix()/86400 >= day
}

func (r *reader) keep(name string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %s of %s: %w", name, r.entry.DN, err)
	}
}

// parseGeneralizedTime reads the forms that directories use, all with seconds.
func parseGeneralizedTime(value string) (time.Time, error) {
	at, err := time.Parse("20060102150405Z0700", value) // takes a fraction as well
	return at.UTC(), err
}
