package oidc

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/workload"
	"gatehouse/metrics"
)

// Config is the section `oidc` of a directory.
type Config struct {
	// Issuer is whose ID tokens are taken, exactly as their iss has it: an https URL, or
	// http on loopback.
	Issuer string `yaml:"issuer,required"`
	// Audiences are who a token may be for: each aud of it must be one of these. Default:
	// listen.public_urls.
	Audiences []string `yaml:"audiences"`
	// CAFile holds trusted roots (PEM) beside the system's. Default: none.
	CAFile authn.File `yaml:"ca_file"`
	// JWKSFile holds the issuer's keys (RFC 7517); the issuer is then never asked. Default: none.
	JWKSFile authn.File `yaml:"jwks_file"`
	// Algorithms are those that a token may be signed by. Default RS256 and ES256.
	Algorithms []string `yaml:"algorithms" values:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA"`
	// MaxLifetime is how long a token may last, from its iat to its exp. Default 1h.
	MaxLifetime time.Duration `yaml:"max_lifetime" min:"1m" max:"24h"`
	// Session is how long after its iat a token's refresh token lasts, and what is issued
	// for it ends then, or with the token, whichever is later. 0s: it has no refresh
	// token, and all ends with it. Default 1h.
	Session time.Duration `yaml:"session" min:"0s" max:"24h"`
	// KeysStaleFor is how long keys go on while the issuer is at fault. Default 24h.
	KeysStaleFor time.Duration `yaml:"keys_stale_for" min:"0s"`
	// Timeout is for one question to the issuer in all. Default 5s.
	Timeout time.Duration `yaml:"timeout" min:"100ms" max:"1m"`
	// Workloads say which machine a token is of: the first whose match holds.
	Workloads []workload.Workload `yaml:"workloads,needed"`

	// Name is the directory's name in the config.
	Name string `yaml:"-"`
	// Metrics count questions to the issuer; nil: nothing does.
	Metrics *metrics.Metrics `yaml:"-"`
	// Before is the directory of an earlier config, whose keys go on where they are of the
	// same issuer; nil: none.
	Before *Directory `yaml:"-"`
	// Now is the clock; nil: time.Now.
	Now func() time.Time `yaml:"-"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.MaxLifetime, c.Session, c.KeysStaleFor, c.Timeout = time.Hour, time.Hour, 24*time.Hour, 5*time.Second
}

var (
	algorithms        = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"}
	defaultAlgorithms = []string{"RS256", "ES256"}
)

// builder checks a Config.
type builder struct {
	authn.Faults
	cfg *Config
}

// check finds what is wrong outside of the workloads, and gives the roots that the issuer
// is known by; nil: the system's.
func (b *builder) check() *x509.CertPool {
	c := b.cfg
	if c.Issuer != "" {
		b.Add("issuer", checkURL(c.Issuer))
	}
	if len(c.Audiences) == 0 {
		b.Add("audiences", errors.New("required where listen.public_urls is empty: a token for somebody else must not count here"))
	}
	for i, a := range c.Audiences {
		if strings.TrimSpace(a) != a || a == "" {
			b.Add(fmt.Sprintf("audiences[%d]", i), fmt.Errorf("%.100q is no audience: blanks around it, or nothing", a))
		}
	}
	for i, a := range c.Algorithms {
		at := fmt.Sprintf("algorithms[%d]", i)
		switch {
		case !slices.Contains(algorithms, a):
			b.Add(at, fmt.Errorf("%.100q is none of %s", a, strings.Join(algorithms, ", ")))
		case slices.Contains(c.Algorithms[:i], a):
			b.Add(at, fmt.Errorf("%s stands twice", a))
		}
	}
	if c.JWKSFile.Name != "" && c.CAFile.Name != "" {
		b.Warn("ca_file", errors.New("is not used: with jwks_file the issuer is never asked"))
	}
	roots, err := authn.Roots(c.CAFile, authn.Folder{})
	b.Join(err)
	return roots
}

// checkURL wants an address of an issuer (OpenID Connect Discovery 1.0, section 2): https,
// or http on loopback.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%.200q is no URL such as https://issuer.example.com", text)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return fmt.Errorf("%.200q has more than scheme, host, port and path", text)
	case u.Scheme == "http" && onLoopback(u.Hostname()), u.Scheme == "https":
		return nil
	}
	return fmt.Errorf("%.200q: must be https; http is for loopback alone, since who answers there says which tokens are good", text)
}

func onLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
