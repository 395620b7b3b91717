package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// Config is what a Gateway is made of.
type Config struct {
	ListenConfig
	Upstream upstream.Config

	// Service is the challenge's service, as in the Keyring.
	Service string
	// UploadGrace is how long after its end a token still continues an upload.
	UploadGrace time.Duration

	Limits Limits // zero: DefaultLimits
	Load   *Load  // what is in flight, kept over reloads; nil: a new one

	Keyring *tokens.Keyring
	Granter *tokens.Granter
	Chain   *authn.Chain
	Policy  *authz.Policy

	Metrics *metrics.Metrics
	Access  *slog.Logger // one record a request; nil: none
	Audit   *slog.Logger // see audit.go; nil: none
	Logger  *slog.Logger // all else; nil discards
}

// ListenConfig is the public listener: the section `listen`.
type ListenConfig struct {
	// Address is host:port or :port. Default :5000.
	Address string `yaml:"address"`
	// PublicURLs are the scheme and host by which clients know the gateway, such as
	// https://registry.example.com; another Host gets 421. Default empty: any.
	PublicURLs []string `yaml:"public_urls"`
	// TrustedProxies are CIDRs whose X-Forwarded-* count, read right to left. Default empty.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// AllowPlaintext serves plain HTTP from afar too; without it and without TLS only
	// loopback and trusted proxies are served. Default false.
	AllowPlaintext bool `yaml:"allow_plaintext"`
	// Basic takes Basic credentials under /v2/ too. Default false: they count as no token.
	Basic bool `yaml:"basic"`
	// TLS is the pair that is served. Default none: plain HTTP.
	TLS *ListenTLS `yaml:"tls"`
}

// ListenTLS is the section `listen.tls`.
type ListenTLS struct {
	// CertFile holds the certificate and its chain in PEM. It is read again each minute.
	CertFile authn.File `yaml:"cert_file,required"`
	// KeyFile holds its private key in PEM. It is read again each minute.
	KeyFile authn.SecretFile `yaml:"key_file,required"`
	// MinVersion is the least version of TLS: "1.2" or "1.3". Default "1.2".
	MinVersion TLSVersion `yaml:"min_version"`
}

// Defaults are what the config file may leave out.
func (c *ListenConfig) Defaults() { c.Address = ":5000" }

// Check warns of a listener that serves less, shows more, or believes more than its
// owner may think. Keys are relative to `listen`.
func (c *ListenConfig) Check() error {
	var faults authn.Faults
	everybody := false
	for i, text := range c.TrustedProxies {
		warned, all := checkTrusted(text)
		everybody = everybody || all
		faults.Warn(fmt.Sprintf("trusted_proxies[%d]", i), warned)
	}
	switch {
	case c.TLS != nil || loopback(c.Address):
	case c.AllowPlaintext:
		faults.Warn("allow_plaintext", errors.New("without tls, passwords and tokens cross the network in the clear"))
	case len(c.TrustedProxies) == 0:
		faults.Warn("address", errors.New("without tls, only clients on loopback are served; give listen.tls, or listen.trusted_proxies where a proxy ends TLS"))
	case everybody:
		faults.Warn("address", errors.New("without tls, and with everybody a trusted proxy, passwords and tokens cross the network in the clear"))
	}
	return faults.Err()
}

// checkTrusted looks at one trusted proxy; what is no CIDR newEdge refuses.
func checkTrusted(text string) (warned error, everybody bool) {
	written, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, false
	}
	network, most := written.Masked(), 7
	if network.Addr().Is6() {
		most = 15
	}
	switch {
	case network.Bits() <= most:
		return fmt.Errorf("%s trusts everybody in it to say whose request it is: any of them may pass for any client in rules with networks, throttles and logs. Name your own proxies", network), true
	case written != network:
		return fmt.Errorf("bits are set behind the prefix; all of %s is trusted", network), false
	}
	return nil, false
}

// loopback reports whether a host, or the host of host:port, is this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// under gives the faults of a section, whose keys are relative to it, their whole keys.
func under(section string, err error) error {
	var k *authn.KeyError
	joined, many := err.(interface{ Unwrap() []error })
	switch {
	case many:
		var list []error
		for _, one := range joined.Unwrap() {
			list = append(list, under(section, one))
		}
		return errors.Join(list...)
	case errors.As(err, &k):
		return &authn.KeyError{Key: section + "." + k.Key, Err: k.Err, Warning: k.Warning}
	}
	return err
}
