package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACME: what is wrong about ordered certificates is told where it stands, and nothing
// is made.
func TestACME(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x", 0o600)
	for name, mode := range map[string]os.FileMode{"good": 0o700, "shared": 0o777, "mine": 0o755} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	const good = "directory_url: \"https://ca.test/dir\", names: [a.test], terms_agreed: true"
	for keys, want := range map[string]string{
		good:                     "",
		good + ", storage: good": "", good + ", storage: mine": "", good + ", storage: good/a/b": "",
		good + ", storage: \"\"":                                                 "listen.tls.acme.storage: is empty; give a value or leave the key out",
		good + ", storage: shared":                                               "listen.tls.acme.storage: shared cannot be used: " + dir + "/shared can be written by them (mode 0777); chmod go-w it",
		good + ", storage: shared/a":                                             "listen.tls.acme.storage: shared/a cannot be used: " + dir + "/shared can be written by them (mode 0777); chmod go-w it",
		good + ", storage: file":                                                 "listen.tls.acme.storage: file cannot be used: " + dir + "/file is no folder",
		good + ", storage: file/a":                                               "listen.tls.acme.storage: file/a cannot be used: not a directory",
		good + ", challenge: http-01":                                            "listen.tls.acme.challenge: http-01 needs listen.http_address, which the ACME server asks at port 80 of each name",
		good + ", challenge: dns-01":                                             "listen.tls.acme.challenge: must be tls-alpn-01 or http-01, not \"dns-01\"",
		good + ", eab_kid: a":                                                    "listen.tls.acme.eab_kid: needs listen.tls.acme.eab_key_file beside it",
		good + ", eab_key_file: file":                                            "listen.tls.acme.eab_key_file: needs listen.tls.acme.eab_kid beside it",
		strings.Replace(good, "[a.test]", "[\"*.a.test\"]", 1):                   "listen.tls.acme.names[0]: \"*.a.test\" is a wildcard, which neither challenge can show; name each host, or give a pair with that name in listen.tls.certificates",
		strings.Replace(good, ", terms_agreed: true", "", 1):                     "listen.tls.acme.terms_agreed: must be true: no certificate is ordered before you agree to the terms of the ACME server",
		strings.Replace(good, ", names: [a.test]", "", 1):                        "listen.tls.acme.names: is required: which names shall certificates be ordered for?",
		strings.Replace(good, "directory_url: \"https://ca.test/dir\", ", "", 1): "listen.tls.acme.directory_url: is required",
	} {
		l := load(t, dir, "upstream: {url: \"https://h\"}\nlisten:\n  tls:\n    acme: {"+keys+"}\n")
		faults := l.Faults()
		switch {
		case want == "" && len(faults) > 0, want != "" && len(faults) != 1:
			t.Errorf("%s\ngot %v, want %q", keys, faults, want)
		case want != "" && (!strings.HasSuffix(faults[0].String(), ": "+want) || faults[0].Place.Line != 4):
			t.Errorf("%s\ngot %v, want line 4, %s", keys, faults[0], want)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "good")); err != nil || len(entries) > 0 {
		t.Errorf("something was made: %v %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "acme")); !os.IsNotExist(err) {
		t.Errorf("the default folder was made: %v", err)
	}
}
