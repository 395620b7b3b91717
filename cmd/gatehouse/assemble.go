package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy"
	"gatehouse/tokens"
)

// parts is what outlives a reload: everything in it is shared by all snapshots.
type parts struct {
	metrics  *metrics.Metrics
	throttle *authn.Throttle
	hasher   *authn.Hasher
	load     *proxy.Load // what is in flight
	key      *tokens.Key // made at start where the config names none
	access   *slog.Logger
	audit    *slog.Logger
	logger   *slog.Logger
}

// snapshot is all that a config made, immutable. A request acquires the current
// one and keeps it to its end, so that no request sees two configs at once. When a
// replaced snapshot's last request is done, what only it had is let go.
type snapshot struct {
	cfg         config
	gateway     *proxy.Gateway
	chain       *authn.Chain
	policy      *authz.Policy
	keyring     *tokens.Keyring
	certificate *proxy.Certificate // nil: plain HTTP
	tls         *tls.Config        // one for all connections, so that sessions resume
	directories []*directory
	refs        atomic.Int64
}

// acquire fails where the snapshot is gone already; the caller takes the new one.
func (s *snapshot) acquire() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *snapshot) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	if s.gateway != nil {
		s.gateway.Close()
	}
	for _, d := range s.directories {
		d.release()
	}
}

// directory is one of the config's directories. Snapshots share it as long as its
// config and its files stay the same.
type directory struct {
	name        string
	fingerprint [sha256.Size]byte
	front       authn.Directory // what the chain asks
	ldap        *authn.LDAP     // nil for a static one
	cache       *authn.Cache    // nil for a static one
	snapshots   atomic.Int64    // that hold it
}

func (d *directory) release() {
	if d.snapshots.Add(-1) == 0 && d.cache != nil {
		d.cache.Close()
	}
}

// assemble makes a snapshot of a config that was read, and adds what is wrong to
// its report; the snapshot is complete only where the report has no fault. It
// starts and dials nothing. Directories of old that did not change are taken over.
// The caller owns one reference.
func assemble(l *loaded, p *parts, old *snapshot) *snapshot {
	s := &snapshot{cfg: l.cfg}
	s.refs.Store(1)
	if !l.decoded() {
		return s
	}
	s.policy = l.policy()
	l.openDirectories(s, p, old)
	s.keyring = l.keyring(p)
	gateway := l.gatewayConfig(p)
	s.certificate = l.certificate(p, old)
	s.tls = s.listenerTLS(old)
	s.chain = authn.NewChain(authn.ChainConfig{Directories: s.fronts(), Throttle: p.throttle, Logger: p.logger})
	gateway.Keyring, gateway.Chain, gateway.Policy = s.keyring, s.chain, s.policy
	if s.keyring != nil && s.policy != nil {
		gateway.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: s.keyring, Chain: s.chain, Policy: s.policy})
	}
	if l.cfg.Upstream.URL != "" {
		g, err := proxy.New(gateway)
		l.errors("", err)
		s.gateway = g
	}
	return s
}

func (s *snapshot) listenerTLS(old *snapshot) *tls.Config {
	switch {
	case s.certificate == nil:
		return nil
	case old != nil && old.certificate == s.certificate:
		return old.tls
	}
	c := s.certificate.TLSConfig()
	if s.cfg.Limits.HTTP2Streams == 0 {
		c.NextProtos = []string{"http/1.1"}
	}
	return c
}

func (s *snapshot) fronts() []authn.Directory {
	list := make([]authn.Directory, len(s.directories))
	for i, d := range s.directories {
		list[i] = d.front
	}
	return list
}

// policy compiles the rules; each knows the line it stands in.
func (l *loaded) policy() *authz.Policy {
	cfg := authz.Config{}
	for i, r := range l.cfg.Policy {
		cfg.Rules = append(cfg.Rules, authz.Rule{Position: l.position(fmt.Sprintf("policy[%d]", i)),
			Allow: r.Allow, Deny: r.Deny, Repositories: r.Repositories, Tags: r.Tags, Networks: r.Networks, To: r.To, Except: r.Except})
	}
	for _, d := range l.cfg.Directories {
		cfg.Directories = append(cfg.Directories, d.Name)
	}
	p, err := authz.New(cfg)
	l.errors("policy", err)
	return p
}

// openDirectories makes the directories, or takes over those of old.
func (l *loaded) openDirectories(s *snapshot, p *parts, old *snapshot) {
	for i := range l.cfg.Directories {
		key := fmt.Sprintf("directories[%d]", i)
		var d *directory
		switch c := &l.cfg.Directories[i]; {
		case c.LDAP != nil:
			d = l.ldapDirectory(key, c, p, old)
		case c.Static != nil:
			d = l.staticDirectory(key, c, p)
		}
		if d != nil {
			d.snapshots.Add(1)
			s.directories = append(s.directories, d)
		}
	}
}

func (l *loaded) staticDirectory(key string, c *directoryConfig, p *parts) *directory {
	cfg, before := authn.StaticConfig{Name: c.Name, Hasher: p.hasher, Metrics: p.metrics}, len(l.faults())
	for i, u := range c.Static {
		user := authn.StaticUser{Username: u.Username, PasswordHash: u.PasswordHash, Groups: u.Groups}
		if u.PasswordFile != "" {
			user.Password = authn.Secret(l.secret(fmt.Sprintf("%s.static[%d].password_file", key, i), u.PasswordFile))
		}
		cfg.Users = append(cfg.Users, user)
	}
	if len(l.faults()) > before { // a missing password would be told twice
		return nil
	}
	static, err := authn.NewStatic(cfg)
	l.errors(key, err)
	if static == nil {
		return nil
	}
	return &directory{name: c.Name, front: static}
}

func (l *loaded) ldapDirectory(key string, c *directoryConfig, p *parts, old *snapshot) *directory {
	key += ".ldap"
	cfg := ldapOptions(c)
	cfg.Metrics, cfg.Logger = p.metrics, p.logger
	before := len(l.faults())
	if c.LDAP.BindPasswordFile != "" {
		cfg.BindPassword = authn.Secret(l.secret(key+".bind_password_file", c.LDAP.BindPasswordFile))
		cfg.ReadBindPassword = l.secretAgain(key+".bind_password_file", c.LDAP.BindPasswordFile)
	}
	roots, pems := l.roots(key, c.LDAP.CAFile, c.LDAP.CADir)
	cfg.Roots = roots
	certificate, pair := l.keyPair(key, c.LDAP.CertFile, c.LDAP.KeyFile)
	cfg.Certificate = certificate
	if len(l.faults()) > before {
		return nil
	}
	print := fingerprint(c, string(cfg.BindPassword), append(pems, pair...))
	if d := old.find(c.Name, print); d != nil {
		return d
	}
	ldap, err := authn.NewLDAP(cfg)
	l.errors(key, err)
	if ldap == nil {
		return nil
	}
	cache, err := authn.NewCache(ldap, authn.CacheConfig{FreshFor: c.LDAP.Cache.FreshFor, StaleFor: c.LDAP.Cache.StaleFor,
		NegativeFor: c.LDAP.Cache.NegativeFor, PasswordFor: c.LDAP.Cache.PasswordFor,
		WrongPasswordFor: c.LDAP.Cache.WrongPasswordFor, Metrics: p.metrics, Logger: p.logger})
	l.errors(key+".cache", err)
	if cache == nil {
		ldap.Close()
		return nil
	}
	if before := old.named(c.Name); before != nil {
		cache.Inherit(before.cache)
	}
	return &directory{name: c.Name, fingerprint: print, front: cache, ldap: ldap, cache: cache}
}

func ldapOptions(c *directoryConfig) authn.LDAPConfig {
	o := c.LDAP
	cfg := authn.LDAPConfig{Name: c.Name, Preset: o.Preset, Servers: o.Servers, StartTLS: o.StartTLS, AllowPlaintext: o.AllowPlaintext,
		ServerName: o.ServerName, BindDN: o.BindDN, Timeout: o.Timeout, CanaryUser: o.CanaryUser, UsersBase: o.Users.Base, UsersFilter: o.Users.Filter,
		UsernameAttribute: o.Users.UsernameAttribute, LoginPattern: o.Users.LoginPattern}
	if g := o.Groups; g != nil {
		cfg.GroupsBase, cfg.GroupsFilter, cfg.GroupsNameAttribute, cfg.GroupsNested = g.Base, g.Filter, g.NameAttribute, g.Nested
		cfg.MemberOfBase = g.MemberOfBase
	}
	return cfg
}

// find is the directory of that name if it was made of the same config and files.
func (s *snapshot) find(name string, print [sha256.Size]byte) *directory {
	if d := s.named(name); d != nil && d.fingerprint == print {
		return d
	}
	return nil
}

// named returns the LDAP directory of that name, or nil.
func (s *snapshot) named(name string) *directory {
	if s == nil {
		return nil
	}
	for _, d := range s.directories {
		if d.cache != nil && d.name == name {
			return d
		}
	}
	return nil
}

// fingerprint is a digest of all that a directory is made of. JSON follows the
// pointers and keeps the parts apart.
func fingerprint(c *directoryConfig, password string, pems []string) [sha256.Size]byte {
	text, err := json.Marshal([]any{c, password, pems})
	if err != nil {
		return [sha256.Size]byte{} // strings, numbers and booleans alone cannot fail
	}
	return sha256.Sum256(text)
}

// roots is the system's trusted certificates and those of a file and a folder; nil
// where neither is given. The texts are for the fingerprint.
func (l *loaded) roots(key, file, folder string) (*x509.CertPool, []string) {
	if file == "" && folder == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	var texts []string
	if file != "" {
		texts = append(texts, l.addRoots(pool, key+".ca_file", file))
	}
	if folder != "" {
		entries, err := os.ReadDir(l.path(folder))
		if err != nil {
			l.content(key+".ca_dir", "%s cannot be read: %v", folder, reason(err))
		}
		for _, e := range entries {
			if name := filepath.Join(folder, e.Name()); !strings.HasPrefix(e.Name(), ".") && !isDir(l.path(name)) {
				texts = append(texts, l.addRoots(pool, key+".ca_dir", name))
			}
		}
	}
	return pool, texts
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// addRoots adds every certificate of a PEM file. One that cannot be read is a
// fault: who put it there relies on it.
func (l *loaded) addRoots(pool *x509.CertPool, key, name string) string {
	text := l.read(key, name)
	if text == nil {
		return ""
	}
	found := 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			l.content(key, "%s holds a certificate that cannot be read: %v", name, err)
			return ""
		}
		pool.AddCert(cert)
		found++
	}
	if found == 0 {
		l.content(key, "%s holds no PEM certificate", name)
	}
	return string(text)
}

// keyring reads the keys; without any, the one made at start goes on.
func (l *loaded) keyring(p *parts) *tokens.Keyring {
	t, before := &l.cfg.Tokens, len(l.faults())
	cfg := tokens.KeyringConfig{Issuer: t.Issuer, Service: t.Service, Lifetime: t.Lifetime, RefreshLifetime: t.RefreshLifetime, Metrics: p.metrics}
	for i, name := range t.KeyFiles {
		key := fmt.Sprintf("tokens.key_files[%d]", i)
		cfg.Keys = append(cfg.Keys, tokens.Key{Name: name, PEM: l.secret(key, name)})
	}
	for _, r := range t.Revoked {
		directory, name := splitPerson(r.User)
		cfg.Revoked = append(cfg.Revoked, tokens.Revocation{ID: r.Token, Directory: directory, Username: name, Before: r.IssuedBefore})
	}
	if len(l.faults()) > before {
		return nil
	}
	if len(t.KeyFiles) == 0 {
		l.warn("tokens.key_files", "none: a key is made at start, so tokens end with the process and no other instance takes them")
		if err := p.makeKey(); err != nil {
			l.fault("tokens.key_files", "no key could be made: %v", err)
			return nil
		}
		cfg.Keys = []tokens.Key{*p.key}
	}
	if l.faultyUnder("tokens.revoked[") { // told already, better than the keyring can
		cfg.Revoked = nil
	}
	k, err := tokens.NewKeyring(cfg)
	l.errors("tokens", err)
	return k
}

func (p *parts) makeKey() error {
	if p.key != nil {
		return nil
	}
	key, err := tokens.GenerateKey()
	if err == nil {
		p.key = &key
	}
	return err
}

// gatewayConfig is the proxy's config, with the files read.
func (l *loaded) gatewayConfig(p *parts) proxy.Config {
	c, u := &l.cfg.Listen, &l.cfg.Upstream
	cfg := proxy.Config{PublicURLs: c.PublicURLs, TrustedProxies: c.TrustedProxies, AllowPlaintext: c.AllowPlaintext, Basic: c.Basic,
		TLS: c.TLS != nil, Service: l.cfg.Tokens.Service, UploadGrace: l.cfg.Tokens.UploadGrace,
		Limits: l.cfg.Limits.edge(), Load: p.load, Metrics: p.metrics, Access: p.access, Audit: p.audit, Logger: p.logger,
		Upstream: proxy.UpstreamConfig{URL: u.URL, Username: u.Username, Timeout: u.Timeout, BlobMount: u.BlobMount, RedirectHosts: u.RedirectHosts}}
	if u.PasswordFile != "" {
		cfg.Upstream.Password = authn.Secret(l.secret("upstream.password_file", u.PasswordFile))
	}
	cfg.Upstream.CAs, _ = l.roots("upstream", u.CAFile, "")
	cfg.Upstream.Certificate, _ = l.keyPair("upstream", u.CertFile, u.KeyFile)
	return cfg
}

// keyPair reads the certificate by which we are known to a server, and its key;
// nil where none is given. The texts are for the fingerprint.
func (l *loaded) keyPair(section, certFile, keyFile string) (*tls.Certificate, []string) {
	if certFile == "" || keyFile == "" {
		return nil, nil
	}
	cert, key := l.read(section+".cert_file", certFile), l.secret(section+".key_file", keyFile)
	if cert == nil || key == nil {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		l.content(section+".cert_file", "%s and %s are no pair: %v", certFile, keyFile, err)
	}
	return &pair, []string{string(cert), string(key)}
}

// certificate is the listener's pair: the old one, looked at anew, where the
// names did not change.
func (l *loaded) certificate(p *parts, old *snapshot) *proxy.Certificate {
	t := l.cfg.Listen.TLS
	if t == nil || t.CertFile == "" || t.KeyFile == "" || l.faulty("listen.tls.min_version") {
		return nil
	}
	cert, key := l.read("listen.tls.cert_file", t.CertFile), l.secret("listen.tls.key_file", t.KeyFile)
	if cert == nil || key == nil {
		return nil
	}
	if old != nil && old.certificate != nil && *old.cfg.Listen.TLS == *t {
		// Only looked at here: what is new is taken when all of the config is.
		if _, err := proxy.NewCertificate(l.path(t.CertFile), l.path(t.KeyFile), string(t.MinVersion), nil); err != nil {
			l.content("listen.tls.cert_file", "%v", err)
		}
		return old.certificate
	}
	c, err := proxy.NewCertificate(l.path(t.CertFile), l.path(t.KeyFile), string(t.MinVersion), p.metrics)
	l.errors("", err)
	return c
}
