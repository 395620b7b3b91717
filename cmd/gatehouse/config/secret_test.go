package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn"
)

// TestSecretAgain (D15): a secret's file that is read again is held to the rules of
// the first time, and a refused one tells no secret.
func TestSecretAgain(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "bind_password")
	file := authn.SecretFile{Name: "bind_password"}
	newLoaded(filepath.Join(dir, "gatehouse.yaml")).readSecret("directories[0].ldap.bind_password_file", &file)
	again := file.Again
	for _, test := range []struct {
		content string
		mode    os.FileMode
		want    string // in the error; "": none
	}{
		{"first\n", 0o600, ""}, {"second\r\n", 0o644, ""}, {"third", 0o666, "can be written by others"}, {"\n", 0o600, "is empty"},
	} {
		if err := os.WriteFile(name, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, test.mode); err != nil {
			t.Fatal(err)
		}
		got, err := again()
		switch {
		case test.want == "" && (err != nil || string(got) != strings.TrimRight(test.content, "\r\n")):
			t.Errorf("%q: %q, %v", test.content, string(got), err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "third") || got != ""):
			t.Errorf("%q: %q, %v; want an error with %q", test.content, string(got), err, test.want)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got, err := again(); err == nil || got != "" {
		t.Errorf("a file that is gone: %q, %v", string(got), err)
	}
}
