package ldap

import (
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// The reasons for which directories refuse a login. wrongPassword is the one for
// which the same password need not be tried again soon: every other may be gone
// in a minute.
const (
	wrongPassword   = "wrong password"
	accountLocked   = "the account is locked"
	accountDisabled = "the account is disabled"
	accountInactive = "the account is inactive"
	accountExpired  = "the account has expired"
	passwordExpired = "the password has expired"
	passwordReset   = "the password must be changed first"
)

// bindResults are what the metrics call the reasons.
var bindResults = map[string]string{
	wrongPassword: "bad", accountLocked: "locked", accountDisabled: "disabled", accountInactive: "disabled",
	accountExpired: "expired", passwordExpired: "expired", passwordReset: "must_change",
}

// refusedBinds are the results by which servers refuse this person, as opposed
// to failing: 389-ds says unwilling for a deactivated account, and an entry that
// was deleted since the search is no such object somewhere.
var refusedBinds = []uint16{
	ldap.LDAPResultInvalidCredentials, ldap.LDAPResultConstraintViolation, ldap.LDAPResultNoSuchObject,
	ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultInappropriateAuthentication,
}

// policyReason reads the password policy's response controls. They come with a
// good bind too: a person whose password must be changed gets success, and may
// then do nothing else. "": nothing speaks against the login.
func policyReason(controls []ldap.Control) string {
	for _, control := range controls {
		switch c := control.(type) {
		case *ldap.ControlBeheraPasswordPolicy:
			switch {
			case c.Error == 0, c.Error < 0 && c.Grace == 0:
				return passwordExpired
			case c.Error == 1:
				return accountLocked
			case c.Error == 2:
				return passwordReset
			}
		case *ldap.ControlVChuPasswordMustChange:
			return passwordReset
		}
	}
	return ""
}

// adReasons are the codes that Active Directory puts into the text of result 49.
var adReasons = map[string]string{
	"525": "no such user", "52e": wrongPassword, "530": "not allowed at this hour", "531": "not allowed from here",
	"532": passwordExpired, "533": accountDisabled, "701": accountExpired, "773": passwordReset, "775": accountLocked,
}

var adCode = regexp.MustCompile(`data ([0-9a-f]{3}),`)

// bindReason explains a refused bind, for the log: most reasons show only with
// the right password, so no client may see them.
func bindReason(err error) string {
	if match := adCode.FindStringSubmatch(err.Error()); match != nil && adReasons[match[1]] != "" {
		return adReasons[match[1]]
	}
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials):
		return wrongPassword
	case ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform):
		return accountInactive // 389-ds; its text says no more
	case ldap.IsErrorWithCode(err, ldap.LDAPResultConstraintViolation) && strings.Contains(err.Error(), "retry limit"):
		return accountLocked // 389-ds
	}
	return err.Error()
}
