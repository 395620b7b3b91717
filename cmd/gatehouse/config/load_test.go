package config

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/upstream"
)

// directoryConfig is a config with an LDAP directory that has more keys.
func directoryConfig(keys string) string {
	return "listen: {address: \"127.0.0.1:1\"}\nupstream: {url: \"http://127.0.0.1:1\"}\n" +
		"directories: [{name: a, ldap: {servers: [\"ldaps://127.0.0.1:1\"], users: {base: dc=x, filter: \"(uid={login})\"}, " + keys + "}}]\n"
}

// load reads a text as a config in dir.
func load(t *testing.T, dir, text string) *Loaded {
	t.Helper()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, text, 0o600)
	return Load(path)
}

// writePair is one in PEM.
func writePair(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// TestFolder reads every file of a folder, in the order of their names, but hidden
// ones and folders in it, as Kubernetes puts them there.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "cas", "..2026"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "cas", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := writePair(t)
	for _, name := range []string{"b.pem", "a.crt", "..2026/c.pem", ".hidden"} {
		write(t, filepath.Join(dir, "cas", name), text, 0o644)
	}
	if err := os.Symlink("..2026/c.pem", filepath.Join(dir, "cas", "c.pem")); err != nil {
		t.Fatal(err)
	}
	l := load(t, dir, directoryConfig("ca_dir: cas"))
	if got := said(l); got != "" {
		t.Fatalf("said %s", got)
	}
	ca := l.Config.Directories[0].LDAP.CADir
	var names []string
	for _, f := range ca.Files {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "cas/a.crt cas/b.pem cas/c.pem" {
		t.Errorf("read %s", got)
	}
	roots, err := authn.Roots(authn.File{}, ca)
	if err != nil || roots == nil {
		t.Errorf("%v", err)
	}
	if _, err := authn.Roots(authn.File{Name: "junk", Data: []byte("junk")}, ca); err == nil || err.Error() != "ca_file: junk holds no PEM certificate" {
		t.Errorf("junk: %v", err)
	}
}

// TestTrustedFilesOthersCanWrite (a neighbour of A21): who is trusted is no secret, but
// that others can write it is told.
func TestTrustedFilesOthersCanWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cas"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := writePair(t)
	for mode, want := range map[os.FileMode]string{0o644: "", 0o666: "directories[0].ldap.ca_dir directories[0].ldap.ca_file"} {
		write(t, filepath.Join(dir, "ca.pem"), text, mode)
		write(t, filepath.Join(dir, "cas", "ca.pem"), text, mode)
		if got := said(load(t, dir, directoryConfig("ca_file: ca.pem, ca_dir: cas"))); got != want {
			t.Errorf("mode %04o: said %q, want %q", mode, got, want)
		}
	}
}

// TestOrdinaryFiles: a name that leads to what never ends, or is no file, is a fault
// of its key, and a fault of what the key names rather than of the config.
func TestOrdinaryFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxConfigBytes+1), 0o600)
	write(t, filepath.Join(dir, "blank"), "\r\n\n", 0o600)
	for name, want := range map[string]string{
		"pipe": "pipe cannot be read: it is no ordinary file", "/dev/zero": "/dev/zero cannot be read: it is no ordinary file",
		".": ". cannot be read: it is a folder", "large": "large is larger than 32 MiB", "blank": "blank is empty; write the secret into it",
		"none/x": "none/x cannot be read: no such file or directory",
	} {
		l := load(t, dir, directoryConfig(fmt.Sprintf("bind_dn: cn=x, bind_password_file: %q", name)))
		faults := l.Faults()
		if len(faults) != 1 || faults[0].Text != want || faults[0].Key != "directories[0].ldap.bind_password_file" || !faults[0].Content || !l.Decoded() {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

// TestOneLine: a name that breaks lines forges none in what is said of it.
func TestOneLine(t *testing.T) {
	l := load(t, t.TempDir(), "upstream: {url: \"https://h\", ca_file: \"a\\nforged:1:1: x\\x1b[0m\"}\n")
	faults := l.Faults()
	if len(faults) != 1 || !strings.Contains(faults[0].String(), "a?forged:1:1: x?[0m cannot be read") {
		t.Errorf("got %q", faults)
	}
}

// TestTogether wants the keys that only mean something together, and those without
// which nothing goes; each is a fault of the config itself.
func TestTogether(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), writePair(t), 0o600)
	for text, want := range map[string]string{
		directoryConfig("bind_dn: cn=x"):                                                                            "directories[0].ldap.bind_dn: needs directories[0].ldap.bind_password_file beside it",
		directoryConfig("bind_password_file: x"):                                                                    "directories[0].ldap.bind_password_file: needs directories[0].ldap.bind_dn beside it",
		directoryConfig("key_file: x"):                                                                              "directories[0].ldap.key_file: needs directories[0].ldap.cert_file beside it",
		"upstream: {url: \"https://h\", cert_file: x}":                                                              "upstream.cert_file: needs upstream.key_file beside it",
		"upstream: {url: \"https://h\", password_file: x}":                                                          "upstream.password_file: needs upstream.username beside it",
		"upstream: {url: \" \"}":                                                                                    "upstream.url: is required",
		"upstream: {url: \"https://h\"}\ntokens: {service: \"\"}":                                                   "tokens.service: is required",
		"upstream: {url: \"https://h\"}\ntokens: {issuer: \"a\\\"b\"}":                                              `tokens.issuer: may hold printable ASCII without " and \ only, because it stands in a header`,
		"upstream: {url: \"https://h\"}\nlisten: {tls: {cert_file: x}}":                                             "listen.tls.key_file: is required",
		"upstream: {url: \"https://h\"}\nlisten: {tls: {min_version: 1.3}}":                                         "listen.tls.cert_file: is required",
		"upstream: {url: \"https://h\"}\nlisten: {tls: {certificates: [{cert_file: x}]}}":                           "listen.tls.certificates[0].key_file: is required",
		"upstream: {url: \"https://h\"}\nlisten: {tls: {certificates: [{cert_file: x, key_file: x}], key_file: x}}": "listen.tls.cert_file: is required",
		"upstream: {url: \"https://h\"}\ntokens: {revoked: [{user: \"\"}]}":                                         "tokens.revoked[0].user: is empty; give a value or leave the key out",
		"upstream: {url: \"https://h\"}\ntokens: {lifetime: 59s}":                                                   "tokens.lifetime: must be from 60s to 1h, not 59s",
		"upstream: {url: \"https://h\"}\ntokens: {refresh_lifetime: 1m}":                                            "tokens.refresh_lifetime: must be 0s (off) or longer than tokens.lifetime (15m0s)",
		"upstream: {url: \"https://h\"}\nthrottle: {failures: -1}":                                                  "throttle.failures: must be at least 0, not -1",
		"upstream: {url: \"https://h\"}\ndirectories: [{static: []}]":                                               "directories[0].name: is required",
		"upstream: {url: \"https://h\"}\ndirectories: [{name: a, static: [5]}]":                                     "directories[0].static[0]: must be a section of keys, not a number",
		"upstream: {url: \"https://h\"}\ndirectories: [{name: a}, {name: b}, {}]":                                   "directories[0]: needs either static or ldap, or machines, oidc or certificates",
		"upstream: {url: \"https://h\"}\nadmin: {address: \"127.0.0.1:port\"}":                                      `admin.address: "127.0.0.1:port" is no address; write host:port or :port, such as 127.0.0.1:5000`,
		"upstream: {url: \"https://h\"}\nlisten: {address: \"a b:1\"}":                                              `listen.address: "a b" is no host name or address`,
		"upstream: {url: \"http://127.0.0.1\", ca_file: x}":                                                         "upstream.url: is http, where ca_file and cert_file mean nothing; write https or remove them",
		"upstream: {url: \"https://h\"}\ntokens: {revoked: [{token: a, user: b}]}":                                  "tokens.revoked[0]: needs token alone, or user, or issued_before, or user and issued_before",
		"upstream: {url: \"https://h\"}\naudit: {file: none/x}":                                                     "audit.file: none/x cannot be used: its folder does not exist",
		"upstream: {url: \"https://h\"}\ndirectories: [{name: A b, static: []}]":                                    `directories[0].name: "A b" is no directory name; use lower-case letters, digits, . _ and -`,
		"upstream: {url: \"https://h\"}\npolicy: [{allow: [pull], repositories: 1}]":                                "policy[0].repositories: must be a list, such as [a, b], not a number",
	} {
		faults := load(t, dir, text).Faults()
		if len(faults) == 0 || !strings.HasSuffix(faults[0].String(), " "+want) || faults[0].Content != strings.HasPrefix(want, "audit.file") {
			t.Errorf("%s\ngot %v, want %s", text, faults, want)
		}
	}
}

// TestOnce: what is wrong is told once, where it can be mended.
func TestOnce(t *testing.T) {
	r := &Report{File: "c.yaml", places: map[string]Place{"a": {1, 1}, "a.b": {2, 3}, "a.b[0].c": {3, 5}}}
	r.Fault("a.b[0].c", "one")
	var faults authn.Faults
	r.Errors("a.b", &authn.KeyError{Err: fmt.Errorf("suppressed: of the section as a whole, and what is below it has a fault")})
	faults.Add("b[0].c", fmt.Errorf("suppressed: the same key"))
	faults.Add("bb", fmt.Errorf("two"))
	faults.Warn("b", fmt.Errorf("a warning is always told"))
	r.Errors("a", faults.Err())
	r.Errors("a", fmt.Errorf("plain"))
	var got []string
	for _, f := range append(r.Faults(), r.Warnings()...) {
		got = append(got, f.String())
	}
	want := "c.yaml:1:1: a.bb: two|c.yaml:3:5: a.b[0].c: one|c.yaml:2:3: a.b: a warning is always told"
	if text := strings.Join(got, "|"); text != strings.Replace(want, "two|", "two|c.yaml:1:1: a: plain|", 1) {
		t.Errorf("got %s", text)
	}
}

// TestBlobMount: a type with a text form of its own is written in any way that YAML
// has for it.
func TestBlobMount(t *testing.T) {
	for text, want := range map[string]any{
		"auto": upstream.MountAuto, `"auto"`: upstream.MountAuto, "true": upstream.MountAlways, "false": upstream.MountNever,
		"maybe": "upstream.blob_mount", "1": "upstream.blob_mount", "[true]": "upstream.blob_mount", "": "upstream.blob_mount",
	} {
		l := load(t, t.TempDir(), "listen: {address: \"127.0.0.1:1\"}\nupstream:\n  url: http://127.0.0.1:1\n  blob_mount: "+text+"\n")
		var got any = l.Config.Upstream.BlobMount
		if faults := l.Faults(); len(faults) > 0 {
			got = faults[0].Key
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// TestRereadIsHeldToTheRules: a pair that is looked at each minute, and a password that
// was rotated, come by the same way as at the start.
func TestRereadIsHeldToTheRules(t *testing.T) {
	dir := t.TempDir()
	crt, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, crt, writePair(t), 0o644)
	write(t, key, "one", 0o600)
	l := load(t, dir, "upstream: {url: \"http://127.0.0.1:1\"}\nlisten: {tls: {cert_file: tls.crt, key_file: tls.key}}\n")
	pair := l.Config.Listen.TLS
	if secret, err := pair.KeyFile.Again(); err != nil || string(secret) != "one" {
		t.Fatalf("%v", err)
	}
	write(t, key, "two\n", 0o600)
	if secret, err := pair.KeyFile.Again(); err != nil || string(secret) != "two" || string(pair.KeyFile.Secret) != "one" {
		t.Errorf("a new key: %v", err)
	}
	write(t, key, "three", 0o602)
	if secret, err := pair.KeyFile.Again(); err == nil || secret != "" || strings.Contains(err.Error(), "three") {
		t.Errorf("a key that others can write: %v", err)
	}
	if err := os.Remove(crt); err != nil {
		t.Fatal(err)
	}
	if text, err := pair.CertFile.Again(); err == nil || text != nil {
		t.Errorf("a certificate that is gone: %v", err)
	}
}

// TestCheckIsQuick: a config at its largest is checked in a time that nobody notices.
func TestCheckIsQuick(t *testing.T) {
	var text strings.Builder
	text.WriteString("upstream: {url: \"http://127.0.0.1:1\"}\npolicy:\n")
	for i := range 5_000 {
		fmt.Fprintf(&text, "- {allow: [pull], repositories: [\"team-%d/**\"], to: [\"group:team-%d\"]}\n", i, i)
	}
	began := time.Now()
	l := load(t, t.TempDir(), text.String())
	if faults := l.Faults(); len(faults) > 0 || len(l.Config.Policy) != 5_000 {
		t.Fatal(faults)
	}
	if last := l.Config.Policy[4_999].Position; last != "c.yaml:5002" {
		t.Errorf("the last rule is at %s", last)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
