// Package config reads the config file and every file that it names.
//
// Load is the whole of it: YAML is decoded into Config by a decoder that knows where
// everything stands, so that each fault names line, column and key; the files that
// keys name are read, once and in one place; and each section is held against what
// its tags and its Check say. A section is the Config struct of the package that uses
// it (fields.go says how), so a key is written once. What only a package can judge
// (filters, patterns, hashes, URLs) its constructor adds to the same Report.
package config

import (
	"path/filepath"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/certificate"
	"gatehouse/authn/ldap"
	"gatehouse/authn/machine"
	"gatehouse/authn/oidc"
	"gatehouse/authz"
	"gatehouse/proxy"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// Config is the file as the contract describes it.
type Config struct {
	// Listen is the public listener.
	Listen listener.Config `yaml:"listen"`
	// Admin is the listener of health and metrics.
	Admin Admin `yaml:"admin"`
	// Upstream is the registry that the gateway stands in front of.
	Upstream upstream.Config `yaml:"upstream" either:"upstreams"`
	// Upstreams are several registries instead of the one of upstream; the first that
	// matches serves a request.
	Upstreams []upstream.Entry `yaml:"upstreams"`
	// UI are the pages for people under /ui/. Default: there are none.
	UI ui.Config `yaml:"ui"`
	// Cache is what is kept of the registry's manifests and blobs. Default: nothing.
	Cache *content.Config `yaml:"cache"`
	// Tokens says how tokens are made and how long they last.
	Tokens tokens.Config `yaml:"tokens"`
	// Store is where personal tokens and what is revoked are kept. Default: nowhere.
	Store store.Config `yaml:"store"`
	// PersonalTokens are tokens that people make for their programs.
	PersonalTokens personal.Config `yaml:"personal_tokens"`
	// Throttle limits failed logins.
	Throttle authn.ThrottleConfig `yaml:"throttle"`
	// Limits bound what clients can take from everybody else.
	Limits Limits `yaml:"limits"`
	// Shutdown is how the gateway ends.
	Shutdown Shutdown `yaml:"shutdown"`
	// Log is what stderr gets.
	Log Log `yaml:"log"`
	// Audit is the stream of audit records.
	Audit audit.Config `yaml:"audit"`
	// Directories are asked in this order.
	Directories []Directory `yaml:"directories"`
	// Policy are the rules; nothing is allowed that no rule allows.
	Policy []authz.Rule `yaml:"policy"`
	// PolicyNext are rules that are tried: each decision is taken by them too, and it is
	// counted where they differ (`gatehouse shadow`). They decide nothing. Default none.
	PolicyNext []authz.Rule `yaml:"policy_next"`
	// PolicyNextFile is a file that holds such a list, instead. Default none.
	PolicyNextFile authn.File `yaml:"policy_next_file"`
}

// Admin is the section `admin`.
type Admin struct {
	// Address is host:port; metrics and health answer only here. Empty: off. Default 127.0.0.1:9180.
	Address string `yaml:"address"`
	// Socket is the file of a unix socket, made with mode 0600: it answers all that address
	// does, and it alone changes something or shows people's data (`gatehouse explain --admin`
	// and the like). Empty: none, which is the default.
	Socket string `yaml:"socket"`
	// Pprof serves Go's profiles under /debug/pprof/ too. Default false.
	Pprof bool `yaml:"pprof"`
}

// Limits are the caps of package proxy, and those of logins.
type Limits struct {
	proxy.Limits
	// LoginsPerUser is how many different passwords of one person may be checked at
	// the same time. Default 16; 0: no limit.
	LoginsPerUser int `yaml:"logins_per_user" min:"0" max:"16777216"`
	// PasswordsWaiting is how many passwords of static users may wait for a free core
	// to be compared; above: 429. Default 256.
	PasswordsWaiting int `yaml:"passwords_waiting" min:"1" max:"16777216"`
}

// Shutdown is the section `shutdown`.
type Shutdown struct {
	// Delay is how long new connections are still taken after a TERM. Default 0s.
	Delay time.Duration `yaml:"delay"`
	// Timeout is how long running requests have to end before they are cut. Default 5m.
	Timeout time.Duration `yaml:"timeout"`
}

// Log is the section `log`.
type Log struct {
	// Level is the least level of what goes to stderr: debug, info, warn or error.
	// Request records are always written. Default info.
	Level string `yaml:"level" values:"debug info warn error"`
}

// Directory is one of `directories`: either Static, LDAP, Machines, OIDC or Certificates.
type Directory struct {
	// Name stands in tokens, rules, logs and metrics: up to 64 lower-case letters, digits, . _ and -.
	Name string `yaml:"name,required"`
	// Static are people of the config itself.
	Static []authn.StaticUser `yaml:"static" either:"ldap machines oidc certificates"`
	// LDAP is a directory server.
	LDAP *ldap.Config `yaml:"ldap"`
	// Machines are machines of the config itself, which log in by tokens.
	Machines []machine.Machine `yaml:"machines"`
	// OIDC are machines for which an issuer signs ID tokens.
	OIDC *oidc.Config `yaml:"oidc"`
	// Certificates are machines that show a client's certificate instead of credentials. One
	// directory is of this kind, and it needs listen.tls.client_ca_file.
	Certificates *certificate.Config `yaml:"certificates"`
}

// DirectoryNames are those that rules may use, in order.
func (c *Config) DirectoryNames() []string {
	names := make([]string, len(c.Directories))
	for i, d := range c.Directories {
		names[i] = d.Name
	}
	return names
}

// Entries are the upstreams, also where it is one.
func (c *Config) Entries() []upstream.Entry {
	if len(c.Upstreams) == 0 {
		return []upstream.Entry{upstream.Default(c.Upstream)}
	}
	return c.Upstreams
}

// UpstreamURLs are the addresses of all upstreams, for the log.
func (c *Config) UpstreamURLs() string {
	var list []string
	for _, e := range c.Entries() {
		for _, a := range e.Addresses() {
			list = append(list, a.URL)
		}
	}
	return strings.Join(list, " ")
}

// CacheDir is where the cache keeps larger blobs, in the shortest way to write that; "": nowhere.
func (c *Config) CacheDir() string {
	if c.Cache == nil || c.Cache.Dir == "" {
		return ""
	}
	return filepath.Clean(c.Cache.Dir)
}

// MachineNames are the names of the directories of machines.
func (c *Config) MachineNames() []string {
	var names []string
	for _, d := range c.Directories {
		if d.Machines != nil || d.OIDC != nil || d.Certificates != nil {
			names = append(names, d.Name)
		}
	}
	return names
}

// Defaults are those of the sections that are this package's own.
func (c *Config) Defaults() {
	c.Admin.Address = "127.0.0.1:9180"
	c.Limits.LoginsPerUser, c.Limits.PasswordsWaiting = 16, 256
	c.Shutdown.Timeout = 5 * time.Minute
	c.Log.Level = "info"
}
