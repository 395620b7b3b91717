package authntest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// WriteCertificates makes a CA and a certificate for 127.0.0.1 and localhost, for
// servers and clients, in dir (ca.crt, server.crt, server.key) and returns the CA's pool.
func WriteCertificates(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	ca := NewAuthority(t, "authntest CA")
	server := ca.Client(t, func(c *x509.Certificate) {
		c.Subject.CommonName, c.NotAfter = "authntest server", ca.Cert.NotAfter
		c.IPAddresses, c.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
		c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	})
	must(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca.PEM(), 0o600))
	writePair(t, filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), server)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	return roots
}

// clientTLS trusts the CA alone, as a client of 127.0.0.1.
func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// Authority is a CA.
type Authority struct {
	// Cert is the CA's own certificate.
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a CA of that name.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{template(name), newKey(t)}
	a.Cert.IsCA, a.Cert.BasicConstraintsValid, a.Cert.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	a.Cert = a.sign(t, a.Cert, a.key.Public())
	return a
}

// Below makes a CA whose certificate is by this one.
func (a *Authority) Below(t testing.TB, name string) *Authority {
	t.Helper()
	b := NewAuthority(t, name)
	b.Cert = a.sign(t, b.Cert, b.key.Public())
	return b
}

// Client makes a certificate for the names that change sets, for clients and of an hour unless
// change says otherwise.
func (a *Authority) Client(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	leaf, key := template(""), newKey(t)
	leaf.NotAfter, leaf.KeyUsage, leaf.ExtKeyUsage = time.Now().Add(time.Hour), x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	change(leaf)
	leaf = a.sign(t, leaf, key.Public())
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// URI makes a client's certificate with these URIs.
func (a *Authority) URI(t testing.TB, uris ...string) tls.Certificate {
	t.Helper()
	return a.Client(t, func(c *x509.Certificate) {
		for _, text := range uris {
			u, err := url.Parse(text)
			must(t, err)
			c.URIs = append(c.URIs, u)
		}
	})
}

func (a *Authority) sign(t testing.TB, c *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.Cert, key, a.key)
	must(t, err)
	made, err := x509.ParseCertificate(der)
	must(t, err)
	return made
}

// PEM is the CA's certificate as a file has it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw})
}

// Revoked is a list of revoked certificates in PEM that ends then; change may alter it.
func (a *Authority) Revoked(t testing.TB, ends time.Time, change func(*x509.RevocationList), list ...*x509.Certificate) []byte {
	t.Helper()
	crl := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Hour - time.Minute), NextUpdate: ends}
	for _, c := range list {
		crl.RevokedCertificateEntries = append(crl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	if change != nil {
		change(crl)
	}
	der, err := x509.CreateRevocationList(rand.Reader, crl, a.Cert, a.key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// WriteClient writes a client's certificate and key into dir, as NAME.cert and NAME.key,
// which is what docker and containers/image want.
func WriteClient(t testing.TB, dir, name string, c tls.Certificate) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, name+".cert"), filepath.Join(dir, name+".key")
	writePair(t, cert, key, c)
	return cert, key
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// writePair writes a certificate, with those that it came with, and its key.
func writePair(t testing.TB, cert, key string, c tls.Certificate) {
	t.Helper()
	var text []byte
	for _, der := range c.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	must(t, os.WriteFile(cert, text, 0o600))
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(t, err)
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
