package listener

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/proxy/acme"
)

// ordered is a manager of those names, with a stored certificate for a.test.
func ordered(t *testing.T, names ...string) *acme.Manager {
	t.Helper()
	folder := t.TempDir()
	site := filepath.Join(folder, "certificates", "ca.test-dir", "a.test")
	if err := os.MkdirAll(site, 0o700); err != nil {
		t.Fatal(err)
	}
	writePair(t, site, "a.test", time.Now().Add(time.Hour), "a.test")
	if err := os.WriteFile(filepath.Join(site, "a.test.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := acme.New(acme.Options{Config: acme.Config{DirectoryURL: "https://ca.test/dir", Names: names}, Folder: folder})
	m.Restore(nil)
	return m
}

// TestOrderedNames: names that a pair has are the pair's, the others are served what was
// ordered; one that has none does not hinder the others.
func TestOrderedNames(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "wild", time.Now().Add(time.Hour), "*.pair.test")
	writePair(t, dir, "default", time.Now().Add(time.Hour), "default.test")
	pairs := &TLS{Certificates: []Pair{readPair(dir, "wild")}, CertFile: readPair(dir, "default").CertFile, KeyFile: readPair(dir, "default").KeyFile}
	for _, test := range []struct {
		cfg     *TLS
		names   []string
		served  map[string]string
		missing string // names
		none    bool   // no handshake at all
		warning string
	}{
		{&TLS{}, []string{"a.test", "b.test"}, map[string]string{"a.test": "a.test", "A.Test": "a.test", "b.test": "", "c.test": ""}, "b.test", false, ""},
		{&TLS{}, []string{"b.test"}, map[string]string{"b.test": "", "a.test": ""}, "b.test", true, ""},
		{pairs, []string{"a.test", "b.test", "x.pair.test"}, map[string]string{"a.test": "a.test", "b.test": "default", "x.pair.test": "wild", "c.test": "default"}, "b.test", false,
			"acme.names[2]: x.pair.test is a name of a pair, so no certificate is ordered for it"},
	} {
		c, err := NewCertificates(test.cfg, ordered(t, test.names...))
		if c == nil || test.warning != "" && (err == nil || !strings.Contains(err.Error(), test.warning)) || test.warning == "" && err != nil {
			t.Fatalf("%v, want %q", err, test.warning)
		}
		for name, want := range test.served {
			if got := served(t, test.cfg.Server(c, true), name); got != want {
				t.Errorf("%v: %s is served %q, want %q", test.names, name, got, want)
			}
		}
		var missing []string
		list, none := c.Missing()
		for _, s := range list {
			missing = append(missing, s.Name)
		}
		if strings.Join(missing, " ") != test.missing || none != test.none {
			t.Errorf("%v: %v, none at all %v", test.names, missing, none)
		}
		if _, ok := c.Ends()["a.test"]; ok != (test.names[0] == "a.test") {
			t.Errorf("%v: the ends are %v", test.names, c.Ends())
		}
	}
}

// TestOrderedNamesCount: a public URL whose certificate is ordered has one.
func TestOrderedNamesCount(t *testing.T) {
	cfg := &Config{PublicURLs: []string{"https://a.test", "https://c.test"}, TLS: &TLS{}}
	c, err := NewCertificates(cfg.TLS, ordered(t, "a.test"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.CheckNames(c); err == nil || strings.Contains(err.Error(), "a.test") || !strings.Contains(err.Error(), "public_urls[1]") {
		t.Errorf("%v", err)
	}
	server := cfg.TLS.Server(c, true)
	if cfg, err := server.GetConfigForClient(&tls.ClientHelloInfo{ServerName: "a.test", SupportedProtos: []string{"h2"}}); cfg != nil || err != nil {
		t.Errorf("an ordinary handshake has a config of its own: %v %v", cfg, err)
	}
	if missing, none := (*Certificates)(nil).Missing(); missing != nil || none {
		t.Error("no certificates, and some are missing")
	}
}
