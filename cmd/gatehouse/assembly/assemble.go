package assembly

import (
	"fmt"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy"
	"gatehouse/proxy/acme"
	"gatehouse/proxy/listener"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// assemble makes a snapshot of a config that was read. It starts, dials and reads nothing.
func assemble(l *config.Loaded, p *Shared, old *Snapshot) *Snapshot {
	s := &Snapshot{Loaded: l, Config: &l.Config}
	s.refs.Store(1)
	if !l.Decoded() {
		return s
	}
	b := builder{l, &l.Config, p, old}
	s.Policy, s.Next = b.policy(), b.next()
	b.openDirectories(s)
	s.Desk = b.desk()
	s.Keyring = b.keyring(s)
	s.Certificates = b.certificates()
	s.TLS = s.listenerTLS(old)
	s.Chain = authn.NewChain(authn.ChainConfig{Directories: s.fronts(), Throttle: p.Throttle, Refusals: p.Refusals, Logger: p.Logger})
	s.Gateway = b.gateway(s)
	return s
}

// builder makes the parts of a snapshot, and adds what is wrong to the report.
type builder struct {
	*config.Loaded
	cfg    *config.Config
	shared *Shared
	old    *Snapshot // nil at the start
}

// policy compiles the rules; each knows the line it stands in.
func (b *builder) policy() *authz.Policy {
	p, err := authz.New(authz.Config{Rules: b.cfg.Policy, Directories: b.cfg.DirectoryNames(), Machines: b.cfg.MachineNames()})
	b.Errors("policy", err)
	return p
}

// next compiles the rules that are tried; nil: none are.
func (b *builder) next() *authz.Policy {
	if len(b.cfg.PolicyNext) == 0 {
		return nil
	}
	p, err := authz.New(authz.Config{Rules: b.cfg.PolicyNext, Directories: b.cfg.DirectoryNames(), Machines: b.cfg.MachineNames()})
	b.Errors("policy_next", err)
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

// desk is what the config lets people do with tokens of their own; nil: nothing.
func (b *builder) desk() *personal.Desk {
	c := b.cfg.PersonalTokens
	makers, err := authz.NewAudience(c.To, b.cfg.DirectoryNames(), b.cfg.MachineNames())
	b.Errors("personal_tokens.to", err)
	bound, err := authz.NewAudience(c.RequiredOf, b.cfg.DirectoryNames(), b.cfg.MachineNames())
	b.Errors("personal_tokens.required_of", err)
	if !c.Enabled {
		return nil
	}
	if makers != nil && bound != nil {
		for _, i := range makers.Misses(bound) {
			b.Warn(fmt.Sprintf("personal_tokens.required_of[%d]", i), "goes beyond personal_tokens.to: who is not of both can neither use a password nor make a token")
		}
	}
	book := b.shared.Personal
	if book == nil {
		book = personal.NewBook(nil, nil)
	}
	return &personal.Desk{Config: c, Book: book, Makers: makers, Bound: bound, Keep: b.cfg.Tokens.Longest()}
}

// admins are the people who see the pages of administration.
func (b *builder) admins() *authz.Audience {
	a, err := authz.NewAudience(b.cfg.UI.Admins, b.cfg.DirectoryNames(), b.cfg.MachineNames())
	b.Errors("ui.admins", err)
	return a
}

// keyring takes the keys; without any, the one made at start goes on.
func (b *builder) keyring(s *Snapshot) *tokens.Keyring {
	if b.Faulty("tokens.key_files") {
		return nil
	}
	cfg := b.cfg.Tokens
	cfg.Metrics, cfg.Revoker = b.shared.Metrics, b.shared.Revoker
	if s.Desk != nil {
		cfg.Personal = s.Desk
	}
	if len(cfg.KeyFiles) == 0 {
		b.Warn("tokens.key_files", "none: a key is made at start, so tokens end with the process and no other instance takes them")
		if err := b.shared.makeKey(); err != nil {
			b.Fault("tokens.key_files", "no key could be made: %v", err)
			return nil
		}
		cfg.KeyFiles = []authn.SecretFile{*b.shared.Key}
	}
	if b.Faulty("tokens.revoked") { // told already, better than the keyring can
		cfg.Revoked = nil
	}
	k, err := tokens.NewKeyring(cfg)
	b.Errors("tokens", err)
	return k
}

// gateway makes the handler of all requests.
func (b *builder) gateway(s *Snapshot) *proxy.Gateway {
	c, p := b.cfg, b.shared
	cfg := proxy.Config{Listen: c.Listen, Upstream: c.Upstream, Upstreams: c.Upstreams, Cache: c.Cache, Limits: c.Limits.Limits,
		Service: c.Tokens.Service, UploadGrace: c.Tokens.UploadGrace, Keyring: s.Keyring, Chain: s.Chain, Policy: s.Policy, Personal: s.Desk, PolicyNext: s.Next,
		Load: p.Load, Healthy: p.Healthy, Answer: s.Certificates.Orders().Answer, Metrics: p.Metrics, Access: p.Access, Audit: p.Audit, AuditAllOf: b.allOf(), Logger: p.Logger}
	if admins := b.admins(); c.UI.Enabled {
		cfg.UI, cfg.UIAdmins, cfg.Version, cfg.UIInside = &c.UI, admins, p.Version, s.inside
		cfg.Revoker, cfg.Shared = p.Revoker, c.Store.Configured()
		cfg.Lasting = c.Tokens.Lasting()
	}
	if s.Keyring != nil && s.Policy != nil {
		cfg.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: s.Keyring, Chain: s.Chain, Policy: s.Policy, Addresses: c.Listen.PublicURLs})
	}
	for _, e := range c.Entries() {
		if e.URL == "" && len(e.URLs) == 0 { // told already
			return nil
		}
	}
	b.Errors("", proxy.CheckHosts(c.Upstreams, c.Listen.PublicURLs))
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
	orders := b.orders(t)
	c, err := listener.NewCertificates(t, orders)
	b.Errors("listen.tls", err)
	if c == nil {
		return nil
	}
	b.Errors("listen", b.cfg.Listen.CheckNames(c))
	if b.old != nil && b.old.Certificates != nil && t.SamePairs(b.old.Config.Listen.TLS) && orders == b.old.Certificates.Orders() {
		return b.old.Certificates
	}
	return c
}

// orders are the certificates that are ordered: those of old where their config did not
// change.
func (b *builder) orders(t *listener.TLS) *acme.Manager {
	if t.ACME == nil {
		return nil
	}
	folder := b.ACMEFolder()
	if b.old != nil && b.old.Certificates.Orders().Same(t.ACME, folder) {
		return b.old.Certificates.Orders()
	}
	return acme.New(acme.Options{Config: *t.ACME, Folder: folder, Listening: b.shared.Listening, Metrics: b.shared.Metrics, Logger: b.shared.Logger})
}
