package assembly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
)

// TestEdgeFindings: what contradicts itself at the edge is told with its line and column,
// as a fault where it could not work and as a warning where it works and may not be meant.
func TestEdgeFindings(t *testing.T) {
	dir := t.TempDir()
	authntest.WriteCertificates(t, dir)
	const one = "upstream: {url: \"http://127.0.0.1:1\"}\n"
	pair := "cert_file: server.crt, key_file: server.key"
	for _, test := range []struct{ name, text, fault, warning string }{
		{"a host that is not public", "listen:\n  public_urls: [\"http://a.test\"]\nupstreams:\n- {name: a, urls: [\"http://127.0.0.1:1\"], hosts: [A.test, b.test]}\n", "",
			"4:59: upstreams[0].hosts[1]: \"b.test\" is the host of none of listen.public_urls"},
		{"a host at a port", "listen:\n  public_urls: [\"http://a.test:5000\"]\nupstreams:\n- {name: a, urls: [\"http://127.0.0.1:1\"], hosts: [a.test]}\n", "", "upstreams[0].hosts[0]"},
		{"two of one name", "upstreams:\n- {name: a, urls: [\"http://127.0.0.1:1\"], repositories: [x]}\n- {name: a, urls: [\"http://127.0.0.1:2\"]}\n", "3:4: upstreams[1].name: \"a\" is the name of upstreams[0] too", ""},
		{"never reached", "upstreams:\n- {name: a, urls: [\"http://127.0.0.1:1\"], repositories: [\"t/**\"]}\n- {name: b, urls: [\"http://127.0.0.1:2\"], repositories: [\"t/x\", y]}\n",
			"3:58: upstreams[1].repositories[0]: is never reached: upstreams[0] takes all of it before", ""},
		{"one and several", one + "upstreams:\n- {name: a, urls: [\"http://127.0.0.1:1\"]}\n", "2:1: upstreams: stands beside upstream", ""},
		{"a name in no certificate", one + "listen:\n  public_urls: [\"https://a.test\", \"https://localhost\"]\n  tls: {" + pair + "}\n", "", "3:17: listen.public_urls[0]: no certificate of listen.tls has the name a.test"},
		{"an ordered name of a pair", one + "listen:\n  tls:\n    " + strings.ReplaceAll(pair, ", ", "\n    ") + "\n    acme: {directory_url: \"https://ca.test/dir\", names: [localhost], terms_agreed: true}\n", "",
			"6:58: listen.tls.acme.names[0]: localhost is a name of a pair"},
		{"required without a CA", one + "listen:\n  tls: {" + pair + ", client_required: true}\n", "listen.tls.client_required: needs client_ca_file beside it", ""},
		{"no terms", one + "listen:\n  tls: {acme: {directory_url: \"https://ca.test/dir\", names: [a.test]}}\n", "listen.tls.acme.terms_agreed: must be true", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := Look(path)
			defer s.Release()
			said := func(want string, faults bool) bool {
				list := s.Loaded.Warnings()
				if faults {
					list = s.Loaded.Faults()
				}
				for _, f := range list {
					if want != "" && strings.Contains(f.String(), want) {
						return true
					}
				}
				return want == "" && (!faults || len(list) == 0)
			}
			if !said(test.fault, true) || !said(test.warning, false) {
				t.Errorf("want %q and %q, got\n%v\n%v", test.fault, test.warning, s.Loaded.Faults(), s.Loaded.Warnings())
			}
		})
	}
}
