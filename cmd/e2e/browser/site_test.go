// Package browser runs the pages for people in a real browser: Chromium, driven over its
// own protocol, before the real gatehouse binary and a registry in memory.
package browser

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/samples"
)

// binary is the gateway, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatehouse")
	if _, err := authntest.Run(exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// site is a gateway with pages before a registry.
type site struct {
	url      string
	host     string
	registry string
}

// configText is the gateway's config. Three people: alice of the team, root who may do all,
// and mozart's namesake with a name that needs escaping.
const configText = `listen: {address: %q, public_urls: [%q], basic: true}
admin: {address: ""}
upstream: {url: %q}
tokens: {lifetime: 1m}
ui:
  enabled: true
  title: Orchestra Registry
  admins: ["group:admins"]
directories:
- name: local
  static:
  - {username: alice, password_file: alice, groups: [team, "players"]}
  - {username: root, password_file: root, groups: [admins]}
- name: company
  ldap: {servers: [%q, "ldap://127.0.0.1:1"], bind_dn: %q, bind_password_file: reader, users: {base: %q, filter: "(uid={login})"}}
policy:
- {name: all-of-it, allow: ["*"], repositories: ["**"], to: ["user:root"]}
- {name: team-works, allow: [pull, push, delete], repositories: ["team/**"], to: ["group:team"]}
- {name: latest-stays, deny: [delete], repositories: ["team/**"], tags: [latest], to: ["group:team"]}
- {name: base-images, allow: [pull], repositories: ["base/**"], to: [everyone]}
store: {file: store.db}
personal_tokens: {enabled: true}
policy_next:
- {allow: ["*"], repositories: ["**"], to: ["user:root", "user:alice"]}
`

// newSite starts a registry with samples and the gateway before it.
func newSite(t *testing.T) *site {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard,
		"", 0)), registry.WithReferrersSupport(true))
	return siteBefore(t, handler, true)
}

func siteBefore(t *testing.T, handler http.Handler, furnished bool) *site {
	t.Helper()
	upstream := httptest.NewServer(handler)
	t.Cleanup(upstream.Close)
	s := &site{registry: strings.TrimPrefix(upstream.URL, "http://"), host: freeAddress(t)}
	if furnished {
		if err := samples.Furnish(t.Context(), s.registry); err != nil {
			t.Fatal(err)
		}
	}
	s.url = "http://" + s.host
	dir := t.TempDir()
	for name, text := range map[string]string{"alice": "alice-secret", "root": "root-secret", "reader": authntest.Password,
		"c.yaml": fmt.Sprintf(configText, s.host, s.url, upstream.URL, authntest.StartFake(t).URL(), authntest.ServiceDN, authntest.UsersDN)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := authntest.Start(t, exec.Command(binary, "serve", "-c", filepath.Join(dir, "c.yaml")))
	if err := p.Await(30*time.Second, func() bool { return s.answers() }); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) answers() bool {
	answer, err := http.Get(s.url + "/ui/login")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
