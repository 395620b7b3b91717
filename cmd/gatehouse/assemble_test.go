package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestCarryOver takes over an LDAP directory exactly where nothing of it changed.
func TestCarryOver(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const ldap = "directories:\n- name: a\n  ldap: {servers: [\"ldap://127.0.0.1:1\"], bind_dn: cn=x, bind_password_file: p, users: {base: dc=x, filter: \"(uid={login})\"}}\n"
	p := &lasting{logger: slog.New(slog.DiscardHandler)}
	load := func(text string, old *snapshot) *snapshot {
		write("c.yaml", "upstream: {url: \"http://127.0.0.1:1\"}\n"+text)
		s := prepare(filepath.Join(dir, "c.yaml"), p, old)
		if faults := s.loaded.Faults(); len(faults) > 0 {
			t.Fatal(faults)
		}
		return s
	}
	write("p", "one\n")
	first := load(ldap, nil)
	same := load(ldap+"throttle: {failures: 3}\n", first)
	if same.directories[0] != first.directories[0] {
		t.Error("an unchanged directory was made again")
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
