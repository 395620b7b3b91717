package ldap

import (
	"fmt"
	"slices"
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
	// ends is when the account will be gone by itself; zero: it will not.
	ends time.Time
}

// stateAttributes are asked with every person: Active Directory's, those of
// 389-ds and FreeIPA, of OpenLDAP's ppolicy, RFC 2307 and eDirectory. Servers
// leave out what their schema lacks.
var stateAttributes = []string{
	"userAccountControl", "msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet", "lockoutTime",
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
	s := state{ends: earliest(r.windowsTime("accountExpires"), r.time("krbPrincipalExpiration"),
		r.time("pwdEndTime"), r.time("loginExpirationTime"), r.day("shadowExpire"))}
	switch {
	case uac&uacDisabled != 0, r.isTrue("nsAccountLock"), r.isTrue("loginDisabled"):
		s.gone = accountDisabled
	case strings.EqualFold(r.text("pwdAccountLockedTime"), lockedForGood):
		s.gone = "the account is locked by an administrator"
	case past(s.ends, now):
		s.gone = accountExpired
	}
	// Another value of pwdAccountLockedTime says when a lock began, not whether
	// it has ended: slapd removes it at the next good bind. So the bind decides.
	// lockoutTime is alike, but it is mostly the computed bits that say it; where a
	// server shows no such bits, a lock is taken for one that lasts.
	locked := computed&uacLocked != 0 || r.text("msDS-User-Account-Control-Computed") == "" && r.number("lockoutTime") > 0
	switch {
	case locked, r.isTrue("lockedByIntruder"):
		s.noLogin = "the account is locked after wrong passwords"
	case computed&uacPasswordExpired != 0:
		s.noLogin = passwordExpired
	case r.isTrue("pwdReset"), r.text("pwdLastSet") == "0" && uac&uacNeverExpires == 0:
		s.noLogin = passwordReset
	case past(r.time("krbPasswordExpiration"), now):
		s.noLogin = passwordExpired
	}
	return s, r.err
}

// isAlias reports whether the entry stands for another one (RFC 4512 2.6). A bind as
// an alias fails whatever the password is.
func isAlias(entry *ldap.Entry) bool {
	return hasClass(entry, "alias", "2.5.6.1") || entry.GetEqualFoldAttributeValue("aliasedObjectName") != ""
}

// hasClass reports whether the entry is of an object class, by its name or its number.
func hasClass(entry *ldap.Entry, name, number string) bool {
	return slices.ContainsFunc(entry.GetEqualFoldAttributeValues("objectClass"), func(class string) bool {
		return strings.EqualFold(class, name) || class == number
	})
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

// Times are zero where the attribute is absent or means never.

// time is a generalized time (RFC 4517 3.3.13).
func (r *reader) time(name string) time.Time {
	value := r.text(name)
	if value == "" {
		return time.Time{}
	}
	at, err := parseGeneralizedTime(value)
	if err != nil {
		r.keep(name, err)
	}
	return at
}

// windowsTime is a FILETIME; 0 and the largest mean never.
func (r *reader) windowsTime(name string) time.Time {
	ticks := r.number(name)
	if ticks <= 0 || ticks == 1<<63-1 {
		return time.Time{}
	}
	return time.Unix(ticks/1e7-windowsEpoch, 0)
}

// day is a number of days since 1970; -1 means never. Day 0 is how `chage -E 0`
// disables an account.
func (r *reader) day(name string) time.Time {
	day := r.number(name)
	if r.text(name) == "" || day < 0 || day > 1<<31 {
		return time.Time{}
	}
	return time.Unix(day*86400, 0)
}

func past(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func earliest(times ...time.Time) (first time.Time) {
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first.UTC()
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
