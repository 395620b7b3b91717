package store

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/metrics"
)

// TestRedisFault: a server that is gone, or that refuses us, is a fault within the time
// limit, which is told once, and so is its return.
func TestRedisFault(t *testing.T) {
	server := miniredis.RunT(t)
	b, err := NewShared(Redis{URL: "redis://" + server.Addr(), Prefix: "p:"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var log strings.Builder
	m := metrics.New(metrics.BuildInfo{})
	s := Watched(b, Config{}, m, slog.New(slog.NewTextHandler(&log, nil)))
	server.SetError("LOADING")
	for range 3 {
		if _, err := s.Get(t.Context(), "t", "k"); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNone) {
			t.Errorf("%v, want a fault", err)
		}
	}
	if s.Up() {
		t.Error("it counts as up")
	}
	server.SetError("")
	if _, err := s.Get(t.Context(), "t", "k"); !errors.Is(err, ErrNone) || !s.Up() {
		t.Errorf("%v, up %v", err, s.Up())
	}
	if n := strings.Count(log.String(), "the store"); n != 2 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	server.Close()
	began := time.Now()
	if err := s.Put(t.Context(), Write{Table: "t", Key: "k", Value: []byte("v")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want a fault", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	want := strings.NewReader(`
# HELP gatehouse_store_requests_total Requests to the store.
# TYPE gatehouse_store_requests_total counter
gatehouse_store_requests_total{operation="get",result="fault"} 3
gatehouse_store_requests_total{operation="get",result="none"} 1
gatehouse_store_requests_total{operation="put",result="fault"} 1
`)
	if err := testutil.ScrapeAndCompare(scrape(t, m), want, "gatehouse_store_requests_total"); err != nil {
		t.Error(err)
	}
}

// TestRedisPassword: a wrong one is a fault; one that was rotated is read again.
func TestRedisPassword(t *testing.T) {
	p, section := redisServer(t)
	section.PasswordFile.Secret = "wrong"
	current := authn.Secret("wrong")
	section.PasswordFile.Reread = func() (authn.Secret, error) { return current, nil }
	s, err := NewShared(section)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want a fault", err)
	}
	current = "sesame"
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if p.Stop(5 * time.Second); s.Ping(t.Context()) == nil {
		t.Error("a server that was stopped answers")
	}
}

// TestRedisKinds reaches real servers by Sentinel, by Cluster and by TLS.
func TestRedisKinds(t *testing.T) {
	_, plain := redisServer(t)
	address := strings.TrimPrefix(plain.URL, "redis://")
	host, port, _ := strings.Cut(address, ":")
	t.Run("sentinel", func(t *testing.T) {
		at := authntest.FreeAddress(t)
		conf := writeFile(t, "sentinel.conf", "port "+portOf(at)+"\nbind 127.0.0.1\nsentinel monitor main "+host+" "+port+" 1\nsentinel auth-pass main sesame\n")
		p := authntest.Start(t, exec.Command(authntest.Program("redis-server"), conf, "--sentinel"))
		r := plain
		r.URL = "redis+sentinel://" + at + ",127.0.0.1:1/main"
		await(t, p, r)
		roundTrip(t, r)
	})
	t.Run("cluster", func(t *testing.T) {
		at := authntest.FreeAddress(t)
		p := authntest.StartRedis(t, at, "--cluster-enabled", "yes", "--cluster-port", portOf(authntest.FreeAddress(t)), "--cluster-require-full-coverage", "no")
		await(t, p, Redis{URL: "redis://" + at, Prefix: "p:"})
		if out, err := authntest.Run(exec.Command(authntest.Program("redis-cli"), "-p", portOf(at), "cluster", "addslotsrange", "0", "16383")); err != nil {
			t.Fatal(out, err)
		}
		r := Redis{URL: "redis+cluster://" + at, Prefix: "p:"}
		await(t, p, r)
		roundTrip(t, r)
	})
	t.Run("tls", func(t *testing.T) {
		at, dir := authntest.FreeAddress(t), t.TempDir()
		authntest.WriteCertificates(t, dir)
		ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		p := authntest.Start(t, exec.Command(authntest.Program("redis-server"), "--port", "0", "--tls-port", portOf(at), "--bind", "127.0.0.1", "--save", "",
			"--tls-cert-file", filepath.Join(dir, "server.crt"), "--tls-key-file", filepath.Join(dir, "server.key"), "--tls-auth-clients", "no", "--dir", t.TempDir()))
		r := Redis{URL: "rediss://" + at + "/3", Prefix: "p:", CAFile: authn.File{Name: "ca", Data: ca}}
		await(t, p, r)
		roundTrip(t, r)
		r.CAFile = authn.File{}
		if s, err := NewShared(r); err != nil || s.Ping(t.Context()) == nil {
			t.Error("a certificate of nobody's that we trust is taken")
		}
	})
}

// scrape is a server of the metrics.
func scrape(t *testing.T, m *metrics.Metrics) string {
	server := httptest.NewServer(m.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// roundTrip does all that a store does.
func roundTrip(t *testing.T, r Redis) {
	t.Helper()
	s, err := NewShared(r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	deadline := time.Now().Add(10 * time.Second) // a cluster may still be making up its mind
	for s.Put(t.Context(), Write{Table: "ready", Key: "k", Value: []byte("v")}) != nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	for name, run := range map[string]func(*testing.T, Backend){"records": records, "updates": updates, "logs": logs} {
		t.Run(name, func(t *testing.T) { run(t, s) })
	}
}
