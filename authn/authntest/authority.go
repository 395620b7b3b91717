package authntest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a CA for clients' certificates.
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

// Client makes a certificate for the names that change sets, which lasts an hour otherwise.
func (a *Authority) Client(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	leaf, key := template(""), newKey(t)
	leaf.NotAfter, leaf.KeyUsage, leaf.ExtKeyUsage = time.Now().Add(time.Hour), x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	change(leaf)
	leaf = a.sign(t, leaf, key.Public())
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// URI makes a certificate with that URI.
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
	var text []byte
	for _, der := range c.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	must(t, os.WriteFile(cert, text, 0o600))
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(t, err)
	writePEM(t, key, "PRIVATE KEY", der)
	return cert, key
}
