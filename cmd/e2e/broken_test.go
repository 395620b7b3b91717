package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sound is the config that every broken one is one edit away from.
const sound = `listen:
  address: 127.0.0.1:0
admin:
  address: ""
upstream:
  url: http://127.0.0.1:1
tokens:
  lifetime: 15m
directories:
  - name: local
    static:
      - username: admin
        password_hash: "$2y$10$zzzzzzzzzzzzzzzzzzzzzu8bGkv2lYXkJz5aX8pQ7jv5l1YVQh0nO"
  - name: example
    ldap:
      servers: ["ldap://127.0.0.1:1"]
      bind_dn: uid=gatehouse,ou=it,dc=example,dc=com
      bind_password_file: bind_password
      users:
        base: ou=musicians,dc=example,dc=com
        filter: "(uid={login})"
policy:
  - allow: [pull]
    repositories: ["**"]
    to: ["user:admin"]
`

// broken lists the edits: old becomes new, and every message must have both the
// number of the line that holds mark (empty: the edit's first line; -: any) and want.
var broken = []struct{ name, old, new, mark, want string }{
	{"unknown section", "admin:\n", "admn:\n", "", "admn"},
	{"unknown key", "address: 127.0.0.1:0", "adress: 127.0.0.1:0", "", "adress"},
	{"unknown key deep inside", "        base:", "        bse:", "", "bse"},
	{"doubled key", "  lifetime: 15m", "  lifetime: 15m\n  lifetime: 16m", "16m", "lifetime"},
	{"a list where a map belongs", "upstream:\n  url: http://127.0.0.1:1", "upstream: [1]", "", "upstream"},
	{"a map where a text belongs", "  url: http://127.0.0.1:1", "  url: {a: b}", "", "url"},
	{"not YAML", "tokens:\n", "tokens: [\n", "-", ""},
	{"a tab", "  lifetime", "\tlifetime", "-", ""},
	{"no upstream", "  url: http://127.0.0.1:1", "  timeout: 5s", "-", "url"},
	{"a scheme that is none of ours", "http://127.0.0.1:1", "ftp://127.0.0.1:1", "", "upstream.url"},
	{"an upstream without host", "http://127.0.0.1:1", "http://", "", "url"},
	{"a duration without unit", "15m", "15", "", "lifetime"},
	{"a lifetime too short", "15m", "10s", "", "lifetime"},
	{"a lifetime too long", "15m", "2h", "", "lifetime"},
	{"a missing key file", "15m", "15m\n  key_files: [nowhere.pem]", "nowhere", "nowhere.pem"},
	{"a key file that is no key", "15m", "15m\n  key_files: [bind_password]", "key_files", "bind_password"},
	{"a missing certificate", "127.0.0.1:0", "127.0.0.1:0\n  tls: {cert_file: no.crt, key_file: no.key}", "no.crt", "no.crt"},
	{"an address without port", "127.0.0.1:0", "localhost", "", "address"},
	{"a trusted proxy that is no network", "127.0.0.1:0", "127.0.0.1:0\n  trusted_proxies: [proxy]", "proxies", "proxy"},
	{"a directory without name", "- name: local\n    static:", "- static:", "-", "name"},
	{"two directories of one name", "name: example", "name: local", "", "local"},
	{"a directory without content", "- name: local\n    static:\n", "- name: local\n    x:\n", "", "static"},
	{"a hash that is none", `"$2y$10$zzzzzzzzzzzzzzzzzzzzzu8bGkv2lYXkJz5aX8pQ7jv5l1YVQh0nO"`, "secret", "", "password_hash"},
	{"a hash too expensive", "$2y$10$", "$2y$16$", "", "password_hash"},
	{"no servers", `["ldap://127.0.0.1:1"]`, "[]", "", "servers"},
	{"a server that speaks no LDAP", "ldap://127.0.0.1:1", "http://127.0.0.1:1", "", "servers"},
	{"plaintext LDAP from afar", "ldap://127.0.0.1:1", "ldap://ldap.example.com", "", "allow_plaintext"},
	{"a filter without login", "(uid={login})", "(uid=mozart)", "", "{login}"},
	{"a filter out of balance", "(uid={login})", "(uid={login}", "", "filter"},
	{"a missing bind password", "bind_password_file: bind_password", "bind_password_file: nowhere", "", "nowhere"},
	{"a rule that neither allows nor denies", "  - allow: [pull]\n    rep", "  - rep", "", "allow"},
	{"an unknown action", "[pull]", "[pul]", "", "pul"},
	{"a rule for no repositories", `repositories: ["**"]`, "repositories: []", "", "repositories"},
	{"a pattern with a misplaced **", `["**"]`, `["a**"]`, "", "a**"},
	{"a subject that is none", "user:admin", "admin", "", "admin"},
	{"pull tied to tags", `["**"]`, "[\"**\"]\n    tags: [v1]", "-", "tags"},
	{"a network that is none", `["**"]`, "[\"**\"]\n    networks: [home]", "home", "home"},
}

// TestBrokenConfigs: each is refused by check and by serve with status 1 and a
// message that says where; none starts, none panics.
func TestBrokenConfigs(t *testing.T) {
	for _, tt := range broken {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(sound, tt.old, tt.new, 1)
			if text == sound {
				t.Fatalf("%q is not in the sound config", tt.old)
			}
			want := "gatehouse.yaml"
			if tt.mark != "-" {
				want = fmt.Sprintf("gatehouse.yaml:%d:", lineOf(tt.old, tt.new, tt.mark))
			}
			for _, command := range []string{"check", "serve"} {
				out, code := refuse(t, command, text)
				if code != 1 || !strings.Contains(out, want) || !strings.Contains(out, tt.want) || strings.Contains(out, "panic") {
					t.Errorf("%s: status %d, want 1, %q and %q in:\n%s", command, code, want, tt.want, out)
				}
			}
		})
	}
}

// lineOf returns the number of the edit's first line in the broken config, or of
// the edit's line that holds mark.
func lineOf(old, edit, mark string) int {
	before := sound[:strings.Index(sound, old)] + edit[:max(0, strings.Index(edit, mark))]
	return 1 + strings.Count(before, "\n")
}

// refuse runs a command that is expected to end by itself.
func refuse(t *testing.T, command, config string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gatehouse.yaml"), config)
	write(t, filepath.Join(dir, "bind_password"), bindPassword)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, command, "-c", filepath.Join(dir, "gatehouse.yaml"))
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// TestSoundConfig: the config that the broken ones begin with is not broken.
func TestSoundConfig(t *testing.T) {
	if out, code := refuse(t, "check", sound); code != 0 {
		t.Errorf("status %d:\n%s", code, out)
	}
}

// TestSecretFileWritableByOthers: such a file is refused, whatever it holds.
func TestSecretFileWritableByOthers(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gatehouse.yaml"), sound)
	secret := filepath.Join(dir, "bind_password")
	write(t, secret, bindPassword)
	if err := os.Chmod(secret, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "check", "-c", filepath.Join(dir, "gatehouse.yaml"))
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "bind_password") || strings.Contains(string(out), bindPassword) {
		t.Errorf("status %d:\n%s", code, out)
	}
}
