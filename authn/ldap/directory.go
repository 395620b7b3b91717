// Package ldap is the kind of directory that asks LDAP servers: it searches the
// entry of a person, judges the account's state from it, resolves the groups, and
// binds as the person to check a password. Servers of one directory are copies of
// each other; a pool keeps connections to them and knows which are down.
package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Directory is an authn.Directory that asks directory servers. It remembers no people (a
// Cache does), only connections and which servers are down.
type Directory struct {
	cfg    Config
	login  loginRule
	pool   *pool
	groups groupReader

	warnedOfDN sync.Once
}

// limitPackets bounds what a server can make us hold in memory for one answer;
// the decoder's own limit is 2 GiB, and it has only this one for all.
var limitPackets = sync.OnceFunc(func() { ber.MaxPacketLengthBytes = 16 << 20 })

// New checks the config and dials nothing. Its error joins *authn.KeyError values
// whose keys are the config file's, relative to `ldap` (`users.filter`, `servers[1]`).
func New(cfg Config) (*Directory, error) {
	limitPackets()
	byToken := cfg.Preset == "ad" && cfg.Groups != nil && cfg.Groups.Nested && cfg.Groups.Filter == ""
	var faults authn.Faults
	made := cfg.complete(&faults)
	if faults.Fatal() {
		return nil, faults.Err()
	}
	d := &Directory{cfg: cfg, login: made.login, pool: newPool(cfg, made.tls, made.servers)}
	if cfg.CanaryUser != "" {
		d.pool.mustShow = d.userSearch(d.canaryFilter())
	}
	d.groups = groupReader{Groups: *cfg.Groups, ad: cfg.Preset == "ad", byToken: byToken, timeLimit: d.timeLimit(), search: d.pool.search}
	return d, nil
}

// Available is false while every server is down.
func (d *Directory) Available() bool { return d.pool.available() }

// Servers are how the servers are.
func (d *Directory) Servers() []authn.ServerState { return d.pool.serverStates() }

// CanaryUser reports whether the config names one.
func (d *Directory) CanaryUser() bool { return d.cfg.CanaryUser != "" }

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
		d.pool.compare(ctx, d.pool.readBase())
		err = errors.New("it is not readable")
	}
	if err != nil {
		return fmt.Errorf("reading users.base: %w", err)
	}
	if d.cfg.CanaryUser == "" {
		return nil
	}
	entry, err := d.entry(ctx, d.canaryFilter())
	if errors.Is(err, authn.ErrAbsent) {
		d.pool.compare(ctx, d.userSearch(d.canaryFilter()))
	}
	switch {
	case err != nil:
		return fmt.Errorf("looking for canary_user %s: %v", d.cfg.CanaryUser, err) // not as an ErrUnknownUser
	case nameOf(entry, d.cfg.Users.UsernameAttribute).normal == "":
		return fmt.Errorf("canary_user %s shows no %s (users.username_attribute)", d.cfg.CanaryUser, d.cfg.Users.UsernameAttribute)
	}
	return nil
}

// canaryFilter looks for the canary user as a login does.
func (d *Directory) canaryFilter() string {
	return d.cfg.Users.loginFilter(d.login.cut(d.cfg.CanaryUser))
}

// Close lets go of idle connections and stops background work. Calls that
// still run end normally, and so do later ones.
func (d *Directory) Close() { d.pool.close() }

// Name is the directory's name in the config.
func (d *Directory) Name() string { return d.cfg.Name }

// Find resolves a login by one search, for which users.filter must find exactly
// one entry. ErrUnknownUser: none, several, a disabled one, or a login that the
// login rule refuses without asking.
func (d *Directory) Find(ctx context.Context, login string) (authn.Identity, error) {
	name, err := d.login.name(login)
	if err != nil {
		return authn.Identity{}, err
	}
	return d.person(ctx, func(ctx context.Context) (*ldap.Entry, error) {
		return d.entry(ctx, d.cfg.Users.loginFilter(name))
	}, func(authn.Identity) error { return nil })
}

// Lookup finds the person of ref by the canonical name, among those that
// users.filter lets log in, and compares the lasting id.
func (d *Directory) Lookup(ctx context.Context, ref authn.Ref) (authn.Identity, error) {
	if ref.Username == "" {
		return authn.Identity{}, fmt.Errorf("%w: no name", authn.ErrUnknownUser)
	}
	return d.person(ctx, func(ctx context.Context) (*ldap.Entry, error) {
		entry, err := d.entry(ctx, d.cfg.Users.lookupFilter(ref.Username))
		if errors.Is(err, authn.ErrAbsent) && !d.cfg.Users.equalInDirectory(ref.Username) {
			return d.entryByID(ctx, ref)
		}
		return entry, err
	}, func(id authn.Identity) error { return same(id, ref) })
}

// entryByID looks for the person of ref by the lasting id, and takes the entry if
// it still has the name.
func (d *Directory) entryByID(ctx context.Context, ref authn.Ref) (*ldap.Entry, error) {
	if strings.Contains(ref.ID, "=") { // a DN
		return nil, authn.ErrAbsent
	}
	entry, err := d.entry(ctx, "(&"+withID(ref.ID)+whoever(d.cfg.Users.Filter)+")")
	if err == nil && !nameOf(entry, d.cfg.Users.UsernameAttribute).has(ref.Username) {
		return nil, authn.ErrAbsent
	}
	return entry, err
}

// same reports whether the entry that was found is the person of ref. One that shows
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
	if id.Groups, err = d.groups.groups(ctx, entry, name); err != nil {
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

func (d *Directory) lastingID(entry *ldap.Entry) string {
	if id := lastingID(entry); id != "" {
		return id
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
