package e2e

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
)

// curl runs the program and returns what it printed.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(authntest.Program("curl"), append([]string{"-sS", "--max-time", "20"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %q: %v: %s", args, err, out)
	}
	return string(out)
}

var challenge = regexp.MustCompile(`(?i)www-authenticate: Bearer realm="([^"]+)",service="([^"]+)",scope="([^"]+)"\r`)

// TestCurlDance follows the catalog's challenge by hand, as a script would.
func TestCurlDance(t *testing.T) {
	authntest.Need(t, "curl")
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	g.push(t, "hidden/busybox:latest", "admin", adminPassword)
	catalog := "http://" + g.address + "/v2/_catalog"
	refused := curl(t, "-i", catalog)
	c := challenge.FindStringSubmatch(refused)
	if c == nil || !strings.HasPrefix(refused, "HTTP/1.1 401 ") {
		t.Fatalf("no challenge:\n%s", refused)
	}
	for _, tt := range []struct{ user, want string }{
		{"mozart:" + musicians, `{"repositories":["anyuser/busybox"]}`},
		{"guest:" + guestPassword, `{"repositories":[]}`},
		{"admin:" + adminPassword, `{"repositories":["anyuser/busybox","hidden/busybox"]}`},
	} {
		var reply struct{ Token string }
		text := curl(t, "-u", tt.user, "-G", "--data-urlencode", "service="+c[2], "--data-urlencode", "scope="+c[3], c[1])
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		got := strings.TrimSpace(curl(t, "-H", "Authorization: Bearer "+reply.Token, catalog))
		if got != tt.want {
			t.Errorf("the catalog of %.5s is %s, want %s", tt.user, got, tt.want)
		}
	}
}

// TestBasic: with `basic: true` a script needs no token, and is judged as with one.
func TestBasic(t *testing.T) {
	authntest.Need(t, "curl")
	registry, ldap := startRegistry(t), startDirectory(t)
	on := startGateway(t, setup{Upstream: registry.url(), LDAP: ldap, Basic: true})
	off := startGateway(t, setup{Upstream: registry.url(), LDAP: ldap})
	on.push(t, "anyuser/busybox:latest", "mozart", musicians)
	const manifest, uploads = "/v2/anyuser/busybox/manifests/latest", "/v2/anyuser/busybox/blobs/uploads/"
	for _, tt := range []struct {
		g                        *gateway
		user, method, path, want string
	}{
		{on, "mozart:" + musicians, "GET", "/v2/", "200"},
		{on, "mozart:" + musicians, "GET", manifest, "200"},
		{on, "bach@example.com:" + musicians, "POST", uploads, "202"},
		{on, "mozart:" + musicians, "DELETE", manifest, "403"},
		{on, "test:" + testPassword, "POST", uploads, "403"},
		{on, "mozart:" + wrongPassword, "GET", manifest, "401"},
		{on, "kant:" + musicians, "GET", "/v2/", "401"},
		{off, "mozart:" + musicians, "GET", "/v2/", "401"},
		{off, "mozart:" + musicians, "GET", manifest, "401"},
	} {
		said := curl(t, "-i", "-o", "-", "-X", tt.method, "-u", tt.user, "http://"+tt.g.address+tt.path)
		if !strings.HasPrefix(said, "HTTP/1.1 "+tt.want+" ") {
			t.Errorf("%s %s as %.5s: want %s in\n%s", tt.method, tt.path, tt.user, tt.want, said)
		}
		if tt.want == "401" && (!strings.Contains(said, "\r\nWww-Authenticate: Bearer realm=") || strings.Contains(said, "error=")) {
			t.Errorf("%s %s as %.5s: no plain challenge in\n%s", tt.method, tt.path, tt.user, said)
		}
	}
}
