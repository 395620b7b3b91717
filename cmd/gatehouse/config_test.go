package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// decode reads a text alone, without files.
func decode(text string) (config, *report) {
	var cfg config
	r := &report{file: "gatehouse.yaml"}
	r.places = decodeConfig([]byte(text), &cfg, r)
	return cfg, r
}

func TestDefaults(t *testing.T) {
	got, r := decode("directories:\n- name: a\n  ldap: {users: {base: x}}\nlisten:\n  tls: {cert_file: c}\n")
	if len(r.findings) > 0 {
		t.Fatal(r.findings)
	}
	want := config{
		Listen:   listenConfig{Address: ":5000", TLS: &tlsConfig{CertFile: "c", MinVersion: "1.2"}},
		Admin:    adminConfig{Address: "127.0.0.1:9180"},
		Upstream: upstreamConfig{Timeout: 30 * time.Second},
		Tokens:   tokensConfig{Service: "gatehouse", Issuer: "gatehouse", Lifetime: 15 * time.Minute, UploadGrace: 6 * time.Hour},
		Throttle: throttleConfig{Failures: 5, Window: 5 * time.Minute, UsersPerSource: 50},
		Limits: limitsConfig{HeaderTimeout: 10 * time.Second, HeaderFields: 100, HeaderBytes: 32 << 10, HTTP2Streams: 100, FormBytes: 128 << 10,
			Scopes: 1000, MinRate: 1024, Connections: 10_000, ConnectionsPerAddress: 4096, LoginsPerUser: 16, UploadsPerUser: 256, PasswordsWaiting: 256},
		Shutdown: shutdownConfig{Timeout: 5 * time.Minute},
		Log:      logConfig{Level: "info"},
		Audit:    auditConfig{PerSecond: 100},
		Directories: []directoryConfig{{Name: "a", LDAP: &ldapConfig{Timeout: 5 * time.Second, Users: ldapUsersConfig{Base: "x"},
			Cache: cacheConfig{FreshFor: time.Minute, StaleFor: 10 * time.Minute, NegativeFor: 15 * time.Second,
				PasswordFor: 30 * time.Second, WrongPasswordFor: time.Minute}}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestDecode reads values in the ways that YAML has to write them.
func TestDecode(t *testing.T) {
	for _, test := range []struct {
		name, text string
		get        func(config) any
		want       any
	}{
		{"plain text", "upstream: {username: a}", func(c config) any { return c.Upstream.Username }, "a"},
		{"quoted", `upstream: {username: "a\tb"}`, func(c config) any { return c.Upstream.Username }, "a\tb"},
		{"block", "upstream:\n  username: |-\n    a b\n", func(c config) any { return c.Upstream.Username }, "a b"},
		{"empty text", `admin: {address: ""}`, func(c config) any { return c.Admin.Address }, ""},
		{"CRLF", "upstream:\r\n  username: a\r\nlisten:\r\n  basic: true\r\n", func(c config) any { return c.Listen.Basic }, true},
		{"comments", "# x\nlisten: # y\n  # z\n  basic: true # w\n", func(c config) any { return c.Listen.Basic }, true},
		{"document marks", "---\nlisten: {basic: true}\n...\n", func(c config) any { return c.Listen.Basic }, true},
		{"zero", "shutdown: {delay: 0}", func(c config) any { return c.Shutdown.Delay }, time.Duration(0)},
		{"version as a number", "listen: {tls: {min_version: 1.3}}", func(c config) any { return c.Listen.TLS.MinVersion }, tlsVersion("1.3")},
		{"version as text", `listen: {tls: {min_version: "1.3"}}`, func(c config) any { return c.Listen.TLS.MinVersion }, tlsVersion("1.3")},
		{"flush list", "policy:\n- to: [a]\n- to: [b]\n", func(c config) any { return c.Policy[1].To[0] }, "b"},
		{"empty section", "throttle:\n", func(c config) any { return c.Throttle.Failures }, 5},
		{"empty list", "policy:\n", func(c config) any { return len(c.Policy) }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, r := decode(test.text)
			if len(r.findings) > 0 {
				t.Fatal(r.findings)
			}
			if d := cmp.Diff(test.want, test.get(cfg)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestPlaces finds the lines that rules and faults are named by.
func TestPlaces(t *testing.T) {
	_, r := decode("policy:\n  -\n    allow: [pull]\n  - allow:\n      - pull\n  - {deny: [push]}\n")
	for key, want := range map[string]place{
		"policy[0]": {2, 3}, "policy[0].allow": {3, 5}, "policy[1]": {4, 3}, "policy[1].allow[0]": {5, 7}, "policy[2]": {6, 3},
		"policy[2].tags": {6, 3}, "policy[7].tags": {1, 1}, "tokens": {1, 1},
	} {
		if got := r.find(key); got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
}

// TestAll shows that one run finds every fault.
func TestAll(t *testing.T) {
	_, r := decode("listen: {basic: 1, address: [], what: x}\ntokens: {lifetime: x}\nlisten: {}\n")
	var lines []string
	for _, f := range r.faults() {
		lines = append(lines, strings.SplitAfterN(f.String(), ": ", 2)[0])
	}
	want := []string{"gatehouse.yaml:1:17: ", "gatehouse.yaml:1:29: ", "gatehouse.yaml:1:33: ", "gatehouse.yaml:2:20: ", "gatehouse.yaml:3:1: "}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
}

// TestDeep keeps the parser's stack safe.
func TestDeep(t *testing.T) {
	for name, text := range map[string]string{
		"flow":   strings.Repeat("[", 1<<20),
		"maps":   strings.Repeat("{a: ", 1<<20),
		"dashes": strings.Repeat("- ", 1<<20),
		"keys":   strings.Repeat("? ", 1<<20),
		"indent": strings.Repeat(" ", 1<<20) + "a: b",
		"large":  strings.Repeat("#", maxConfigBytes+1),
	} {
		began := time.Now()
		if _, r := decode(text); len(r.findings) != 1 {
			t.Errorf("%s: %d faults", name, len(r.findings))
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../deploy/gatehouse.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &loaded{report: report{file: "gatehouse.yaml"}, folder: t.TempDir()}
		l.places = decodeConfig([]byte(text), &l.cfg, &l.report)
		if l.decoded() {
			l.check()
		}
		for _, finding := range l.findings {
			if !finding.place.known() || finding.text == "" || strings.ContainsAny(finding.String(), "\n\x00\x1b") {
				t.Fatalf("%q", finding.String())
			}
		}
	})
}

// TestCarryOver takes over an LDAP directory exactly where nothing of it changed.
func TestCarryOver(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const ldap = "directories:\n- name: a\n  ldap: {servers: [\"ldap://127.0.0.1:1\"], bind_dn: cn=x, bind_password_file: p, users: {base: dc=x, filter: \"(uid={login})\"}}\n"
	p := &parts{logger: slog.New(slog.DiscardHandler)}
	load := func(text string, old *snapshot) *snapshot {
		write("c.yaml", "upstream: {url: \"http://127.0.0.1:1\"}\n"+text)
		l := loadConfig(filepath.Join(dir, "c.yaml"))
		s := assemble(l, p, old)
		if len(l.faults()) > 0 {
			t.Fatal(l.faults())
		}
		return s
	}
	write("p", "one\n")
	first := load(ldap, nil)
	same := load(ldap+"throttle: {failures: 3}\n", first)
	if same.directories[0] != first.directories[0] {
		t.Error("an unchanged directory was made anew")
	}
	first.release()
	if first.acquire() || same.directories[0].snapshots.Load() != 1 {
		t.Error("a snapshot that was let go is still held")
	}
	write("p", "two\n")
	other := load(ldap, same)
	if other.directories[0] == same.directories[0] {
		t.Error("another password, and the old directory goes on")
	}
	same.release()
	other.release()
	if n := other.directories[0].snapshots.Load(); n != 0 {
		t.Errorf("%d snapshots hold the directory", n)
	}
}

func TestDialable(t *testing.T) {
	for address, want := range map[string]string{
		":9180": "127.0.0.1:9180", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1", "localhost:1": "localhost:1",
	} {
		if got := dialable(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
