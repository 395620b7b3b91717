package listener

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
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
)

// writePair makes a pair for the names in dir, as FILE.crt and FILE.key.
func writePair(t *testing.T, dir, file string, end time.Time, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: file}, NotAfter: end, DNSNames: names}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, file+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600)
	os.WriteFile(filepath.Join(dir, file+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// readPair is what the config's loader makes of two files in dir.
func readPair(dir, file string) Pair {
	path := filepath.Join(dir, file)
	cert := authn.File{Name: file + ".crt", Reread: func() ([]byte, error) { return os.ReadFile(path + ".crt") }}
	key := authn.SecretFile{Name: file + ".key", Reread: func() (authn.Secret, error) {
		text, err := os.ReadFile(path + ".key")
		return authn.Secret(text), err
	}}
	cert.Data, _ = cert.Again() // none is what a missing file holds
	key.Secret, _ = key.Again()
	return Pair{cert, key}
}

// served is the CommonName (the file) of the pair that a client who asks for the name is
// shown in a real handshake; empty: there is no handshake.
func served(t *testing.T, cfg *tls.Config, name string) string {
	t.Helper()
	server, client := net.Pipe()
	defer client.Close()
	go func() {
		tls.Server(server, cfg).Handshake() // what it says the client is told as well
		server.Close()
	}()
	c := tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return ""
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	section := func() *TLS {
		p := readPair(dir, "tls")
		return &TLS{CertFile: p.CertFile, KeyFile: p.KeyFile, MinVersion: tls.VersionTLS13}
	}
	if _, err := NewCertificates(section(), nil); err == nil {
		t.Fatal("a missing pair was taken")
	}
	end := time.Now().Add(time.Hour)
	writePair(t, dir, "tls", end, "One.example")
	cfg := section()
	c, err := NewCertificates(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ends := func(name string, end time.Time) {
		t.Helper()
		if got := c.Ends(); len(got) != 1 || got[name].Unix() != end.Unix() {
			t.Errorf("ends are %v, want %s: %s", got, name, end)
		}
	}
	if cfg.Server(c, true).MinVersion != tls.VersionTLS13 || served(t, cfg.Server(c, true), "") != "tls" {
		t.Fatal("not the pair that was read")
	}
	ends("one.example", end)
	if changed, err := c.Reload(); changed || err != nil {
		t.Fatalf("nothing changed: %v %v", changed, err)
	}
	end = end.Add(time.Hour)
	writePair(t, dir, "tls", end, "two.example")
	if changed, err := c.Reload(); !changed || err != nil {
		t.Fatalf("a new pair: %v %v", changed, err)
	}
	ends("two.example", end)
	os.WriteFile(filepath.Join(dir, "tls.key"), []byte("junk"), 0o600)
	if _, err := c.Reload(); err == nil {
		t.Fatal("a bad pair was taken")
	}
	ends("two.example", end)
}

// TestCertificatesByName: of several pairs the one of the very name is shown, then one
// of a wildcard, then the default pair; without one there is no handshake.
func TestCertificatesByName(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(time.Hour)
	for file, names := range map[string][]string{"wild": {"*.example.com"}, "exact": {"A.example.com", "b.example.com"}, "default": {"c.example.com"}} {
		writePair(t, dir, file, end, names...)
	}
	fallback := readPair(dir, "default")
	cfg := &TLS{Certificates: []Pair{readPair(dir, "wild"), readPair(dir, "exact")}}
	for _, test := range []struct {
		name          string
		with, without string // the default pair
	}{
		{"a.example.com", "exact", "exact"}, {"A.EXAMPLE.com", "exact", "exact"}, {"b.example.com", "exact", "exact"},
		{"c.example.com", "default", "wild"}, {"x.example.com", "wild", "wild"},
		{"example.com", "default", ""}, {"x.y.example.com", "default", ""}, {"other.test", "default", ""}, {"", "default", ""},
	} {
		for want, cfg := range map[string]*TLS{"with " + test.with: {CertFile: fallback.CertFile, KeyFile: fallback.KeyFile, Certificates: cfg.Certificates}, "without " + test.without: cfg} {
			c, err := NewCertificates(cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			how, want, _ := strings.Cut(want, " ")
			if got := served(t, cfg.Server(c, true), test.name); got != want {
				t.Errorf("%q %s a default pair is shown %q, want %q", test.name, how, got, want)
			}
		}
	}
	c, _ := NewCertificates(cfg, nil)
	if got := c.Ends(); len(got) != 2 || got["*.example.com"].IsZero() || got["a.example.com"].IsZero() {
		t.Errorf("ends are %v", got)
	}
	os.WriteFile(filepath.Join(dir, "wild.crt"), nil, 0o600)
	writePair(t, dir, "exact", end, "new.test")
	if changed, err := c.Reload(); !changed || err == nil || !strings.Contains(err.Error(), "wild.crt") {
		t.Errorf("one bad pair, one good one: %v %v", changed, err)
	}
	if served(t, cfg.Server(c, true), "new.test") != "exact" || served(t, cfg.Server(c, true), "x.example.com") != "wild" {
		t.Error("a bad pair held up a good one, or took the place of the old one")
	}
}

// TestCertificateWarnings: a name that no client will find, and one that is served twice.
func TestCertificateWarnings(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(time.Hour)
	writePair(t, dir, "one", end, "a.test", "*.wild.test")
	writePair(t, dir, "two", end, "b.test", "a.test")
	cfg := Config{TLS: &TLS{Certificates: []Pair{readPair(dir, "one"), readPair(dir, "two")}},
		PublicURLs: []string{"https://a.test", "https://x.wild.test:8443", "https://c.test", "http://d.test"}}
	c, err := NewCertificates(cfg.TLS, nil)
	if c == nil || err == nil || !strings.Contains(err.Error(), "certificates[1].cert_file: a.test is a name of one.crt too") {
		t.Errorf("a double name: %v", err)
	}
	if err := cfg.CheckNames(c); err == nil || !strings.HasPrefix(err.Error(), "public_urls[2]: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("names without a certificate: %v", err)
	}
	cfg.TrustedProxies = []string{"10.0.0.0/8"}
	if err := cfg.CheckNames(c); err != nil {
		t.Errorf("behind a proxy: %v", err)
	}
}
