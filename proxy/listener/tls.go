package listener

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/acme"
)

// TLSVersion is the least version of TLS that is spoken. Its text is 1.2 or 1.3.
type TLSVersion uint16

// UnmarshalText reads the text.
func (v *TLSVersion) UnmarshalText(text []byte) error {
	switch string(text) {
	case "1.2":
		*v = tls.VersionTLS12
	case "1.3":
		*v = tls.VersionTLS13
	default:
		return fmt.Errorf(`must be "1.2" or "1.3", not %.20q`, text)
	}
	return nil
}

// String is the text; the zero value is 1.2 too.
func (v TLSVersion) String() string {
	if v == tls.VersionTLS13 {
		return "1.3"
	}
	return "1.2"
}

// MarshalText writes the text.
func (v TLSVersion) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// TLS is the section `listen.tls`.
type TLS struct {
	// CertFile holds the certificate of the default pair and its chain in PEM; it is read
	// again each minute. Required, unless there are certificates or acme.
	CertFile authn.File `yaml:"cert_file"`
	// KeyFile holds its private key in PEM; it is read again each minute. Required with cert_file.
	KeyFile authn.SecretFile `yaml:"key_file"`
	// Certificates are more pairs, chosen by the names of their certificates, exact before
	// wildcard; the default pair is for all other names. Default empty.
	Certificates []Pair `yaml:"certificates"`
	// ACME orders certificates for names that no pair has, and renews them when a third of
	// their life is left. Default: none are ordered.
	ACME *acme.Config `yaml:"acme"`
	// MinVersion is the least version of TLS: "1.2" or "1.3". Default "1.2".
	MinVersion TLSVersion `yaml:"min_version" values:"1.2 1.3"`
	// ClientCAFile holds the CAs of clients' certificates in PEM: one is asked for, and
	// one that does not verify ends the handshake. Default empty: none is asked for.
	ClientCAFile authn.File `yaml:"client_ca_file"`
	// ClientRequired ends the handshake of clients without a certificate, on the health
	// path too. It needs client_ca_file. Default false.
	ClientRequired bool `yaml:"client_required"`
	// HSTS is how long browsers shall ask for HTTPS alone: Strict-Transport-Security on
	// every answer over TLS, in whole seconds. Default 0s: not said.
	HSTS time.Duration `yaml:"hsts"`
}

// Pair is one of `listen.tls.certificates`.
type Pair struct {
	// CertFile holds the certificate and its chain in PEM. It is read again each minute.
	CertFile authn.File `yaml:"cert_file,required"`
	// KeyFile holds its private key in PEM. It is read again each minute.
	KeyFile authn.SecretFile `yaml:"key_file,required"`
}

// Defaults are what the config file may leave out.
func (t *TLS) Defaults() { t.MinVersion = tls.VersionTLS12 }

// Check refuses half a default pair, none where nothing takes its place, CAs of clients
// that cannot be read, and times that no header can say. Keys are relative to `listen.tls`.
func (t *TLS) Check() error {
	var faults authn.Faults
	half := t.CertFile.Name != "" || t.KeyFile.Name != ""
	none := len(t.Certificates) == 0 && t.ACME == nil
	if t.CertFile.Name == "" && (half || none) {
		faults.Add("cert_file", errors.New("is required"))
	}
	if t.KeyFile.Name == "" && (half || none) {
		faults.Add("key_file", errors.New("is required"))
	}
	switch {
	case t.ClientCAFile.Data != nil:
		_, err := authn.CertPool(t.ClientCAFile)
		faults.Add("client_ca_file", err)
	case t.ClientRequired && t.ClientCAFile.Name == "":
		faults.Add("client_required", errors.New("needs client_ca_file beside it: without it no certificate could be verified"))
	}
	if t.HSTS%time.Second != 0 || t.HSTS > maxHSTS {
		faults.Add("hsts", fmt.Errorf("must be whole seconds, %s at most, such as 8760h, not %s", maxHSTS, t.HSTS))
	}
	return faults.Err()
}

const maxHSTS = 10 * 365 * 24 * time.Hour

// StrictTransport is the value of Strict-Transport-Security (RFC 6797); empty: none.
func (t *TLS) StrictTransport() string {
	if t == nil || t.HSTS <= 0 {
		return ""
	}
	return fmt.Sprintf("max-age=%d", t.HSTS/time.Second)
}

// SamePairs reports whether two configs name the same files, in the same order.
func (t *TLS) SamePairs(other *TLS) bool {
	if len(t.Certificates) != len(other.Certificates) {
		return false
	}
	for i, p := range t.Certificates {
		if !p.same(other.Certificates[i]) {
			return false
		}
	}
	return Pair{t.CertFile, t.KeyFile}.same(Pair{other.CertFile, other.KeyFile})
}

func (p Pair) same(other Pair) bool {
	return p.CertFile.Name == other.CertFile.Name && p.KeyFile.Name == other.KeyFile.Name
}

// SameHandshakes reports whether two configs ask the same of clients.
func (t *TLS) SameHandshakes(other *TLS) bool {
	return t.MinVersion == other.MinVersion && t.ClientRequired == other.ClientRequired && bytes.Equal(t.ClientCAFile.Data, other.ClientCAFile.Data)
}

// Server is for the listener: HTTP/2 (unless it is off) and HTTP/1.1, no renegotiation,
// always the pairs that are current, and clients' certificates. Where what is asked of
// clients changes, another Server is needed: old sessions do not resume with it.
func (t *TLS) Server(c *Certificates, http2 bool) *tls.Config {
	cfg := &tls.Config{MinVersion: uint16(t.MinVersion), NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.choose,
		GetConfigForClient: c.orders.Challenge}
	if !http2 {
		cfg.NextProtos = cfg.NextProtos[1:]
	}
	if t.ClientCAFile.Name != "" {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
		cfg.ClientCAs, _ = authn.CertPool(t.ClientCAFile) // an error stood in the report; what was read is all that verifies
	}
	if t.ClientRequired {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg
}
