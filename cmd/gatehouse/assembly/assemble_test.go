package assembly

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
	p := &Shared{Logger: slog.New(slog.DiscardHandler)}
	load := func(text string, old *Snapshot) *Snapshot {
		write("c.yaml", "upstream: {url: \"http://127.0.0.1:1\"}\n"+text)
		s := Prepare(filepath.Join(dir, "c.yaml"), p, old)
		if faults := s.Loaded.Faults(); len(faults) > 0 {
			t.Fatal(faults)
		}
		return s
	}
	write("p", "one\n")
	first := load(ldap, nil)
	same := load(ldap+"throttle: {failures: 3}\n", first)
	if same.Directories[0] != first.Directories[0] {
		t.Error("an unchanged directory was made again")
	}
	first.Release()
	if first.Acquire() || same.Directories[0].snapshots.Load() != 1 {
		t.Error("a snapshot that was let go is still held")
	}
	write("p", "two\n")
	other := load(ldap, same)
	if other.Directories[0] == same.Directories[0] {
		t.Error("another password, and the old directory goes on")
	}
	same.Release()
	other.Release()
	if n := other.Directories[0].snapshots.Load(); n != 0 {
		t.Errorf("%d snapshots hold the directory", n)
	}
}
