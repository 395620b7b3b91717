package assembly

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// soundFleet is a config with each key of machines that show certificates.
const soundFleet = `upstream: {url: "http://127.0.0.1:5001"}
listen:
  tls:
    cert_file: server.crt
    key_file: server.key
    client_ca_file: clients.pem
directories:
  - name: fleet
    certificates:
      crl_file: crl.pem
      workloads:
        - match: {uri: "spiffe://prod.example/ns/*/sa/*", o: [Example, Other]}
          name: "{uri.path}"
          groups: [pods, "{ou}"]
          record: [cn]
policy:
  - {allow: [push], repositories: ["ci/{machine}/**"], to: ["machine:fleet/ns/**"]}
`

// preparedFleet reads a text as a config, beside the files that soundFleet names and some
// that it should not.
func preparedFleet(t *testing.T, text string) *Snapshot {
	t.Helper()
	dir := t.TempDir()
	authntest.WriteCertificates(t, dir)
	clients, others := authntest.NewAuthority(t, "clients"), authntest.NewAuthority(t, "others")
	for name, text := range map[string][]byte{"c.yaml": []byte(text), "clients.pem": clients.PEM(), "two.pem": append(clients.PEM(), others.PEM()...), "junk.pem": []byte("junk"), "empty.pem": nil,
		"crl.pem": clients.Revoked(t, time.Now().Add(time.Hour), nil), "foreign.pem": others.Revoked(t, time.Now().Add(time.Hour), nil), "old.pem": clients.Revoked(t, time.Now().Add(-time.Minute), nil)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Prepare(filepath.Join(dir, "c.yaml"), &Shared{Logger: slog.New(slog.DiscardHandler)}, nil)
	t.Cleanup(s.Release)
	return s
}

// TestBrokenCertificates: each is refused with the line and column of what is wrong, and
// with nothing else; what works, and its owner should know, is a warning.
func TestBrokenCertificates(t *testing.T) {
	if s := preparedFleet(t, soundFleet); len(s.Loaded.Faults()) > 0 || len(s.Loaded.Warnings()) > 1 { // the key made at start
		t.Fatal(s.Loaded.Faults(), s.Loaded.Warnings())
	}
	const all = "        - match: {uri: \"spiffe://prod.example/ns/*/sa/*\", o: [Example, Other]}\n          name: \"{uri.path}\"\n          groups: [pods, \"{ou}\"]\n          record: [cn]\n"
	for _, c := range []struct {
		from, to, want string
		warning        bool
	}{
		{"    client_ca_file: clients.pem\n", "", "8:5: directories[0].certificates: needs listen.tls.client_ca_file: without it no client is asked for a certificate", false},
		{"  tls:\n    cert_file: server.crt\n    key_file: server.key\n    client_ca_file: clients.pem\n", "  basic: true\n", "6:5: directories[0].certificates: needs listen.tls.client_ca_file", false},
		{"client_ca_file: clients.pem", `client_ca_file: ""`, "9:5: directories[0].certificates: needs listen.tls.client_ca_file", false},
		{"client_ca_file: clients.pem", "client_ca_file: none.pem", "6:5: listen.tls.client_ca_file: none.pem cannot be read", false},
		{"client_ca_file: clients.pem", "client_ca_file: junk.pem", "6:5: listen.tls.client_ca_file: junk.pem holds no PEM certificate", false},
		{"crl_file: crl.pem", "crl_file: none.pem", "10:7: directories[0].certificates.crl_file: none.pem cannot be read", false},
		{"crl_file: crl.pem", "crl_file: junk.pem", "10:7: directories[0].certificates.crl_file: junk.pem is no list of revoked certificates", false},
		{"crl_file: crl.pem", "crl_file: empty.pem", "10:7: directories[0].certificates.crl_file: empty.pem", false},
		{"crl_file: crl.pem", "crl_file: clients.pem", "10:7: directories[0].certificates.crl_file: clients.pem is no list of revoked certificates", false},
		{"crl_file: crl.pem", "crl_file: foreign.pem", `10:7: directories[0].certificates.crl_file: foreign.pem is of "CN=others", and by no CA of listen.tls.client_ca_file`, false},
		{"crl_file: crl.pem", "crl_file: [crl.pem]", "10:17: directories[0].certificates.crl_file: must be", false},
		{"crl_file: crl.pem", "crl: crl.pem", `10:7: unknown key "crl" in directories[0].certificates`, false},
		{"crl_file: crl.pem", "crl_file: old.pem", `10:7: directories[0].certificates.crl_file: the list of "CN=clients" should have been replaced at`, true},
		{"client_ca_file: clients.pem", "client_ca_file: two.pem", `10:7: directories[0].certificates.crl_file: has no list of "CN=others"`, true},
		{"workloads:\n" + all, "workloads: []\n", "11:7: directories[0].certificates.workloads: required", false},
		{"      workloads:\n" + all, "", "9:5: directories[0].certificates.workloads: required", false},
		{`{uri: "spiffe://prod.example/ns/*/sa/*", o: [Example, Other]}`, "{}", "12:11: directories[0].certificates.workloads[0].match: required", false},
		{"o: [Example, Other]", "email: x", `12:59: directories[0].certificates.workloads[0].match.email: there is no "email"; there are: uri, dns, cn, o, ou`, false},
		{"o: [Example, Other]", "uri.path: x", "12:59: directories[0].certificates.workloads[0].match.uri.path: is part of a claim; match uri", false},
		{"o: [Example, Other]", `o: ""`, "12:59: directories[0].certificates.workloads[0].match.o: an empty pattern", false},
		{"o: [Example, Other]", "uri: x", "12:59: directories[0].certificates.workloads[0].match.uri: stands twice", false},
		{"ns/*/sa/*", "ns*", `12:19: directories[0].certificates.workloads[0].match.uri: "spiffe://prod.example/ns*" fits everything that begins so`, true},
		{`name: "{uri.path}"`, `name: "{uri.host}"`, `13:11: directories[0].certificates.workloads[0].name: there is no "uri.host"`, false},
		{`name: "{uri.path}"`, "name: app", "13:11: directories[0].certificates.workloads[0].name: has no {claim} in it", false},
		{`name: "{uri.path}"`, `name: ""`, "13:11: directories[0].certificates.workloads[0].name: is required", false},
		{`"{ou}"`, `"{sub}"`, `14:26: directories[0].certificates.workloads[0].groups[1]: there is no "sub"`, false},
		{"record: [cn]", "record: [serial]", `15:20: directories[0].certificates.workloads[0].record[0]: there is no "serial"`, false},
		{"record: [cn]", "record: [uri.path]", `15:20: directories[0].certificates.workloads[0].record[0]: "uri.path" is part of a claim; record uri`, false},
		{"  - name: fleet\n", "  - name: fleet\n    machines: []\n", "8:3: directories[0]: has machines and certificates; make two directories of it", false},
		{"policy:\n", "  - name: other\n    certificates:\n      workloads: [{match: {cn: x}, name: \"{cn}\"}]\npolicy:\n", "17:5: directories[1].certificates: directories[0] has certificates too; put the workloads of both into one", false},
		{"to: [", "to: [authenticated, ", "authenticated", true},
	} {
		if strings.Count(soundFleet, c.from) == 0 {
			t.Errorf("%q does not stand in the config", c.from)
			continue
		}
		s := preparedFleet(t, strings.Replace(soundFleet, c.from, c.to, 1))
		faults := faultsOf(s)
		switch {
		case c.warning && (len(faults) > 0 || !strings.Contains(fmt.Sprint(s.Loaded.Warnings()), c.want)):
			t.Errorf("%s -> %s: %v %v; want %s", c.from, c.to, faults, s.Loaded.Warnings(), c.want)
		case !c.warning && (len(faults) != 1 || !strings.Contains(faults[0], "c.yaml:"+c.want)):
			t.Errorf("%s -> %s:\n%s\nwant %s", c.from, c.to, strings.Join(faults, "\n"), c.want)
		}
	}
}
