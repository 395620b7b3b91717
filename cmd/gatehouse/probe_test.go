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
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestProbe runs the probe against a registry that shares all blobs, and against
// one that keeps them apart.
func TestProbe(t *testing.T) {
	shared := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	apart := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		foreign := strings.Contains(r.URL.Path, "/b/") && !strings.Contains(r.URL.Path, "/uploads/") && r.Method != http.MethodDelete
		if foreign || r.URL.Query().Has("mount") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		shared.ServeHTTP(w, r)
	})
	for name, test := range map[string]struct {
		upstream http.Handler
		want     string
	}{
		"shared": {shared, "warning: probe: blob by GET: a repository reaches what was pushed to another"},
		"apart":  {apart, "ok     probe: blob by GET: kept apart by repository"},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := httptest.NewServer(http.StripPrefix("/prefix", test.upstream))
			defer upstream.Close()
			path := filepath.Join(t.TempDir(), "gatehouse.yaml")
			if err := os.WriteFile(path, fmt.Appendf(nil, "upstream: {url: %q}\n", upstream.URL+"/prefix/"), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs strings.Builder
			if status := run(context.Background(), []string{"check", "-c", path, "--online", "--probe-writes"}, strings.NewReader(""), &out, &errs); status != exitOK {
				t.Errorf("status %d: %s", status, errs.String())
			}
			for _, want := range []string{test.want, "ok     upstream: ", "probe: manifest that names it", "probe: mount with from", "probe: mount without from"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}
