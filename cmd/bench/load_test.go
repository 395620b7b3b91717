package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// newTestLoad is a load before a source that answers in this process.
func newTestLoad(t *testing.T) (*load, endpoint) {
	t.Helper()
	h := &house{source: newSource()}
	server := httptest.NewServer(h.source)
	t.Cleanup(server.Close)
	return &load{house: h, client: newClient(2, nil, false), blob: h.source.blob, digest: h.source.digest}, endpoint{name: "direct", scheme: null, base: server.URL}
}

// TestManifests counts each answer, and how long it took.
func TestManifests(t *testing.T) {
	l, to := newTestLoad(t)
	r, err := l.manifests(3)(t.Context(), to, 0)
	if err != nil || r.units != 3 || len(r.each) != 3 || r.took <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	to.scheme, l.manifest, l.size = plain, digestOf(manifestOf(1)), 5
	if _, err := l.manifests(1)(t.Context(), to, 0); err == nil || !strings.Contains(err.Error(), "want 5") {
		t.Errorf("a manifest of another length: %v", err)
	}
}

// TestUncached purges before it pulls, and takes no hit for a first pull.
func TestUncached(t *testing.T) {
	l, to := newTestLoad(t)
	var purges atomic.Int32
	to.socket = admin(t, func(body string) int {
		if body != `{"all":true}` {
			t.Errorf("purge of %s", body)
		}
		purges.Add(1)
		return http.StatusOK
	})
	r, err := l.herd(2)(t.Context(), to, 0)
	if err != nil || r.gets != 2 || r.units != 2*lineBlob || len(r.each) != 2 || purges.Load() != 1 {
		t.Errorf("%+v, %v, %d purges", r, err, purges.Load())
	}
	hits := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Status", "gatehouse; hit") }))
	defer hits.Close()
	if _, err := l.firstPull(t.Context(), endpoint{base: hits.URL}, 0); err == nil {
		t.Error("a hit was taken for a first pull")
	}
	to.socket = admin(t, func(string) int { return http.StatusForbidden })
	if _, err := l.firstPull(t.Context(), to, 0); err == nil {
		t.Error("a purge that was refused was taken for one")
	}
}

// admin answers purges on a unix socket, whose path it returns.
func admin(t *testing.T, answer func(body string) int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/cache/purge" || r.Method != http.MethodPost {
			t.Errorf("%s %s, %v", r.Method, r.URL, err)
		}
		w.WriteHeader(answer(string(body)))
	})}
	go func() { _ = server.Serve(listener) }() // it ends by Close
	t.Cleanup(func() { server.Close() })
	return path
}

// TestLogins asks the realm with the password, at the login's address where there is one.
func TestLogins(t *testing.T) {
	realm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, word, ok := r.BasicAuth(); !ok || name != user || word != password || r.URL.Path != "/auth" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "x"})
	}))
	defer realm.Close()
	l := &load{house: &house{}}
	r, err := l.logins(2)(t.Context(), endpoint{base: "http://127.0.0.1:1", login: realm.URL}, 0)
	if err != nil || r.units != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestPushes moves all of the blob, to the registry that was named.
func TestPushes(t *testing.T) {
	var got atomic.Int64
	elsewhere := false
	var registry *httptest.Server
	registry = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			at := registry.URL + "/v2/" + repository + "/blobs/uploads/1?state=x"
			if elsewhere {
				at = "http://192.0.2.1/"
			}
			w.Header().Set("Location", at)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || r.URL.Query().Get("state") != "x" || r.URL.Query().Get("digest") == "" {
			t.Errorf("%s: %v", r.URL, err)
		}
		got.Add(n)
		w.WriteHeader(http.StatusCreated)
	}))
	defer registry.Close()
	l := &load{client: newClient(1, nil, false), blob: make([]byte, 1000), digest: "sha256:0"}
	l.buffers.New = func() any { b := make([]byte, 100); return &b }
	r, err := l.push(t.Context(), endpoint{base: registry.URL}, 0)
	if err != nil || r.units != 1000 || got.Load() != 1000 {
		t.Errorf("%+v, %v, %d bytes came", r, err, got.Load())
	}
	elsewhere = true
	if _, err := l.push(t.Context(), endpoint{base: registry.URL}, 0); err == nil {
		t.Error("an upload was sent elsewhere")
	}
}

// TestRounds: each round starts with another way, and the first is not counted.
func TestRounds(t *testing.T) {
	var order []string
	m := &measure{name: "m", scheme: plain, unit: requests, ways: []string{"a", "b"}, samples: map[string][]sample{},
		run: func(_ context.Context, to endpoint, d time.Duration) (result, error) {
			order = append(order, to.name+" "+d.String())
			return result{units: 10, took: time.Second, each: []time.Duration{time.Millisecond}}, nil
		}}
	ways := []endpoint{{name: "a", scheme: plain}, {name: "b", scheme: plain}, {name: "a", scheme: overs}, {name: "other", scheme: plain}}
	if err := rounds(t.Context(), []*measure{m}, ways, options{rounds: 2, sample: 4 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a 1s", "b 1s", "a 4s", "b 4s", "b 4s", "a 4s"}; !reflect.DeepEqual(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if s := m.samples["a"]; len(s) != 2 || s[0].rate != 10 || s[0].p50 != 1000 || !math.IsNaN(s[0].cpu) || !math.IsNaN(s[0].allocations) {
		t.Errorf("samples %+v", s)
	}
	m.run = func(context.Context, endpoint, time.Duration) (result, error) { return result{}, errors.New("gone") }
	if err := rounds(t.Context(), []*measure{m}, ways, options{rounds: 1}); err == nil || !strings.Contains(err.Error(), "m by a") {
		t.Errorf("a fault: %v", err)
	}
}

// TestTake divides what the front process spent by what was done.
func TestTake(t *testing.T) {
	p := authntest.Start(t, sleeper())
	m := &measure{unit: bytesOf, run: func(context.Context, endpoint, time.Duration) (result, error) {
		return result{units: 2e6, took: time.Second}, nil
	}}
	s, err := m.take(t.Context(), endpoint{front: p}, 0)
	if err != nil || s.rate != 2 || math.IsNaN(s.cpu) || s.cpu < 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestRatios are of each round by itself.
func TestRatios(t *testing.T) {
	m := &measure{samples: map[string][]sample{"a": {{rate: 2}, {rate: 9}}, "b": {{rate: 1}, {rate: 3}}, "c": {{rate: 1}}}}
	if got := m.ratios(rateOf, "a", "b"); !reflect.DeepEqual(got, []float64{2, 3}) {
		t.Errorf("ratios %v", got)
	}
	if got := m.ratios(rateOf, "a", "c"); got != nil {
		t.Errorf("ratios of other rounds: %v", got)
	}
	if got := scatter([]float64{1, 2, 2, 2, 3}); got != 0 {
		t.Errorf("scatter %v", got)
	}
	if !math.IsNaN(scatter([]float64{1, 2, 3})) {
		t.Error("a scatter of three")
	}
}

// TestFootprint judges the memory at rest.
func TestFootprint(t *testing.T) {
	var out strings.Builder
	f := footprint{idle: 20, full: 130, connections: []point{{0, 20}, {10_000, 360}}}
	if missed := f.print(&out); missed != 2 || strings.Count(out.String(), "MISSED") != 2 || !strings.Contains(out.String(), "| <= 104 | 110 | MISSED |") {
		t.Errorf("%d missed:\n%s", missed, out.String())
	}
}

// TestVerifyingToken is one that a registry's token auth can read.
func TestVerifyingToken(t *testing.T) {
	h := &house{folder: t.TempDir(), roots: newPool()}
	if err := h.writeKeys(); err != nil {
		t.Fatal(err)
	}
	text, err := h.token()
	if err != nil || !strings.HasPrefix(text, "Bearer ") || strings.Count(text, ".") != 2 {
		t.Fatal(text, err)
	}
	name := filepath.Join(h.folder, "keys.json")
	if err := h.writeKeySet(name, text); err != nil {
		t.Error(err)
	}
	if err := h.writeKeySet(name, "Bearer no.token"); err == nil {
		t.Error("a key set for what is no token")
	}
}

func newPool() *x509.CertPool { return x509.NewCertPool() }

// sleeper is a process that does nothing until it is stopped.
func sleeper() *exec.Cmd { return exec.Command("sleep", "60") }
