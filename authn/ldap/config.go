package ldap

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Config is the section `ldap` of a directory. Empty strings take the preset's
// defaults, then the general ones.
type Config struct {
	// Preset is the kind of server, which gives defaults for what is empty: openldap,
	// ad, freeipa, 389ds, rfc2307; empty: none.
	Preset string `yaml:"preset" values:"openldap ad freeipa 389ds rfc2307"`
	// Servers are URLs of servers that hold the same, asked in this order:
	// ldap://HOST[:PORT], ldaps://HOST[:PORT] or ldapi://PATH with %2F for /. Required.
	Servers []string `yaml:"servers,needed"`
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
	// CanaryUser is a login that always finds somebody: where it does not, the service account
	// has lost a right. Default: none.
	CanaryUser string `yaml:"canary_user"`
	// Users says who may log in.
	Users Users `yaml:"users,needed"`
	// Groups says which groups people have. Default: those of the entry's memberOf,
	// each named by its first RDN's value.
	Groups *Groups `yaml:"groups"`
	// Cache is how long is remembered what the directory said.
	Cache authn.CacheConfig `yaml:"cache"`

	// Name is the directory's name in the config.
	Name string `yaml:"-"`
	// Metrics counts what servers are asked; nil: nothing is counted.
	Metrics *metrics.Metrics `yaml:"-" json:"-"`
	// Logger gets what happens to servers; nil discards.
	Logger *slog.Logger `yaml:"-" json:"-"`
}

const defaultTimeout = 5 * time.Second

// Defaults leave to New what a preset may fill in.
func (cfg *Config) Defaults() { cfg.Timeout = defaultTimeout }

// Check warns of passwords in plain text, which New takes where they are allowed, and
// of groups that the preset would not find. Keys are relative to `ldap`.
func (cfg *Config) Check() error {
	var faults authn.Faults
	strict := *cfg
	strict.AllowPlaintext = false
	for _, address := range cfg.Servers {
		s, err := parseServer(address)
		if err == nil && cfg.AllowPlaintext && cfg.checkServer(s) == nil && strict.checkServer(s) != nil {
			faults.Warn("allow_plaintext", fmt.Errorf("passwords cross the network in plain text to %s", address))
			break
		}
	}
	if cfg.Preset == "rfc2307" && cfg.Groups == nil {
		faults.Warn("preset", errors.New("without groups.base no posixGroup is searched: groups are those of the entry's memberOf alone"))
	}
	return faults.Err()
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

// made is what a complete config is made into.
type made struct {
	login   loginRule
	tls     *tls.Config // for every server; ServerName is empty where each has its own
	servers []endpoint
}

// complete fills in what is left out, and adds what is wrong to faults.
func (cfg *Config) complete(faults *authn.Faults) (m made) {
	defaults, known := presets[cfg.Preset]
	if !known {
		faults.Add("preset", errors.New("must be openldap, ad, freeipa, 389ds or rfc2307"))
	}
	cfg.Groups.checkSource(faults)
	cfg.applyDefaults(defaults)
	m.tls, m.servers = cfg.clientTLS(faults), cfg.checkServers(faults)
	cfg.Users.check(faults)
	cfg.Groups.check(faults)
	if cfg.Preset == "freeipa" && cfg.Users.Base != "" && cfg.Groups.Base+cfg.Groups.MemberOfBase == "" {
		faults.Add("groups", errors.New("users.base does not show where FreeIPA keeps groups; set groups.member_of_base"))
	}
	var err error
	m.login, err = newLoginRule(cfg.Users.LoginPattern, cfg.Users.Domains)
	faults.Add("users.login_pattern", err)
	if err == nil && cfg.CanaryUser != "" {
		faults.Add("canary_user", m.login.fault(m.login.cut(cfg.CanaryUser)))
	}
	return m
}

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

// ipaGroups is where FreeIPA keeps groups, beside its users; "" where users.base does
// not show it. An entry's memberOf names roles, privileges and rules of access as well,
// which may be called alike.
func ipaGroups(usersBase string) string {
	parsed, err := ldap.ParseDN(usersBase)
	if err != nil {
		return ""
	}
	for i := range parsed.RDNs {
		accounts := (&ldap.DN{RDNs: parsed.RDNs[i:]}).String()
		if normal, _ := authn.NormalizeDN(accounts); strings.HasPrefix(normal, "cn=accounts,") {
			return "cn=groups," + accounts
		}
	}
	if domain := domainOf(usersBase); domain != "" {
		return "cn=groups,cn=accounts," + domain
	}
	return ""
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

func (cfg *Config) checkServers(faults *authn.Faults) []endpoint {
	if len(cfg.Servers) == 0 {
		faults.Add("servers", errors.New("at least one is required, such as ldaps://ldap.example.com"))
	}
	servers := make([]endpoint, len(cfg.Servers))
	for i, address := range cfg.Servers {
		var err error
		if servers[i], err = parseServer(address); err == nil {
			err = cfg.checkServer(servers[i])
		}
		faults.Add(fmt.Sprintf("servers[%d]", i), err)
	}
	switch file := cfg.BindPasswordFile; {
	case cfg.BindDN == "" || file.Secret != "":
	case file.Name != "":
		faults.Add("bind_password_file", errors.New("holds no password"))
	default:
		faults.Add("bind_dn", errors.New("has no password: set bind_password_file"))
	}
	if _, err := ldap.ParseDN(cfg.BindDN); err != nil && !strings.ContainsAny(cfg.BindDN, `@\`) {
		faults.Add("bind_dn", err) // Active Directory takes name@domain and DOMAIN\name too
	}
	secured := func(s endpoint) bool { return s.tls || cfg.StartTLS && s.network == "tcp" }
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

func (cfg *Config) checkServer(s endpoint) error {
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
