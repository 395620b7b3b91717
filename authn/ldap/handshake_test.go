package ldap_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// TestHandshakeMessages (D12): where TLS and plain text meet, or a server's TLS is
// too old, the fault says what it may be and what to try, in the log's error and
// in `check --online`.
func TestHandshakeMessages(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	fake := authntest.StartFake(t)
	byRSA := tlsServer(t, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}})
	old := tlsServer(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	closes := server(t, func(c net.Conn) { io.ReadFull(c, make([]byte, 1)) })
	for name, test := range map[string]struct {
		url       string
		startTLS  bool
		anonymous bool
		want      string
	}{
		"RSA key exchange only":               {"ldaps://" + byRSA, false, false, "RSA key exchange"},
		"TLS 1.1 only":                        {"ldaps://" + old, false, false, "RSA key exchange or TLS below 1.2"},
		"closed in the handshake":             {"ldaps://" + closes, false, false, "RSA key exchange"},
		"ldaps on the plain port":             {strings.Replace(s.URL(), "ldap:", "ldaps:", 1), false, false, "start_tls: true"},
		"ldaps on another plain port":         {strings.Replace(fake.URL(), "ldap:", "ldaps:", 1), false, false, "start_tls: true"},
		"ldaps on a port of HTTP":             {"ldaps://" + server(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), false, false, "does not answer in TLS"},
		"plain on the ldaps port":             {strings.Replace(s.TLSURL(), "ldaps:", "ldap:", 1), false, false, "write ldaps://"},
		"plain on the ldaps port, anonymous":  {strings.Replace(s.TLSURL(), "ldaps:", "ldap:", 1), false, true, "write ldaps://"},
		"plain on a port that alerts":         {"ldap://" + byRSA, false, false, "write ldaps://"},
		"plain on a port that alerts, search": {"ldap://" + byRSA, false, true, "write ldaps://"},
		"StartTLS on the ldaps port":          {strings.Replace(s.TLSURL(), "ldaps:", "ldap:", 1), true, false, "write ldaps://"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			cfg.Servers, cfg.StartTLS = []string{test.url}, test.startTLS
			if test.anonymous {
				cfg.BindDN = ""
			}
			d := open(t, cfg)
			findings := d.Inspect(t.Context())
			if last := findings[len(findings)-1]; last.OK || !strings.Contains(last.Detail, test.want) {
				t.Errorf("Inspect: %q, want it to say %q", last.Detail, test.want)
			}
			if _, err := d.Find(t.Context(), "mozart"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Find: %v, want it to say %q", err, test.want)
			}
		})
	}
}

// TestHandshakeIsNotExplainedAway (D12): what has its own cause gets no guess.
func TestHandshakeIsNotExplainedAway(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	cfg := config(s)
	cfg.Servers, cfg.CAFile = []string{s.TLSURL()}, authn.File{}
	_, err := open(t, cfg).Find(t.Context(), "mozart")
	if err == nil || strings.Contains(err.Error(), "RSA") || strings.Contains(err.Error(), "plain port") {
		t.Errorf("an unknown CA: %v", err)
	}
	f := authntest.StartFake(t)
	d := open(t, faultConfig(f))
	f.Behave(authntest.CloseOnUse)
	if _, err := d.Find(t.Context(), "mozart"); err == nil || strings.Contains(err.Error(), "ldaps://") {
		t.Errorf("a server that bound and then closed: %v", err)
	}
}

// tlsServer shakes hands with whoever comes, with an RSA certificate.
func tlsServer(t *testing.T, cfg *tls.Config) (address string) {
	cfg.Certificates = []tls.Certificate{rsaCertificate(t)}
	return server(t, func(c net.Conn) { tls.Server(c, cfg).Handshake() })
}

// server serves each connection and closes it, and returns host and port.
func server(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return listener.Addr().String()
}

func rsaCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
