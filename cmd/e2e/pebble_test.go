package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// Let's Encrypt's ACME server for tests, and its DNS server, in which every name is
// 127.0.0.1. Both are built once.
const (
	pebbleModule = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"
	dnsModule    = "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@v2.10.1"
)

// The key id and key of an external account binding, which no log may show.
const (
	eabKid = "kid-1"
	eabKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
)

// pebble is a real ACME server.
type pebble struct {
	*authntest.Process
	directory  string // URL
	ca         string // file of the CA by which the server itself is known
	management string // host:port
	config     string // file
	dns        string // host:port
	client     *http.Client
}

// pebbleSetup is what a test wants of it.
type pebbleSetup struct {
	Secure, Plain string        // where it looks for what answers tls-alpn-01 and http-01, host:port
	Life          time.Duration // of certificates; 0: 90 days
	EAB           bool          // it wants the binding above
}

// newPebble prepares one; start starts it.
func newPebble(t *testing.T, s pebbleSetup) *pebble {
	t.Helper()
	dir := t.TempDir()
	roots := authntest.WriteCertificates(t, dir)
	p := &pebble{management: authntest.FreeAddress(t), ca: filepath.Join(dir, "ca.crt"), config: filepath.Join(dir, "pebble.json"),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}}
	if s.Life == 0 {
		s.Life = 90 * 24 * time.Hour
	}
	address := authntest.FreeAddress(t)
	p.directory = "https://" + address + "/dir"
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": p.management, "certificate": filepath.Join(dir, "server.crt"), "privateKey": filepath.Join(dir, "server.key"),
		"httpPort": portOf(t, s.Plain), "tlsPort": portOf(t, s.Secure), "externalAccountBindingRequired": s.EAB,
		"externalAccountMACKeys": map[string]string{eabKid: eabKey}, "retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "of the test", "validityPeriod": int(s.Life.Seconds())}}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.config, string(text))
	p.dns = authntest.FreeAddress(t)
	authntest.Start(t, exec.Command(goProgram(t, dnsModule), "-dnsserver", p.dns, "-management", authntest.FreeAddress(t), "-defaultIPv6", "", "-doh", "", "-http01", "", "-https01", "", "-tlsalpn01", ""))
	return p
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	if address == "" {
		return 1
	}
	_, text, err := net.SplitHostPort(address)
	port, perr := strconv.Atoi(text)
	if err != nil || perr != nil {
		t.Fatal(err, perr)
	}
	return port
}

// start runs it, with accounts, orders and CA of its own, until it answers.
func (p *pebble) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(goProgram(t, pebbleModule), "-config", p.config, "-dnsserver", p.dns)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	p.Process = authntest.Start(t, cmd)
	listens := func(url string) bool { _, err := p.client.Get(url); return err == nil }
	if err := p.Await(20*time.Second, func() bool { return listens(p.directory) && listens("https://"+p.management+"/roots/0") }); err != nil { // each in its own time
		t.Fatal(err)
	}
}

// roots are what its certificates are verified by.
func (p *pebble) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	response, err := p.client.Get("https://" + p.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%v: %s", err, text)
	}
	return pool
}
