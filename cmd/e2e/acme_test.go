package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// ordering is a gateway whose certificate for registry.test is ordered.
type ordering struct {
	*gateway
	storage string
	plain   string // listen.http_address; empty: none
}

// orderingAt makes the config of one; it is not started. keys are more of listen.tls,
// in YAML's flow style.
func orderingAt(t *testing.T, p *pebble, secure, plain, storage, keys string) *ordering {
	t.Helper()
	s := setup{Upstream: startRegistry(t).url(), Listen: secure, Admin: authntest.FreeAddress(t), Tokens: "key_files: [" + signingKey(t) + "]"}
	section := fmt.Sprintf("directory_url: %q, email: admin@registry.test, names: [registry.test], storage: %q, ca_file: %q, terms_agreed: true", p.directory, storage, p.ca)
	if plain != "" {
		section += ", challenge: http-01"
		s.ListenKeys = "http_address: " + plain + "\n  "
	}
	s.ListenKeys += "tls: {acme: {" + section + keys
	if strings.Count(keys, "}") == 0 {
		s.ListenKeys += "}}"
	}
	return &ordering{&gateway{address: secure, admin: s.Admin, config: writeConfig(t, s), up: "/livez", scheme: "https"}, storage, plain}
}

// run starts it, and the test ends with a look at its log.
func (o *ordering) run(t *testing.T) {
	t.Helper()
	o.client = &http.Client{Transport: &http.Transport{}}
	o.serve(t)
	t.Cleanup(func() { o.judge(t) })
}

// judge ends it and looks into its log.
func (o *ordering) judge(t *testing.T) {
	t.Helper()
	o.inspect(t)
	if log := o.Log(); strings.Contains(log, eabKey) || strings.Contains(log, "PRIVATE KEY") || strings.Contains(log, "obtain") {
		t.Errorf("the log shows a key, or what the library says:\n%s", o.Tail(4000))
	}
}

// certificate is what a client is shown that asks for registry.test and believes roots.
func (o *ordering) certificate(roots *x509.CertPool) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", o.address, &tls.Config{ServerName: "registry.test", RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// ready waits until it has a certificate by those roots.
func (o *ordering) ready(t *testing.T, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	var shown *x509.Certificate
	eventually(t, 30*time.Second, "a certificate", func() bool {
		cert, err := o.certificate(roots)
		shown = cert
		return err == nil && o.status("/readyz") == http.StatusOK
	})
	return shown
}

// TestACME: a gateway starts while the ACME server is down and says so; the certificate
// is there once it is up; a restart orders nothing, and needs no ACME server.
func TestACME(t *testing.T) {
	secure := authntest.FreeAddress(t)
	p := newPebble(t, pebbleSetup{Secure: secure})
	o := orderingAt(t, p, secure, "", filepath.Join(t.TempDir(), "acme"), "")
	o.run(t)
	const failed = `gatehouse_acme_orders_total{result="failed"}`
	eventually(t, 20*time.Second, "an order that fails", func() bool { return o.metric(t, failed) == 1 })
	if _, err := o.certificate(nil); err == nil || o.status("/readyz") != http.StatusServiceUnavailable {
		t.Errorf("without a certificate: %v, ready %d", err, o.status("/readyz"))
	}
	if text := o.admins(t, "/readyz?verbose"); !strings.Contains(text, "certificate registry.test: no certificate yet: ") {
		t.Errorf("readyz does not say why:\n%s", text)
	}
	if lines := strings.Count(o.Log(), "could not be ordered"); lines != 1 || !strings.Contains(o.Log(), `"again_in":"40s"`) {
		t.Errorf("%d lines of the failure:\n%s", lines, o.Tail(4000))
	}
	p.start(t)
	if err := o.Cmd.Process.Signal(syscall.SIGHUP); err != nil { // tries at once
		t.Fatal(err)
	}
	first := o.ready(t, p.roots(t))
	if n := o.metric(t, `gatehouse_acme_orders_total{result="ok"}`); n != 1 {
		t.Errorf("%v orders", n)
	}
	if n := o.metric(t, `gatehouse_tls_certificate_not_after_seconds{name="registry.test"}`); int64(n) != first.NotAfter.Unix() {
		t.Errorf("the certificate ends %v", n)
	}
	checkModes(t, o.storage)
	roots := p.roots(t)
	p.Kill()
	o.restart(t)
	if again, err := o.certificate(roots); err != nil || !again.Equal(first) || o.status("/readyz") != http.StatusOK || strings.Contains(o.Log(), "order") {
		t.Errorf("after a restart: %v, ready %d\n%s", err, o.status("/readyz"), o.Tail(2000))
	}
}

// checkModes: the storage is the gateway's alone.
func checkModes(t *testing.T, storage string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(storage, func(path string, d fs.DirEntry, err error) error {
		info, ierr := os.Stat(path)
		switch {
		case ierr != nil:
		case d.IsDir() && info.Mode().Perm() != 0o700, strings.HasSuffix(path, ".key") && info.Mode().Perm() != 0o600:
			t.Errorf("%s: %o", path, info.Mode().Perm())
		case strings.HasSuffix(path, ".key"):
			keys++
		}
		return errors.Join(err, ierr)
	})
	if err != nil || keys != 2 {
		t.Errorf("%d keys, %v", keys, err)
	}
}
