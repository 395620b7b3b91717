package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/metrics"
)

// pair makes a certificate of a name and its key in PEM.
func pair(t *testing.T, name string, from, to time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text})
}

// put stores what an order would.
func (s store) put(t *testing.T, name string, texts ...[]byte) {
	t.Helper()
	for i, key := range s.files(name) {
		if err := s.Store(t.Context(), key, texts[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// shortLived stores a certificate of that name with so much of its life left.
func (s store) shortLived(t *testing.T, name string, life, left time.Duration) {
	t.Helper()
	end := time.Now().Add(left)
	cert, key := pair(t, name, end.Add(-life), end)
	s.put(t, name, cert, key, []byte("{}"))
}

// manager is one whose server does not answer, with its log.
func manager(t *testing.T) (*Manager, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c := section()
	c.DirectoryURL = "http://127.0.0.1:1/dir"
	return New(Options{Config: c, Folder: filepath.Join(t.TempDir(), "acme"), Listening: func() (string, string) { return "127.0.0.1:1", "127.0.0.1:2" },
		Metrics: metrics.New(metrics.BuildInfo{}), Logger: slog.New(slog.NewTextHandler(&log, nil))}), &log
}

// order looks at all names once and waits for the end.
func (m *Manager) orderAll(ctx context.Context) (started int) {
	var all sync.WaitGroup
	m.Order(ctx, func(name string) bool { return name == "b.test" }, func(f func()) { started++; all.Go(f) })
	all.Wait()
	return started
}

// counted is how the metric of orders stands.
func (m *Manager) counted(result string) bool {
	w := httptest.NewRecorder()
	m.options.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return strings.Contains(w.Body.String(), `gatehouse_acme_orders_total{result="`+result+`"} 1`)
}

// TestStoredCertificate: what is stored is served, and nothing is ordered, until a third
// of its life is left.
func TestStoredCertificate(t *testing.T) {
	m, log := manager(t)
	m.store.shortLived(t, "a.test", 3*time.Hour, time.Hour+time.Minute)
	m.Restore(nil)
	if c := m.Certificate("A.TEST"); c == nil || c.Leaf.DNSNames[0] != "a.test" {
		t.Fatalf("%v is served", c)
	}
	if n := m.orderAll(t.Context()); n != 1 || m.counted("failed") || log.Len() > 0 {
		t.Errorf("%d names were looked at: %s", n, log)
	}
	if n := m.orderAll(t.Context()); n != 0 {
		t.Error("a name is looked at without a pause")
	}
	first := m.Certificate("a.test")
	m.store.shortLived(t, "a.test", 3*time.Hour, 2*time.Hour) // by a replica
	m.Restore(nil)
	if m.orderAll(t.Context()); m.Certificate("a.test") == first {
		t.Error("what a replica stored is not served")
	}
	before := m.Certificate("a.test")
	m.store.shortLived(t, "a.test", 3*time.Hour, time.Hour-time.Minute)
	m.Restore(nil)
	m.orderAll(t.Context())
	if !m.counted("failed") || !strings.Contains(log.String(), "again_in=40s") {
		t.Errorf("no order a third before the end: %s", log)
	}
	if states := m.States(); states[0].Missing() != nil || states[0].Err == nil || m.Certificate("a.test") == before {
		t.Errorf("%+v", states)
	}
}

// TestUnreadable: a stored certificate of no use is removed, so that it is ordered again,
// and what is served already stays.
func TestUnreadable(t *testing.T) {
	now := time.Now()
	cert, key := pair(t, "a.test", now, now.Add(time.Hour))
	other, _ := pair(t, "a.test", now, now.Add(time.Hour))
	foreign, foreignKey := pair(t, "c.test", now, now.Add(time.Hour))
	for name, texts := range map[string][][]byte{
		"no PEM": {[]byte("x"), key, []byte("{}")}, "empty": {nil, key, []byte("{}")}, "another key": {other, key, []byte("{}")},
		"another name": {foreign, foreignKey, []byte("{}")}, "no JSON": {cert, key, []byte("{")},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := manager(t)
			m.store.put(t, "a.test", texts...)
			if _, err := m.store.read("a.test"); !errors.Is(err, errUnreadable) {
				t.Fatalf("%v", err)
			}
			m.Restore(nil)
			m.orderAll(t.Context())
			if _, err := m.store.read("a.test"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			if err := m.States()[0].Missing(); err == nil || !strings.Contains(err.Error(), "no certificate yet: ") {
				t.Errorf("%v", err)
			}
		})
	}
	m, _ := manager(t)
	m.store.put(t, "a.test", cert, key, []byte("{}"))
	if err := m.store.discardUnreadable(t.Context(), "a.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store.read("a.test"); err != nil {
		t.Errorf("a good one was removed: %v", err)
	}
}

// TestModes: the folder is its owner's alone.
func TestModes(t *testing.T) {
	m, _ := manager(t)
	m.store.shortLived(t, "a.test", time.Hour, time.Hour)
	err := filepath.WalkDir(m.options.Folder, func(path string, d fs.DirEntry, err error) error {
		info, ierr := d.Info()
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; ierr == nil && info.Mode().Perm() != want {
			t.Errorf("%s: %o", path, info.Mode().Perm())
		}
		return errors.Join(err, ierr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRetries: the first within a minute, then ever more seldom, and no good order after
// an end of the gateway counts as a failure.
func TestRetries(t *testing.T) {
	var waits []time.Duration
	for n := range 20 {
		waits = append(waits, retry(n))
	}
	if waits[0] > time.Minute || waits[19] != time.Hour {
		t.Errorf("%v", waits)
	}
	for i, w := range waits[1:] {
		if w < waits[i] {
			t.Errorf("%v", waits)
		}
	}
	m, log := manager(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if m.orderAll(ended); m.counted("failed") || log.Len() > 0 {
		t.Errorf("an order that ended with the gateway: %s", log)
	}
}

// TestRestoreFrom: a config of another server goes on with what the old one had, and
// orders all the same.
func TestRestoreFrom(t *testing.T) {
	old, _ := manager(t)
	old.store.shortLived(t, "a.test", time.Hour, time.Hour)
	old.Restore(nil)
	c := section()
	c.DirectoryURL = "http://127.0.0.1:1/other"
	next := New(Options{Config: c, Folder: old.options.Folder, Listening: old.options.Listening, Metrics: metrics.New(metrics.BuildInfo{}), Logger: slog.New(slog.DiscardHandler)})
	next.Restore(old)
	if next.Certificate("a.test") != old.Certificate("a.test") || next.Certificate("b.test") != nil {
		t.Error("the old certificate is gone")
	}
	if next.orderAll(t.Context()); !next.counted("failed") {
		t.Error("nothing was ordered")
	}
}

// TestChallenges: only a server's question about a name of ours is answered.
func TestChallenges(t *testing.T) {
	m, _ := manager(t)
	for name, hello := range map[string]*tls.ClientHelloInfo{
		"a client":             {ServerName: "a.test", SupportedProtos: []string{"h2", "http/1.1"}},
		"a client without any": {ServerName: "a.test"},
		"a client that tries":  {ServerName: "a.test", SupportedProtos: []string{"acme-tls/1", "h2"}},
		"a foreign name":       {ServerName: "c.test", SupportedProtos: []string{"acme-tls/1"}},
		"no name":              {SupportedProtos: []string{"acme-tls/1"}},
	} {
		if cfg, err := m.Challenge(hello); cfg != nil || err != nil {
			t.Errorf("%s: %v %v", name, cfg, err)
		}
	}
	if cfg, err := (*Manager)(nil).Challenge(&tls.ClientHelloInfo{ServerName: "a.test", SupportedProtos: []string{"acme-tls/1"}}); cfg != nil || err != nil {
		t.Error("no manager answers")
	}
	m.options.Config.Challenge = HTTP01
	for _, target := range []string{"http://a.test/.well-known/acme-challenge/x", "http://a.test/", "http://c.test/.well-known/acme-challenge/x"} {
		w := httptest.NewRecorder()
		if m.Answer(w, httptest.NewRequest("GET", target, nil)) || w.Body.Len() > 0 {
			t.Errorf("%s was answered without a question: %s", target, w.Body)
		}
	}
}
