package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
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
	clients := clientsOf(t, pair)
	for _, p := range []proxyHost{
		{"nginx with $http_host", func(t *testing.T, address, gateway string, pair *keyPair) {
			startNginx(t, nginxBlock(t, 0, "listen 443", address, gateway, pair))
		}},
		{"nginx with $host", func(t *testing.T, address, gateway string, pair *keyPair) {
			startNginx(t, nginxBlock(t, 1, "listen 8443", address, gateway, pair))
		}},
		{"HAProxy", startHAProxy},
		{"Caddy", startCaddy},
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
			clients(t, outer)
			if !inner.logs(`"client_ip":"127.0.0.77"`) || strings.Contains(inner.Log(), `"status":421`) {
				t.Errorf("the gateway does not know its client:\n%s", inner.Tail(2000))
			}
		})
	}
}

// clientsOf are those that go through each proxy: crane's library, skopeo and, for the
// slow suite, by GATEHOUSE_DOCKER, a Docker Engine. Each pushes and pulls.
func clientsOf(t *testing.T, pair *keyPair) func(*testing.T, *gateway) {
	t.Helper()
	authntest.Need(t, "skopeo")
	var docker *engine
	if os.Getenv("GATEHOUSE_DOCKER") != "" {
		docker = &engine{dockertest.Start(t)}
	}
	return func(t *testing.T, g *gateway) {
		t.Helper()
		crane(t, g)
		_, source := imageFolder(t, 3_000_000)
		ref := "docker://" + g.address + "/anyuser/proxied:v1"
		skopeo(t, "copy", "--dest-creds=mozart:"+musicians, "--dest-cert-dir="+pair.CADir, source, ref)
		skopeo(t, "copy", "--src-creds=test:"+testPassword, "--src-cert-dir="+pair.CADir, ref, "dir:"+t.TempDir())
		if docker != nil {
			pushPull(t, *docker, g, "mozart", musicians)
		}
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

// startCaddy runs a Caddy with the page's block.
func startCaddy(t *testing.T, address, gateway string, pair *keyPair) {
	t.Helper()
	authntest.Need(t, "caddy")
	dir := t.TempDir()
	config := filepath.Join(dir, "Caddyfile")
	write(t, config, block(t, "caddy", 0, "auto_https disable_redirects", "admin off\n\tauto_https disable_redirects", "registry.example.com:443", address,
		"/etc/ssl/registry.crt", pair.Cert, "/etc/ssl/registry.key", pair.Key, "127.0.0.1:5000", gateway))
	cmd := exec.Command(authntest.Program("caddy"), "run", "--adapter", "caddyfile", "--config", config)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	authntest.Start(t, cmd)
}

// TestBalancers: with the page's blocks for an ALB and for Azure's gateway, their health
// checks are answered, and clients are led to the public URL and known by their own address.
func TestBalancers(t *testing.T) {
	registry := startRegistry(t)
	for name, balancer := range map[string]struct {
		block         int
		subnet, shown string
	}{
		"ALB":   {3, "10.0.0.0/16", "203.0.113.9"},
		"Azure": {5, "10.0.1.0/24", "203.0.113.9:50123"},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, setup{Upstream: registry.url(), ListenKeys: listenKeys(t, balancer.block, balancer.subnet, "127.0.0.0/8")})
			through := func(host string) func(*http.Request) {
				return func(r *http.Request) {
					r.Host = host
					r.Header.Set("X-Forwarded-For", balancer.shown)
					r.Header.Set("X-Forwarded-Proto", "https")
					r.Header.Set("X-Forwarded-Port", "443")
				}
			}
			g.send(http.MethodGet, "/healthz", func(r *http.Request) { r.Host = "10.0.3.17:5000" }, nil).want(t, "a health check", http.StatusOK)
			a := g.send(http.MethodGet, "/v2/", through("registry.example.com"), nil).want(t, "without a token", http.StatusUnauthorized)
			if h := a.header.Get("WWW-Authenticate"); !strings.Contains(h, `realm="https://registry.example.com/auth"`) {
				t.Errorf("the challenge leads elsewhere: %s", h)
			}
			g.send(http.MethodGet, "/v2/", through("other.example.com"), nil).want(t, "another host", http.StatusMisdirectedRequest)
			eventually(t, 5*time.Second, "the client's address stands in the log", func() bool { return strings.Contains(g.Log(), `"client_ip":"203.0.113.9"`) })
		})
	}
}

// TestNetworkBalancer: with the page's block for an NLB, its health check (a PROXY header of
// kind LOCAL, then HTTPS) is answered, and one without the header is not.
func TestNetworkBalancer(t *testing.T) {
	pair := newKeyPair(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), TLS: pair, ListenKeys: listenKeys(t, 4, "10.0.0.0/16", "127.0.0.0/8") + "\n  health_path: /healthz"})
	check := func(header string) (int, error) {
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialFrom("127.0.0.1")(ctx, network, address)
			if err == nil {
				_, err = conn.Write([]byte(header))
			}
			return conn, err
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: pair.trust(), DialContext: dial, DisableKeepAlives: true}}
		response, err := client.Get("https://" + g.address + "/healthz")
		if err != nil {
			return 0, err
		}
		response.Body.Close()
		return response.StatusCode, nil
	}
	if status, err := check("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"); err != nil || status != http.StatusOK {
		t.Errorf("the balancer's check: %d, %v", status, err)
	}
	if status, err := check(""); err == nil {
		t.Errorf("a check without the header: %d", status)
	}
}

// TestBrowserUI: nginx as the page has it serves a UI and the gateway under one name, so
// that the UI's requests are of the same origin.
func TestBrowserUI(t *testing.T) {
	pair, address, folder := newKeyPair(t), authntest.FreeAddress(t), t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "index.html"), []byte("<h1>a UI</h1>"), 0o644); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), ListenKeys: listenKeys(t, 0, "registry.example.com", address)})
	startNginx(t, "server {\nlisten "+address+" ssl;\nssl_certificate "+pair.Cert+";\nssl_certificate_key "+pair.Key+";\n"+
		block(t, "nginx", 2, "127.0.0.1:5000", g.address, "/usr/share/registry-ui", folder)+"}\n")
	outer := &gateway{address: address, scheme: "https", client: &http.Client{Transport: &http.Transport{TLSClientConfig: pair.trust()}}}
	defer outer.client.CloseIdleConnections()
	eventually(t, 20*time.Second, "nginx passes requests on", func() bool { return outer.get("/v2/", "").status == http.StatusUnauthorized })
	if a := outer.get("/", "").want(t, "the UI", http.StatusOK); string(a.body) != "<h1>a UI</h1>" {
		t.Errorf("the UI: %s", a.body)
	}
	token := outer.token(t, "admin", adminPassword, "registry:catalog:*")
	a := outer.get("/v2/_catalog", token).want(t, "the catalog for the UI", http.StatusOK)
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("other origins may read it: %v", a.header)
	}
}

// TestRedirectToStore: a redirect to the store that the page's block lists passes; one to
// another host is 502, and the log names it.
func TestRedirectToStore(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	host := "my-bucket.s3.eu-central-1.amazonaws.com"
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, "https://"+host+"/blob?signed", http.StatusTemporaryRedirect)
		}
	}))
	defer upstream.Close()
	keys := regexp.MustCompile(`redirect_hosts: .*`).FindString(block(t, "yaml", 7))
	g := startGateway(t, setup{Upstream: upstream.URL, UpstreamKeys: keys})
	g.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	token := g.token(t, "admin", adminPassword, "repository:team/app:pull")
	a := g.get("/v2/team/app/blobs/"+digest, token).want(t, "a redirect to the store", http.StatusTemporaryRedirect)
	if a.header.Get("Location") != "https://"+host+"/blob?signed" {
		t.Errorf("it leads to %s", a.header.Get("Location"))
	}
	host = "elsewhere.example.com"
	g.get("/v2/team/app/blobs/"+digest, token).refusal(t, http.StatusBadGateway, "UNAVAILABLE")
	eventually(t, 5*time.Second, "the log names the host", func() bool { return strings.Contains(g.Log(), "elsewhere.example.com") })
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
	clients := clientsOf(t, pair)
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
			clients(t, outer)
			if !inner.logs(`"client_ip":"127.0.0.77"`) {
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
