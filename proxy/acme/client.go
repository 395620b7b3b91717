package acme

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// client orders by certmagic: its storage, its locks and its way of speaking ACME. Its
// cache, its timers and its log are not used, as ours say the same.
type client struct {
	magic  *certmagic.Config
	issuer issuer
}

// issuer asks nobody on a terminal.
type issuer struct{ *certmagic.ACMEIssuer }

// PreCheck is certmagic.PreChecker's.
func (i issuer) PreCheck(ctx context.Context, names []string, _ bool) error {
	return i.ACMEIssuer.PreCheck(ctx, names, false)
}

func newClient(o *Options, s store) *client {
	c := &client{}
	cache := certmagic.NewCache(certmagic.CacheOptions{Logger: zap.NewNop(), RenewCheckInterval: time.Second,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return c.magic, nil }})
	cache.Stop() // it has a goroutine, and nothing is ever in it
	c.magic = certmagic.New(cache, certmagic.Config{Storage: s.FileStorage, Logger: zap.NewNop(), RenewalWindowRatio: 1.0 / 3, DisableARI: true,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}, OnEvent: o.count})
	c.issuer = issuer{certmagic.NewACMEIssuer(c.magic, o.template())}
	c.magic.Issuers = []certmagic.Issuer{c.issuer}
	return c
}

// template is how the server is asked. The ports are those at which the gateway listens
// already: the library finds them taken, and leaves the answer to us.
func (o *Options) template() certmagic.ACMEIssuer {
	cfg := &o.Config
	t := certmagic.ACMEIssuer{CA: cfg.DirectoryURL, Email: cfg.Email, Agreed: cfg.TermsAgreed, TrustedRoots: cfg.roots(), Logger: zap.NewNop(),
		DisableHTTPChallenge: cfg.Challenge != HTTP01, DisableTLSALPNChallenge: cfg.Challenge != TLSALPN01}
	if cfg.EABKid != "" {
		t.ExternalAccount = &acme.EAB{KeyID: cfg.EABKid, MACKey: cfg.eabKey()}
	}
	secure, plain := o.Listening()
	if cfg.Challenge == HTTP01 {
		t.ListenHost, t.AltHTTPPort = split(plain)
	} else {
		t.ListenHost, t.AltTLSALPNPort = split(secure)
	}
	return t
}

func split(address string) (host string, port int) {
	host, text, _ := net.SplitHostPort(address)
	port, _ = strconv.Atoi(text)
	return host, port
}

// count is told what the library does.
func (o *Options) count(_ context.Context, event string, _ map[string]any) error {
	if event == "cert_obtained" {
		o.Metrics.ACMEOrder("ok")
	}
	return nil
}

// order orders or renews once, and does nothing where a replica has done so.
func (c *client) order(ctx context.Context, name string) error {
	if c.stored(ctx, name) {
		return c.magic.RenewCertSync(ctx, name, false)
	}
	return c.magic.ObtainCertSync(ctx, name)
}

func (c *client) stored(ctx context.Context, name string) bool {
	return c.magic.Storage.Exists(ctx, certmagic.StorageKeys.SiteCert(c.issuer.IssuerKey(), name))
}

// Challenge is how a handshake is answered in which the server asks whether a name is
// ours (tls-alpn-01); nil: it is none of those. It asks for no certificate of a client,
// and no request can follow it.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if m == nil || m.options.Config.Challenge != TLSALPN01 || !slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) || !m.Has(hello.ServerName) {
		return nil, nil
	}
	cert, err := m.client().magic.GetCertificate(hello)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: hello.SupportedProtos, Certificates: []tls.Certificate{*cert}}, nil
}

// Answer answers a request by which the server asks whether a name is ours (http-01), or
// reports that it is none of those.
func (m *Manager) Answer(w http.ResponseWriter, r *http.Request) bool {
	if m == nil || m.options.Config.Challenge != HTTP01 || !certmagic.LooksLikeHTTPChallenge(r) || !m.Has(hostOf(r)) {
		return false
	}
	return m.client().issuer.HandleHTTPChallenge(w, r)
}

func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}
