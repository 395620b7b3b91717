package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Certificate is the key pair that the listener serves, read anew when the
// files' content changes. A bad new pair never replaces a good old one. It is safe
// for concurrent use.
type Certificate struct {
	certFile, keyFile string
	minVersion        uint16
	metrics           *metrics.Metrics

	mu   sync.RWMutex
	pair *tls.Certificate
	sum  [sha256.Size]byte
}

// NewCertificate reads the pair. minVersion is "1.2" (also for "") or "1.3". Errors
// are *authn.KeyError values with the keys listen.tls.cert_file and so on.
func NewCertificate(certFile, keyFile, minVersion string, m *metrics.Metrics) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, metrics: m, minVersion: tls.VersionTLS12}
	switch minVersion {
	case "", "1.2":
	case "1.3":
		c.minVersion = tls.VersionTLS13
	default:
		return nil, &authn.KeyError{Key: "listen.tls.min_version", Err: errors.New(`must be "1.2" or "1.3"`)}
	}
	if _, err := c.Reload(); err != nil {
		return nil, &authn.KeyError{Key: "listen.tls.cert_file", Err: err}
	}
	return c, nil
}

// Reload looks at the files again. It compares content, not times, because a
// Kubernetes volume swaps symbolic links. On an error the old pair stays.
func (c *Certificate) Reload() (changed bool, err error) {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, err
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(cert), cert, key))
	c.mu.RLock()
	same := c.pair != nil && sum == c.sum
	c.mu.RUnlock()
	if same {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return false, fmt.Errorf("%s: %w", c.certFile, err)
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
		MinVersion: c.minVersion,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.RLock()
			defer c.mu.RUnlock()
			return c.pair, nil
		},
	}
}
