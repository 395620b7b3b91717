// Package ldap is the kind of directory that asks LDAP servers: it searches the
// entry of a person, judges the account's state from it, resolves the groups, and
// binds as the person to check a password. Servers of one directory are copies of
// each other; a pool keeps connections to them and knows which are down.
package ldap

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Directory is an authn.Directory that asks directory servers. It remembers no people (a
// Cache does), only connections and which servers are down.
type Directory struct {
	cfg  Config
	gate gate
	pool *pool
	// byToken: groups are those of tokenGroups.
	byToken bool

	warnedOfDN sync.Once
}

// Available is false while every server is down.
func (d *Directory) Available() bool { return d.pool.available() }

// Timeout is the limit of one question.
func (d *Directory) Timeout() time.Duration { return d.cfg.Timeout }

// Canary reads the base of the users and, where the config names one, looks for
// the canary user, who must show a name. An error says which of them is not shown. A base that can be
// read does not show that a filter or a right below it is whole: that is what the
// canary user is for.
func (d *Directory) Canary(ctx context.Context) error {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	result, err := d.pool.search(ctx, d.pool.readBase())
	if err == nil && len(result.Entries) != 1 {
		err = errors.New("it is not readable")
	}
	if err != nil {
		return fmt.Errorf("reading users.base: %w", err)
	}
	if d.cfg.CanaryUser == "" {
		return nil
	}
	entry, err := d.entry(ctx, d.loginFilter(d.gate.cut(d.cfg.CanaryUser)))
	switch {
	case err != nil:
		return fmt.Errorf("looking for canary_user %s: %v", d.cfg.CanaryUser, err) // not as an ErrUnknownUser
	case nameOf(entry, d.cfg.Users.UsernameAttribute).normal == "":
		return fmt.Errorf("canary_user %s shows no %s (users.username_attribute)", d.cfg.CanaryUser, d.cfg.Users.UsernameAttribute)
	}
	return nil
}

// Close lets go of idle connections and stops background work. Calls that
// still run end normally, and so do later ones.
func (d *Directory) Close() { d.pool.close() }

// Name is the directory's name in the config.
func (d *Directory) Name() string { return d.cfg.Name }

// Find resolves a login by one search, for which users.filter must find exactly
// one entry. ErrUnknownUser: none, several, a disabled one, or a login that the
// name gate refuses without asking.
func (d *Directory) Find(ctx context.Context, login string) (authn.Identity, error) {
	name, err := d.gate.name(login)
	if err != nil {
		return authn.Identity{}, err
	}
	return d.person(ctx, func(ctx context.Context) (*ldap.Entry, error) {
		return d.entry(ctx, d.loginFilter(name))
	}, func(authn.Identity) error { return nil })
}

func (d *Directory) loginFilter(name string) string {
	return expand(d.cfg.Users.Filter, "{login}", name)
}

// Lookup finds the person of ref by the canonical name, among those that
// users.filter lets log in, and compares the lasting id.
func (d *Directory) Lookup(ctx context.Context, ref authn.Ref) (authn.Identity, error) {
	if ref.Username == "" {
		return authn.Identity{}, fmt.Errorf("%w: no name", authn.ErrUnknownUser)
	}
	return d.person(ctx, func(ctx context.Context) (*ldap.Entry, error) {
		entry, err := d.entry(ctx, d.lookupFilter(ref.Username))
		if errors.Is(err, authn.ErrAbsent) && !d.equalInDirectory(ref.Username) {
			return d.entryByID(ctx, ref)
		}
		return entry, err
	}, func(id authn.Identity) error { return same(id, ref) })
}

// caseIgnored are attributes of names that every directory compares without case
// (RFC 4519, RFC 4524, [MS-ADA1..3]).
var caseIgnored = []string{"uid", "userid", "cn", "commonname", "mail", "rfc822mailbox", "employeenumber", "samaccountname", "userprincipalname"}

// equalInDirectory reports whether a search for a canonical name surely finds the
// value that it was made of. Some attributes compare case (FreeIPA's
// krbPrincipalName), and some servers blanks and forms of Unicode.
func (d *Directory) equalInDirectory(username string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return slices.Contains(caseIgnored, strings.ToLower(d.cfg.Users.UsernameAttribute)) && !strings.ContainsFunc(username, odd)
}

// entryByID looks for the person of ref by the lasting id, and takes the entry if
// it still has the name.
func (d *Directory) entryByID(ctx context.Context, ref authn.Ref) (*ldap.Entry, error) {
	if strings.Contains(ref.ID, "=") { // a DN
		return nil, authn.ErrAbsent
	}
	var ids strings.Builder
	for _, id := range idAttributes {
		value := ldap.EscapeFilter(ref.ID)
		if id.bytes != nil {
			value = escapeBytes(id.bytes(ref.ID))
		}
		ids.WriteString("(" + id.name + "=" + value + ")")
	}
	entry, err := d.entry(ctx, "(&(|"+ids.String()+")"+whoever(d.cfg.Users.Filter)+")")
	if err == nil && !nameOf(entry, d.cfg.Users.UsernameAttribute).has(ref.Username) {
		return nil, authn.ErrAbsent
	}
	return entry, err
}

// same says whether the entry that was found is the person of ref. One that shows
// its DN alone, where it had an id before, has lost nothing but a right of ours.
func same(id authn.Identity, ref authn.Ref) error {
	switch {
	case id.ID == ref.ID:
		return nil
	case strings.Contains(id.ID, "=") && ref.ID != "" && !strings.Contains(ref.ID, "="):
		return fmt.Errorf("%w: %s no longer shows its lasting id", authn.ErrUnavailable, id.DN)
	}
	return fmt.Errorf("%w: %s is another entry than before (re-created)", authn.ErrUnknownUser, ref.Username)
}

// lookupFilter looks for username by its own attribute, because the login may
// have been another one (a mail address), and for the operator's conditions: by
// whatever branch of users.filter somebody came in, they are found again.
func (d *Directory) lookupFilter(username string) string {
	attribute, filter := d.cfg.Users.UsernameAttribute, d.cfg.Users.Filter
	named := "(" + strings.ToLower(attribute) + "={login})"
	exact := expand(filter, "{login}", username)
	switch byName := strings.Count(strings.ToLower(filter), named); byName {
	case strings.Count(filter, "{login}"):
		filter = exact
	case 0:
		filter = whoever(filter)
	default:
		filter = "(|" + exact + whoever(filter) + ")"
	}
	return "(&(" + attribute + "=" + ldap.EscapeFilter(username) + ")" + filter + ")"
}

// person asks for one entry, and for its groups if accept takes what it says.
func (d *Directory) person(ctx context.Context, find func(context.Context) (*ldap.Entry, error), accept func(authn.Identity) error) (id authn.Identity, err error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	defer d.count("lookup", time.Now(), &err)
	entry, err := find(ctx)
	if err != nil {
		return authn.Identity{}, err
	}
	name := nameOf(entry, d.cfg.Users.UsernameAttribute)
	if id, err = d.identity(entry, name); err != nil {
		return authn.Identity{}, err
	}
	if err := accept(id); err != nil {
		return authn.Identity{}, err
	}
	if id.Groups, err = d.groups(ctx, entry, name); err != nil {
		return authn.Identity{}, unavailable(err)
	}
	return id, nil
}

// entry tells three answers apart: one entry; none or several, which is
// ErrUnknownUser; and everything else, which says nothing of the person. A base
// that is missing, or a right that the service account lacks, looks like
// nobody's there: those result codes (32, 50, ...) are faults.
func (d *Directory) entry(ctx context.Context, filter string) (*ldap.Entry, error) {
	result, err := d.pool.search(ctx, d.userSearch(filter))
	truncated := ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded)
	switch {
	case err == nil && len(result.Entries) == 1:
		return result.Entries[0], nil
	case err == nil && len(result.Entries) == 0:
		return nil, authn.ErrAbsent
	case (err == nil || truncated) && len(result.Entries) > 1:
		d.cfg.Metrics.LDAPEvent(d.cfg.Name, metrics.LDAPAmbiguous)
		d.cfg.Logger.Warn("ambiguous user", "directory", d.cfg.Name, "first", result.Entries[0].DN, "second", result.Entries[1].DN)
		return nil, fmt.Errorf("%w: ambiguous, several entries match users.filter", authn.ErrHeld)
	}
	return nil, unavailable(err)
}

// userSearch looks for two entries at most: the second says that the name is ambiguous.
func (d *Directory) userSearch(filter string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(d.cfg.Users.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		2, d.timeLimit(), false, filter, d.attributes(), nil)
}

// attributes are all that is asked of a person; what a schema lacks is ignored.
func (d *Directory) attributes() []string {
	names := []string{d.cfg.Users.UsernameAttribute, "objectClass", "aliasedObjectName"}
	for _, id := range idAttributes {
		names = append(names, id.name)
	}
	names = append(append(names, stampAttributes...), stateAttributes...)
	switch {
	case d.cfg.Groups.Base == "":
		names = append(names, "memberOf")
	case strings.Contains(d.cfg.Groups.Filter, "{gid_number}"):
		names = append(names, "gidNumber")
	}
	if d.cfg.Preset == "ad" {
		names = append(names, "objectSid", "primaryGroupID")
	}
	return names
}

// idAttributes hold what outlives a renaming and differs for a re-created
// entry; the first that an entry has counts.
var idAttributes = []struct {
	name   string
	format func([]byte) string
	bytes  func(string) []byte // format's reverse; nil: the text itself
}{
	{"entryUUID", lowerText, nil}, // RFC 4530
	{"objectGUID", guid, guidBytes},
	{"nsUniqueId", lowerText, nil},
	{"ipaUniqueID", lowerText, nil},
}

func lowerText(value []byte) string { return strings.ToLower(string(value)) }

// guid writes Active Directory's 16 bytes as its tools do ([MS-DTYP] 2.3.4.2).
func guid(b []byte) string {
	if len(b) != 16 {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", []byte{b[3], b[2], b[1], b[0]}, []byte{b[5], b[4]}, []byte{b[7], b[6]}, b[8:10], b[10:])
}

// guidBytes is what guid has written so; nil: nothing.
func guidBytes(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		return nil
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// identity is what the entry says of the person, without groups.
func (d *Directory) identity(entry *ldap.Entry, name entryName) (authn.Identity, error) {
	switch {
	case isAlias(entry):
		return authn.Identity{}, fmt.Errorf("%w: %s is an alias, and aliases are not followed: leave them out of users.filter, or set users.base where the entries are", authn.ErrHeld, entry.DN)
	case name.normal == "":
		return authn.Identity{}, fmt.Errorf("%w: %s shows no %s (users.username_attribute)", authn.ErrNameless, entry.DN, d.cfg.Users.UsernameAttribute)
	}
	s, err := judge(entry, time.Now())
	if err != nil {
		return authn.Identity{}, fmt.Errorf("%w: %w", authn.ErrUnusable, err)
	}
	if s.gone != "" {
		return authn.Identity{}, fmt.Errorf("%w: %s: %s", authn.ErrHeld, name.normal, s.gone)
	}
	return authn.Identity{
		Directory: d.cfg.Name, Username: name.normal, ID: d.lastingID(entry), DN: entry.DN, Note: name.note(d.cfg.Users.UsernameAttribute),
		PasswordStamp: passwordStamp(entry), NoLogin: s.noLogin, ValidUntil: s.ends,
	}, nil
}

// isAlias reports whether the entry stands for another one (RFC 4512 2.6). A bind as
// an alias fails whatever the password is.
func isAlias(entry *ldap.Entry) bool {
	alias := func(class string) bool { return strings.EqualFold(class, "alias") || class == "2.5.6.1" }
	return slices.ContainsFunc(entry.GetEqualFoldAttributeValues("objectClass"), alias) || entry.GetEqualFoldAttributeValue("aliasedObjectName") != ""
}

func (d *Directory) lastingID(entry *ldap.Entry) string {
	for _, id := range idAttributes {
		if value := entry.GetEqualFoldRawAttributeValue(id.name); len(value) > 0 {
			return id.format(value)
		}
	}
	d.warnedOfDN.Do(func() {
		d.cfg.Logger.Warn("entries show no entryUUID, objectGUID, nsUniqueId or ipaUniqueID: a person re-created under the same DN keeps the old tokens",
			"directory", d.cfg.Name, "dn", entry.DN)
	})
	dn, _ := authn.NormalizeDN(entry.DN)
	return dn
}

// Verify binds as the person. A password of nothing is refused before that:
// servers take such a bind for an anonymous one and call it good (RFC 4513 5.1.2).
// So is one with a NUL, where Samba stops reading: the good password would have
// any number of other spellings.
func (d *Directory) Verify(ctx context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	switch {
	case strings.Trim(string(password), "\x00 \t\r\n") == "":
		return authn.Identity{}, fmt.Errorf("%w: empty password", authn.ErrInvalidCredentials)
	case strings.Contains(string(password), "\x00"):
		return authn.Identity{}, fmt.Errorf("%w: a NUL in the password", authn.ErrInvalidCredentials)
	case id.NoLogin != "":
		return authn.Identity{}, fmt.Errorf("%w: %s", authn.ErrInvalidCredentials, id.NoLogin)
	case id.DN == "":
		return authn.Identity{}, fmt.Errorf("%w: %s has no DN", authn.ErrUnavailable, id.Username)
	}
	if err := d.verify(ctx, id.DN, password); err != nil {
		return authn.Identity{}, err
	}
	return id, nil
}

func (d *Directory) verify(ctx context.Context, dn string, password authn.Secret) (err error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	defer d.count("login", time.Now(), &err)
	result, err := d.pool.bind(ctx, dn, password)
	var controls []ldap.Control
	if result != nil {
		controls = result.Controls
	}
	if err != nil && !ldap.IsErrorAnyOf(err, refusedBinds...) {
		d.cfg.Metrics.LDAPBind(d.cfg.Name, "fault")
		return unavailable(err)
	}
	reason := policyReason(controls)
	switch {
	case err == nil && reason == "":
		d.cfg.Metrics.LDAPBind(d.cfg.Name, "ok")
		return nil
	case reason == "":
		reason = bindReason(err)
	}
	d.cfg.Metrics.LDAPBind(d.cfg.Name, cmp.Or(bindResults[reason], "refused"))
	if reason == wrongPassword {
		return fmt.Errorf("%w: %s: %s", authn.ErrInvalidCredentials, dn, reason)
	}
	return fmt.Errorf("%w: %s: %s: %w", authn.ErrInvalidCredentials, dn, reason, authn.ErrNotPassword)
}

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

// limit bounds one question in all, whatever its steps take.
func (d *Directory) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.cfg.Timeout, fmt.Errorf("no answer within %s", d.cfg.Timeout))
}

// timeLimit is the limit that searches tell the server, which would go on with
// them after we gave up (there is no way to abandon one in go-ldap).
func (d *Directory) timeLimit() int { return seconds(d.pool.attempt) }

// count records the end of a question, unless no server could be asked.
func (d *Directory) count(operation string, start time.Time, err *error) {
	result := "ok"
	switch {
	case errors.Is(*err, errAllDown):
		return
	case errors.Is(*err, authn.ErrUnknownUser):
		result = "unknown"
	case errors.Is(*err, authn.ErrInvalidCredentials):
		result = "refused"
	case errors.Is(*err, authn.ErrUnusable):
		result = "unusable"
	case *err != nil:
		result = "fault"
	}
	d.cfg.Metrics.DirectoryRequest(d.cfg.Name, operation, result, time.Since(start))
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", authn.ErrUnavailable, err) }
