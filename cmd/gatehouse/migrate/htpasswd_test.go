package migrate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const bcrypt = "$2y$10$7hWKLbZSe7oaa0XcJJkWnuM5WOhtR3tWoVwECGzhGc5cBJZjf4cNC"

// TestHtpasswd: each line is written or told, and never both a loss and nothing.
func TestHtpasswd(t *testing.T) {
	for _, test := range []struct{ text, written, told string }{
		{"mozart:" + bcrypt, "mozart", ""},
		{"mozart:" + bcrypt + "\r\n", "mozart", ""},
		{"  # mozart:" + bcrypt, "", "nobody"},
		{"mozart:" + bcrypt + "\nmozart:" + bcrypt, "mozart", "twice"},
		{"mozart:" + strings.Replace(bcrypt, "$2y", "$2x", 1), "", "neither bcrypt"},
		{"mozart:" + bcrypt + ":comment", "", "neither bcrypt"},
		{":" + bcrypt, "", "required"},
		{"a/b:" + bcrypt, "", `"a/b" holds`},
		{"caf\u00e9\u2028:" + bcrypt, "", "holds"},
		{"café:" + bcrypt, "café", ""},
		{"mozart:plain", "", "no bcrypt"},
	} {
		r, err := htpasswd("f", []byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		var cfg struct {
			Directories []struct {
				Static []struct{ Username string }
			}
		}
		if err := yaml.Unmarshal([]byte(r.texts[ConfigName]), &cfg); err != nil {
			t.Fatalf("%v\n%s", err, r.texts[ConfigName])
		}
		var names, told []string
		for _, d := range cfg.Directories {
			for _, u := range d.Static {
				names = append(names, u.Username)
			}
		}
		for _, f := range r.told {
			told = append(told, f.text)
		}
		said := strings.Join(told, "\n")
		if got := strings.Join(names, " "); got != test.written || (test.told == "") != (said == "") || !strings.Contains(said, test.told) {
			t.Errorf("%q: wrote %q and told %q", test.text, got, said)
		}
	}
}

// TestQuote: a text comes back from YAML as it was, whatever it holds.
func TestQuote(t *testing.T) {
	for _, text := range []string{"", "a", `a"b\c`, "a\nb\t\x00\x7f", "é\u0085\u2028\ufeff😀", "# no comment", "$2y$10$x", "yes", "5", "{a: b}"} {
		var got string
		if err := yaml.Unmarshal([]byte(quote(text)), &got); err != nil || got != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// TestWrite leaves what is there alone, and writes nothing beside it.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	r := &result{texts: map[string]string{ConfigName: "one", "secret.txt": "two"}}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range r.texts {
		text, err := os.ReadFile(filepath.Join(dir, name))
		info, _ := os.Stat(filepath.Join(dir, name))
		if err != nil || string(text) != want || info.Mode() != 0o600 {
			t.Errorf("%s: %q, %v, %v", name, text, info.Mode(), err)
		}
	}
	if err := os.Remove(filepath.Join(dir, ConfigName)); err != nil {
		t.Fatal(err)
	}
	if err := r.write(dir); err == nil || !strings.Contains(err.Error(), "secret.txt is there already") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ConfigName)); err == nil {
		t.Error("the config was written all the same")
	}
}
