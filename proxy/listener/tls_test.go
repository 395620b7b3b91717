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
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
)

// authority makes a CA, and a client's certificate by it.
func authority(t *testing.T) (ca authn.File, client tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return authn.File{Name: "ca.pem", Data: text}, tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}

// TestClientCertificates: one that verifies passes, one that does not never does, and
// none passes unless one is required.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "tls", time.Now().Add(time.Hour), "a.test")
	ca, good := authority(t)
	_, foreign := authority(t)
	for _, test := range []struct {
		name     string
		required bool
		client   []tls.Certificate
		want     bool
	}{
		{"none", false, nil, true}, {"none, required", true, nil, false},
		{"good", false, []tls.Certificate{good}, true}, {"good, required", true, []tls.Certificate{good}, true},
		{"foreign", false, []tls.Certificate{foreign}, false}, {"foreign, required", true, []tls.Certificate{foreign}, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := &TLS{Certificates: []Pair{readPair(dir, "tls")}, ClientCAFile: ca, ClientRequired: test.required}
			if err := cfg.Check(); err != nil {
				t.Fatal(err)
			}
			c, err := NewCertificates(cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			server, client := net.Pipe()
			go func() {
				defer client.Close()
				tc := tls.Client(client, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, MaxVersion: version,
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						return &append(test.client, tls.Certificate{})[0], nil
					}})
				if tc.Handshake() == nil {
					tc.Read(make([]byte, 1)) // over TLS 1.3 the refusal comes here
				}
			}()
			if err := tls.Server(server, cfg.Server(c, true)).Handshake(); (err == nil) != test.want {
				t.Errorf("%s, TLS %x: %v", test.name, version, err)
			}
			server.Close()
		}
	}
}

// TestTLSCheck: what contradicts itself is told by its key.
func TestTLSCheck(t *testing.T) {
	ca, _ := authority(t)
	pair := TLS{CertFile: authn.File{Name: "c"}, KeyFile: authn.SecretFile{Name: "k"}}
	for want, change := range map[string]func(*TLS){
		"":                             func(c *TLS) { c.ClientCAFile, c.ClientRequired, c.HSTS = ca, true, time.Hour },
		"client_required: needs":       func(c *TLS) { c.ClientRequired = true },
		"client_ca_file: ca.pem holds": func(c *TLS) { c.ClientCAFile = authn.File{Name: "ca.pem", Data: []byte("junk")} },
		"client_ca_file: broken holds": func(c *TLS) {
			c.ClientCAFile = authn.File{Name: "broken", Data: append(ca.Data, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...)}
		},
		"hsts: must be whole seconds": func(c *TLS) { c.HSTS = 1500 * time.Millisecond },
		"hsts: must be":               func(c *TLS) { c.HSTS = 20 * maxHSTS },
		"cert_file: is required":      func(c *TLS) { c.CertFile.Name = "" },
		"key_file: is required":       func(c *TLS) { c.KeyFile.Name = "" },
	} {
		cfg := pair
		change(&cfg)
		if err := cfg.Check(); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
