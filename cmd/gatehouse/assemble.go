package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"

	"gatehouse/authn"
	"gatehouse/authn/ldap"
	"gatehouse/authn/machine"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/metrics"
	"gatehouse/proxy"
	"gatehouse/proxy/listener"
	"gatehouse/tokens"
)

// lasting is what outlives a reload: everything in it is shared by all snapshots.
type lasting struct {
	metrics  *metrics.Metrics
	throttle *authn.Throttle
	refusals *authn.RefusalTime
	hasher   *authn.Hasher
	load     *proxy.Load                // what is in flight
	key      *authn.SecretFile          // made at start where the config names none
	healthy  func(context.Context) bool // see proxy.Config
	access   *slog.Logger
	audit    *slog.Logger
	logger   *slog.Logger
}

// prepare reads a config and makes a snapshot of it; what is wrong stands in the
// snapshot's loaded, and the snapshot is complete only where that has no fault. serve,
// a reload, check and explain all begin so. Nothing but files is touched. Directories
// of old that did not change are taken over. The caller owns one reference.
func prepare(path string, p *lasting, old *snapshot) *snapshot {
	l := config.Load(path)
	if old != nil && l.Decoded() {
		refuseMoves(l, old.cfg)
	}
	return assemble(l, p, old)
}

// refuseMoves keeps the listeners where they are, and what holds for all of their
// connections: a service manager or a load balancer relies on that, and only a
// restart can do it whole. Each key that moves is named.
func refuseMoves(l *config.Loaded, old *config.Config) {
	now := &l.Config
	for _, key := range []struct {
		name        string
		before, now any
	}{
		{"listen.address", old.Listen.Address, now.Listen.Address},
		{"listen.http_address", old.Listen.HTTPAddress, now.Listen.HTTPAddress},
		{"listen.reuse_port", old.Listen.ReusePort, now.Listen.ReusePort},
		{"admin.address", old.Admin.Address, now.Admin.Address},
		{"limits.header_timeout", old.Limits.HeaderTimeout, now.Limits.HeaderTimeout},
		{"limits.http2_streams", old.Limits.HTTP2Streams, now.Limits.HTTP2Streams},
		{"limits.header_bytes", old.Limits.HeaderBytes, now.Limits.HeaderBytes},
	} {
		if key.now != key.before {
			l.Fault(key.name, "cannot change from %q to %q while the gateway runs; restart it", fmt.Sprint(key.before), config.Clip(fmt.Sprint(key.now)))
		}
	}
}

// assemble makes a snapshot of a config that was read. It starts, dials and reads nothing.
func assemble(l *config.Loaded, p *lasting, old *snapshot) *snapshot {
	s := &snapshot{loaded: l, cfg: &l.Config}
	s.refs.Store(1)
	if !l.Decoded() {
		return s
	}
	b := builder{l, &l.Config, p, old}
	s.policy = b.policy()
	b.openDirectories(s)
	s.keyring = b.keyring()
	s.certificates = b.certificates()
	s.tls = s.listenerTLS(old)
	s.chain = authn.NewChain(authn.ChainConfig{Directories: s.fronts(), Throttle: p.throttle, Refusals: p.refusals, Logger: p.logger})
	s.gateway = b.gateway(s)
	return s
}

// builder makes the parts of a snapshot, and adds what is wrong to the report.
type builder struct {
	*config.Loaded
	cfg     *config.Config
	lasting *lasting
	old     *snapshot // nil at the start
}

// policy compiles the rules; each knows the line it stands in.
func (b *builder) policy() *authz.Policy {
	p, err := authz.New(authz.Config{Rules: b.cfg.Policy, Directories: b.cfg.DirectoryNames(), Machines: b.cfg.MachineNames()})
	b.Errors("policy", err)
	return p
}

// allOf are the people whose every request the audit stream has.
func (b *builder) allOf() *authz.Audience {
	a, err := authz.NewAudience(b.cfg.Audit.AllOf, b.cfg.DirectoryNames(), b.cfg.MachineNames())
	b.Errors("audit.all_of", err)
	if len(b.cfg.Audit.AllOf) > 0 && b.cfg.Audit.File == "" {
		b.Warn("audit.all_of", "audit.file is not given, so nothing is recorded")
	}
	return a
}

// openDirectories makes the directories, or takes over those of old.
func (b *builder) openDirectories(s *snapshot) {
	for i := range b.cfg.Directories {
		key := fmt.Sprintf("directories[%d]", i)
		var d *directory
		switch c := &b.cfg.Directories[i]; {
		case c.LDAP != nil:
			d = b.ldapDirectory(key+".ldap", c)
		case c.Static != nil:
			d = b.staticDirectory(key, c)
		case c.Machines != nil:
			d = b.machineDirectory(key, c)
		}
		if d != nil {
			d.snapshots.Add(1)
			s.directories = append(s.directories, d)
		}
	}
}

func (b *builder) staticDirectory(key string, c *config.Directory) *directory {
	static, err := authn.NewStatic(authn.StaticConfig{Name: c.Name, Users: c.Static, Hasher: b.lasting.hasher, Metrics: b.lasting.metrics})
	b.Errors(key, err)
	if static == nil {
		return nil
	}
	return &directory{name: c.Name, lookup: static}
}

// machineDirectory is made again each time, so that what a reload drops is gone at once.
func (b *builder) machineDirectory(key string, c *config.Directory) *directory {
	machines, err := machine.New(machine.Config{Name: c.Name, Machines: c.Machines})
	b.Errors(key, err)
	if machines == nil {
		return nil
	}
	return &directory{name: c.Name, lookup: machines, machines: machines}
}

func (b *builder) ldapDirectory(key string, c *config.Directory) *directory {
	cfg := *c.LDAP
	cfg.Name, cfg.Metrics, cfg.Logger = c.Name, b.lasting.metrics, b.lasting.logger
	print := fingerprint(c)
	if d := b.old.find(c.Name, print); d != nil {
		return d
	}
	server, err := ldap.New(cfg)
	b.Errors(key, err)
	if server == nil {
		return nil
	}
	cached := c.LDAP.Cache
	cached.Metrics, cached.Logger = b.lasting.metrics, b.lasting.logger
	cache, err := authn.NewCache(server, cached)
	b.Errors(key+".cache", err)
	if cache == nil {
		server.Close()
		return nil
	}
	if before := b.old.named(c.Name); before != nil {
		cache.Inherit(before.cache)
	}
	return &directory{name: c.Name, fingerprint: print, lookup: cache, ldap: server, cache: cache}
}

// fingerprint is a digest of all that a directory is made of, what its files hold
// included. JSON follows the pointers and keeps the parts apart.
func fingerprint(c *config.Directory) [sha256.Size]byte {
	text, err := json.Marshal([]any{c, string(c.LDAP.BindPasswordFile.Secret), string(c.LDAP.KeyFile.Secret)})
	if err != nil {
		return [sha256.Size]byte{} // texts, numbers and truths alone cannot fail
	}
	return sha256.Sum256(text)
}

// keyring takes the keys; without any, the one made at start goes on.
func (b *builder) keyring() *tokens.Keyring {
	if b.Faulty("tokens.key_files") {
		return nil
	}
	cfg := b.cfg.Tokens
	cfg.Metrics = b.lasting.metrics
	if len(cfg.KeyFiles) == 0 {
		b.Warn("tokens.key_files", "none: a key is made at start, so tokens end with the process and no other instance takes them")
		if err := b.lasting.makeKey(); err != nil {
			b.Fault("tokens.key_files", "no key could be made: %v", err)
			return nil
		}
		cfg.KeyFiles = []authn.SecretFile{*b.lasting.key}
	}
	if b.Faulty("tokens.revoked") { // told already, better than the keyring can
		cfg.Revoked = nil
	}
	k, err := tokens.NewKeyring(cfg)
	b.Errors("tokens", err)
	return k
}

func (p *lasting) makeKey() error {
	if p.key != nil {
		return nil
	}
	key, err := tokens.GenerateKey()
	if err == nil {
		p.key = &key
	}
	return err
}

// gateway makes the handler of all requests.
func (b *builder) gateway(s *snapshot) *proxy.Gateway {
	c, p := b.cfg, b.lasting
	cfg := proxy.Config{Listen: c.Listen, Upstream: c.Upstream, Upstreams: c.Upstreams, Cache: c.Cache, Limits: c.Limits.Limits,
		Service: c.Tokens.Service, UploadGrace: c.Tokens.UploadGrace, Keyring: s.keyring, Chain: s.chain, Policy: s.policy,
		Load: p.load, Healthy: p.healthy, Metrics: p.metrics, Access: p.access, Audit: p.audit, AuditAllOf: b.allOf(), Logger: p.logger}
	if s.keyring != nil && s.policy != nil {
		cfg.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: s.keyring, Chain: s.chain, Policy: s.policy})
	}
	for _, e := range c.Entries() {
		if e.URL == "" && len(e.URLs) == 0 { // told already
			return nil
		}
	}
	g, err := proxy.New(cfg)
	b.Errors("", err)
	return g
}

// certificates are the listener's pairs: the old ones, which look at their files again
// when the config is taken, where the files' names did not change.
func (b *builder) certificates() *listener.Certificates {
	t := b.cfg.Listen.TLS
	if t == nil || b.Faulty("listen.tls") {
		return nil
	}
	c, err := listener.NewCertificates(t)
	b.Errors("listen.tls", err)
	if c == nil {
		return nil
	}
	b.Errors("listen", b.cfg.Listen.CheckNames(c))
	if b.old != nil && b.old.certificates != nil && t.SamePairs(b.old.cfg.Listen.TLS) {
		return b.old.certificates
	}
	return c
}
