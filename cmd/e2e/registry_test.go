package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// registry is a running registry.
type registry struct {
	*authntest.Process
	program string
	scheme  string
	address string
	config  string
}

// registrySetup is what a test wants of its registry besides the defaults, which
// are Debian's docker-registry without any login, over plain HTTP.
type registrySetup struct {
	Program string   // the registry's binary
	TLS     *keyPair // its certificate
	Mutual  bool     // with TLS: only clients with a certificate of the same authority
	HTTP    string   // further keys of `http`, in YAML's flow style: `host: "https://x"`
	Auth    string   // the value of `auth`, in YAML's flow style
	Storage string   // the folder of what it keeps; empty: its own
	Driver  string   // what else keeps it, as `driver: {keys}` of its config; empty: the folder
	Catalog int      // the largest page of the catalog; 0: the registry's own
}

// startRegistry runs Debian's docker-registry with its files in the test's folder.
func startRegistry(t *testing.T) *registry {
	t.Helper()
	return startRegistryLike(t, registrySetup{})
}

func startRegistryLike(t *testing.T, s registrySetup) *registry {
	t.Helper()
	if s.Program == "" {
		s.Program = "docker-registry"
	}
	authntest.Need(t, s.Program)
	dir := t.TempDir()
	r := &registry{program: authntest.Program(s.Program), scheme: "http", address: authntest.FreeAddress(t), config: filepath.Join(dir, "config.yml")}
	text := fmt.Sprintf("addr: %q", r.address)
	if s.TLS != nil {
		r.scheme = "https"
		text += fmt.Sprintf(", tls: {certificate: %q, key: %q", s.TLS.Cert, s.TLS.Key)
		if s.Mutual {
			text += fmt.Sprintf(", clientcas: [%q]", s.TLS.authority())
		}
		text += "}"
	}
	if s.HTTP != "" {
		text += ", " + s.HTTP
	}
	if s.Auth != "" {
		s.Auth = "auth: " + s.Auth
	}
	if s.Catalog > 0 {
		s.Auth += fmt.Sprintf("\ncatalog: {maxentries: %d}", s.Catalog)
	}
	if s.Storage == "" {
		s.Storage = filepath.Join(dir, "storage")
	}
	if s.Driver == "" {
		s.Driver = fmt.Sprintf("filesystem: {rootdirectory: %q}", s.Storage)
	}
	write(t, r.config, fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  %s
  delete: {enabled: true}
http: {%s}
%s
`, s.Driver, text, s.Auth))
	r.resume(t)
	return r
}

// resume starts the registry (again) and waits until it answers: over TLS or
// with a login, until it listens.
func (r *registry) resume(t *testing.T) {
	t.Helper()
	registry := exec.Command(r.program, "serve", r.config)
	registry.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	r.Process = authntest.Start(t, registry)
	err := r.Await(20*time.Second, func() bool {
		if r.scheme == "https" {
			return authntest.Listening(r.address)
		}
		res, err := http.Get(r.url() + "/v2/")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode < http.StatusInternalServerError
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *registry) url() string { return r.scheme + "://" + r.address }

// bare is the registry itself, to be asked as if it were a gateway.
func (r *registry) bare() *gateway {
	return &gateway{address: r.address, scheme: r.scheme, client: http.DefaultClient}
}
