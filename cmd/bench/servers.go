package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
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
	"os/user"
	"path/filepath"
	"slices"
	"syscall"
	"text/template"
	"time"

	"gatehouse/authn/authntest"

	"golang.org/x/crypto/bcrypt"
)

// distribution is the registry that is measured, built once through the module proxy.
const (
	distribution        = "github.com/distribution/distribution/v3/cmd/registry"
	distributionVersion = "v3.1.1"
)

// password of the bench's only user; nobody but this process can reach the gateway.
const password = "bench"

// house is all that runs, and the ways through it; direct comes first.
type house struct {
	folder    string
	roots     *x509.CertPool
	endpoints []endpoint
	processes []*authntest.Process // in the order of their start
}

// addresses are the ports (host:port) and files that the configs below take.
type addresses struct {
	Folder, User, Hash                 string
	Direct, DirectTLS, Nginx, NginxTLS string
	Gateway, GatewayTLS                string
	Admin, AdminTLS                    string
	Secure                             bool // this file is for the TLS way
	Tuned                              bool // nginx with large buffers
}

// registryConfig switches off what costs the registry time and us nothing to
// know, so that the bare registry is as fast as it can be.
var registryConfig = template.Must(template.New("registry").Parse(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: {{.Folder}}/registry}
  cache: {blobdescriptor: inmemory}
  maintenance: {uploadpurging: {enabled: false}}
http:
{{- if .Secure}}
  addr: {{.DirectTLS}}
  tls: {certificate: {{.Folder}}/tls.crt, key: {{.Folder}}/tls.key}
{{- else}}
  addr: {{.Direct}}
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
  upstream registry { server {{.Direct}}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen {{.Nginx}};
    listen {{.NginxTLS}} ssl;
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
{{- if .Secure}}
  address: "{{.GatewayTLS}}"
  tls: {cert_file: tls.crt, key_file: tls.key}
admin:
  address: "{{.AdminTLS}}"
{{- else}}
  address: "{{.Gateway}}"
admin:
  address: "{{.Admin}}"
{{- end}}
upstream:
  url: "http://{{.Direct}}"
tokens:
  lifetime: 1h
  key_files: [token.key]
directories:
  - name: local
    static:
      - username: bench
        password_hash: "{{.Hash}}"
policy:
  - allow: [pull, push]
    repositories: ["bench/**"]
    to: ["user:bench"]
`))

// files are the configs by their names.
var files = []struct {
	name    string
	content *template.Template
	secure  bool
}{
	{"registry.yml", registryConfig, false},
	{"registry-tls.yml", registryConfig, true},
	{"gatehouse.yaml", gatewayConfig, false},
	{"gatehouse-tls.yaml", gatewayConfig, true},
	{"nginx.conf", nginxConfig, true},
}

// startHouse builds, configures and starts everything. On an error nothing is left.
func startHouse(ctx context.Context, out io.Writer, tuned bool) (h *house, err error) {
	h = &house{roots: x509.NewCertPool()}
	if h.folder, err = os.MkdirTemp("", "gatehouse-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.tails(), h.stop())
		}
	}()
	registry, err := buildRegistry(ctx, out)
	if err != nil {
		return nil, err
	}
	gateway := filepath.Join(h.folder, "gatehouse")
	if _, err := authntest.Run(exec.CommandContext(ctx, "go", "build", "-o", gateway, "gatehouse/cmd/gatehouse")); err != nil {
		return nil, err
	}
	a, err := h.configure(tuned)
	if err != nil {
		return nil, err
	}
	return h, h.startAll(ctx, out, a, registry, gateway)
}

func (h *house) startAll(ctx context.Context, out io.Writer, a addresses, registry, gateway string) error {
	if err := errors.Join(
		h.start(a.Direct, registry, "serve", h.path("registry.yml")),
		h.start(a.DirectTLS, registry, "serve", h.path("registry-tls.yml")),
		h.start(a.Gateway, gateway, "serve", "-c", h.path("gatehouse.yaml")),
		h.start(a.GatewayTLS, gateway, "serve", "-c", h.path("gatehouse-tls.yaml")),
	); err != nil {
		return err
	}
	h.endpoints = []endpoint{
		{name: "direct", base: "http://" + a.Direct},
		{name: "gateway", base: "http://" + a.Gateway},
		{name: "direct", base: "https://" + a.DirectTLS, secure: true},
		{name: "gateway", base: "https://" + a.GatewayTLS, secure: true},
	}
	if err := h.startNginx(out, a); err != nil {
		return err
	}
	for i := range h.endpoints {
		if h.endpoints[i].name == "gateway" {
			if err := h.login(ctx, &h.endpoints[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// startNginx adds its two ways, or says that they are missing.
func (h *house) startNginx(out io.Writer, a addresses) error {
	binary := authntest.Program("nginx")
	if binary == "" {
		fmt.Fprintln(out, "nginx is not installed: its columns stay empty and the targets beside it are not measured (Debian: apt-get install nginx-light)")
		return nil
	}
	if err := h.start(a.Nginx, binary, "-e", h.path("nginx.log"), "-p", h.folder, "-c", h.path("nginx.conf")); err != nil {
		return err
	}
	h.endpoints = append(h.endpoints,
		endpoint{name: "nginx", base: "http://" + a.Nginx},
		endpoint{name: "nginx", base: "https://" + a.NginxTLS, secure: true})
	return nil
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

func (h *house) path(name string) string { return filepath.Join(h.folder, name) }

// configure takes free ports and writes every config, the certificate and the key.
func (h *house) configure(tuned bool) (addresses, error) {
	a := addresses{Folder: h.folder, Tuned: tuned}
	for _, p := range []*string{&a.Direct, &a.DirectTLS, &a.Nginx, &a.NginxTLS, &a.Gateway, &a.GatewayTLS, &a.Admin, &a.AdminTLS} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return a, err
		}
		defer listener.Close() // only when all have one, so that no port is given twice
		*p = listener.Addr().String()
	}
	if os.Getuid() == 0 { // nginx would give its workers to another user, who may not enter our folder
		if me, err := user.Current(); err == nil {
			a.User = me.Username
		}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return a, err
	}
	a.Hash = string(hash)
	if err := h.writeKeys(); err != nil {
		return a, err
	}
	for _, f := range files {
		a.Secure = f.secure
		if err := h.write(f.name, f.content, a); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (h *house) write(name string, t *template.Template, a addresses) error {
	file, err := os.OpenFile(h.path(name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(file, a), file.Close())
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
	return errors.Join(os.WriteFile(h.path("tls.crt"), certPEM, 0o600),
		os.WriteFile(h.path("tls.key"), keyPEM, 0o600), os.WriteFile(h.path("token.key"), keyPEM, 0o600))
}

// start runs a server and returns when its port takes connections.
func (h *house) start(address, binary string, arguments ...string) error {
	command := exec.Command(binary, arguments...)
	command.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	p, err := authntest.StartProcess(command, syscall.SIGTERM)
	if err != nil {
		return err
	}
	h.processes = append(h.processes, p)
	return p.Await(20*time.Second, func() bool { return authntest.Listening(address) })
}

// login gets a token for an endpoint of the gateway.
func (h *house) login(ctx context.Context, to *endpoint) error {
	question := url.Values{"service": {"gatehouse"}, "scope": {"repository:" + repository + ":pull,push"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.base+"/auth?"+question.Encode(), nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth("bench", password)
	client := newClient(1, h.roots)
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
	to.token = reply.Token
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
	return errors.Join(err, os.RemoveAll(h.folder))
}
