package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// keyPair is a certificate for 127.0.0.1 by an authority made for the test.
// CADir is a folder as skopeo and docker want it, with ca.crt inside.
type keyPair struct {
	Cert, Key, CADir string
	roots            *x509.CertPool
}

func (k *keyPair) trust() *tls.Config { return &tls.Config{RootCAs: k.roots} }

// authority is the file of the authority's certificate.
func (k *keyPair) authority() string { return filepath.Join(k.CADir, "ca.crt") }

func newKeyPair(t *testing.T) *keyPair {
	t.Helper()
	dir := t.TempDir()
	k := &keyPair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CADir: t.TempDir(), roots: x509.NewCertPool()}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, caDER := sign(t, ca, ca, nil)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "gatehouse"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	leafKey, leafDER := sign(t, leaf, ca, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	k.roots.AppendCertsFromPEM(caPEM)
	write(t, k.authority(), string(caPEM))
	write(t, k.Cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})))
	write(t, k.Key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return k
}

// sign makes a key and its certificate; without a signer it signs itself.
func sign(t *testing.T, c, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}
