package main

import (
	"time"

	"gatehouse/authn"
	"gatehouse/proxy"
)

// config is the file as the contract describes it. The `yaml` tag is a key's name;
// what a file leaves out keeps the value that defaults gave.
type config struct {
	Listen      listenConfig      `yaml:"listen"`
	Admin       adminConfig       `yaml:"admin"`
	Upstream    upstreamConfig    `yaml:"upstream"`
	Tokens      tokensConfig      `yaml:"tokens"`
	Throttle    throttleConfig    `yaml:"throttle"`
	Limits      limitsConfig      `yaml:"limits"`
	Shutdown    shutdownConfig    `yaml:"shutdown"`
	Log         logConfig         `yaml:"log"`
	Audit       auditConfig       `yaml:"audit"`
	Directories []directoryConfig `yaml:"directories"`
	Policy      []ruleConfig      `yaml:"policy"`
}

type listenConfig struct {
	Address        string     `yaml:"address"`
	PublicURLs     []string   `yaml:"public_urls"`
	TrustedProxies []string   `yaml:"trusted_proxies"`
	AllowPlaintext bool       `yaml:"allow_plaintext"`
	Basic          bool       `yaml:"basic"`
	TLS            *tlsConfig `yaml:"tls"`
}

type tlsConfig struct {
	CertFile   string     `yaml:"cert_file"`
	KeyFile    string     `yaml:"key_file"`
	MinVersion tlsVersion `yaml:"min_version"`
}

// tlsVersion is a string that a file may also write as a number: 1.2 and "1.2".
type tlsVersion string

type adminConfig struct {
	Address string `yaml:"address"`
	Pprof   bool   `yaml:"pprof"`
}

type upstreamConfig struct {
	URL           string        `yaml:"url"`
	CAFile        string        `yaml:"ca_file"`
	CertFile      string        `yaml:"cert_file"`
	KeyFile       string        `yaml:"key_file"`
	Username      string        `yaml:"username"`
	PasswordFile  string        `yaml:"password_file"`
	Timeout       time.Duration `yaml:"timeout"`
	BlobMount     bool          `yaml:"blob_mount"`
	RedirectHosts []string      `yaml:"redirect_hosts"`
}

type tokensConfig struct {
	Service         string          `yaml:"service"`
	Issuer          string          `yaml:"issuer"`
	Lifetime        time.Duration   `yaml:"lifetime"`
	UploadGrace     time.Duration   `yaml:"upload_grace"`
	RefreshLifetime time.Duration   `yaml:"refresh_lifetime"`
	KeyFiles        []string        `yaml:"key_files"`
	Revoked         []revokedConfig `yaml:"revoked"`
}

// revokedConfig is one entry of what is revoked: a token by its id, or a person's
// tokens, or those issued before a moment (RFC 3339), or both of the latter.
type revokedConfig struct {
	Token        string    `yaml:"token"`
	User         string    `yaml:"user"`
	IssuedBefore time.Time `yaml:"issued_before"`
}

type throttleConfig struct {
	Failures       int           `yaml:"failures"`
	Window         time.Duration `yaml:"window"`
	UsersPerSource int           `yaml:"users_per_source"`
}

// limitsConfig is proxy.Limits and the caps of package authn.
type limitsConfig struct {
	HeaderTimeout         time.Duration `yaml:"header_timeout"`
	HeaderFields          int           `yaml:"header_fields"`
	HeaderBytes           int           `yaml:"header_bytes"`
	HTTP2Streams          int           `yaml:"http2_streams"`
	FormBytes             int           `yaml:"form_bytes"`
	Scopes                int           `yaml:"scopes"`
	MinRate               int           `yaml:"min_rate"`
	Connections           int           `yaml:"connections"`
	ConnectionsPerAddress int           `yaml:"connections_per_address"`
	LoginsPerUser         int           `yaml:"logins_per_user"`
	UploadsPerUser        int           `yaml:"uploads_per_user"`
	RequestsPerUser       int           `yaml:"requests_per_user"`
	PasswordsWaiting      int           `yaml:"passwords_waiting"`
}

type shutdownConfig struct {
	Delay   time.Duration `yaml:"delay"`
	Timeout time.Duration `yaml:"timeout"`
}

type logConfig struct {
	Level string `yaml:"level"` // of stderr; request records are always written
}

type auditConfig struct {
	File      string `yaml:"file"`       // "-": stdout; empty: off
	PerSecond int    `yaml:"per_second"` // of each kind that strangers can cause
}

type directoryConfig struct {
	Name   string       `yaml:"name"`
	Static []userConfig `yaml:"static"`
	LDAP   *ldapConfig  `yaml:"ldap"`
}

type userConfig struct {
	Username     string       `yaml:"username"`
	PasswordHash authn.Secret `yaml:"password_hash"`
	PasswordFile string       `yaml:"password_file"`
	Groups       []string     `yaml:"groups"`
}

type ldapConfig struct {
	Preset           string          `yaml:"preset"`
	Servers          []string        `yaml:"servers"`
	StartTLS         bool            `yaml:"start_tls"`
	AllowPlaintext   bool            `yaml:"allow_plaintext"`
	CAFile           string          `yaml:"ca_file"`
	CADir            string          `yaml:"ca_dir"`
	CertFile         string          `yaml:"cert_file"`
	KeyFile          string          `yaml:"key_file"`
	ServerName       string          `yaml:"server_name"`
	BindDN           string          `yaml:"bind_dn"`
	BindPasswordFile string          `yaml:"bind_password_file"`
	Timeout          time.Duration   `yaml:"timeout"`
	CanaryUser       string          `yaml:"canary_user"`
	Users            ldapUsersConfig `yaml:"users"`
	Groups           *groupsConfig   `yaml:"groups"`
	Cache            cacheConfig     `yaml:"cache"`
}

type ldapUsersConfig struct {
	Base              string `yaml:"base"`
	Filter            string `yaml:"filter"`
	UsernameAttribute string `yaml:"username_attribute"`
	LoginPattern      string `yaml:"login_pattern"`
}

type groupsConfig struct {
	Base          string `yaml:"base"`
	MemberOfBase  string `yaml:"member_of_base"`
	Filter        string `yaml:"filter"`
	NameAttribute string `yaml:"name_attribute"`
	Nested        bool   `yaml:"nested"`
}

type cacheConfig struct {
	FreshFor         time.Duration `yaml:"fresh_for"`
	StaleFor         time.Duration `yaml:"stale_for"`
	NegativeFor      time.Duration `yaml:"negative_for"`
	PasswordFor      time.Duration `yaml:"password_for"`
	WrongPasswordFor time.Duration `yaml:"wrong_password_for"`
}

type ruleConfig struct {
	Allow        []string `yaml:"allow"`
	Deny         []string `yaml:"deny"`
	Repositories []string `yaml:"repositories"`
	Tags         []string `yaml:"tags"`
	Networks     []string `yaml:"networks"`
	To           []string `yaml:"to"`
	Except       []string `yaml:"except"`
}

// defaulter is a section that has defaults; the decoder asks for them before it
// reads the section, so that sections in lists have them as well.
type defaulter interface{ defaults() }

func (c *config) defaults() {
	c.Listen.Address = ":5000"
	c.Admin.Address = "127.0.0.1:9180"
	c.Upstream.Timeout = 30 * time.Second
	c.Tokens = tokensConfig{Service: "gatehouse", Issuer: "gatehouse", Lifetime: 15 * time.Minute, UploadGrace: 6 * time.Hour}
	c.Throttle = throttleConfig{Failures: 5, Window: 5 * time.Minute, UsersPerSource: 50}
	c.Shutdown.Timeout = 5 * time.Minute
	c.Log.Level = "info"
	c.Audit.PerSecond = 100
	l := proxy.DefaultLimits()
	c.Limits = limitsConfig{HeaderTimeout: l.HeaderTimeout, HeaderFields: l.HeaderFields, HeaderBytes: l.HeaderBytes,
		HTTP2Streams: l.HTTP2Streams, FormBytes: l.FormBytes, Scopes: l.Scopes, MinRate: l.MinRate, Connections: l.Connections,
		ConnectionsPerAddress: l.ConnectionsPerAddress, UploadsPerUser: l.UploadsPerUser, RequestsPerUser: l.RequestsPerUser,
		LoginsPerUser: 16, PasswordsWaiting: 256}
}

// edge is the part of the limits that the gateway keeps.
func (l *limitsConfig) edge() proxy.Limits {
	return proxy.Limits{HeaderTimeout: l.HeaderTimeout, HeaderFields: l.HeaderFields, HeaderBytes: l.HeaderBytes,
		HTTP2Streams: l.HTTP2Streams, FormBytes: l.FormBytes, Scopes: l.Scopes, MinRate: l.MinRate, Connections: l.Connections,
		ConnectionsPerAddress: l.ConnectionsPerAddress, UploadsPerUser: l.UploadsPerUser, RequestsPerUser: l.RequestsPerUser}
}

func (c *tlsConfig) defaults() { c.MinVersion = "1.2" }

// Texts that a preset may fill in (the filters, the attribute of the name) stay
// empty here; completeLDAP gives them where there is no preset.
func (c *ldapConfig) defaults() {
	c.Timeout = 5 * time.Second
	c.Cache = cacheConfig{FreshFor: time.Minute, StaleFor: 10 * time.Minute, NegativeFor: 15 * time.Second,
		PasswordFor: 30 * time.Second, WrongPasswordFor: time.Minute}
}

// completeLDAP gives the defaults that only count without a preset.
func completeLDAP(c *ldapConfig) {
	if c.Preset != "" {
		return
	}
	setDefault(&c.Users.UsernameAttribute, "uid")
	setDefault(&c.Users.LoginPattern, "[A-Za-z0-9][A-Za-z0-9._@+-]*")
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}
