package deploy

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"gatehouse/authn/authntest"
	"gatehouse/metrics"
)

// rule is an alert or a recorded series.
type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// rules are those of deploy/prometheus/NAME.
func rules(t *testing.T, name string) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	decode(t, filepath.Join("prometheus", name), &file)
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 8 {
		t.Fatalf("%s has %d rules", name, len(all))
	}
	return all
}

func decode(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// panel is one of the dashboard's, a row or what shows something.
type panel struct {
	Title, Type string
	Targets     []struct{ Expr string }
}

// dashboard are the panels of deploy/grafana/gatehouse.json.
func dashboard(t *testing.T) []panel {
	t.Helper()
	text, err := os.ReadFile("grafana/gatehouse.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Panels []panel }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Panels
}

// TestPrometheus: Prometheus' own tool takes the config and every rule, each alert fires
// and is silent as its cases say, and each recorded series is what its case says.
func TestPrometheus(t *testing.T) {
	authntest.Need(t, "promtool")
	cases, err := filepath.Glob("prometheus/*_test.yml")
	if err != nil || len(cases) != 2 {
		t.Fatalf("cases: %v, %v", cases, err)
	}
	for _, args := range [][]string{{"check", "config", "prometheus/prometheus.yml"}, append([]string{"test", "rules"}, cases...)} {
		if _, err := authntest.Run(exec.Command(authntest.Program("promtool"), args...)); err != nil {
			t.Error(err)
		}
	}
}

// TestRuleCases: each alert has a case in which it fires and one in which it is silent,
// each recorded series one in which it is there.
func TestRuleCases(t *testing.T) {
	var alerts, recorded struct {
		Tests []struct {
			Alerts []struct {
				Name string `yaml:"alertname"`
				Want []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Exprs []struct {
				Expr string
				Want []any `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	decode(t, "prometheus/alerts_test.yml", &alerts)
	decode(t, "prometheus/recording_test.yml", &recorded)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, c := range alerts.Tests {
		for _, a := range c.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Want) > 0
			silent[a.Name] = silent[a.Name] || len(a.Want) == 0
		}
	}
	for _, c := range recorded.Tests {
		for _, e := range c.Exprs {
			fires[e.Expr] = len(e.Want) > 0
		}
	}
	for _, r := range rules(t, "alerts.yml") {
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: a case in which it fires: %v; in which it is silent: %v", r.Alert, fires[r.Alert], silent[r.Alert])
		}
	}
	for _, r := range rules(t, "recording.yml") {
		if !fires[r.Record] {
			t.Errorf("%s has no case", r.Record)
		}
	}
}

// TestAlertsLead: each alert says how bad it is, and leads to the part of a page that says
// what to do.
func TestAlertsLead(t *testing.T) {
	for _, r := range rules(t, "alerts.yml") {
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s says too little: %v", r.Alert, r.Annotations)
		}
		page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		if anchor != strings.ToLower(r.Alert) || !strings.Contains(string(text), "\n### "+r.Alert+"\n") {
			t.Errorf("%s leads to %q, where it has no part", r.Alert, r.Annotations["runbook_url"])
		}
	}
}

// TestDashboard: there is a row for each part of the gateway, and each panel shows something.
func TestDashboard(t *testing.T) {
	var rows []string
	for _, p := range dashboard(t) {
		switch {
		case p.Type == "row":
			rows = append(rows, strings.ToLower(p.Title))
		case len(p.Targets) == 0 || p.Targets[0].Expr == "":
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
	for _, want := range []string{"traffic", "decisions", "directories", "upstreams", "cache", "tokens", "certificates", "process"} {
		if !slices.Contains(rows, want) {
			t.Errorf("no row %q in %q", want, rows)
		}
	}
}

// TestMetricNames: rules and dashboard ask for nothing that is not there.
func TestMetricNames(t *testing.T) {
	known := metricNames(t)
	if len(known) < 14 {
		t.Fatalf("only %d metrics found: %v", len(known), known)
	}
	recorded, alerts := rules(t, "recording.yml"), rules(t, "alerts.yml")
	for _, r := range recorded {
		known[r.Record] = true
	}
	var exprs []string
	for _, r := range append(recorded, alerts...) {
		exprs = append(exprs, r.Expr)
	}
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	for _, expr := range exprs {
		for _, name := range regexp.MustCompile(`[a-z_:]*gatehouse_[a-z0-9_:]+`).FindAllString(expr, -1) {
			if !known[name] && !known[strings.TrimSuffix(name, "_bucket")] {
				t.Errorf("%s asks for %s", expr, name)
			}
		}
	}
}

// metricNames scrapes metrics of which each was used once.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	m := metrics.New(metrics.BuildInfo{Version: "v0"})
	m.WatchTokens(func() []metrics.TokenCount { return []metrics.TokenCount{{Kind: "machine"}} })
	m.RequestStarted()
	m.RequestDone("id-1", "base", "GET", 200, time.Second)
	m.TokenRequest("basic", "granted")
	m.TokenValidation("valid")
	m.Credential("password", "ok")
	m.WatchFrozen(func() bool { return true })
	m.OIDCKeyFetch("github", true)
	m.WatchKeys(func() map[string]time.Duration { return map[string]time.Duration{"github": time.Minute} })
	m.StoreRequest("get", "ok")
	m.WatchStore(func() (bool, bool) { return true, true })
	m.WatchLDAPServers("example", func() []metrics.LDAPServer { return []metrics.LDAPServer{{URL: "ldap://a"}} })
	m.LDAPBind("example", "ok")
	m.LDAPDial("example", "ok")
	m.LDAPOperation("example", "ldap://a", "search", "ok", time.Second)
	m.Decision("pull", "allowed")
	m.DirectoryRequest("example", "lookup", "ok", time.Second)
	m.CacheRequest("identity", "hit")
	m.UpstreamRequest("default", 200, time.Second)
	m.UpstreamsHealthy(func(show func(string, string, bool)) { show("default", "http://registry:5000", true) })
	m.WatchCertificates(func() map[string]time.Time { return map[string]time.Time{"registry.example.com": time.Now()} })
	m.WatchLDAPCache("example", func() metrics.LDAPCache { return metrics.LDAPCache{} })
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	names := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (gatehouse_\S+)`).FindAllStringSubmatch(answer.Body.String(), -1) {
		names[line[1]] = true
	}
	return names
}
