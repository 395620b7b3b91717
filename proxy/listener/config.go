// Package listener is the edge of the public listener: who is at the other end of a
// connection and under which name they know us, how many connections may be open, the
// certificates, and the server.
package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"

	"gatehouse/authn"
	"gatehouse/proxy/acme"
)

// Config is the public listener: the section `listen`.
type Config struct {
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
	// HTTPAddress is host:port or :port of a second listener, in plain HTTP, that answers
	// ACME's http-01, leads GET and HEAD to the public URL of their host and refuses all else. It needs tls. Default
	// empty: there is none.
	HTTPAddress string `yaml:"http_address"`
	// ReusePort lets a second gateway of the same user listen at all addresses while the
	// first drains; new connections go to the second. Default false.
	ReusePort bool `yaml:"reuse_port"`
	// ProxyProtocol are CIDRs whose connections, to either address, must begin with a PROXY
	// header, version 1 or 2; the address that it gives is the connection's from then on.
	// Default empty: none.
	ProxyProtocol []string `yaml:"proxy_protocol"`
	// HealthPath is a path, such as /healthz, that answers as /readyz does, before plain
	// HTTP and the Host are judged: for the checks of load balancers. Default empty: none.
	HealthPath string `yaml:"health_path"`
	// TLS says which certificates are served. Default none: plain HTTP.
	TLS *TLS `yaml:"tls"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() { c.Address = ":5000" }

// checkHealthPath refuses a path that is an endpoint of ours, or that no request has.
func checkHealthPath(p string) error {
	if p == "" {
		return nil
	}
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsFunc(p, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`%?#\;`, c) }) {
		return errors.New("must be a plain path such as /healthz")
	}
	for _, ours := range []string{"/v2", "/auth", "/ui"} {
		if p == ours || strings.HasPrefix(p, ours+"/") {
			return fmt.Errorf("must not be under %s, which has endpoints of its own", ours)
		}
	}
	return nil
}

// Check refuses a health_path that cannot be one and an http_address without TLS, and warns of a listener that serves less, shows more, or believes more than its
// owner may think. Keys are relative to `listen`.
func (c *Config) Check() error {
	var faults authn.Faults
	if err := checkHealthPath(c.HealthPath); err != nil {
		faults.Add("health_path", err)
	}
	if c.HTTPAddress != "" && c.TLS == nil {
		faults.Add("http_address", errors.New("needs listen.tls: it leads clients to HTTPS"))
	}
	if c.HTTPAddress == "" && c.TLS != nil && c.TLS.ACME != nil && c.TLS.ACME.Challenge == acme.HTTP01 {
		faults.Add("tls.acme.challenge", errors.New("http-01 needs listen.http_address, which the ACME server asks at port 80 of each name"))
	}
	everybody := false
	for i, text := range c.TrustedProxies {
		warned, all := checkTrusted(text)
		everybody = everybody || all
		faults.Warn(fmt.Sprintf("trusted_proxies[%d]", i), warned)
	}
	for i, text := range c.ProxyProtocol {
		warned, _ := checkTrusted(text)
		faults.Warn(fmt.Sprintf("proxy_protocol[%d]", i), warned)
	}
	if len(c.ProxyProtocol) > 0 && c.TLS == nil && !c.AllowPlaintext {
		faults.Warn("proxy_protocol", errors.New("without tls, the clients that a PROXY header names get 403 unless they are on loopback or trusted proxies; give listen.tls, or allow_plaintext where the proxy ends TLS"))
	}
	switch {
	case c.TLS != nil || Loopback(c.Address):
	case c.AllowPlaintext:
		faults.Warn("allow_plaintext", errors.New("without tls, passwords and tokens cross the network in the clear"))
	case len(c.TrustedProxies) == 0:
		faults.Warn("address", errors.New("without tls, only clients on loopback are served; give listen.tls, or listen.trusted_proxies where a proxy ends TLS"))
	case everybody:
		faults.Warn("address", errors.New("without tls, and with everybody a trusted proxy, passwords and tokens cross the network in the clear"))
	}
	return faults.Err()
}

// checkTrusted looks at one trusted proxy; what is no CIDR NewEdge refuses.
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

// Loopback reports whether a host, or the host of host:port, is this machine.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
