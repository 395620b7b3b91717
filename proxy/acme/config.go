// Package acme orders certificates from an ACME server (RFC 8555), keeps them in a folder
// that replicas may share, and renews them. It answers the server's challenges by what
// the gateway's own listeners ask it, and opens no port.
package acme

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gatehouse/authn"
)

// The challenges.
const (
	TLSALPN01 = "tls-alpn-01" // RFC 8737
	HTTP01    = "http-01"     // RFC 8555, 8.3
)

// Config is the section `listen.tls.acme`.
type Config struct {
	// DirectoryURL is the ACME server's directory, such as
	// https://acme-v02.api.letsencrypt.org/directory.
	DirectoryURL string `yaml:"directory_url,required"`
	// Email is where the ACME server may write to. Default empty: nowhere.
	Email string `yaml:"email"`
	// Names are the DNS names that certificates are ordered for, one certificate a name,
	// where no pair of listen.tls has it. No wildcards.
	Names []string `yaml:"names,needed"`
	// Storage is the folder of the account, the certificates and their keys, made with mode
	// 0700. Replicas may share it: one of them orders, all serve. Default acme.
	Storage string `yaml:"storage,nonempty"`
	// CAFile holds more CAs, in PEM, by which the ACME server is known: those of a private
	// one. Default empty: the system's alone.
	CAFile authn.File `yaml:"ca_file"`
	// Challenge is how it is shown that a name is ours: tls-alpn-01, for which the server
	// connects to port 443 of the name, or http-01, for which it asks port 80 and which
	// needs listen.http_address. Default tls-alpn-01.
	Challenge string `yaml:"challenge" values:"tls-alpn-01 http-01"`
	// TermsAgreed says that you agree to the terms of the ACME server. It must be true;
	// default false.
	TermsAgreed bool `yaml:"terms_agreed"`
	// EABKid is the key id of an external account binding, where the server wants one. Default empty.
	EABKid string `yaml:"eab_kid" with:"eab_key_file"`
	// EABKeyFile holds its key as the server's operator gives it, in base64url.
	EABKeyFile authn.SecretFile `yaml:"eab_key_file" with:"eab_kid"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() { c.Storage, c.Challenge = "acme", TLSALPN01 }

// Check refuses what no certificate could be ordered with. Keys are relative to the section.
func (c *Config) Check() error {
	var faults authn.Faults
	if c.DirectoryURL != "" {
		faults.Add("directory_url", checkURL(c.DirectoryURL))
	}
	if name, host, ok := strings.Cut(c.Email, "@"); c.Email != "" && (!ok || name == "" || !dnsName.MatchString(host) || strings.ContainsFunc(name, unprintable)) {
		faults.Add("email", errors.New("must be one address, such as admin@example.com"))
	}
	c.checkNames(&faults)
	if c.Challenge != TLSALPN01 && c.Challenge != HTTP01 {
		faults.Add("challenge", fmt.Errorf("must be tls-alpn-01 or http-01, not %.20q", c.Challenge))
	}
	if !c.TermsAgreed {
		faults.Add("terms_agreed", errors.New("must be true: no certificate is ordered before you agree to the terms of the ACME server"))
	}
	if c.EABKeyFile.Secret != "" {
		if _, err := base64.RawURLEncoding.DecodeString(c.eabKey()); err != nil {
			faults.Add("eab_key_file", fmt.Errorf("%s holds no key in base64url", c.EABKeyFile.Name))
		}
	}
	if c.CAFile.Data != nil {
		_, err := authn.CertPool(c.CAFile)
		faults.Add("ca_file", err)
	}
	return faults.Err()
}

// eabKey is the key without the padding that some servers show.
func (c *Config) eabKey() string { return strings.TrimRight(string(c.EABKeyFile.Secret), "=") }

func unprintable(c rune) bool { return c <= ' ' || c > '~' }

// checkURL wants HTTPS, but for a server on this machine.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return errors.New("must be the URL of an ACME directory, such as https://acme-v02.api.letsencrypt.org/directory")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if here := u.Hostname() == "localhost" || err == nil && addr.IsLoopback(); u.Scheme != "https" && (u.Scheme != "http" || !here) {
		return errors.New("must begin with https://")
	}
	return nil
}

var dnsName = regexp.MustCompile(`^(?i)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

func (c *Config) checkNames(faults *authn.Faults) {
	if len(c.Names) == 0 {
		faults.Add("names", errors.New("is required: which names shall certificates be ordered for?"))
	}
	for i, name := range c.Names {
		key := fmt.Sprintf("names[%d]", i)
		switch {
		case strings.Contains(name, "*"):
			faults.Add(key, fmt.Errorf("%.100q is a wildcard, which neither challenge can show; name each host, or give a pair with that name in listen.tls.certificates", name))
		case net.ParseIP(name) != nil:
			faults.Add(key, fmt.Errorf("%.100q is an address; clients ask for no certificate of one by name", name))
		case len(name) > 253 || !dnsName.MatchString(name):
			faults.Add(key, fmt.Errorf("%.100q is no DNS name; write one such as registry.example.com, letters outside ASCII in punycode (xn--...)", name))
		case slices.IndexFunc(c.Names, func(other string) bool { return strings.EqualFold(name, other) }) < i:
			faults.Add(key, fmt.Errorf("%.100q stands twice", name))
		}
	}
}

// roots are the CAs by which the server is known; nil: the system's.
func (c *Config) roots() *x509.CertPool {
	pool, _ := authn.Roots(c.CAFile, authn.Folder{}) // an error stood in the report
	return pool
}

// Same reports whether two configs order the same certificates in the same way.
func (c *Config) Same(other *Config) bool {
	return c.DirectoryURL == other.DirectoryURL && c.Email == other.Email && slices.Equal(c.Names, other.Names) &&
		c.Storage == other.Storage && c.Challenge == other.Challenge && string(c.CAFile.Data) == string(other.CAFile.Data) &&
		c.EABKid == other.EABKid && c.EABKeyFile.Secret == other.EABKeyFile.Secret
}
