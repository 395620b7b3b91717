package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"gatehouse/authn/authntest"
)

// The passwords of the tests. All but the musicians' own are words that occur
// nowhere else, so that a log which shows one is found out.
const (
	musicians     = "password"
	wrongPassword = "canary-wrong-4f1d"
	newPassword   = "canary-changed-93ab"
	thirdPassword = "canary-third-08d2"
	testPassword  = "123"
	adminPassword = "badmin"
	guestPassword = "canary-guest-77c0"
)

// secrets must not occur in any log of the gateway: the canaries and Basic
// credentials. Neither may a token.
var secrets = []string{
	wrongPassword, newPassword, thirdPassword, bindPassword, adminPassword, guestPassword, basic("mozart", musicians), basic("test", testPassword),
	basic("bach", musicians),
}

var jwtPattern = regexp.MustCompile(`eyJ[\w-]{8,}\.eyJ`)

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// setup is what a test wants of its gateway besides the defaults.
type setup struct {
	Upstream     string           // required without Upstreams, see startRegistry
	LDAP         *authntest.Slapd // nil: only the static users
	FreshFor     string           // and the other times of the cache; empty: the default
	StaleFor     string
	Timeout      string // of the directory
	Keys         string // further keys of the directory, in YAML
	Cache        string // and of its cache, as `, key: value`
	Directories  string // further directories, in YAML
	Policy       string // further rules, in YAML
	Upstreams    string // the value of upstreams, in YAML, in the place of Upstream
	UpstreamKeys string // further keys of upstream, in YAML's flow style
	Tokens       string // further keys of tokens, in YAML
	ListenKeys   string // further keys of listen, in YAML
	Sections     string // further sections of the config, in YAML
	Pprof        bool   // profiles on the admin listener
	Socket       string // admin.socket, a name in the config's folder; empty: none
	Basic        bool   // Basic credentials are taken under /v2/ too
	TLS          *keyPair

	// BlobMount is the value of blob_mount; empty: false.
	BlobMount string
	// Ailing: the upstream is at fault from the start, so the gateway is never ready.
	Ailing bool

	Listen, Admin string // filled in by startGateway
}

var configTemplate = template.Must(template.New("config").Funcs(template.FuncMap{
	"hash": func(password string) string { return hashes[password] },
}).Parse(`
listen:
  address: {{.Listen}}
  basic: {{.Basic}}
{{- with .ListenKeys}}
  {{.}}
{{- end}}
{{- with .TLS}}
  tls: {cert_file: {{.Cert}}, key_file: {{.Key}}{{with .Clients}}, client_ca_file: {{.}}{{end}}{{with .More}}, certificates: [{{.}}]{{end}}}
{{- end}}
admin: {address: {{.Admin}}, pprof: {{.Pprof}}{{with .Socket}}, socket: {{.}}{{end}}}
{{- with .Upstreams}}
upstreams:
{{.}}
{{- else}}
upstream: {url: "{{.Upstream}}", blob_mount: {{or .BlobMount "false"}}{{with .UpstreamKeys}}, {{.}}{{end}}}
{{- end}}
{{- with .Tokens}}
tokens: { {{- .}}}
{{- end}}
directories:
  - name: local
    static:
      - {username: admin, password_hash: "{{hash "badmin"}}", groups: [admins]}
      - {username: test, password_hash: "{{hash "123"}}"}
      - {username: guest, password_hash: "{{hash "canary-guest-77c0"}}"}
{{- with .LDAP}}
  - name: example
    ldap:
      servers: ["{{.URL}}"]
      bind_dn: uid=gatehouse,ou=it,dc=example,dc=com
      bind_password_file: bind_password
      timeout: {{or $.Timeout "5s"}}
{{- with $.Keys}}
      {{.}}
{{- end}}
      users:
        base: ou=musicians,dc=example,dc=com
        filter: "(&(|(uid={login})(mail={login}))(objectClass=person))"
      cache: {fresh_for: {{or $.FreshFor "60s"}}, stale_for: {{or $.StaleFor "10m"}}{{$.Cache}}}
{{- end}}
{{- with .Directories}}
{{.}}
{{- end}}
policy:
  - {allow: [pull, push, delete], repositories: ["**"], to: ["user:admin"]}
  - {allow: [pull], repositories: ["**"], to: ["user:test"]}
{{- if .LDAP}}
  - {allow: [pull, push], repositories: ["anyuser/**"], to: ["directory:example"]}
{{- end}}
{{.Policy}}
{{.Sections}}
`))

// gateway is a running gatehouse.
type gateway struct {
	*authntest.Process
	address, admin string // host:port
	config         string // file name
	client         *http.Client
	scheme         string
	up             string // what of the admin listener says that it has started
}

// startGateway writes a config, runs `gatehouse serve` with it and waits until
// it is ready. At the end of the test its log is searched for panics and secrets.
func startGateway(t *testing.T, s setup) *gateway {
	t.Helper()
	s.Listen, s.Admin = authntest.FreeAddress(t), authntest.FreeAddress(t)
	g := &gateway{address: s.Listen, admin: s.Admin, scheme: "http", client: &http.Client{Transport: &http.Transport{}}, up: "/readyz"}
	if s.Ailing {
		g.up = "/livez"
	}
	if s.TLS != nil {
		g.scheme = "https"
		g.client.Transport = &http.Transport{TLSClientConfig: s.TLS.trust(), ForceAttemptHTTP2: true}
	}
	if on := os.Getenv("GATEHOUSE_CACHE"); on != "" && !strings.Contains(s.Sections, "cache:") {
		s.Sections += "\ncache: " + on
	}
	g.config = writeConfig(t, s)
	g.serve(t)
	t.Cleanup(func() { g.inspect(t) })
	return g
}

// serve runs the gateway (again) and waits until it is ready. What one that was killed wrote is
// judged too.
func (g *gateway) serve(t *testing.T) {
	t.Helper()
	if g.Process != nil && !g.Running() {
		g.judge(t)
	}
	g.Process = start(t, binary, "serve", "-c", g.config)
	if err := g.Await(20*time.Second, func() bool { return g.status(g.up) == http.StatusOK }); err != nil {
		t.Fatal(err)
	}
}

// restart ends the gateway, judges what it wrote, and starts it again.
func (g *gateway) restart(t *testing.T) {
	t.Helper()
	g.inspect(t)
	g.serve(t)
}

// reload has the gateway take the files that were written, and waits until it has.
func (g *gateway) reload(t *testing.T) {
	t.Helper()
	before := strings.Count(g.Log(), `"config reloaded"`)
	if err := g.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the reload", func() bool { return strings.Count(g.Log(), `"config reloaded"`) > before })
}

// hashPassword asks the binary itself, as an administrator would.
func hashPassword(password string) (string, error) {
	cmd := exec.Command(binary, "hash-password")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := authntest.Run(cmd)
	return strings.TrimSpace(out), err
}

// writeConfig returns the config's file name.
func writeConfig(t *testing.T, s setup) string {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	if err := configTemplate.Execute(&text, s); err != nil {
		t.Fatal(err)
	}
	if s.LDAP != nil {
		write(t, filepath.Join(dir, "bind_password"), bindPassword+"\r\n")
	}
	name := filepath.Join(dir, "gatehouse.yaml")
	write(t, name, text.String())
	return name
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// status asks the admin listener; 0: no answer.
func (g *gateway) status(path string) int {
	res, err := http.Get("http://" + g.admin + path)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// inspect stops the gateway and judges what it wrote.
func (g *gateway) inspect(t *testing.T) {
	if g.Running() {
		g.client.CloseIdleConnections()
		if err := g.Finish(20 * time.Second); err != nil {
			t.Errorf("the gateway did not end well on TERM: %v", err)
		}
	}
	g.judge(t)
}

// logs reports whether the gateway's log comes to have a text: lines of requests are written
// together, some time after their answers.
func (g *gateway) logs(text string) bool {
	return await(10*time.Second, func() bool { return strings.Contains(g.Log(), text) })
}

// judge looks for what no log of the gateway may have.
func (g *gateway) judge(t *testing.T) {
	t.Helper()
	log := g.Log()
	for _, bad := range []string{"panic", "goroutine ", "DATA RACE"} {
		if strings.Contains(log, bad) {
			t.Errorf("the gateway's log has %q", bad)
		}
	}
	if jwt := jwtPattern.FindString(log); jwt != "" {
		t.Errorf("the gateway's log shows the token %s", jwt)
	}
	for _, secret := range secrets {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("the gateway's log shows the secret %q: %s", secret, log[max(0, i-200):min(len(log), i+100)])
		}
	}
}

// resident returns the gateway's resident memory in bytes, now and at its peak.
func (g *gateway) resident(t *testing.T) (now, peak int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "VmRSS: %d kB", &now)
		fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	if now == 0 || peak == 0 {
		t.Fatalf("no VmRSS or VmHWM in:\n%s", text)
	}
	return now << 10, peak << 10
}
