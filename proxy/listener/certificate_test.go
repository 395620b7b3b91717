package listener

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

	"gatehouse/authn"
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

// readPair is what the config's loader makes of the two files in dir.
func readPair(dir string) (authn.File, authn.SecretFile) {
	cert := authn.File{Name: "tls.crt", Reread: func() ([]byte, error) { return os.ReadFile(filepath.Join(dir, "tls.crt")) }}
	key := authn.SecretFile{Name: "tls.key", Reread: func() (authn.Secret, error) {
		text, err := os.ReadFile(filepath.Join(dir, "tls.key"))
		return authn.Secret(text), err
	}}
	cert.Data, _ = cert.Again() // none is what a missing file holds
	key.Secret, _ = key.Again()
	return cert, key
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := readPair(dir)
	if _, err := NewCertificate(cert, key, 0); err == nil {
		t.Fatal("a missing pair was taken")
	}
	writePair(t, dir, "one", time.Now().Add(time.Hour))
	cert, key = readPair(dir)
	m := metrics.New(metrics.BuildInfo{})
	c, err := NewCertificate(cert, key, tls.VersionTLS13)
	if err != nil {
		t.Fatal(err)
	}
	c.Serve(m)
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
	os.WriteFile(filepath.Join(dir, "tls.key"), []byte("junk"), 0o600)
	if _, err := c.Reload(); err == nil || served() != "two" {
		t.Fatalf("a bad pair: %v, %s is served", err, served())
	}
}
