package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// block is the n-th block of a language in docs/proxies.md, with texts replaced. A text
// to replace that is not there fails the test: the page has moved on.
func block(t *testing.T, language string, n int, replace ...string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(all) <= n {
		t.Fatalf("docs/proxies.md has %d blocks of %s", len(all), language)
	}
	text := all[n][1]
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%q is not in\n%s", replace[i], text)
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// listenKeys are the keys of a block of YAML below `listen`, but for the address.
func listenKeys(t *testing.T, n int, replace ...string) string {
	t.Helper()
	var keys []string
	for line := range strings.Lines(block(t, "yaml", n, replace...)) {
		if key := strings.TrimSpace(line); key != "listen:" && !strings.HasPrefix(key, "address:") {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, "\n  ")
}

// proxyHost is a proxy that a test starts in front of a gateway: one block of the page.
type proxyHost struct {
	name  string
	start func(t *testing.T, address, gateway string, pair *keyPair)
}

// TestProxies: each proxy of docs/proxies.md, set up as the page says, passes pushes and
// pulls over TLS on a port of its own, and the gateway knows who the client is (row H11).
func TestProxies(t *testing.T) {
	registry, ldap, pair := startRegistry(t), startDirectory(t), newKeyPair(t)
	for _, p := range []proxyHost{
		{"nginx with $http_host", func(t *testing.T, address, gateway string, pair *keyPair) {
			startNginx(t, nginxBlock(t, 0, "listen 443", address, gateway, pair))
		}},
		{"nginx with $host", func(t *testing.T, address, gateway string, pair *keyPair) {
			startNginx(t, nginxBlock(t, 1, "listen 8443", address, gateway, pair))
		}},
		{"HAProxy", startHAProxy},
	} {
		t.Run(p.name, func(t *testing.T) {
			address := authntest.FreeAddress(t)
			inner := startGateway(t, setup{Upstream: registry.url(), LDAP: ldap, ListenKeys: listenKeys(t, 0, "registry.example.com", address)})
			p.start(t, address, inner.address, pair)
			outer := &gateway{address: address, scheme: "https", client: &http.Client{Transport: &http.Transport{
				TLSClientConfig: pair.trust(), ForceAttemptHTTP2: true, DialContext: dialFrom("127.0.0.77")}}}
			defer outer.client.CloseIdleConnections()
			eventually(t, 20*time.Second, "the proxy passes requests on", func() bool {
				return outer.get("/v2/", "").status == http.StatusUnauthorized
			})
			realm := outer.get("/v2/", "").header.Get("WWW-Authenticate")
			if !strings.Contains(realm, `realm="https://`+address+`/auth"`) {
				t.Errorf("the challenge leads elsewhere: %s", realm)
			}
			crane(t, outer)
			if !strings.Contains(inner.Log(), `"client_ip":"127.0.0.77"`) || strings.Contains(inner.Log(), `"status":421`) {
				t.Errorf("the gateway does not know its client:\n%s", inner.Tail(2000))
			}
		})
	}
}

// dialFrom dials from an address of loopback.
func dialFrom(address string) func(context.Context, string, string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 5 * time.Second}).DialContext
}

func nginxBlock(t *testing.T, n int, listen, address, gateway string, pair *keyPair) string {
	t.Helper()
	return block(t, "nginx", n, listen, "listen "+address, "server_name registry.example.com", "server_name 127.0.0.1",
		"/etc/ssl/registry.crt", pair.Cert, "/etc/ssl/registry.key", pair.Key, "127.0.0.1:5000", gateway)
}

// startHAProxy runs a HAProxy with the page's block; it sends requests to the gateway
// only once its health check has passed.
func startHAProxy(t *testing.T, address, gateway string, pair *keyPair) {
	t.Helper()
	authntest.Need(t, "haproxy")
	dir := t.TempDir()
	var both []byte
	for _, name := range []string{pair.Cert, pair.Key} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	write(t, filepath.Join(dir, "registry.pem"), string(both))
	config := filepath.Join(dir, "haproxy.cfg")
	write(t, config, block(t, "haproxy", 0, ":443", address, "/etc/haproxy/registry.pem", filepath.Join(dir, "registry.pem"), "127.0.0.1:5000", gateway))
	start(t, "haproxy", "-db", "-f", config)
}

// TestHealthChecksByAddress: a balancer that asks by address and over plain HTTP learns
// whether the gateway is ready, and nothing else answers it (row H11).
func TestHealthChecksByAddress(t *testing.T) {
	registry := startRegistry(t)
	g := startGateway(t, setup{Upstream: registry.url(), ListenKeys: listenKeys(t, 0)})
	ask := func(path string) int {
		request, err := http.NewRequest(http.MethodGet, "http://"+g.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "10.0.0.5"
		response, err := g.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if status := ask("/healthz"); status != http.StatusOK {
		t.Errorf("a gateway that is well: %d", status)
	}
	if status := ask("/v2/"); status != http.StatusMisdirectedRequest {
		t.Errorf("/v2/ of another host: %d", status)
	}
	registry.Kill()
	eventually(t, 20*time.Second, "503 without a registry", func() bool { return ask("/healthz") == http.StatusServiceUnavailable })
}

// TestContainerdFixedAuthorization: containerd pulls with the header of its hosts.toml,
// and not without it (row H11).
func TestContainerdFixedAuthorization(t *testing.T) {
	authntest.Need(t, "containerd", "ctr")
	pair := newKeyPair(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), TLS: pair, ListenKeys: "public_urls: []", Basic: true})
	g.push(t, "anyuser/fixed:v1", "mozart", musicians)
	socket := startContainerd(t, "containerd", pair.authority())
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, g.address), 0o700); err != nil {
		t.Fatal(err)
	}
	hosts := block(t, "toml", 0, "registry.example.com", g.address, "/etc/ssl/registry-ca.crt", pair.authority())
	pull := func(hosts string) error {
		write(t, filepath.Join(dir, g.address, "hosts.toml"), hosts)
		_, err := authntest.Run(exec.Command(authntest.Program("ctr"), "-a", socket, "content", "fetch", "--hosts-dir", dir, g.address+"/anyuser/fixed:v1"))
		return err
	}
	header := regexp.MustCompile(`(?m)^.*(\.header\]|Authorization =).*\n`)
	if err := pull(header.ReplaceAllString(hosts, "")); err == nil {
		t.Error("pulled without the header")
	}
	if err := pull(hosts); err != nil {
		t.Error(err)
	}
}

// TestProxyProtocol: HAProxy as the page has it, and by version 1, says who its client is;
// TLS ends at the gateway. From its network nothing goes without the header.
func TestProxyProtocol(t *testing.T) {
	authntest.Need(t, "haproxy")
	registry, ldap, pair := startRegistry(t), startDirectory(t), newKeyPair(t)
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			address := authntest.FreeAddress(t)
			inner := startGateway(t, setup{Upstream: registry.url(), LDAP: ldap, TLS: pair, ListenKeys: `proxy_protocol: ["127.0.0.1/32"]`})
			config := filepath.Join(t.TempDir(), "haproxy.cfg")
			write(t, config, block(t, "haproxy", 1, ":443", address, "127.0.0.1:5000", inner.address, "send-proxy-v2", version))
			start(t, "haproxy", "-db", "-f", config)
			through := func(address, from string) *gateway {
				g := &gateway{address: address, scheme: "https", client: &http.Client{Transport: &http.Transport{
					TLSClientConfig: pair.trust(), ForceAttemptHTTP2: true, DialContext: dialFrom(from)}}}
				t.Cleanup(g.client.CloseIdleConnections)
				return g
			}
			outer := through(address, "127.0.0.77")
			eventually(t, 20*time.Second, "the proxy passes connections on", func() bool {
				response, err := outer.client.Get("https://" + address + "/v2/")
				if err == nil {
					response.Body.Close()
				}
				return err == nil && response.StatusCode == http.StatusUnauthorized
			})
			crane(t, outer)
			if !strings.Contains(inner.Log(), `"client_ip":"127.0.0.77"`) {
				t.Errorf("the gateway does not know its client:\n%s", inner.Tail(2000))
			}
			if _, err := through(inner.address, "127.0.0.1").client.Get("https://" + inner.address + "/v2/"); err == nil {
				t.Error("a connection without the header was served")
			}
			if status := through(inner.address, "127.0.0.66").get("/v2/", "").status; status != http.StatusUnauthorized {
				t.Errorf("a connection from elsewhere: %d", status)
			}
		})
	}
}
