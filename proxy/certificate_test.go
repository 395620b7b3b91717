package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/metrics"
)

func writePair(t *testing.T, dir, name string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: end, DNSNames: []string{name}}
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
	writePair(t, dir, "one", time.Now().Add(time.Hour))
	if _, err := NewCertificate(certFile, keyFile, "1.1", nil); err == nil {
		t.Fatal("TLS 1.1 was taken")
	}
	m := metrics.New(metrics.BuildInfo{})
	c, err := NewCertificate(certFile, keyFile, "1.3", m)
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		pair, err := c.TLSConfig().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if want := fmt.Sprintf("gatehouse_tls_certificate_not_after_seconds %g\n", float64(pair.Leaf.NotAfter.Unix())); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is served, and the metrics lack %q", pair.Leaf.Subject.CommonName, want)
		}
		return pair.Leaf.Subject.CommonName
	}
	if c.TLSConfig().MinVersion != tls.VersionTLS13 || served() != "one" {
		t.Fatal("not the pair that was read")
	}
	if changed, err := c.Reload(); changed || err != nil {
		t.Fatalf("nothing changed: %v %v", changed, err)
	}
	writePair(t, dir, "two", time.Now().Add(2*time.Hour))
	if changed, err := c.Reload(); !changed || err != nil || served() != "two" {
		t.Fatalf("a new pair: %v %v %s", changed, err, served())
	}
	os.WriteFile(keyFile, []byte("junk"), 0o600)
	if _, err := c.Reload(); err == nil || served() != "two" {
		t.Fatalf("a bad pair: %v, %s is served", err, served())
	}
}
