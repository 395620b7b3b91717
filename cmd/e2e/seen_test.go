package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// prometheus is a running Prometheus.
type prometheus struct {
	*authntest.Process
	url string
}

// startPrometheus runs a Prometheus with what deploy/prometheus has, which scrapes and
// evaluates each second; one of its targets is away.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	authntest.Need(t, "prometheus")
	dir, address := t.TempDir(), authntest.FreeAddress(t)
	for _, name := range []string{"prometheus.yml", "recording.yml", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("../../deploy/prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		for old, new := range map[string]string{`"127.0.0.1:9180"`: fmt.Sprintf("%q, %q", target, authntest.FreeAddress(t)), "interval: 15s": "interval: 1s"} {
			if name == "prometheus.yml" && !strings.Contains(string(text), old) {
				t.Fatalf("%s has no %s", name, old)
			}
			text = []byte(strings.ReplaceAll(string(text), old, new))
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	p := &prometheus{url: "http://" + address}
	p.Process = start(t, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--enable-feature=exemplar-storage", "--log.level=warn")
	if err := p.Await(20*time.Second, func() bool { return p.ask("/-/ready", nil, nil) == nil }); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask reads an answer's data.
func (p *prometheus) ask(path string, query url.Values, data any) error {
	response, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	if data == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(&struct{ Data any }{data})
}

// points is how many series an expression has now.
func (p *prometheus) points(t *testing.T, expr string) int {
	t.Helper()
	var data struct{ Result []any }
	if err := p.ask("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return len(data.Result)
}

// comparison is a comparison of PromQL's; with bool behind it, it gives 0 or 1 and leaves
// nothing out.
var comparison = regexp.MustCompile(` (==|>|<) `)

// rulesInForce are the expressions of the rules that Prometheus has, by their names.
func (p *prometheus) rulesInForce(t *testing.T) (alerts, recorded map[string]string) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Query, Type, Health, LastError string }
		}
	}
	if err := p.ask("/api/v1/rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	alerts, recorded = map[string]string{}, map[string]string{}
	for _, group := range data.Groups {
		for _, rule := range group.Rules {
			if rule.Health == "err" {
				t.Errorf("%s: %s", rule.Name, rule.LastError)
			}
			if rule.Type == "alerting" {
				alerts[rule.Name] = rule.Query
			} else {
				recorded[rule.Name] = rule.Name
			}
		}
	}
	return alerts, recorded
}

// dashboardQueries are the expressions of the dashboard, by their panels, as Grafana asks
// for them.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/gatehouse.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, panel := range file.Panels {
		for i, target := range panel.Targets {
			all[fmt.Sprintf("panel %d.%d, %s", panel.ID, i, panel.Title)] = strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(target.Expr)
		}
	}
	return all
}

// wrongRegistry has manifests, and blobs that are not what their digests say.
func wrongRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/blobs/"):
			w.Header().Set("Content-Length", "5")
			fmt.Fprint(w, "wrong")
		case strings.Contains(r.URL.Path, "/tags/"):
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// seenIssuer is a directory of jobs whose issuer shows one key, once.
func seenIssuer(t *testing.T) string {
	t.Helper()
	var asked atomic.Int32
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys","id_token_signing_alg_values_supported":["ES256"]}`, server.URL, server.URL)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"one","alg":"ES256","use":"sig","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`)
	})
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	now := time.Now().Unix()
	seenToken = encode(`{"alg":"ES256","kid":"another"}`) + "." +
		encode(fmt.Sprintf(`{"iss":%q,"aud":"https://registry.example.com","sub":"repo:octo/app","repository":"octo/app","iat":%d,"exp":%d}`, server.URL, now, now+600)) +
		"." + encode(strings.Repeat("s", 64))
	return fmt.Sprintf("\n  - name: jobs\n    oidc: {issuer: %q, audiences: [\"https://registry.example.com\"], workloads: [{match: {repository: \"octo/*\"}, name: \"{repository}\"}]}\n", server.URL)
}

// seenToken is an ID token by a key that the issuer does not show.
var seenToken string

// quiet are the alerts that nothing below brings about.
var quiet = []string{"GatehouseRestarts", "GatehouseDescriptorsEnd", "GatehouseBuildsDiffer", "GatehouseDirectorySlow", "GatehouseAuditFails", "GatehouseCacheRot", "GatehouseCacheNoSpace", "GatehouseIssuerDown", "GatehouseIssuerKeysOld",
	"GatehouseACMEFails"} // which takes a second order, up to a minute later

// TestSeen: a Prometheus that scrapes a gateway with pulls, pushes, refusals and one fault
// after the other has data for each recorded series, each alert and each panel of the dashboard;
// all alerts but the quiet ones hold. Request ids stand beside the durations.
func TestSeen(t *testing.T) {
	registry, ldap := startRegistry(t), startDirectory(t)
	token, entry := newToken(t)
	entry = regexp.MustCompile(`\d{4}-\d\d-\d\d`).ReplaceAllString(entry, time.Now().AddDate(0, 0, 5).Format(time.DateOnly))
	pair, redis := newKeyPair(t), authntest.FreeAddress(t)
	redisServer := authntest.StartRedis(t, redis)
	g := startGateway(t, setup{
		Upstreams: fmt.Sprintf(`  - {name: wrong, repositories: ["wrong/**"], urls: [%q]}
  - {name: rest, urls: [%q, "http://%s"]}`, wrongRegistry(t), registry.url(), authntest.FreeAddress(t)),
		LDAP: ldap, FreshFor: "1s", StaleFor: "10m", Timeout: "1s", Keys: "canary_user: mozart", Ailing: true, Socket: "admin.sock", // ailing until the order of a certificate succeeds
		ListenKeys: fmt.Sprintf("tls: {cert_file: %s, key_file: %s, acme: {directory_url: \"https://%s/dir\", names: [acme.example.com], terms_agreed: true}}",
			pair.Cert, pair.Key, authntest.FreeAddress(t)),
		Directories: robots("jenkins", entry) + seenIssuer(t), Policy: machineRules,
		Sections: "cache: {dir: blobs, free: 0%}\naudit: {file: audit.log}\nstore: {redis: {url: \"redis://" + redis + "\"}}" +
			"\npolicy_next: [{allow: [pull], repositories: [\"none/**\"], to: [\"user:admin\"]}]",
	})
	g.scheme, g.client.Transport = "https", &http.Transport{TLSClientConfig: pair.trust(), ForceAttemptHTTP2: true}
	p := startPrometheus(t, g.admin)
	eventually(t, 10*time.Second, "a scrape", func() bool { return p.points(t, "gatehouse_build_info") > 0 })
	id := g.seenTraffic(t, token)
	if _, err := authntest.Run(exec.Command(binary, "freeze", "-c", g.config, "--reason", "garbage collection")); err != nil {
		t.Error(err)
	}
	pull := g.seenFaults(t, ldap, registry)
	redisServer.Kill()
	p.judge(t, pull)
	if n := g.metric(t, `gatehouse_shadow_decisions_total{action="pull",change="refused"}`); n == 0 {
		t.Error("policy_next would refuse nothing")
	}
	p.exemplar(t, id)
}

// seenTraffic are pushes, pulls and refusals; it returns the id of a request.
func (g *gateway) seenTraffic(t *testing.T, token string) (id string) {
	t.Helper()
	g.push(t, "anyuser/app:v1", "mozart", musicians)
	g.push(t, "ci/jenkins/app:v1", "robot", token)
	image := g.push(t, "anyuser/app:v2", "admin", adminPassword)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	admin := g.token(t, "admin", adminPassword, "repository:anyuser/app:pull", "repository:wrong/app:pull", "repository:none/app:pull,delete")
	for range 3 {
		for _, path := range []string{"anyuser/app/manifests/v2", "anyuser/app/manifests/" + digest.String(), "anyuser/app/blobs/" + layer.String(),
			"wrong/app/blobs/" + layer.String(), "wrong/app/tags/list", "none/app/manifests/v1"} {
			a := g.get("/v2/"+path, admin)
			id = a.header.Get("X-Request-Id")
		}
	}
	g.realm("job", seenToken)
	reader := g.token(t, "test", testPassword, "repository:anyuser/app:pull")
	g.send(http.MethodDelete, "/v2/anyuser/app/manifests/"+digest.String(), bearer(reader), nil).want(t, "a delete without the right", http.StatusForbidden)
	for i := range 900 {
		g.get("/v2/anyuser/app/manifests/v1", "no.token.ofours")
		g.realm("guest", fmt.Sprint(wrongPassword, i))
	}
	return id
}

// seenFaults are faults of each of the gateway's neighbours, and of its config; pull asks
// them once more.
func (g *gateway) seenFaults(t *testing.T, ldap *authntest.Slapd, registry *registry) (pull func()) {
	t.Helper()
	token := g.token(t, "mozart", musicians, "repository:anyuser/app:pull")
	pull = func() {
		g.get("/v2/anyuser/app/tags/list", token)
		g.realm("job", seenToken)
	}
	until := func(what, metric string) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() bool {
			pull()
			return g.metric(t, metric) > 0
		})
	}
	ldap.SetACL("access to attrs=userPassword by anonymous auth by * none\naccess to dn.children=\"ou=musicians,dc=example,dc=com\" by * none\naccess to * by users read by * none")
	until("the canary is not seen", `gatehouse_ldap_canary_failures_total{directory="example"}`)
	ldap.Replace(bindDN, "userPassword", "canary-another-1d2c")
	ldap.SetACL(acl)
	until("the service account is refused", `gatehouse_ldap_service_bind_failures_total{directory="example"}`)
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.config, string(text)+"\nbogus: true\n")
	if err := g.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("a reload fails", `gatehouse_config_reloads_total{result="failed"}`)
	ldap.Stop()
	registry.Kill()
	eventually(t, 20*time.Second, "the directory is down", func() bool {
		pull()
		return g.metric(t, fmt.Sprintf(`gatehouse_ldap_up{directory="example",server=%q}`, ldap.URL())) == 0
	})
	until("people are judged by what is stale", `gatehouse_cache_requests_total{cache="identity",result="stale"}`)
	return pull
}

// judge waits for data to each expression while pulls go on.
func (p *prometheus) judge(t *testing.T, pull func()) {
	t.Helper()
	alerts, wanted := p.rulesInForce(t)
	for name, expr := range dashboardQueries(t) {
		wanted[name] = expr
	}
	for name, expr := range alerts {
		if slices.Contains(quiet, name) {
			expr, _, _ = strings.Cut(expr, " unless ")
			expr = comparison.ReplaceAllString(expr, " $1 bool ")
		}
		wanted[name] = expr
	}
	if len(alerts) < 20 || len(wanted) < 90 {
		t.Fatalf("%d alerts, %d expressions in all", len(alerts), len(wanted))
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(wanted) > 0 && time.Now().Before(deadline) {
		for name, expr := range wanted {
			if p.points(t, expr) > 0 {
				delete(wanted, name)
			}
		}
		pull()
	}
	for name, expr := range wanted {
		t.Errorf("%s: no data for %s", name, expr)
	}
}

// exemplar looks for the ids of requests beside their durations.
func (p *prometheus) exemplar(t *testing.T, id string) {
	t.Helper()
	var found []struct {
		SeriesLabels map[string]string
		Exemplars    []struct{ Labels map[string]string }
	}
	query := url.Values{"query": {"gatehouse_http_request_duration_seconds_bucket"}, "start": {fmt.Sprint(time.Now().Add(-time.Hour).Unix())}, "end": {fmt.Sprint(time.Now().Add(time.Minute).Unix())}}
	if err := p.ask("/api/v1/query_exemplars", query, &found); err != nil {
		t.Fatal(err)
	}
	n, same := 0, 0
	for _, series := range found {
		for _, exemplar := range series.Exemplars {
			n++
			if len(exemplar.Labels["request_id"]) == len(id) {
				same++
			}
		}
	}
	if n == 0 || n != same {
		t.Errorf("%d exemplars, %d of them ids of requests such as %s", n, same, id)
	}
}
