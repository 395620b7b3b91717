package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func writePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600)
	os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, err := NewCertificate(certFile, keyFile, "", nil); err == nil {
		t.Fatal("a missing pair was taken")
	}
	writePair(t, dir, "one")
	if _, err := NewCertificate(certFile, keyFile, "1.1", nil); err == nil {
		t.Fatal("TLS 1.1 was taken")
	}
	c, err := NewCertificate(certFile, keyFile, "1.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		pair, err := c.TLSConfig().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.Subject.CommonName
	}
	if c.TLSConfig().MinVersion != tls.VersionTLS13 || served() != "one" {
		t.Fatal("not the pair that was read")
	}
	if changed, err := c.Reload(); changed || err != nil {
		t.Fatalf("nothing changed: %v %v", changed, err)
	}
	writePair(t, dir, "two")
	if changed, err := c.Reload(); !changed || err != nil || served() != "two" {
		t.Fatalf("a new pair: %v %v %s", changed, err, served())
	}
	os.WriteFile(keyFile, []byte("junk"), 0o600)
	if _, err := c.Reload(); err == nil || served() != "two" {
		t.Fatalf("a bad pair: %v, %s is served", err, served())
	}
}
