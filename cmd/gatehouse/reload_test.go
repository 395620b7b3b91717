package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/tokens"
)

// newTestServer is a started server without listeners, and the way to change its config.
func newTestServer(t *testing.T, text string) (*server, func(string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	s := newServer(path, quiet())
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s, write
}

// quiet are streams that nobody reads.
func quiet() streams {
	log := slog.New(slog.DiscardHandler)
	return streams{stdout: io.Discard, log: log, level: new(slog.LevelVar)}
}

const minimal = "upstream: {url: \"http://127.0.0.1:1\"}\n"

// TestReloadTakesTheCertificateLast: new files of the pair are taken by a good
// reload, and by no other.
func TestReloadTakesTheCertificateLast(t *testing.T) {
	dir := t.TempDir()
	text := minimal + "listen: {tls: {cert_file: " + dir + "/server.crt, key_file: " + dir + "/server.key}}\n"
	authntest.WriteCertificates(t, dir)
	s, write := newTestServer(t, text)
	defer func() { s.current.Load().Release() }()
	served := func() string {
		pair, err := s.current.Load().TLS.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	first := served()
	authntest.WriteCertificates(t, dir)
	write(text + "nonsense: 1\n")
	if s.reload(); served() != first {
		t.Error("a reload that was refused took the new pair")
	}
	write(text)
	if s.reload(); served() == first {
		t.Error("a good reload kept the old pair")
	}
}

// TestReloadUnderLoad swaps snapshots below running requests: each is answered by
// one config as a whole, and every snapshot is let go once its last request is done.
func TestReloadUnderLoad(t *testing.T) {
	defer goleak.VerifyNone(t)
	configs := []string{minimal + "tokens: {service: odd}\nlisten: {public_urls: [\"http://127.0.0.1\"]}\n",
		minimal + "tokens: {service: even}\nlisten: {public_urls: [\"https://127.0.0.1\"]}\n"}
	s, write := newTestServer(t, configs[1])
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				w := httptest.NewRecorder()
				r := httptest.NewRequest("GET", "http://127.0.0.1/v2/", nil)
				r.RemoteAddr = "127.0.0.1:1"
				s.serveHTTP(w, r)
				switch got := w.Header().Get("WWW-Authenticate"); got {
				case `Bearer realm="http://127.0.0.1/auth",service="odd"`, `Bearer realm="https://127.0.0.1/auth",service="even"`:
				default:
					t.Errorf("%d of two configs: %s", w.Code, got)
				}
			}
		})
	}
	var old []*assembly.Snapshot
	for i := range 50 {
		old = append(old, s.current.Load())
		write(configs[i%2])
		s.reload()
	}
	close(stop)
	clients.Wait()
	for i, sn := range old {
		if sn.Acquire() || sn == s.current.Load() {
			t.Errorf("snapshot %d is still held", i)
		}
	}
	s.current.Load().Release()
}

// TestReloadKeeps shows what a good reload keeps, and that a bad one changes nothing.
func TestReloadKeeps(t *testing.T) {
	s, write := newTestServer(t, minimal)
	defer func() { s.current.Load().Release() }()
	key, first := s.shared.Key, s.current.Load()
	challenge := func() string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://127.0.0.1/v2/", nil)
		r.RemoteAddr = "127.0.0.1:1234"
		s.serveHTTP(w, r)
		return w.Header().Get("WWW-Authenticate")
	}
	for _, bad := range []string{"", "x: 1\n" + minimal, minimal + "listen: {address: \":1\"}\n", minimal + "tokens: {key_files: [none]}\n",
		minimal + "limits: {header_timeout: 5s}\n", minimal + "limits: {http2_streams: 50}\n", minimal + "limits: {header_bytes: 65536}\n", minimal + "audit: {file: none/x}\n", minimal + "audit: {file: .}\n"} {
		write(bad)
		if s.reload(); s.current.Load() != first {
			t.Fatalf("%q was taken", bad)
		}
	}
	write(minimal + "tokens: {service: other}\nlimits: {connections: 1}\nlog: {level: warn}\n")
	s.reload()
	a, b := net.Pipe()
	if s.accept(a) == nil || s.accept(b) != nil {
		t.Error("the new limits do not count")
	}
	if s.level.Level() != slog.LevelWarn {
		t.Error("the new level does not count")
	}
	if s.shared.Key != key {
		t.Error("the key made at start was made again")
	}
	if got := challenge(); !strings.Contains(got, `service="other"`) {
		t.Errorf("the new config does not count: %s", got)
	}
}

// TestReloadNamesAllMoves (H9): a reload that moves several keys names each of them.
func TestReloadNamesAllMoves(t *testing.T) {
	s, write := newTestServer(t, minimal)
	defer func() { s.current.Load().Release() }()
	write(minimal + "listen: {address: \":1\"}\nadmin: {address: \"127.0.0.1:2\"}\n" +
		"limits: {header_timeout: 5s, http2_streams: 50, header_bytes: 65536}\n")
	next := assembly.Prepare(s.path, s.shared, s.current.Load())
	defer next.Release()
	var keys []string
	for _, f := range next.Loaded.Faults() {
		keys = append(keys, f.Key)
	}
	want := []string{"listen.address", "admin.address", "limits.header_timeout", "limits.http2_streams", "limits.header_bytes"}
	if !slices.Equal(keys, want) {
		t.Errorf("named %q, want %q", keys, want)
	}
}

// TestRefusedReloadLeavesTheMetric (A16): the end of a pair that a refused reload
// names is not the end of the pair that is served; a good reload's is.
func TestRefusedReloadLeavesTheMetric(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	named := func(dir string) string {
		return minimal + "listen: {tls: {cert_file: " + dir + "/server.crt, key_file: " + dir + "/server.key}}\n"
	}
	authntest.WriteCertificates(t, one)
	writeLongPair(t, two)
	s, write := newTestServer(t, named(one))
	defer func() { s.current.Load().Release() }()
	told := func() string {
		w := httptest.NewRecorder()
		s.shared.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		_, value, _ := strings.Cut(w.Body.String(), "\ngatehouse_tls_certificate_not_after_seconds{")
		value, _, _ = strings.Cut(value, "\n")
		return value
	}
	before := told()
	if before == "" {
		t.Fatalf("the metric is %q", before)
	}
	write(named(two) + "nonsense: 1\n")
	if s.reload(); told() != before {
		t.Errorf("a refused reload moved the metric from %s to %s", before, told())
	}
	write(named(two))
	if s.reload(); told() == before {
		t.Error("a good reload left the metric of the old pair")
	}
	write(minimal)
	if s.reload(); told() != "" {
		t.Errorf("without TLS the metric is %s, want none", told())
	}
}

// writeLongPair writes a pair that ends much later than those of authntest.
func writeLongPair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(3 * 365 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: cert}, "server.key": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBoundedLog keeps whoever breaks connections from deciding how much is written.
func TestBoundedLog(t *testing.T) {
	var log strings.Builder
	l := errorLog(slog.New(slog.NewJSONHandler(&log, nil)))
	for range 1000 {
		l.Print(strings.Repeat("x", 5000) + "\nforged")
	}
	if n := strings.Count(log.String(), "\n"); n < 50 || n > 100 {
		t.Errorf("%d lines", n)
	}
	if strings.Contains(log.String(), "forged") || len(log.String()) > 100*500 {
		t.Error("a line is longer than it may be")
	}
}

// TestStandardLog: what a library writes past us is a record like any other.
func TestStandardLog(t *testing.T) {
	var out strings.Builder
	l := slog.New(slog.NewJSONHandler(&out, nil))
	flags, writer := log.Flags(), log.Writer()
	t.Cleanup(func() { log.SetFlags(flags); log.SetOutput(writer) })
	adoptStandardLog(errorLog(l))
	log.Print("Unsolicited \"response\"\nforged")
	if got := out.String(); !strings.HasPrefix(got, `{"time":`) || strings.Count(got, "\n") != 1 || strings.Contains(got, "forged") {
		t.Errorf("%q", got)
	}
}

// TestReloadRevokes: HUP ends a token at once, though it was verified and stands
// in the cache, and gives it back when the entry goes.
func TestReloadRevokes(t *testing.T) {
	const config = minimal + "directories: [{name: local, static: [{username: alice, password_hash: \"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\"}]}]\n"
	s, write := newTestServer(t, config)
	defer func() { s.current.Load().Release() }()
	sn := s.current.Load()
	id, err := sn.Chain.Find(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	text, token, err := sn.Keyring.Issue(tokens.Token{Kind: tokens.Access, Subject: authn.Ref{Directory: id.Directory, Username: id.Username, ID: id.ID}, PasswordStamp: id.PasswordStamp})
	if err != nil {
		t.Fatal(err)
	}
	status := func() (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://127.0.0.1/v2/", nil)
		r.RemoteAddr = "127.0.0.1:1234"
		r.Header.Set("Authorization", "Bearer "+text)
		s.serveHTTP(w, r)
		return w.Code, w.Header().Get("WWW-Authenticate")
	}
	for _, c := range []struct {
		revoked string
		want    int
	}{
		{"[]", http.StatusOK}, {"[{token: " + token.ID + "}]", http.StatusUnauthorized}, {"[{token: other}]", http.StatusOK},
		{"[{user: local/alice}]", http.StatusUnauthorized}, {"[{user: bob}]", http.StatusOK},
		{"[{issued_before: " + time.Now().Add(time.Second).UTC().Format(time.RFC3339) + "}]", http.StatusUnauthorized},
		{"[{issued_before: 2026-01-01T00:00:00Z}]", http.StatusOK},
	} {
		write(config + "tokens: {revoked: " + c.revoked + "}\n")
		s.reload()
		if got, challenge := status(); got != c.want || got == http.StatusUnauthorized && !strings.Contains(challenge, `error="invalid_token"`) {
			t.Errorf("revoked %s: status %d, %s", c.revoked, got, challenge)
		}
	}
}

// TestNoHTTP2: http2_streams: 0 takes HTTP/2 out of what the handshake offers.
func TestNoHTTP2(t *testing.T) {
	dir := t.TempDir()
	ts := httptest.NewTLSServer(nil)
	defer ts.Close()
	pair := ts.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := "listen: {tls: {cert_file: " + filepath.Join(dir, "crt") + ", key_file: " + filepath.Join(dir, "key") + "}}\n"
	for streams, want := range map[string]string{"0": "http/1.1", "100": "h2"} {
		s, _ := newTestServer(t, minimal+listen+"limits: {http2_streams: "+streams+"}\n")
		client, server := net.Pipe()
		go s.accept(server).(*tls.Conn).Handshake()
		c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err := c.Handshake(); err != nil || c.ConnectionState().NegotiatedProtocol != want {
			t.Errorf("%s streams: %q, %v", streams, c.ConnectionState().NegotiatedProtocol, err)
		}
		client.Close()
		s.current.Load().Release()
	}
}
