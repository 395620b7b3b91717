package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/authn/authntest"
)

// keyPair is a certificate for 127.0.0.1 by an authority made for the test.
// CADir is a folder as skopeo and docker want it, with ca.crt inside.
type keyPair struct {
	Cert, Key, CADir string
	Clients          string // a file of the CAs of clients' certificates; empty: none is asked for
	More             string // further pairs, in YAML
	roots            *x509.CertPool
}

func (k *keyPair) trust() *tls.Config { return &tls.Config{RootCAs: k.roots} }

// authority is the file of the authority's certificate.
func (k *keyPair) authority() string { return filepath.Join(k.CADir, "ca.crt") }

func newKeyPair(t *testing.T) *keyPair {
	t.Helper()
	dir := t.TempDir()
	roots := authntest.WriteCertificates(t, dir)
	k := &keyPair{Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key"), CADir: t.TempDir(), roots: roots}
	if err := os.Rename(filepath.Join(dir, "ca.crt"), k.authority()); err != nil {
		t.Fatal(err)
	}
	return k
}
