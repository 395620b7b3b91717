package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"

	"gatehouse/authn/authntest"
)

// distribution is the registry that is measured, built once through the module proxy.
const (
	distribution        = "github.com/distribution/distribution/v3/cmd/registry"
	distributionVersion = "v3.1.1"
)

// The bench's only user; nobody but this process can reach the servers.
const (
	user        = "bench"
	password    = "bench"
	serviceName = "bench"
	issuerName  = "bench tokens"
)

var basicAuth = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))

// house is all that runs, and the ways through it; direct comes first.
type house struct {
	folder    string
	binary    string // the gateway
	roots     *x509.CertPool
	key       *ecdsa.PrivateKey // of the certificate; it signs tokens too
	chain     []byte            // the certificate, DER
	source    *source
	endpoints []endpoint
	processes []*authntest.Process // in the order of their start
	closers   []func() error
}

// settings are what the configs below take.
type settings struct {
	Folder, User, Hash        string // User: which user nginx is to run as
	Address, Upstream, Admin  string // host:port; Upstream of a proxy
	AddressTLS                string // of nginx, which has both
	Name                      string // of the files of this one
	Secure, Cached, Verifying bool
	Logging                   bool   // a registry that writes a line for each request
	Tuned                     bool   // nginx with large buffers
	Old                       bool   // a gateway that knows no admin.socket
	KeySet                    string // of a registry that verifies tokens of docker_auth
	Rules                     []int
}

// registryConfig switches off what costs the registry time and us nothing to
// know, so that the bare registry is as fast as it can be. One writes its access log, as
// it does by default, and as the gateways and nginx do here.
var registryConfig = template.Must(template.New("registry").Parse(`version: 0.1
{{- if .Logging}}
log: {level: info}
{{- else}}
log: {level: error, accesslog: {disabled: true}}
{{- end}}
storage:
  filesystem: {rootdirectory: {{.Folder}}/registry}
  cache: {blobdescriptor: inmemory}
  maintenance: {uploadpurging: {enabled: false}}
http:
  addr: {{.Address}}
{{- if .Secure}}
  tls: {certificate: {{.Folder}}/tls.crt, key: {{.Folder}}/tls.key}
{{- end}}
{{- if .Verifying}}
auth:
  token: {realm: "http://127.0.0.1/auth", service: bench, issuer: bench tokens, rootcertbundle: {{.Folder}}/tls.crt{{with .KeySet}}, jwks: {{.}}{{end}}}
{{- end}}
`))

// nginxConfig is a plain proxy as a registry's operator sets one up: no limit on
// bodies, uploads not gathered first, kept connections upstream, no temporary
// files, nginx's own buffers (4 and 8 KiB). With -tuned they are 256 KiB, which makes
// its pulls over plain HTTP more than twice as fast here; the targets are about the former.
var nginxConfig = template.Must(template.New("nginx").Parse(`worker_processes auto;
daemon off;
pid {{.Folder}}/nginx.pid;
error_log {{.Folder}}/nginx.log warn;
{{with .User}}user {{.}};{{end}}
events { worker_connections 1024; }
http {
  access_log {{.Folder}}/nginx-access.log;
  client_body_temp_path {{.Folder}}/body;
  proxy_temp_path {{.Folder}}/proxy;
  fastcgi_temp_path {{.Folder}}/fastcgi;
  uwsgi_temp_path {{.Folder}}/uwsgi;
  scgi_temp_path {{.Folder}}/scgi;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  proxy_request_buffering off;
{{- if .Tuned}}
  client_body_buffer_size 256k;
  proxy_buffers 8 256k;
  proxy_buffer_size 256k;
  proxy_busy_buffers_size 512k;
{{- end}}
  proxy_max_temp_file_size 0;
  upstream registry { server {{.Upstream}}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen {{.Address}};
    listen {{.AddressTLS}} ssl http2;
    ssl_certificate {{.Folder}}/tls.crt;
    ssl_certificate_key {{.Folder}}/tls.key;
    location / {
      proxy_pass http://registry;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`))

var gatewayConfig = template.Must(template.New("gateway").Parse(`listen:
  address: "{{.Address}}"
{{- if .Secure}}
  tls: {cert_file: tls.crt, key_file: tls.key}
{{- end}}
admin:
  pprof: true
  address: "{{.Admin}}"
{{- if not .Old}}
  socket: "{{.Folder}}/{{.Name}}.sock"
{{- end}}
upstream:
  url: "http://{{.Upstream}}"
{{- if .Cached}}
cache:
  dir: "{{.Folder}}/{{.Name}}.cache"
  disk: 2GiB
  free: 1%
{{- end}}
limits:
  connections: 20000
  connections_per_address: 20000
tokens:
  lifetime: 1h
  service: bench
  key_files: [token.key]
directories:
  - name: local
    static:
      - username: bench
        password_hash: "{{.Hash}}"
policy:
{{- range .Rules}}
  - {allow: [pull], repositories: ["team-{{.}}/**"], to: ["user:bench"]}
{{- end}}
  - allow: [pull, push]
    repositories: ["bench/**"]
    to: ["user:bench"]
`))

var dockerAuthConfig = template.Must(template.New("docker_auth").Parse(`server: {addr: "{{.Address}}"}
token: {issuer: "bench tokens", expiration: 3600, certificate: {{.Folder}}/tls.crt, key: {{.Folder}}/tls.key}
users: {bench: {password: "{{.Hash}}"}}
acl: [{match: {account: bench}, actions: ["*"]}]
`))

var zotConfig = template.Must(template.New("zot").Parse(`{"distSpecVersion": "1.1.1", "log": {"level": "error"},
 "storage": {"rootDirectory": "{{.Folder}}/zot", "gc": false},
 "http": {"address": "127.0.0.1", "port": "{{.Address}}", "auth": {"htpasswd": {"path": "{{.Folder}}/htpasswd"}}}}
`))

// startHouse builds, configures and starts everything. On an error nothing is left.
func startHouse(ctx context.Context, out io.Writer, o options) (*house, error) {
	folder, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	h := &house{folder: folder, roots: x509.NewCertPool()}
	if err := h.startAll(ctx, out, o); err != nil {
		return nil, errors.Join(err, h.tails(), h.stop())
	}
	return h, nil
}

// build makes the gateway of the module in a folder.
func (h *house) build(ctx context.Context, module, name string) (string, error) {
	binary := h.path(name)
	command := exec.CommandContext(ctx, "go", "build", "-o", binary, "gatehouse/cmd/gatehouse")
	command.Dir = module
	_, err := authntest.Run(command)
	return binary, err
}

// startAll starts what is measured; what is not at hand is left out, and said.
func (h *house) startAll(ctx context.Context, out io.Writer, o options) error {
	registry, err := buildRegistry(ctx, out)
	if err != nil {
		return err
	}
	if h.binary, err = h.build(ctx, ".", "gatehouse"); err != nil {
		return err
	}
	if err := h.writeKeys(); err != nil {
		return err
	}
	direct, err := h.startRegistry("direct", plain, registry, settings{})
	if err != nil {
		return err
	}
	if _, err := h.startRegistry("direct", overs, registry, settings{Secure: true}); err != nil {
		return err
	}
	if _, err := h.startRegistry("logging", plain, registry, settings{Logging: true}); err != nil {
		return err
	}
	if _, err := h.startRegistry("verifying", plain, registry, settings{Verifying: true}); err != nil {
		return err
	}
	if err := h.startSource(); err != nil {
		return err
	}
	if err := h.startGateways(ctx, direct); err != nil {
		return err
	}
	if err := errors.Join(h.startNginx(out, direct, o.tuned), h.startBare()); err != nil {
		return err
	}
	return errors.Join(h.startBase(ctx, out, o.base, direct), h.startDockerAuth(ctx, out, registry, o.dockerAuth), h.startZot(out, o.zot))
}

// startRegistry starts distribution; all share one storage.
func (h *house) startRegistry(name string, s scheme, binary string, set settings) (address string, err error) {
	file := name + "-" + string(s) + ".yml"
	if set.Address, err = h.configure(file, registryConfig, set); err != nil {
		return "", err
	}
	p, err := h.start(set.Address, binary, "serve", h.path(file))
	if err != nil {
		return "", err
	}
	to := endpoint{name: name, scheme: s, base: "http://" + set.Address, front: p}
	if set.Verifying {
		if to.auth, err = h.token(); err != nil {
			return "", err
		}
	}
	if set.Secure {
		to.base = "https://" + set.Address
		two := to
		two.scheme = http2
		h.endpoints = append(h.endpoints, two)
	}
	h.endpoints = append(h.endpoints, to)
	return set.Address, nil
}

// token is one that the verifying registry takes: what a token server would have given.
func (h *house) token() (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuerName, "aud": serviceName, "sub": user, "jti": "1",
		"iat": now.Unix(), "nbf": now.Unix() - 60, "exp": now.Add(time.Hour).Unix(),
		"access": []map[string]any{{"type": "repository", "name": repository, "actions": []string{"pull"}}},
	})
	token.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(h.chain)}
	text, err := token.SignedString(h.key)
	return "Bearer " + text, err
}

// startSource serves what the gateways with a slow line have behind it.
func (h *house) startSource() error {
	h.source = newSource()
	address, err := authntest.NewAddress()
	if err != nil {
		return err
	}
	h.source.address = address
	stop, err := h.source.serve(address)
	h.closers = append(h.closers, stop)
	return err
}

// startGateways starts one of each kind.
func (h *house) startGateways(ctx context.Context, direct string) error {
	for _, g := range []struct {
		name   string
		scheme scheme
		set    settings
	}{
		{"gateway", plain, settings{Upstream: direct}},
		{"cached", plain, settings{Upstream: direct, Cached: true}},
		{"gateway", overs, settings{Upstream: direct, Secure: true}},
		{"cached", overs, settings{Upstream: direct, Secure: true, Cached: true}},
		{"gateway", line, settings{Upstream: h.source.address}},
		{"cached", line, settings{Upstream: h.source.address, Cached: true}},
		{"gateway", null, settings{Upstream: h.source.address}},
	} {
		to, err := h.startGateway(ctx, h.binary, g.name, g.scheme, g.set)
		if err != nil {
			return err
		}
		h.endpoints = append(h.endpoints, to)
		if g.set.Secure {
			to.scheme = http2
			h.endpoints = append(h.endpoints, to)
		}
	}
	return nil
}

// startGateway starts one and logs in.
func (h *house) startGateway(ctx context.Context, binary, name string, s scheme, set settings) (to endpoint, err error) {
	set.Name = strings.NewReplacer("/", "-", " ", "-").Replace(name + "-" + string(s))
	if set.Admin, err = authntest.NewAddress(); err != nil {
		return to, err
	}
	if set.Address, err = h.configure(set.Name+".yaml", gatewayConfig, set); err != nil {
		return to, err
	}
	to = endpoint{name: name, scheme: s, base: "http://" + set.Address, admin: "http://" + set.Admin}
	if set.Secure {
		to.base = "https://" + set.Address
	}
	if set.Cached {
		to.socket = h.path(set.Name + ".sock")
		if err := os.Mkdir(h.path(set.Name+".cache"), 0o700); err != nil {
			return to, err
		}
	}
	if to.front, err = h.start(set.Address, binary, "serve", "-c", h.path(set.Name+".yaml")); err != nil {
		return to, err
	}
	return to, h.login(ctx, &to)
}

// startNginx adds its ways, or says that they are missing.
func (h *house) startNginx(out io.Writer, direct string, tuned bool) (err error) {
	binary := authntest.Program("nginx")
	if binary == "" {
		fmt.Fprintln(out, "nginx is not installed: its rows stay empty and the targets beside it are not measured (Debian: apt-get install nginx-light)")
		return nil
	}
	set := settings{Upstream: direct, Tuned: tuned}
	if os.Getuid() == 0 { // it would give its workers to another user, who may not enter our folder
		set.User = "root"
	}
	if set.AddressTLS, err = authntest.NewAddress(); err != nil {
		return err
	}
	if set.Address, err = h.configure("nginx.conf", nginxConfig, set); err != nil {
		return err
	}
	p, err := h.start(set.Address, binary, "-e", h.path("nginx.log"), "-p", h.folder, "-c", h.path("nginx.conf"))
	h.endpoints = append(h.endpoints,
		endpoint{name: "nginx", scheme: plain, base: "http://" + set.Address, front: p},
		endpoint{name: "nginx", scheme: overs, base: "https://" + set.AddressTLS, front: p},
		endpoint{name: "nginx", scheme: http2, base: "https://" + set.AddressTLS, front: p})
	return err
}

// startBase builds the gateway of another commit, to hold ours against it.
func (h *house) startBase(ctx context.Context, out io.Writer, commit, direct string) error {
	if commit == "" {
		fmt.Fprintln(out, "-base names no commit: nothing is held against an older gateway")
		return nil
	}
	tree := h.path("base")
	if _, err := authntest.Run(exec.CommandContext(ctx, "git", "worktree", "add", "--detach", tree, commit)); err != nil {
		return err
	}
	h.closers = append(h.closers, func() error {
		_, err := authntest.Run(exec.Command("git", "worktree", "remove", "--force", tree))
		return err
	})
	binary, err := h.build(ctx, tree, "gatehouse-base")
	if err != nil {
		return err
	}
	for _, g := range []struct {
		scheme   scheme
		upstream string
	}{{null, h.source.address}, {plain, direct}, {overs, direct}} {
		to, err := h.startGateway(ctx, binary, "base", g.scheme, settings{Upstream: g.upstream, Secure: g.scheme == overs, Old: true})
		if err != nil {
			return err
		}
		h.endpoints = append(h.endpoints, to)
	}
	return nil
}

// startDockerAuth starts a docker_auth, and a registry that verifies its tokens.
func (h *house) startDockerAuth(ctx context.Context, out io.Writer, registry, binary string) error {
	if binary == "" {
		fmt.Fprintln(out, "-docker-auth names no binary: docker_auth is not measured")
		return nil
	}
	address, err := h.configure("docker_auth.yml", dockerAuthConfig, settings{})
	if err != nil {
		return err
	}
	p, err := h.start(address, binary, h.path("docker_auth.yml"))
	if err != nil {
		return err
	}
	to := endpoint{base: "http://" + address}
	if err := h.login(ctx, &to); err != nil {
		return err
	}
	set := settings{Verifying: true, KeySet: h.path("keys.json")}
	if err := h.writeKeySet(set.KeySet, to.auth); err != nil {
		return err
	}
	if _, err := h.startRegistry("docker_auth", plain, registry, set); err != nil {
		return err
	}
	last := &h.endpoints[len(h.endpoints)-1]
	last.auth, last.login, last.loginFront = to.auth, to.base, p
	return nil
}

// writeKeySet writes our key under the id by which a token names it (RFC 7517).
func (h *house) writeKeySet(name, auth string) error {
	token, _, err := jwt.NewParser().ParseUnverified(strings.TrimPrefix(auth, "Bearer "), jwt.MapClaims{})
	if err != nil {
		return err
	}
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
	text, err := json.Marshal(map[string]any{"keys": []map[string]any{{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
		"kid": token.Header["kid"], "x": number(h.key.X), "y": number(h.key.Y)}}})
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o600)
}

// startZot starts a zot, which checks passwords itself.
func (h *house) startZot(out io.Writer, binary string) error {
	if binary == "" {
		fmt.Fprintln(out, "-zot names no binary: zot is not measured")
		return nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err == nil {
		err = os.WriteFile(h.path("htpasswd"), []byte(user+":"+string(hash)+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	address, err := authntest.NewAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address) // it was made by net
	if err := h.write("zot.json", zotConfig, settings{Folder: h.folder, Address: port}); err != nil {
		return err
	}
	p, err := h.start(address, binary, "serve", h.path("zot.json"))
	h.endpoints = append(h.endpoints, endpoint{name: "zot", scheme: plain, base: "http://" + address, auth: basicAuth, front: p})
	return err
}

// buildRegistry installs distribution into the user's cache, once.
func buildRegistry(ctx context.Context, out io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "gatehouse", "bench", "distribution-"+distributionVersion)
	binary := filepath.Join(folder, "registry")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	fmt.Fprintf(out, "building %s@%s into %s: a minute or two, once\n", distribution, distributionVersion, folder)
	install := exec.CommandContext(ctx, "go", "install", distribution+"@"+distributionVersion)
	install.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	install.Dir = os.TempDir() // outside of this module, so that its own versions are taken
	if _, err := authntest.Run(install); err != nil {
		return "", err
	}
	return binary, nil
}

// twoAddresses are one for clear text and one for TLS.
func twoAddresses() (clear, secure string, err error) {
	clear, err = authntest.NewAddress()
	if err != nil {
		return "", "", err
	}
	secure, err = authntest.NewAddress()
	return clear, secure, err
}

func (h *house) path(name string) string { return filepath.Join(h.folder, name) }

// configure writes a config with an address of its own, which it returns.
func (h *house) configure(file string, t *template.Template, set settings) (address string, err error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", err
	}
	set.Folder, set.Hash = h.folder, string(hash)
	if set.Address, err = authntest.NewAddress(); err != nil {
		return "", err
	}
	return set.Address, h.write(file, t, set)
}

func (h *house) write(name string, t *template.Template, set settings) error {
	file, err := os.OpenFile(h.path(name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(file, set), file.Close())
}

// writeKeys makes one certificate for all, which h.roots trusts, and a token key.
func (h *house) writeKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gatehouse bench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	h.roots.AppendCertsFromPEM(certPEM)
	h.key, h.chain = key, der
	return errors.Join(os.WriteFile(h.path("tls.crt"), certPEM, 0o600),
		os.WriteFile(h.path("tls.key"), keyPEM, 0o600), os.WriteFile(h.path("token.key"), keyPEM, 0o600))
}

// start runs a server and returns when its port takes connections.
func (h *house) start(address, binary string, arguments ...string) (*authntest.Process, error) {
	command := exec.Command(binary, arguments...)
	command.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	p, err := authntest.StartProcess(command, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	h.processes = append(h.processes, p)
	return p, p.Await(20*time.Second, func() bool { return authntest.Listening(address) })
}

// login gets a token for an endpoint of the gateway.
func (h *house) login(ctx context.Context, to *endpoint) error {
	question := url.Values{"service": {serviceName}, "account": {user}, "scope": {"repository:" + repository + ":pull,push"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.base+"/auth?"+question.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", basicAuth)
	client := newClient(1, h.roots, false)
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var reply struct{ Token string }
	err = json.NewDecoder(response.Body).Decode(&reply)
	if err != nil || reply.Token == "" {
		return fmt.Errorf("%s: no token: status %d: %w", to.base, response.StatusCode, errors.Join(err, errors.New("an answer without a token")))
	}
	to.auth = "Bearer " + reply.Token
	return nil
}

// tails are the ends of all logs, to find out what went wrong.
func (h *house) tails() error {
	var all error
	for _, p := range h.processes {
		if text := p.Tail(1024); text != "" {
			all = errors.Join(all, fmt.Errorf("%s wrote:\n%s", p.Cmd.Path, text))
		}
	}
	return all
}

// stop ends every process, the last started first, and removes the files.
func (h *house) stop() error {
	var err error
	for _, p := range slices.Backward(h.processes) {
		err = errors.Join(err, p.Stop(10*time.Second))
	}
	for _, end := range slices.Backward(h.closers) {
		err = errors.Join(err, end())
	}
	return errors.Join(err, os.RemoveAll(h.folder))
}
