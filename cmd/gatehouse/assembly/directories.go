package assembly

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/authn"
	"gatehouse/authn/certificate"
	"gatehouse/authn/ldap"
	"gatehouse/authn/machine"
	"gatehouse/authn/oidc"
	"gatehouse/cmd/gatehouse/config"
)

// openDirectories makes the directories, or takes over those of old.
func (b *builder) openDirectories(s *Snapshot) {
	for i := range b.cfg.Directories {
		key := fmt.Sprintf("directories[%d]", i)
		var d *Directory
		switch c := &b.cfg.Directories[i]; {
		case c.LDAP != nil:
			d = b.ldapDirectory(key+".ldap", c)
		case c.Static != nil:
			d = b.staticDirectory(key, c)
		case c.Machines != nil:
			d = b.machineDirectory(key, c)
		case c.OIDC != nil:
			d = b.oidcDirectory(key+".oidc", c)
		case c.Certificates != nil:
			d = b.certificateDirectory(key+".certificates", c)
		}
		if d != nil {
			d.snapshots.Add(1)
			s.Directories = append(s.Directories, d)
		}
	}
}

func (b *builder) staticDirectory(key string, c *config.Directory) *Directory {
	static, err := authn.NewStatic(authn.StaticConfig{Name: c.Name, Users: c.Static, Hasher: b.shared.Hasher, Metrics: b.shared.Metrics})
	b.Errors(key, err)
	if static == nil {
		return nil
	}
	return &Directory{Name: c.Name, Lookup: static}
}

// machineDirectory is made again each time, so that what a reload drops is gone at once.
func (b *builder) machineDirectory(key string, c *config.Directory) *Directory {
	machines, err := machine.New(machine.Config{Name: c.Name, Machines: c.Machines})
	b.Errors(key, err)
	if machines == nil {
		return nil
	}
	return &Directory{Name: c.Name, Lookup: machines, Machines: machines}
}

// oidcDirectory is made again each time too; the keys of an issuer go on.
func (b *builder) oidcDirectory(key string, c *config.Directory) *Directory {
	cfg := *c.OIDC
	cfg.Name, cfg.Metrics, cfg.Before = c.Name, b.shared.Metrics, b.old.issuer(c.Name)
	if len(cfg.Audiences) == 0 {
		for _, u := range b.cfg.Listen.PublicURLs {
			cfg.Audiences = append(cfg.Audiences, strings.TrimSuffix(u, "/"))
		}
	}
	d, err := oidc.New(cfg)
	b.Errors(key, err)
	if d == nil {
		return nil
	}
	return &Directory{Name: c.Name, Lookup: d, OIDC: d}
}

// certificateDirectory is made again each time too.
func (b *builder) certificateDirectory(key string, c *config.Directory) *Directory {
	cfg := *c.Certificates
	cfg.Name = c.Name
	if t := b.cfg.Listen.TLS; t != nil && !b.Faulty("listen.tls") {
		cfg.CAs = t.ClientCAFile
	}
	d, err := certificate.New(cfg)
	b.Errors(key, err)
	if d == nil {
		return nil
	}
	return &Directory{Name: c.Name, Lookup: d, Certificate: d}
}

func (b *builder) ldapDirectory(key string, c *config.Directory) *Directory {
	cfg := *c.LDAP
	cfg.Name, cfg.Metrics, cfg.Logger = c.Name, b.shared.Metrics, b.shared.Logger
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
	cached.Metrics, cached.Logger = b.shared.Metrics, b.shared.Logger
	cache, err := authn.NewCache(server, cached)
	b.Errors(key+".cache", err)
	if cache == nil {
		server.Close()
		return nil
	}
	if before := b.old.named(c.Name); before != nil {
		cache.Inherit(before.cache)
	}
	return &Directory{Name: c.Name, fingerprint: print, Lookup: cache, LDAP: server, cache: cache}
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
