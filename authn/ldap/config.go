package ldap

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Config is one `ldap` directory. Strings are as in the config file; what
// the file names by path arrives here already read. Empty strings take the
// preset's defaults, then the general ones.
type Config struct {
	Name           string
	Preset         string // "", openldap, ad, freeipa, 389ds, rfc2307: defaults for what is empty below
	Servers        []string
	StartTLS       bool
	AllowPlaintext bool
	Roots          *x509.CertPool   // nil: the system's
	Certificate    *tls.Certificate // shown to servers that ask for one; nil: none
	ServerName     string           // the name in the servers' certificates; "": each URL's host
	BindDN         string
	BindPassword   authn.Secret
	// ReadBindPassword reads BindPassword again where a server refuses it; nil:
	// nothing can be read.
	ReadBindPassword func() (authn.Secret, error)
	Timeout          time.Duration
	CanaryUser       string // a login that always finds somebody; see Directory.Canary

	UsersBase         string
	UsersFilter       string
	UsernameAttribute string
	LoginPattern      string

	// Groups by search; GroupsBase empty: the entry's memberOf, or those below
	// MemberOfBase.
	GroupsBase          string
	MemberOfBase        string
	GroupsFilter        string
	GroupsNameAttribute string
	// GroupsNested takes groups of groups. With the preset ad and no GroupsFilter,
	// tokenGroups says which they are, else GroupsFilter is asked level by level.
	GroupsNested bool

	Metrics *metrics.Metrics
	Logger  *slog.Logger
}

// preset is what a kind of server lets us assume.
type preset struct {
	username, users, groups string
}

var presets = map[string]preset{
	"":         {groups: "(member={dn})"},
	"openldap": {users: "(&(uid={login})(objectClass=inetOrgPerson))", groups: "(member={dn})"},
	"389ds":    {users: "(&(uid={login})(objectClass=person))", groups: "(|(member={dn})(uniqueMember={dn}))"},
	"freeipa":  {users: "(&(uid={login})(objectClass=posixAccount))", groups: "(member={dn})"},
	"rfc2307":  {users: "(&(uid={login})(objectClass=posixAccount))", groups: "(|(memberUid={username})(&(objectClass=posixGroup)(gidNumber={gid_number})))"},
	"ad": {username: "sAMAccountName", groups: "(&(member={dn})(objectClass=group))",
		users: "(&(|(sAMAccountName={login})(userPrincipalName={login}))(objectCategory=person)(objectClass=user))"},
}

// NewLDAP checks the config and dials nothing. Its error joins *KeyError values
// whose keys are the config file's, relative to `ldap` (`users.filter`, `servers[1]`).
func New(cfg Config) (*Directory, error) {
	limitPackets()
	var faults authn.Faults
	defaults, known := presets[cfg.Preset]
	if !known {
		faults.Add("preset", errors.New("must be openldap, ad, freeipa, 389ds or rfc2307"))
	}
	byToken := cfg.Preset == "ad" && cfg.GroupsNested && cfg.GroupsFilter == ""
	filtered := cfg.GroupsFilter != ""
	cfg.applyDefaults(defaults)
	servers := cfg.checkServers(&faults)
	cfg.checkUsers(&faults)
	cfg.checkGroups(&faults)
	if filtered && cfg.GroupsBase == "" {
		faults.Add("groups.filter", errors.New("means nothing without groups.base: no group is searched"))
	}
	gate, err := newGate(cfg.LoginPattern)
	faults.Add("users.login_pattern", err)
	if err == nil && cfg.CanaryUser != "" {
		faults.Add("canary_user", gate.fault(cfg.CanaryUser))
	}
	if faults.Fatal() {
		return nil, faults.Err()
	}
	return &Directory{cfg: cfg, gate: gate, pool: newPool(cfg, servers), byToken: byToken}, nil
}

// limitPackets bounds what a server can make us hold in memory for one answer;
// the decoder's own limit is 2 GiB, and it has only this one for all.
var limitPackets = sync.OnceFunc(func() { ber.MaxPacketLengthBytes = 16 << 20 })

func (cfg *Config) applyDefaults(defaults preset) {
	cfg.UsersFilter = cmp.Or(cfg.UsersFilter, defaults.users)
	cfg.UsernameAttribute = cmp.Or(cfg.UsernameAttribute, defaults.username, "uid")
	cfg.LoginPattern = cmp.Or(cfg.LoginPattern, "[A-Za-z0-9][A-Za-z0-9._@+-]*")
	cfg.GroupsFilter = cmp.Or(cfg.GroupsFilter, defaults.groups)
	if cfg.Preset == "freeipa" && cfg.GroupsBase == "" {
		cfg.MemberOfBase = cmp.Or(cfg.MemberOfBase, ipaGroups(cfg.UsersBase))
	}
	cfg.GroupsNameAttribute = cmp.Or(cfg.GroupsNameAttribute, "cn")
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
}

// ipaGroups is where FreeIPA keeps groups, beside its users. An entry's memberOf
// names roles, privileges and rules of access as well, which may be called alike.
func ipaGroups(usersBase string) string {
	return strings.TrimSuffix("cn=groups,cn=accounts,"+domainOf(usersBase), ",")
}

func (cfg *Config) checkServers(faults *authn.Faults) []*server {
	if len(cfg.Servers) == 0 {
		faults.Add("servers", errors.New("at least one is required, such as ldaps://ldap.example.com"))
	}
	servers := make([]*server, len(cfg.Servers))
	for i, address := range cfg.Servers {
		var err error
		if servers[i], err = parseServer(address); err == nil {
			err = cfg.checkServer(servers[i])
		}
		faults.Add(fmt.Sprintf("servers[%d]", i), err)
	}
	if cfg.BindDN != "" && cfg.BindPassword == "" {
		faults.Add("bind_dn", errors.New("has no password: set bind_password_file"))
	}
	if _, err := ldap.ParseDN(cfg.BindDN); err != nil && !strings.ContainsAny(cfg.BindDN, `@\`) {
		faults.Add("bind_dn", err) // Active Directory takes name@domain and DOMAIN\name too
	}
	secured := func(s *server) bool { return s != nil && (s.tls || cfg.StartTLS) }
	if cfg.ServerName != "" && !slices.ContainsFunc(servers, secured) {
		faults.Add("server_name", errors.New("means nothing without ldaps:// or start_tls"))
	}
	if cfg.Certificate != nil && !slices.ContainsFunc(servers, secured) {
		faults.Add("cert_file", errors.New("means nothing without ldaps:// or start_tls"))
	}
	if cfg.Timeout < 0 {
		faults.Add("timeout", errors.New("must be above 0s"))
	}
	return servers
}

func (cfg *Config) checkServer(s *server) error {
	switch {
	case s.tls && cfg.StartTLS:
		return errors.New("start_tls goes with ldap://, not with ldaps://")
	case s.network == "unix" && cfg.StartTLS:
		return errors.New("start_tls goes with ldap://, not with ldapi://")
	case s.network == "tcp" && !s.tls && !cfg.StartTLS && !cfg.AllowPlaintext && !loopback(s.host):
		return errors.New("passwords would cross the network in plain text: use ldaps:// or start_tls (or allow_plaintext)")
	}
	return nil
}

// parseServer reads ldap://host[:389], ldaps://host[:636] or ldapi://%2Fpath.
func parseServer(address string) (*server, error) {
	if path, ok := strings.CutPrefix(address, "ldapi://"); ok {
		path, err := url.PathUnescape(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return nil, errors.New("must be like ldapi://%2Frun%2Fslapd%2Fldapi")
		}
		return &server{url: address, network: "unix", address: path}, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	ports := map[string]string{"ldap": "389", "ldaps": "636"}
	if ports[u.Scheme] == "" {
		return nil, errors.New("must begin with ldap://, ldaps:// or ldapi://")
	}
	if u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be scheme, host and port only")
	}
	port := cmp.Or(u.Port(), ports[u.Scheme])
	return &server{url: address, network: "tcp", address: net.JoinHostPort(u.Hostname(), port), host: u.Hostname(), tls: u.Scheme == "ldaps"}, nil
}

func loopback(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// attributeName is an attribute description without options (RFC 4512 2.5).
var attributeName = regexp.MustCompile(`\A(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)\z`)

func (cfg *Config) checkUsers(faults *authn.Faults) {
	checkBase(faults, "users.base", cfg.UsersBase)
	if !attributeName.MatchString(cfg.UsernameAttribute) {
		faults.Add("users.username_attribute", fmt.Errorf("%q is no attribute name", cfg.UsernameAttribute))
	}
	switch filter := cfg.UsersFilter; {
	case filter == "":
		faults.Add("users.filter", errors.New("is required, such as (uid={login})"))
	case !strings.Contains(filter, "{login}"):
		faults.Add("users.filter", errors.New("must contain {login}, else everybody is the same person"))
	default:
		// As Find and as Lookup put it.
		_, err := ldap.CompileFilter(expand(filter, "{login}", "x"))
		if _, other := ldap.CompileFilter(strings.ReplaceAll(filter, "{login}", "*")); err == nil {
			err = other
		}
		faults.Add("users.filter", err)
	}
}

func (cfg *Config) checkGroups(faults *authn.Faults) {
	if cfg.MemberOfBase != "" {
		checkBase(faults, "groups.member_of_base", cfg.MemberOfBase)
		if cfg.GroupsBase != "" {
			faults.Add("groups.member_of_base", errors.New("goes without groups.base: groups are searched, or taken from memberOf"))
		}
	}
	if cfg.GroupsBase == "" {
		if cfg.GroupsNested {
			faults.Add("groups.base", errors.New("is required with nested: memberOf shows direct groups only"))
		}
		return
	}
	checkBase(faults, "groups.base", cfg.GroupsBase)
	if !attributeName.MatchString(cfg.GroupsNameAttribute) {
		faults.Add("groups.name_attribute", fmt.Errorf("%q is no attribute name", cfg.GroupsNameAttribute))
	}
	has := func(placeholder string) bool { return strings.Contains(cfg.GroupsFilter, placeholder) }
	switch {
	case !has("{dn}") && !has("{username}") && !has("{gid_number}"):
		faults.Add("groups.filter", errors.New("must contain {dn}, {username} or {gid_number}"))
	case !has("{dn}") && cfg.GroupsNested:
		faults.Add("groups.filter", errors.New("must contain {dn} with nested: groups are members by their DN"))
	}
	_, err := ldap.CompileFilter(expand(cfg.GroupsFilter, "{dn}", "x", "{username}", "x", "{gid_number}", "1"))
	faults.Add("groups.filter", err)
}

func checkBase(faults *authn.Faults, key, dn string) {
	if dn == "" {
		faults.Add(key, errors.New("is required, such as ou=people,dc=example,dc=com"))
		return
	}
	_, err := ldap.ParseDN(dn)
	faults.Add(key, err)
}
