package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// registry is a running docker-registry without any login.
type registry struct {
	*process
	address string
	config  string
}

// startRegistry runs Debian's docker-registry with its files in the test's folder.
func startRegistry(t *testing.T) *registry {
	t.Helper()
	need(t, "docker-registry")
	dir := t.TempDir()
	r := &registry{address: freeAddress(t), config: filepath.Join(dir, "config.yml")}
	write(t, r.config, fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: %q}
`, filepath.Join(dir, "storage"), r.address))
	r.resume(t)
	return r
}

// resume starts the registry (again) and waits until it answers.
func (r *registry) resume(t *testing.T) {
	t.Helper()
	r.process = start(t, "docker-registry", "serve", r.config)
	eventually(t, 20*time.Second, "registry answers", func() bool {
		if !r.running() {
			t.Fatalf("registry ended at its start: %v\n%s", r.err, r.log)
		}
		res, err := http.Get(r.url() + "/v2/")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (r *registry) url() string { return "http://" + r.address }
