package authntest

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
	"testing"
	"time"
)

// WriteCertificates makes a CA and a certificate for 127.0.0.1 and localhost, for
// servers and clients, in dir (ca.crt, server.crt, server.key) and returns the CA's pool.
func WriteCertificates(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	ca, key := NewAuthority(t, "authntest CA"), newKey(t)
	server := template("authntest server")
	server.IPAddresses, server.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	writePEM(t, filepath.Join(dir, "ca.crt"), "CERTIFICATE", ca.Cert.Raw)
	writePEM(t, filepath.Join(dir, "server.crt"), "CERTIFICATE", ca.sign(t, server, key.Public()).Raw)
	writePEM(t, filepath.Join(dir, "server.key"), "PRIVATE KEY", keyDER)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	return roots
}

// clientTLS trusts the CA alone, as a client of 127.0.0.1.
func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
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

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
