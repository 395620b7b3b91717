package listener

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
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

// Certificate is the key pair that the listener serves, read again when the
// files' content changes. A bad new pair never replaces a good old one. It is safe
// for concurrent use.
type Certificate struct {
	cert       authn.File
	key        authn.SecretFile
	minVersion TLSVersion
	metrics    *metrics.Metrics // nil until it is served

	mu   sync.RWMutex
	pair *tls.Certificate
	sum  [sha256.Size]byte
}

// NewCertificate takes the pair as it was read. Its error is an *authn.KeyError
// relative to `listen.tls`.
func NewCertificate(cert authn.File, key authn.SecretFile, minVersion TLSVersion) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, minVersion: minVersion}
	if _, err := c.use(cert.Data, key.Secret); err != nil {
		return nil, &authn.KeyError{Key: "cert_file", Err: err}
	}
	return c, nil
}

// Serve makes the metrics tell the end of the pair, from now on: before, it is one
// of a config that might be refused. It comes before the first Reload.
func (c *Certificate) Serve(m *metrics.Metrics) {
	c.metrics = m
	m.CertificateNotAfter(c.NotAfter())
}

// Reload looks at the files again. It compares content, not times, because a
// Kubernetes volume swaps symbolic links. On an error the old pair stays.
func (c *Certificate) Reload() (changed bool, err error) {
	cert, err := c.cert.Again()
	if err != nil {
		return false, err
	}
	key, err := c.key.Again()
	if err != nil {
		return false, err
	}
	return c.use(cert, key)
}

// use makes the texts the current pair, unless they are already.
func (c *Certificate) use(cert []byte, key authn.Secret) (changed bool, err error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(cert), cert, string(key)))
	c.mu.RLock()
	same := c.pair != nil && sum == c.sum
	c.mu.RUnlock()
	if same {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, []byte(key))
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", c.cert.Name, c.key.Name, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return false, fmt.Errorf("%s: %w", c.cert.Name, err)
		}
	}
	c.mu.Lock()
	c.pair, c.sum = &pair, sum
	c.mu.Unlock()
	c.metrics.CertificateNotAfter(pair.Leaf.NotAfter)
	return true, nil
}

// NotAfter is the end of the pair that is served now.
func (c *Certificate) NotAfter() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.pair.Leaf.NotAfter
}

// TLSConfig is for the listener: HTTP/2 and HTTP/1.1, no renegotiation, and
// always the pair that is current.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: uint16(c.minVersion),
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.RLock()
			defer c.mu.RUnlock()
			return c.pair, nil
		},
	}
}
