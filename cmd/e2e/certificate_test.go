package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

const (
	fleetRules = `  - {allow: [pull, push], repositories: ["ci/{machine}/**"], to: ["machine:fleet/ns/**"]}
  - {allow: [pull], repositories: ["public/**"], to: [everyone]}`
	fleetName  = "spiffe://prod.example/ns/web/sa/app"
	fleetScope = "repository:ci/ns/web/sa/app/x:pull,push"
)

// fleet is a gateway for machines with certificates by one of two CAs.
type fleet struct {
	*gateway
	pair         *keyPair
	first, other *authntest.Authority
	folder       string // of ca.pem and crl.pem
}

// startFleet starts one. Its list of revoked certificates is empty.
func startFleet(t *testing.T, s setup) *fleet {
	t.Helper()
	f := &fleet{pair: newKeyPair(t), first: authntest.NewAuthority(t, "first"), other: authntest.NewAuthority(t, "other"), folder: t.TempDir()}
	f.pair.Clients = filepath.Join(f.folder, "ca.pem")
	named := f.first.Client(t, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{host}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	named.Certificate = append(named.Certificate, f.first.Cert.Raw)
	cert, key := authntest.WriteClient(t, f.folder, "named", named)
	f.pair.More = fmt.Sprintf("{cert_file: %s, key_file: %s}", cert, key)
	f.write(t, "ca.pem", append(f.first.PEM(), f.other.PEM()...))
	f.write(t, "crl.pem", f.first.Revoked(t, time.Now().Add(time.Hour), nil))
	s.Upstream, s.TLS, s.Policy = startRegistry(t).url(), f.pair, fleetRules
	s.Tokens = fmt.Sprintf("key_files: [%q]", signingKey(t))
	s.Directories = fmt.Sprintf(`  - name: fleet
    certificates:
      crl_file: %s
      workloads:
        - match: {uri: "spiffe://prod.example/ns/*/sa/*"}
          name: "{uri.path}"
          record: [uri]
`, filepath.Join(f.folder, "crl.pem"))
	f.gateway = startGateway(t, s)
	return f
}

func (f *fleet) write(t *testing.T, name string, text []byte) {
	t.Helper()
	write(t, filepath.Join(f.folder, name), string(text))
}

// with is the gateway as a client with this certificate sees it.
func (f *fleet) with(cert *tls.Certificate, change func(*tls.Config)) *gateway {
	cfg := f.pair.trust()
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	if change != nil {
		change(cfg)
	}
	g := *f.gateway
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: len(cfg.NextProtos) == 0}}
	return &g
}

// none shows no credentials.
func none(*http.Request) {}

// grant is the realm's answer to who shows nothing.
func (g *gateway) grant(scope string) answer {
	return g.send(http.MethodGet, "/auth?scope="+scope, none, nil)
}

// accessToken is the one of an answer of the realm.
func (a answer) accessToken(t *testing.T) string {
	t.Helper()
	var body struct {
		Token     string
		ExpiresIn int    `json:"expires_in"`
		Refresh   string `json:"refresh_token"`
	}
	if err := json.Unmarshal(a.want(t, "the realm", http.StatusOK).body, &body); err != nil || body.Token == "" || body.Refresh != "" {
		t.Fatalf("%v: %+v", err, body)
	}
	secrets = append(secrets, body.Token)
	return body.Token
}

// TestCertificate: over each version of TLS and HTTP a certificate is a login by itself;
// with a password the password decides; and none that no workload takes is anonymous.
func TestCertificate(t *testing.T) {
	f := startFleet(t, setup{})
	cert := f.first.URI(t, fleetName)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"h2", "http/1.1"} {
			g := f.with(&cert, func(c *tls.Config) {
				c.MinVersion, c.MaxVersion = version, version
				if protocol != "h2" {
					c.NextProtos = []string{protocol}
				}
			})
			token := g.grant(fleetScope + "&offline_token=true").accessToken(t)
			g.send(http.MethodPost, "/v2/ci/ns/web/sa/app/x/blobs/uploads/", bearer(token), nil).want(t, "a push", http.StatusAccepted)
			g.send(http.MethodPost, "/v2/ci/other/x/blobs/uploads/", bearer(token), nil).want(t, "elsewhere", http.StatusForbidden)
			f.with(nil, nil).send(http.MethodPost, "/v2/ci/ns/web/sa/app/x/blobs/uploads/", bearer(token), nil).want(t, "the token alone", http.StatusAccepted)
		}
	}
	stranger, twice := f.first.URI(t, "spiffe://prod.example/robot"), f.first.URI(t, fleetName, "spiffe://prod.example/ns/a/sa/b")
	for name, bad := range map[string]tls.Certificate{"no workload": stranger, "two names": twice} {
		if e := f.with(&bad, nil).grant("repository:public/x:pull").refusal(t, http.StatusUnauthorized, "UNAUTHORIZED"); e.Errors[0].Message != "the token is not valid (any more)" {
			t.Errorf("%s: %q", name, e.Errors[0].Message)
		}
	}
	f.with(nil, nil).grant("repository:public/x:pull").want(t, "nobody", http.StatusOK)
	both := f.with(&stranger, nil)
	both.realm("test", testPassword).want(t, "a good password", http.StatusOK)
	good := f.with(&cert, nil)
	good.realm("test", wrongPassword).want(t, "a wrong password", http.StatusUnauthorized)
	good.send(http.MethodGet, "/auth", func(r *http.Request) { r.Header.Set("Authorization", "Basic Og==") }, nil).accessToken(t)
	good.get("/v2/", "").want(t, "no token under /v2/", http.StatusUnauthorized)
	f.seen(t)
}

// seen looks into log and metrics.
func (f *fleet) seen(t *testing.T) {
	t.Helper()
	for _, want := range []string{`"user":"ns/web/sa/app"`, `"directory":"fleet"`, `"credential":"certificate"`, `"subject":"` + fleetName + `"`, `"grant":"certificate"`,
		`workloads[0]: uri is \"spiffe://prod.example/robot\"`, "2 values of uri fit, and there may be one", `"claims":{"uri":`} {
		if !f.logs(want) {
			t.Errorf("the log never has %s", want)
		}
	}
	for series, want := range map[string]float64{`gatehouse_credentials_total{kind="certificate",result="ok"}`: 5, `gatehouse_credentials_total{kind="certificate",result="mismatch"}`: 2,
		`gatehouse_token_requests_total{grant="certificate",result="granted"}`: 5, `gatehouse_token_requests_total{grant="certificate",result="refused"}`: 2} {
		if got := f.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// TestCertificateTakenBack: a list or a CA that a reload changes counts at once: for tokens
// in hand, for connections that go on, and for sessions that resume.
func TestCertificateTakenBack(t *testing.T) {
	f := startFleet(t, setup{})
	cert, late := f.first.URI(t, fleetName), f.other.URI(t, fleetName)
	sessions := tls.NewLRUClientSessionCache(8)
	resuming := func(c *tls.Config) { // it shows its certificate to whatever CAs the gateway asks for
		c.ClientSessionCache, c.Certificates = sessions, nil
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &late, nil }
	}
	kept, keptLate := f.with(&cert, nil), f.with(&late, nil)
	token, lateToken := kept.grant(fleetScope).accessToken(t), keptLate.grant(fleetScope).accessToken(t)
	f.with(&late, resuming).grant(fleetScope).accessToken(t)
	upload := func(token string) int {
		return f.with(nil, nil).send(http.MethodPost, "/v2/ci/ns/web/sa/app/x/blobs/uploads/", bearer(token), nil).status
	}
	if a, b := upload(token), upload(lateToken); a != http.StatusAccepted || b != http.StatusAccepted {
		t.Fatal(a, b)
	}
	f.write(t, "crl.pem", f.first.Revoked(t, time.Now().Add(time.Hour), nil, cert.Leaf))
	f.reload(t)
	if a, b := upload(token), upload(lateToken); a != http.StatusUnauthorized || b != http.StatusAccepted {
		t.Errorf("after the list: %d, of another CA %d", a, b)
	}
	kept.grant(fleetScope).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	f.write(t, "ca.pem", f.first.PEM())
	f.reload(t)
	if b := upload(lateToken); b != http.StatusUnauthorized {
		t.Errorf("after its CA was dropped: %d", b)
	}
	keptLate.grant(fleetScope).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED") // by the connection of before
	if a := f.with(&late, resuming).grant(fleetScope); a.status != 0 {
		t.Errorf("a session of before the reload: %d %s", a.status, a.body)
	}
	f.write(t, "crl.pem", f.first.Revoked(t, time.Now().Add(-time.Second), nil))
	f.reload(t)
	fresh := f.first.URI(t, fleetName)
	f.with(&fresh, nil).grant(fleetScope).refusal(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	if a := f.with(nil, nil).grant("repository:public/x:pull"); a.status != http.StatusOK {
		t.Errorf("people need no list: %d", a.status)
	}
}

// TestCertificateEnds: what is issued for a certificate ends with it, without leeway.
func TestCertificateEnds(t *testing.T) {
	f := startFleet(t, setup{})
	ends := time.Now().Add(4 * time.Second).Truncate(time.Second)
	short := f.first.Client(t, func(c *x509.Certificate) { c.URIs, c.NotAfter = f.first.URI(t, fleetName).Leaf.URIs, ends })
	g := f.with(&short, nil)
	token := g.grant(fleetScope).accessToken(t)
	var last time.Time
	eventually(t, 20*time.Second, "its end", func() bool {
		last = time.Now()
		return f.with(nil, nil).get("/v2/", token).status == http.StatusUnauthorized
	})
	if last.Before(ends.Add(-time.Second)) || last.After(ends.Add(3*time.Second)) {
		t.Errorf("it ended at %s, its certificate at %s", last, ends)
	}
	g.grant(fleetScope).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED") // by the connection of before
}

// TestCertificateBasic: with `basic: true` a certificate is a login under /v2/ too, unless
// another site had a browser ask.
func TestCertificateBasic(t *testing.T) {
	f := startFleet(t, setup{Basic: true})
	cert, stranger := f.first.URI(t, fleetName), f.first.URI(t, "spiffe://prod.example/robot")
	const uploads = "/v2/ci/ns/web/sa/app/x/blobs/uploads/"
	good := f.with(&cert, nil)
	good.send(http.MethodPost, uploads, none, nil).want(t, "a push", http.StatusAccepted)
	good.send(http.MethodPost, uploads, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, nil).want(t, "of another site", http.StatusUnauthorized)
	good.send(http.MethodPost, uploads, func(r *http.Request) { r.SetBasicAuth("test", wrongPassword) }, nil).want(t, "a wrong password", http.StatusUnauthorized)
	f.with(&stranger, nil).send(http.MethodPost, uploads, none, nil).want(t, "a stranger", http.StatusUnauthorized)
	if a := f.with(nil, nil).get("/v2/", "").want(t, "nobody", http.StatusUnauthorized); a.header.Get("WWW-Authenticate") == "" {
		t.Error("no challenge")
	}
}

// svid is the certificate as go-spiffe keeps it.
type svid struct{ *x509svid.SVID }

func (s svid) GetX509SVID() (*x509svid.SVID, error) { return s.SVID, nil }

// host is a name of the gateway that no resolver knows.
const host = "gatehouse.invalid"

// TestCertificateClients: docker, podman, skopeo, curl and a program with go-spiffe push and
// pull with nothing but their certificate.
func TestCertificateClients(t *testing.T) {
	authntest.Need(t, "podman", "skopeo", "curl")
	f := startFleet(t, setup{})
	cert := f.first.URI(t, fleetName)
	folder := t.TempDir()
	authority, err := os.ReadFile(f.pair.authority())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "ca.crt"), string(authority))
	certFile, keyFile := authntest.WriteClient(t, folder, "client", cert)
	repository := f.address + "/ci/ns/web/sa/app/"
	t.Run("skopeo", func(t *testing.T) {
		_, source := imageFolder(t, 50_000)
		ref := "docker://" + repository + "skopeo:v1"
		skopeo(t, "copy", "--dest-cert-dir="+folder, source, ref)
		skopeo(t, "copy", "--src-cert-dir="+folder, ref, "dir:"+t.TempDir())
		skopeoRefused(t, "403", "copy", "--dest-cert-dir="+folder, source, "docker://"+f.address+"/ci/else/skopeo:v1")
	})
	t.Run("curl", func(t *testing.T) {
		var reply struct{ Token string }
		text := curl(t, "--cacert", filepath.Join(folder, "ca.crt"), "--cert", certFile, "--key", keyFile, "https://"+f.address+"/auth?scope=repository:ci/ns/web/sa/app/skopeo:pull")
		if err := json.Unmarshal([]byte(text), &reply); err != nil || reply.Token == "" {
			t.Fatalf("%v in %s", err, text)
		}
		secrets = append(secrets, reply.Token)
		curl(t, "-f", "--cacert", filepath.Join(folder, "ca.crt"), "-H", "Authorization: Bearer "+reply.Token, "https://"+f.address+"/v2/ci/ns/web/sa/app/skopeo/manifests/v1")
	})
	t.Run("go-spiffe", func(t *testing.T) {
		loaded, err := x509svid.Load(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		g := f.with(nil, func(c *tls.Config) { c.GetClientCertificate = tlsconfig.GetClientCertificate(svid{loaded}) })
		token := g.grant("repository:ci/ns/web/sa/app/skopeo:pull").accessToken(t)
		g.get("/v2/ci/ns/web/sa/app/skopeo/manifests/v1", token).want(t, "a pull", http.StatusOK)
	})
	t.Run("podman", func(t *testing.T) { podmanCertificate(t, f, folder) })
	t.Run("docker", func(t *testing.T) { dockerCertificate(t, f, cert) })
}

// podmanCertificate has podman push and pull by a folder of certificates.
func podmanCertificate(t *testing.T, f *fleet, folder string) {
	home := t.TempDir()
	write(t, filepath.Join(home, "storage.conf"), fmt.Sprintf("[storage]\ndriver = \"vfs\"\nrunroot = %q\ngraphroot = %q\n", filepath.Join(home, "run"), filepath.Join(home, "storage")))
	t.Setenv("CONTAINERS_STORAGE_CONF", filepath.Join(home, "storage.conf"))
	write(t, filepath.Join(home, "auth.json"), "{}")
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(home, "auth.json"))
	t.Setenv("HOME", home)
	podman := func(args ...string) (string, error) { return authntest.Run(exec.Command("podman", args...)) }
	image, elsewhere := f.address+"/ci/ns/web/sa/app/podman:v1", f.address+"/ci/else/podman:v1"
	_, source := imageFolder(t, 50_000)
	archive := filepath.Join(home, "image.tar")
	skopeo(t, "copy", source, "docker-archive:"+archive+":"+image)
	for _, args := range [][]string{{"load", "-q", "-i", archive}, {"push", "--cert-dir=" + folder, image}, {"rmi", image}, {"pull", "--cert-dir=" + folder, image}, {"tag", image, elsewhere}} {
		if out, err := podman(args...); err != nil {
			t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if _, err := podman("push", "--cert-dir="+folder, elsewhere); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("pushed elsewhere: %v", err)
	}
	bare := t.TempDir()
	authority, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bare, "ca.crt"), string(authority))
	if _, err := podman("pull", "--cert-dir="+bare, image); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("pulled without a certificate: %v", err)
	}
}

// dockerCertificate has a Docker Engine push and pull by its folder of certificates. It
// takes those for no registry at loopback, so it knows the gateway by another name, which
// a proxy resolves.
func dockerCertificate(t *testing.T, f *fleet, cert tls.Certificate) {
	trusted := filepath.Join("/etc/docker/certs.d", host)
	if err := os.MkdirAll(trusted, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(trusted) })
	authntest.WriteClient(t, trusted, "client", cert)
	write(t, filepath.Join(trusted, "ca.crt"), string(f.first.PEM()))
	t.Setenv("HTTPS_PROXY", tunnel(t, f.address))
	e := engine{dockertest.Start(t)}
	image := host + "/ci/ns/web/sa/app/busybox:latest"
	e.build(t, 12_346, image)
	e.Run(t, "push", image)
	e.Run(t, "image", "rm", image)
	e.Run(t, "pull", image)
	if out, err := e.docker(nil, "pull", host+"/ci/else/busybox:latest"); err == nil {
		t.Errorf("pulled elsewhere: %s", out)
	}
}

// tunnel is a proxy whose tunnels all lead to one address (RFC 9110 section 9.3.6).
func tunnel(t *testing.T, to string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", to)
		if r.Method != http.MethodConnect || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer up.Close()
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer down.Close()
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(up, down)
			up.Close()
		}()
		io.Copy(down, up)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestInspectCertificate: the command says which machine a certificate is of, or why it is
// of none, as the gateway would.
func TestInspectCertificate(t *testing.T) {
	f := startFleet(t, setup{})
	cert, stranger := f.first.URI(t, fleetName), f.first.URI(t, "spiffe://prod.example/robot")
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		crl    []byte
		status int
		want   string
	}{
		{"good", cert, nil, 0, "good\nkind: certificate\nid: " + fmt.Sprintf("%X", cert.Leaf.SerialNumber) + "\nsubject: " + fleetName},
		{"its machine", cert, nil, 0, "machine: fleet/ns/web/sa/app"},
		{"a stranger", stranger, nil, 1, `workloads[0]: uri is "spiffe://prod.example/robot"`},
		{"another CA's", authntest.NewAuthority(t, "else").URI(t, fleetName), nil, 1, "signed by unknown authority"},
		{"taken back", cert, f.first.Revoked(t, time.Now().Add(time.Hour), nil, cert.Leaf), 1, "is on the list of"},
		{"an old list", cert, f.first.Revoked(t, time.Now().Add(-time.Minute), nil), 3, "should have been replaced"},
	} {
		if c.crl != nil {
			f.write(t, "crl.pem", c.crl)
		}
		file, _ := authntest.WriteClient(t, t.TempDir(), "x", c.cert)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "token", "inspect", "-c", f.config)
		cmd.Stdin = strings.NewReader(string(text))
		out, _ := cmd.CombinedOutput() // the status tells
		if status := cmd.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: status %d\n%s\nwant %d, %s", c.name, status, out, c.status, c.want)
		}
	}
}
