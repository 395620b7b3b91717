//go:build acme

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

const (
	ordersOK     = `gatehouse_acme_orders_total{result="ok"}`
	ordersFailed = `gatehouse_acme_orders_total{result="failed"}`
)

// folder is a storage that is not there yet.
func folder(t *testing.T) string { return filepath.Join(t.TempDir(), "state", "acme") }

// TestACMEByHTTP: the plain listener answers the ACME server, and what it answers else stays.
func TestACMEByHTTP(t *testing.T) {
	secure, plain := authntest.FreeAddress(t), authntest.FreeAddress(t)
	p := newPebble(t, pebbleSetup{Plain: plain, EAB: true})
	p.start(t)
	key := filepath.Join(t.TempDir(), "eab")
	write(t, key, eabKey+"\n")
	o := orderingAt(t, p, secure, plain, folder(t), fmt.Sprintf(", eab_kid: %s, eab_key_file: %q", eabKid, key))
	o.run(t)
	roots := p.roots(t)
	o.ready(t, roots)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]int{"/.well-known/acme-challenge/x": http.StatusPermanentRedirect, "/v2/": http.StatusPermanentRedirect} {
		request, err := http.NewRequest("GET", "http://"+plain+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "registry.test"
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != want {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if n := o.metric(t, ordersOK); n != 1 {
		t.Errorf("%v orders", n)
	}
}

// TestACMERefused: without the binding that the server wants, and from a server that is
// not known, there is one clear line and no certificate.
func TestACMERefused(t *testing.T) {
	for _, test := range []struct {
		name, want string
		eab        bool
		ca         bool // the server is known
	}{{"no binding", "externalAccountRequired", true, true}, {"an unknown server", "certificate signed by unknown authority", false, false}} {
		t.Run(test.name, func(t *testing.T) {
			secure := authntest.FreeAddress(t)
			p := newPebble(t, pebbleSetup{Secure: secure, EAB: test.eab})
			p.start(t)
			if !test.ca {
				p.ca = newKeyPair(t).authority()
			}
			o := orderingAt(t, p, secure, "", folder(t), "")
			o.run(t)
			eventually(t, 60*time.Second, "an order that fails", func() bool { return o.metric(t, ordersFailed) == 1 })
			eventually(t, 5*time.Second, "a line of it", func() bool { return strings.Contains(o.Log(), test.want) })
			if n := strings.Count(o.Log(), "could not be ordered"); n != 1 {
				t.Errorf("%d lines:\n%s", n, o.Tail(4000))
			}
			if _, err := o.certificate(nil); err == nil {
				t.Error("a handshake without a certificate")
			}
		})
	}
}

// TestACMERetries: an order that failed is tried again within a minute, by itself.
func TestACMERetries(t *testing.T) {
	secure := authntest.FreeAddress(t)
	p := newPebble(t, pebbleSetup{Secure: secure})
	o := orderingAt(t, p, secure, "", folder(t), "")
	o.run(t)
	eventually(t, 20*time.Second, "an order that fails", func() bool { return o.metric(t, ordersFailed) == 1 })
	p.start(t)
	failed := time.Now()
	eventually(t, time.Minute, "a certificate", func() bool { return o.metric(t, ordersOK) == 1 })
	t.Logf("ordered %s after the failure", time.Since(failed).Round(time.Second))
}

// hands shakes hands with a gateway without a pause, and wants each time a certificate of
// one of the roots.
func (o *ordering) hands(t *testing.T, roots *x509.CertPool) (stop func() int) {
	t.Helper()
	ended := make(chan struct{})
	var running sync.WaitGroup
	n := 0
	running.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if _, err := o.certificate(roots); err != nil {
				t.Errorf("handshake %d: %v", n, err)
				return
			}
			n++
		}
	})
	return func() int { close(ended); running.Wait(); return n }
}

// TestACMERenewal: two gateways share a storage. One orders, and the other answers the
// server's question and serves it too; at a third of its life it is renewed, once; while
// the server is down the old one is served to its end, and no handshake fails before.
func TestACMERenewal(t *testing.T) {
	const life = 60 * time.Second
	secure, storage := authntest.FreeAddress(t), folder(t)
	p := newPebble(t, pebbleSetup{Secure: secure, Life: life})
	one := orderingAt(t, p, secure, "", storage, "")
	one.run(t)
	eventually(t, 20*time.Second, "an order that fails", func() bool { return one.metric(t, ordersFailed) == 1 })
	p.start(t)
	two := orderingAt(t, p, authntest.FreeAddress(t), "", storage, "")
	two.run(t)
	roots := p.roots(t)
	first := two.ready(t, roots)
	if err := one.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if again := one.ready(t, roots); !again.Equal(first) || one.metric(t, ordersOK) != 0 {
		t.Errorf("the replica serves another certificate, after %v orders", one.metric(t, ordersOK))
	}
	stop := two.hands(t, roots)
	orders := func() float64 { return one.metric(t, ordersOK) + two.metric(t, ordersOK) }
	eventually(t, life, "a renewal", func() bool { return orders() == 2 })
	if left := time.Until(first.NotAfter); left > life/3+time.Second || left < life/3-6*time.Second {
		t.Errorf("renewed with %s of %s left", left, life)
	}
	p.Kill()
	for _, g := range []*ordering{one, two} {
		eventually(t, life/3-3*time.Second, "both serve the new one", func() bool {
			cert, err := g.certificate(roots)
			return err == nil && !cert.Equal(first)
		})
	}
	second, err := two.certificate(roots)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, life, "a renewal that fails", func() bool { return two.metric(t, ordersFailed) == 1 })
	if n := stop(); n < 100 || time.Until(second.NotAfter) < 5*time.Second || orders() != 2 || two.status("/readyz") != http.StatusOK {
		t.Errorf("%d handshakes, %v orders, %s left, ready %d", n, orders(), time.Until(second.NotAfter), two.status("/readyz"))
	}
}

// TestACMEStored: what is stored and cannot be read is ordered again; what a reload leaves
// as it was goes on without an order.
func TestACMEStored(t *testing.T) {
	secure := authntest.FreeAddress(t)
	p := newPebble(t, pebbleSetup{Secure: secure})
	p.start(t)
	o := orderingAt(t, p, secure, "", folder(t), "")
	o.run(t)
	roots := p.roots(t)
	first := o.ready(t, roots)
	o.inspect(t)
	err := filepath.WalkDir(o.storage, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "registry.test.key") {
			return os.WriteFile(path, []byte("garbage"), 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.serve(t)
	if o.ready(t, roots).Equal(first) || o.metric(t, ordersOK) != 1 {
		t.Errorf("%v orders", o.metric(t, ordersOK))
	}
	o.reload(t)
	if o.ready(t, roots); o.metric(t, ordersOK) != 1 {
		t.Errorf("%v orders after a reload", o.metric(t, ordersOK))
	}
}

// TestACMEAndClients: where clients need certificates the ACME server does not, and its
// connection leads nowhere; names of a pair are the pair's.
func TestACMEAndClients(t *testing.T) {
	secure, pair := authntest.FreeAddress(t), newKeyPair(t)
	p := newPebble(t, pebbleSetup{Secure: secure})
	p.start(t)
	o := orderingAt(t, p, secure, "", folder(t), fmt.Sprintf("}, client_required: true, client_ca_file: %q, cert_file: %q, key_file: %q}", pair.authority(), pair.Cert, pair.Key))
	o.run(t)
	eventually(t, 30*time.Second, "an order", func() bool { return o.metric(t, ordersOK) == 1 })
	own, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(cfg *tls.Config) error {
		conn, err := tls.Dial("tcp", secure, cfg)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n\r\n"); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 100))
		return err
	}
	if err := ask(&tls.Config{ServerName: "registry.test", RootCAs: p.roots(t), Certificates: []tls.Certificate{own}}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := ask(&tls.Config{ServerName: "localhost", RootCAs: pair.roots, Certificates: []tls.Certificate{own}}); err != nil {
		t.Errorf("a name of the pair: %v", err)
	}
	for _, protocols := range [][]string{nil, {"acme-tls/1"}, {"acme-tls/1", "http/1.1"}} {
		if err := ask(&tls.Config{ServerName: "registry.test", InsecureSkipVerify: true, NextProtos: protocols}); err == nil {
			t.Errorf("served without a certificate, by %v", protocols)
		}
	}
}
