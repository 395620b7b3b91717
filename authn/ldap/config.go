package ldap

import (
	"cmp"
	"crypto/tls"
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

// Config is the section `ldap` of a directory. Empty strings take the preset's
// defaults, then the general ones.
type Config struct {
	// Preset is the kind of server, which gives defaults for what is empty: openldap,
	// ad, freeipa, 389ds, rfc2307; empty: none.
	Preset string `yaml:"preset"`
	// Servers are URLs of servers that hold the same, asked in this order:
	// ldap://HOST[:PORT], ldaps://HOST[:PORT] or ldapi://PATH with %2F for /. Required.
	Servers []string `yaml:"servers"`
	// StartTLS secures connections to ldap:// servers. Default false.
	StartTLS bool `yaml:"start_tls"`
	// AllowPlaintext lets passwords cross the network in plain text, to ldap:// servers
	// beyond loopback without StartTLS. Default false.
	AllowPlaintext bool `yaml:"allow_plaintext"`
	// CAFile holds trusted roots (PEM) beside the system's. Default: none.
	CAFile authn.File `yaml:"ca_file"`
	// CADir is a folder of which every file holds trusted roots (PEM). Default: none.
	CADir authn.Folder `yaml:"ca_dir"`
	// CertFile is the certificate (PEM) shown to servers that ask for one.
	CertFile authn.File `yaml:"cert_file" with:"key_file"`
	// KeyFile is the key (PEM) of CertFile.
	KeyFile authn.SecretFile `yaml:"key_file" with:"cert_file"`
	// ServerName is the name in the servers' certificates. Default: each URL's host.
	ServerName string `yaml:"server_name"`
	// BindDN is the service account that searches; Active Directory takes name@domain
	// and DOMAIN\name too. Default: anonymous searches.
	BindDN string `yaml:"bind_dn" with:"bind_password_file"`
	// BindPasswordFile holds the password of BindDN. It is read again where a server
	// refuses what it held.
	BindPasswordFile authn.SecretFile `yaml:"bind_password_file" with:"bind_dn"`
	// Timeout is for one lookup or login in all. Default 5s.
	Timeout time.Duration `yaml:"timeout" min:"100ms"`
	// CanaryUser is a login that always finds somebody; see Directory.Canary. Default: none.
	CanaryUser string `yaml:"canary_user"`
	// Users says who may log in.
	Users Users `yaml:"users"`
	// Groups says which groups people have. Default: those of the entry's memberOf,
	// each named by its first RDN's value.
	Groups *Groups `yaml:"groups"`
	// Cache is for whoever puts an authn.Cache in front of the directory.
	Cache authn.CacheConfig `yaml:"cache"`

	// Name is the directory's name in the config.
	Name string `yaml:"-"`
	// Metrics counts what servers are asked; nil: nothing is counted.
	Metrics *metrics.Metrics `yaml:"-" json:"-"`
	// Logger gets what happens to servers; nil discards.
	Logger *slog.Logger `yaml:"-" json:"-"`
}

// Users is the section `users`.
type Users struct {
	// Base is the DN below which people are searched. Required.
	Base string `yaml:"base"`
	// Filter (RFC 4515) finds the one entry of a login, which stands for {login},
	// escaped. Required without a preset.
	Filter string `yaml:"filter"`
	// UsernameAttribute holds the canonical name. Default uid.
	UsernameAttribute string `yaml:"username_attribute"`
	// LoginPattern is a regular expression that a whole login matches; others are
	// refused without asking. Default [A-Za-z0-9][A-Za-z0-9._@+-]*.
	LoginPattern string `yaml:"login_pattern"`
	// Domains are domain names, in any letter case, whose NAME\ or @name is cut off a
	// login before anything is done with it. Default: none.
	Domains []string `yaml:"domains"`
}

// Groups is the section `groups`. It has either Base or MemberOfBase.
type Groups struct {
	// Base is the DN below which groups are searched. Default: no search.
	Base string `yaml:"base"`
	// MemberOfBase takes the groups of the entry's memberOf that stand below this DN,
	// without a search. Default: none.
	MemberOfBase string `yaml:"member_of_base"`
	// Filter (RFC 4515) finds the groups of a person, or of a group with Nested. {dn} is
	// the entry's DN, {username} the name as the entry writes it, {gid_number} the
	// primary group's number; all escaped. Default (member={dn}).
	Filter string `yaml:"filter"`
	// NameAttribute holds a group's name. Default cn.
	NameAttribute string `yaml:"name_attribute"`
	// Nested takes groups of groups. With the preset ad and no Filter, tokenGroups says
	// which they are, else Filter is asked level by level, five at most. Default false.
	Nested bool `yaml:"nested"`
}

const defaultTimeout = 5 * time.Second

// Defaults leave to New what a preset may fill in.
func (cfg *Config) Defaults() { cfg.Timeout = defaultTimeout }

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

// New checks the config and dials nothing. Its error joins *authn.KeyError values
// whose keys are the config file's, relative to `ldap` (`users.filter`, `servers[1]`).
func New(cfg Config) (*Directory, error) {
	limitPackets()
	var faults authn.Faults
	defaults, known := presets[cfg.Preset]
	if !known {
		faults.Add("preset", errors.New("must be openldap, ad, freeipa, 389ds or rfc2307"))
	}
	byToken := cfg.Preset == "ad" && cfg.Groups != nil && cfg.Groups.Nested && cfg.Groups.Filter == ""
	cfg.checkSources(&faults)
	cfg.applyDefaults(defaults)
	secured := cfg.clientTLS(&faults)
	servers := cfg.checkServers(&faults)
	cfg.checkUsers(&faults)
	cfg.checkGroups(&faults)
	gate, err := newGate(cfg.Users.LoginPattern, cfg.Users.Domains)
	faults.Add("users.login_pattern", err)
	if err == nil && cfg.CanaryUser != "" {
		faults.Add("canary_user", gate.fault(gate.cut(cfg.CanaryUser)))
	}
	if faults.Fatal() {
		return nil, faults.Err()
	}
	return &Directory{cfg: cfg, gate: gate, pool: newPool(cfg, secured, servers), byToken: byToken}, nil
}

// limitPackets bounds what a server can make us hold in memory for one answer;
// the decoder's own limit is 2 GiB, and it has only this one for all.
var limitPackets = sync.OnceFunc(func() { ber.MaxPacketLengthBytes = 16 << 20 })

func (cfg *Config) applyDefaults(defaults preset) {
	users, groups := &cfg.Users, Groups{}
	users.Filter = cmp.Or(users.Filter, defaults.users)
	users.UsernameAttribute = cmp.Or(users.UsernameAttribute, defaults.username, "uid")
	users.LoginPattern = cmp.Or(users.LoginPattern, "[A-Za-z0-9][A-Za-z0-9._@+-]*")
	if cfg.Groups != nil {
		groups = *cfg.Groups
	} else if cfg.Preset == "freeipa" {
		groups.MemberOfBase = ipaGroups(users.Base)
	}
	groups.Filter = cmp.Or(groups.Filter, defaults.groups)
	groups.NameAttribute = cmp.Or(groups.NameAttribute, "cn")
	cfg.Groups = &groups
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
}

// ipaGroups is where FreeIPA keeps groups, beside its users. An entry's memberOf
// names roles, privileges and rules of access as well, which may be called alike.
func ipaGroups(usersBase string) string {
	return strings.TrimSuffix("cn=groups,cn=accounts,"+domainOf(usersBase), ",")
}

// clientTLS is what TLS to every server of a directory has in common. ServerName is
// empty where each server has its own.
func (cfg *Config) clientTLS(faults *authn.Faults) *tls.Config {
	config := &tls.Config{ServerName: cfg.ServerName, MinVersion: tls.VersionTLS12}
	var err error
	config.RootCAs, err = authn.Roots(cfg.CAFile, cfg.CADir)
	faults.Join(err)
	pair, err := authn.KeyPair(cfg.CertFile, cfg.KeyFile)
	faults.Join(err)
	if pair != nil {
		config.Certificates = []tls.Certificate{*pair}
	}
	return config
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
	if cfg.BindDN != "" && cfg.BindPasswordFile.Secret == "" {
		faults.Add("bind_dn", errors.New("has no password: set bind_password_file"))
	}
	if _, err := ldap.ParseDN(cfg.BindDN); err != nil && !strings.ContainsAny(cfg.BindDN, `@\`) {
		faults.Add("bind_dn", err) // Active Directory takes name@domain and DOMAIN\name too
	}
	secured := func(s *server) bool { return s != nil && (s.tls || cfg.StartTLS) }
	if cfg.ServerName != "" && !slices.ContainsFunc(servers, secured) {
		faults.Add("server_name", errors.New("means nothing without ldaps:// or start_tls"))
	}
	if cfg.CertFile.Name != "" && !slices.ContainsFunc(servers, secured) {
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
	checkBase(faults, "users.base", cfg.Users.Base)
	if !attributeName.MatchString(cfg.Users.UsernameAttribute) {
		faults.Add("users.username_attribute", fmt.Errorf("%q is no attribute name", cfg.Users.UsernameAttribute))
	}
	faults.Add("users.filter", checkUsersFilter(cfg.Users.Filter))
	for i, domain := range cfg.Users.Domains {
		if domain == "" || strings.ContainsAny(domain, "\\@/ \t") {
			faults.Add(fmt.Sprintf("users.domains[%d]", i), fmt.Errorf("%q is no domain name; write EXAMPLE or example.com, without \\ and @", domain))
		}
	}
}

// checkSources wants a groups section to say where groups come from, as it was written.
func (cfg *Config) checkSources(faults *authn.Faults) {
	g := cfg.Groups
	switch {
	case g == nil:
	case g.Base != "" && g.MemberOfBase != "":
		faults.Add("groups.member_of_base", errors.New("goes without groups.base: groups are searched, or taken from memberOf"))
	case g.Base != "":
	case g.Nested:
		faults.Add("groups.base", errors.New("is required with nested: memberOf shows direct groups only"))
	case g.MemberOfBase == "":
		faults.Add("groups", errors.New("needs base, where groups are searched, or member_of_base, below which the entry's memberOf counts; without the section all of memberOf counts"))
	case g.Filter != "":
		faults.Add("groups.filter", errors.New("means nothing with member_of_base: no group is searched"))
	}
}

func (cfg *Config) checkGroups(faults *authn.Faults) {
	g := cfg.Groups
	if g.MemberOfBase != "" {
		checkBase(faults, "groups.member_of_base", g.MemberOfBase)
	}
	if !attributeName.MatchString(g.NameAttribute) {
		faults.Add("groups.name_attribute", fmt.Errorf("%q is no attribute name", g.NameAttribute))
	}
	if g.Base == "" {
		return
	}
	checkBase(faults, "groups.base", g.Base)
	faults.Add("groups.filter", checkGroupsFilter(g.Filter, g.Nested))
}

func checkBase(faults *authn.Faults, key, dn string) {
	if dn == "" {
		faults.Add(key, errors.New("is required, such as ou=people,dc=example,dc=com"))
		return
	}
	_, err := ldap.ParseDN(dn)
	faults.Add(key, err)
}
