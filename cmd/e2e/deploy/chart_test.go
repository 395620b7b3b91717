//go:build packages

package deploy

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"gatehouse/authn/authntest"
)

const (
	helmModule = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	chart      = "helm/gatehouse"
	testdata   = "../cmd/e2e/deploy/testdata"
)

// helm runs Helm, which is built through the module proxy, and returns its stdout.
func helm(args ...string) (string, error) {
	return authntest.Run(exec.Command("go", append([]string{"run", helmModule}, args...)...))
}

// render is the chart with values.
func render(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(append([]string{"template", "gatehouse", chart}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPackageChart: with each set of values the chart is without fault to Helm, and the
// types of Kubernetes' own API take each object, strictly.
func TestPackageChart(t *testing.T) {
	decode := filepath.Join(t.TempDir(), "decode")
	build := exec.Command("go", "build", "-o", decode, ".")
	build.Dir = filepath.Join(testdata, "decode")
	if _, err := authntest.Run(build); err != nil {
		t.Fatal(err)
	}
	always := []string{"ConfigMap gatehouse", "Deployment gatehouse", "Service gatehouse"}
	for name, more := range map[string][]string{
		"1-default":            {"NetworkPolicy gatehouse-registry", "PodDisruptionBudget gatehouse", "Service gatehouse-admin"},
		"2-everything":         {"ConfigMap gatehouse-dashboard", "NetworkPolicy gatehouse-registry", "PodDisruptionBudget gatehouse", "PrometheusRule gatehouse", "Service gatehouse-admin", "ServiceMonitor gatehouse"},
		"3-scaled":             {"HorizontalPodAutoscaler gatehouse", "Service gatehouse-admin"},
		"4-config-as-a-map":    {"NetworkPolicy gatehouse-registry", "PodDisruptionBudget gatehouse"},
		"5-registry-elsewhere": {"NetworkPolicy door-registry", "PodDisruptionBudget door", "Service door-admin", "ConfigMap door", "Deployment door", "Service door"},
		"6-placed":             {"NetworkPolicy gatehouse-registry", "PodDisruptionBudget gatehouse", "Service gatehouse-admin"},
	} {
		t.Run(name, func(t *testing.T) {
			values := filepath.Join(testdata, "values", name+".yaml")
			if _, err := helm("lint", "--strict", "-f", values, chart); err != nil {
				t.Error(err)
			}
			strict := exec.Command(decode)
			strict.Stdin = strings.NewReader(render(t, "-f", values))
			out, err := authntest.Run(strict)
			if err != nil {
				t.Fatal(err)
			}
			want := more
			if !slices.Contains(more, "Deployment door") {
				want = append(slices.Clone(always), more...)
			}
			got := strings.Split(strings.TrimSpace(out), "\n")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("it makes %q, want %q", got, want)
			}
		})
	}
}

// TestPackageChartRefuses: what the schema does not know, or knows otherwise, is refused.
func TestPackageChartRefuses(t *testing.T) {
	for _, set := range []string{
		"replicas=two", "replicas=-1", "bogus=1", "networkPolicy.enabled=maybe", "networkPolicy=true", "networkPolicy.registry=null",
		"image.repository=", "image.pullPolicy=Sometimes", "service.port=70000", "config=", "config=null", "secrets[0]=Not_A_Name",
		"serviceMonitor.interval=soon", "podDisruptionBudget.maxUnavailable=half", "prometheusRule.bogus=1", "dashboard.enabled=1",
	} {
		if out, err := helm("template", "gatehouse", chart, "--set", set); err == nil {
			t.Errorf("--set %s is taken:\n%s", set, out)
		}
	}
}

// TestPackageReplicas: by default three gateways share a Redis and a key from a secret, are
// spread over nodes and not all taken away at once.
func TestPackageReplicas(t *testing.T) {
	out := render(t)
	for _, want := range []string{"\n  replicas: 3\n", "url: rediss://redis:6379", "key_files: [/etc/gatehouse-secrets/gatehouse-tokens/token.key]",
		"secretName: gatehouse-redis", "secretName: gatehouse-tokens", "topologySpreadConstraints:", "maxUnavailable: 1", "path: /readyz, port: admin"} {
		if !strings.Contains(out, want) {
			t.Errorf("it has no %q", want)
		}
	}
}

// TestPackageManifests: deploy/kubernetes is the chart's output.
func TestPackageManifests(t *testing.T) {
	text, err := os.ReadFile("kubernetes/gatehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := render(t); string(text) != want {
		t.Error("deploy/kubernetes/gatehouse.yaml is not the chart's output: run `make chart`")
	}
}

// TestPackageChartConfig: the config that the chart comes with passes `check` beside the
// secrets that it names, and another config is another checksum.
func TestPackageChartConfig(t *testing.T) {
	out := render(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "gatehouse.yaml")
	write(t, config, []byte(strings.ReplaceAll(configOf(t, out), "/etc/gatehouse-secrets/", dir+"/")))
	for _, secret := range []string{"gatehouse-tls", "gatehouse-tokens", "gatehouse-ldap", "gatehouse-redis"} {
		if err := os.Mkdir(filepath.Join(dir, secret), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeCertificate(t, filepath.Join(dir, "gatehouse-tls/tls.crt"), filepath.Join(dir, "gatehouse-tls/tls.key"))
	writeCertificate(t, filepath.Join(dir, "gatehouse-redis/ca.crt"), filepath.Join(dir, "gatehouse-redis/ca.key"))
	for _, name := range []string{"gatehouse-ldap/password", "gatehouse-redis/password"} {
		write(t, filepath.Join(dir, name), []byte("secret\n"))
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, filepath.Join(dir, "gatehouse-tokens/token.key"), key)
	if said, err := check(t, config); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	sum := regexp.MustCompile(`checksum/config: [0-9a-f]{64}\n`)
	other := render(t, "-f", filepath.Join(testdata, "values", "4-config-as-a-map.yaml"))
	if a, b := sum.FindString(out), sum.FindString(other); a == "" || a == b {
		t.Errorf("checksums %q and %q", a, b)
	}
}

// configOf is the config in the chart's output.
func configOf(t *testing.T, manifests string) string {
	t.Helper()
	for _, document := range strings.Split(manifests, "\n---\n") {
		var object struct {
			Data map[string]string `yaml:"data"`
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if config := object.Data["gatehouse.yaml"]; config != "" {
			return config
		}
	}
	t.Fatalf("no config in:\n%s", manifests)
	return ""
}
