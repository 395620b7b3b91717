package listener

import (
	"crypto/tls"
	"errors"
	"fmt"

	"gatehouse/authn"
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
	// again each minute. Required, unless there are certificates.
	CertFile authn.File `yaml:"cert_file"`
	// KeyFile holds its private key in PEM; it is read again each minute. Required with cert_file.
	KeyFile authn.SecretFile `yaml:"key_file"`
	// Certificates are more pairs, chosen by the names of their certificates, exact before
	// wildcard; the default pair is for all other names. Default empty.
	Certificates []Pair `yaml:"certificates"`
	// MinVersion is the least version of TLS: "1.2" or "1.3". Default "1.2".
	MinVersion TLSVersion `yaml:"min_version" values:"1.2 1.3"`
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

// Check refuses half a default pair, and none where nothing takes its place. Keys are
// relative to `listen.tls`.
func (t *TLS) Check() error {
	var faults authn.Faults
	half := t.CertFile.Name != "" || t.KeyFile.Name != ""
	if t.CertFile.Name == "" && (half || len(t.Certificates) == 0) {
		faults.Add("cert_file", errors.New("is required"))
	}
	if t.KeyFile.Name == "" && (half || len(t.Certificates) == 0) {
		faults.Add("key_file", errors.New("is required"))
	}
	return faults.Err()
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

// Server is for the listener: HTTP/2 (unless it is off) and HTTP/1.1, no
// renegotiation, and always the pairs that are current.
func (t *TLS) Server(c *Certificates, http2 bool) *tls.Config {
	cfg := &tls.Config{MinVersion: uint16(t.MinVersion), NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.choose}
	if !http2 {
		cfg.NextProtos = cfg.NextProtos[1:]
	}
	return cfg
}
