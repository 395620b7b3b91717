package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/cmd/gatehouse/probe"
	"gatehouse/proxy/upstream"
)

// TestProbe runs the probe against registries that share blobs in several ways,
// that keep them apart, and that are at fault.
func TestProbe(t *testing.T) {
	shared := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	// unless lets through what it does not answer itself.
	unless := func(status func(r *http.Request, foreign bool) int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			foreign := strings.HasPrefix(r.URL.Path, "/v2/gatehouse-probe/other/") && strings.Contains(r.URL.Path, "/blobs/sha256:") && r.Method != http.MethodDelete
			if code := status(r, foreign); code != 0 {
				w.WriteHeader(code)
				return
			}
			shared.ServeHTTP(w, r)
		})
	}
	var own sync.Map // the paths of the blobs that other was given
	apart := func(r *http.Request, foreign bool) int {
		if digest := r.URL.Query().Get("digest"); r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/gatehouse-probe/other/") {
			own.Store("/v2/gatehouse-probe/other/blobs/"+digest, true)
		}
		_, given := own.Load(r.URL.Path)
		switch {
		case foreign && !given:
			return http.StatusNotFound
		case r.URL.Query().Has("mount"):
			return http.StatusNotFound
		}
		return 0
	}
	mounting := func(from string) func(*http.Request, bool) int { // an empty from: from any repository
		return func(r *http.Request, foreign bool) int {
			if q := r.URL.Query(); q.Has("mount") && (from == "" || q.Get("from") == from) {
				return http.StatusCreated
			}
			return apart(r, foreign)
		}
	}
	redirecting := func(status int, location string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
				return
			}
			shared.ServeHTTP(w, r)
		})
	}
	const (
		isShared = "does not keep blobs apart. What a policy protects here"
		isApart  = "ok     probe: this upstream keeps blobs apart: a policy on a repository protects its manifests, tags and blobs alike"
	)
	for _, test := range []struct {
		name     string
		upstream http.Handler
		more     string // of upstream's keys
		status   int
		want     []string
		not      []string
	}{
		{"shared", shared, "", cli.OK, []string{isShared, "ok     upstream: ", "warning: probe: blob by GET: a repository reaches", "warning: probe: blob by HEAD: a repository reaches", "warning: probe: manifest that names it"}, []string{isApart}},
		{"apart", unless(apart), "", cli.OK, []string{isApart, "ok     probe: blob by GET: kept apart by repository", "ok     probe: manifest that names it: kept apart", "mount with from: not supported; each becomes a plain upload", "ok     probe: reading a blob: the upstream sends it itself", "ok     probe: mount without from: not supported"}, []string{isShared, "FAULT"}},
		{"apart, mounts are of no use", unless(apart), ", blob_mount: true", cli.OK, []string{isApart, "warning: probe: mount with from: not supported; upstream.blob_mount: true is of no use"}, []string{isShared}},
		{"apart, mounts", unless(mounting(probe.Owner)), "", cli.OK, []string{isApart, "ok     probe: mount with from: works, as upstream.blob_mount says"}, []string{isShared}},
		{"apart, mounts off", unless(mounting(probe.Owner)), ", blob_mount: false", cli.OK, []string{isApart, "upstream.blob_mount: auto would save pushes"}, []string{isShared}},
		{"apart, mounts as the config says", unless(mounting(probe.Owner)), ", blob_mount: true", cli.OK, []string{isApart, "ok     probe: mount with from: works, as upstream.blob_mount says"}, []string{isShared}},
		{"mounts from anywhere", unless(mounting("")), "", cli.OK, []string{isApart, "the gateway looks first whether the source has it", "mount without from: the upstream takes a blob from any repository; the gateway never passes"}, []string{isShared}},
		{"mounts from anywhere, mounts off", unless(mounting("")), ", blob_mount: false", cli.OK, []string{isApart, "the gateway passes no mount on"}, []string{isShared}},
		{"mounts from anywhere, and the config lets them", unless(mounting("")), ", blob_mount: true", cli.OK, []string{isShared, "warning: probe: mount with from: the upstream does not look at from", "Set upstream.blob_mount: auto or false"}, []string{isApart}},
		// H10: what the probe reads is what each pull gets.
		{"a store that is not listed", redirecting(307, "https://store.example/x?sig=canary"), "", cli.Fault, []string{"FAULT  probe: reading a blob: ", "307 Temporary Redirect to https://store.example/x: upstream.redirect_hosts does not list that host", "storage.redirect.disable"}, []string{"canary"}},
		{"a store that is listed", redirecting(307, "https://store.example/x?sig=canary"), ", redirect_hosts: [store.example]", cli.OK, []string{"ok     probe: reading a blob: redirected to store.example"}, []string{"canary", "FAULT"}},
		{"a store by 301", redirecting(301, "https://store.example/x"), ", redirect_hosts: [store.example]", cli.Fault, []string{"FAULT  probe: reading a blob: ", "301 Moved Permanently to https://store.example/x: only 302, 303 and 307 may pass"}, nil},
		{"a part only", unless(func(r *http.Request, foreign bool) int {
			if r.Header.Get("Range") != "" {
				return http.StatusPartialContent
			}
			return apart(r, foreign)
		}), "", cli.OK, []string{isShared, "warning: probe: blob by GET of a part: a repository reaches", "ok     probe: blob by GET: kept apart"}, []string{isApart}},
		{"a fault says nothing", unless(func(r *http.Request, foreign bool) int {
			if foreign && r.Method == http.MethodHead {
				return http.StatusInternalServerError
			}
			return apart(r, foreign)
		}), "", cli.Fault, []string{"FAULT  probe: blob by HEAD: status 500"}, []string{isShared, isApart}},
		{"read only", unless(func(r *http.Request, foreign bool) int {
			if r.Method == http.MethodPost {
				return http.StatusMethodNotAllowed
			}
			return 0
		}), "", cli.Fault, []string{"FAULT  probe: nothing can be pushed to gatehouse-probe/owner and its neighbours: status 405 at the start of an upload"}, []string{isShared, isApart}},
	} {
		t.Run(test.name, func(t *testing.T) {
			upstream := httptest.NewServer(http.StripPrefix("/prefix", test.upstream))
			defer upstream.Close()
			path := filepath.Join(t.TempDir(), "gatehouse.yaml")
			if err := os.WriteFile(path, fmt.Appendf(nil, "upstream: {url: %q%s}\n", upstream.URL+"/prefix/", test.more), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs strings.Builder
			if status := run(context.Background(), []string{"check", "-c", path, "--online", "--probe-writes"}, strings.NewReader(""), &out, &errs); status != test.status {
				t.Errorf("status %d: %s", status, errs.String())
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
			for _, not := range test.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q in\n%s", not, out.String())
				}
			}
		})
	}
}

// TestProbeTakesNothing: where blobs are shared a DELETE may take one from
// everybody, so the probe deletes none that anybody else can have. Each OCI
// artifact without a config names the blob "{}".
func TestProbeTakesNothing(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	u, err := upstream.New(upstream.Config{URL: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	const digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	p := probe.New(u, onlineLimit)
	if err := p.Push(t.Context(), "team/artifact", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "upstream: {url: %q}\n", server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if status := run(t.Context(), []string{"check", "-c", path, "--probe-writes"}, strings.NewReader(""), &out, &out); status != cli.OK || !strings.Contains(out.String(), "does not keep blobs apart") {
		t.Fatalf("status %d: %s", status, out.String())
	}
	resp, err := http.Head(server.URL + "/v2/team/artifact/blobs/" + digest)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("team/artifact lost its blob: status %d", resp.StatusCode)
	}
}
