package assembly

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/tokens"
)

const insideConfig = `upstream: {url: "http://127.0.0.1:1"}
listen: {address: "127.0.0.1:1", tls: {cert_file: server.crt, key_file: server.key}}
tokens: {key_files: [new.pem, old.pem]}
ui: {enabled: true}
directories:
- {name: local, static: [{username: alice, password_hash: "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}]}
- {name: corp, ldap: {servers: ["ldap://127.0.0.1:1"], bind_dn: "cn=reader,dc=corp", bind_password_file: p, users: {base: "dc=x", filter: "(uid={login})"}}}
policy: [{allow: [pull], repositories: ["a/**"], to: [everyone]}]
`

// TestInside: which config is served, with its warnings, the ids of its keys in their order
// and the end of its certificate; and of what the config says nothing.
func TestInside(t *testing.T) {
	dir := t.TempDir()
	authntest.WriteCertificates(t, dir)
	files := map[string]string{"c.yaml": insideConfig, "p": "bind-secret\n"}
	var ids []string
	for _, name := range []string{"new.pem", "old.pem"} {
		key, err := tokens.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		ring, err := tokens.NewKeyring(tokens.Config{Service: "s", Issuer: "i", Lifetime: time.Minute, KeyFiles: []authn.SecretFile{key}})
		if err != nil {
			t.Fatal(err)
		}
		files[name], ids = string(key.Secret), append(ids, ring.KeyIDs()...)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path, before := filepath.Join(dir, "c.yaml"), time.Now()
	s := Prepare(path, &Shared{Logger: slog.New(slog.DiscardHandler)}, nil)
	t.Cleanup(s.Release)
	if faults := s.Loaded.Faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	c, sum := s.inside().Config, sha256.Sum256([]byte(insideConfig))
	if c.File != path || c.SHA256 != hex.EncodeToString(sum[:]) || c.Loaded.Before(before) || c.Loaded.After(time.Now()) {
		t.Errorf("%+v", c)
	}
	if len(ids) != 2 || fmt.Sprint(c.KeyIDs) != fmt.Sprint(ids) {
		t.Errorf("the keys are %v, want %v", c.KeyIDs, ids)
	}
	if len(c.Certificates) != 1 || c.Certificates[0].Name == "" || c.Certificates[0].Ends.Before(before) {
		t.Errorf("%+v", c.Certificates)
	}
	if all := strings.Join(c.Warnings, "\n"); !strings.Contains(all, "c.yaml:4:") || !strings.Contains(all, "ui.enabled: listen.public_urls is not given") {
		t.Errorf("the warnings are %s", all)
	}
	if d := s.inside().Directories; len(d) != 2 || d[0].Name != "local" || d[0].Kind != "static" || d[1].Kind != "ldap" || len(d[1].Servers) != 1 || d[1].Servers[0].URL != "ldap://127.0.0.1:1" || !d[1].Servers[0].Up || d[1].CanaryUser {
		t.Errorf("the directories are %+v", d)
	}
	for _, secret := range []string{"$2a$", "bind-secret", "cn=reader", "PRIVATE"} {
		if strings.Contains(fmt.Sprintf("%+v", s.inside()), secret) {
			t.Errorf("it shows %s", secret)
		}
	}
}

// TestInsideCustom: the file is the one that was read.
func TestInsideCustom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	for name, text := range map[string]string{path: "junk: 1\n", path + ".custom": "upstream: {url: \"http://127.0.0.1:1\"}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Look(path)
	t.Cleanup(s.Release)
	c := s.inside().Config
	if c.File != path+".custom" || len(c.KeyIDs) != 1 || len(c.Certificates) != 0 {
		t.Errorf("%+v %v", c, s.Loaded.Faults())
	}
}

// TestInsideMachines: directories of machines have no servers; an issuer's keys have an age
// once they were read.
func TestInsideMachines(t *testing.T) {
	s := prepared(t, soundMachines)
	var kinds []string
	for _, d := range s.inside().Directories {
		kinds = append(kinds, d.Name+" "+d.Kind)
		if len(d.Servers) > 0 || d.Name == "github" && d.KeysAge >= 0 {
			t.Errorf("%+v", d)
		}
	}
	if got := strings.Join(kinds, ", "); got != "robots machines, github oidc, cluster oidc" {
		t.Errorf("they are %s", got)
	}
}
