package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretFileModes: each file that holds a secret is warned of where others
// can read it, and refused where others can write it.
func TestSecretFileModes(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pair := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	secrets := map[string]string{ // the key of the config by its file
		"up.txt": "upstream.password_file", "up.key": "upstream.key_file", "tls.key": "listen.tls.key_file", "sign.pem": "tokens.key_files[0]",
		"static.txt": "directories[0].static[0].password_file", "bind.txt": "directories[1].ldap.bind_password_file",
	}
	for name, text := range map[string][]byte{"up.crt": pair, "tls.crt": pair, "up.key": secret, "tls.key": secret, "sign.pem": secret, "up.txt": []byte("a"), "static.txt": []byte("b"), "bind.txt": []byte("c"),
		"c.yaml": []byte(`upstream: {url: "https://127.0.0.1:1", username: u, password_file: up.txt, cert_file: up.crt, key_file: up.key}
listen: {tls: {cert_file: tls.crt, key_file: tls.key}}
tokens: {key_files: [sign.pem]}
directories:
- {name: a, static: [{username: x, password_file: static.txt}]}
- {name: b, ldap: {servers: ["ldap://127.0.0.1:1"], bind_dn: cn=x, bind_password_file: bind.txt, users: {base: dc=x, filter: "(uid={login})"}}}
policy: [{allow: [pull], repositories: ["**"], to: [everyone]}]
`)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// said are the findings that speak of a mode, faults with a `!` in front.
	said := func() (list []string) {
		for _, f := range Load(filepath.Join(dir, "c.yaml")).findings {
			if strings.Contains(f.Text, "by others") {
				list = append(list, map[bool]string{false: "!"}[f.Warning]+f.Key)
			}
		}
		return list
	}
	if got := said(); len(got) > 0 {
		t.Errorf("with 0600: %s", got)
	}
	for name, key := range secrets {
		for mode, want := range map[os.FileMode]string{0o400: "", 0o640: key, 0o604: key, 0o444: key, 0o620: "!" + key, 0o602: "!" + key, 0o666: "!" + key} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(said(), " "); got != want {
				t.Errorf("%s with %04o: %q, want %q", name, mode, got, want)
			}
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A21: nor is any of them taken from a folder in which everybody can put another.
	for _, mode := range []os.FileMode{0o777, 0o777 | os.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(strings.Join(said(), " "), "!"), map[bool]int{true: len(secrets)}[mode&os.ModeSticky == 0]; got != want {
			t.Errorf("in a folder of mode %s: %d files are refused, want %d: %s", mode, got, want, said())
		}
	}
}
