// Package deploy tests what an operator starts from, the folder deploy/ of this
// repository: example configs, a Compose file with a directory and a registry, a unit
// file, alerts and a dashboard. Each is loaded with the program that will load it.
package deploy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"gatehouse/authn/authntest"
)

// gatehouse is the path of the real binary, built once for all tests; where the
// build fails, its folder is gone already.
var gatehouse = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bin")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "gatehouse")
	if _, err := authntest.Run(exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return binary, nil
})

// TestMain runs the tests in deploy/, the folder that they are about.
func TestMain(m *testing.M) {
	if err := os.Chdir(filepath.Join("..", "..", "..", "deploy")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if binary, err := gatehouse(); err == nil {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(status)
}

func check(t *testing.T, config string) (string, error) {
	t.Helper()
	binary, err := gatehouse()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "check", "-c", config).CombinedOutput()
	return string(out), err
}

func TestExamplesLoad(t *testing.T) {
	dir := exampleFolder(t)
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "policy_test.yaml" })
	for _, file := range append(files, "gatehouse.yaml", "gatehouse.example.custom") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			config := copyFile(t, file, filepath.Join(dir, filepath.Base(file)))
			if out, err := check(t, config); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestPolicyExample: the policy means what the tests beside it say, and each of its
// rules is reached by one of them.
func TestPolicyExample(t *testing.T) {
	binary, err := gatehouse()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "test", "-c", "examples/policy.yaml", "examples/policy_test.yaml").CombinedOutput()
	if err != nil || string(out) != "12 of 12 tests hold\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCustomConfig: a file with .custom appended is loaded instead, so what stands
// in the file beside it no longer matters.
func TestCustomConfig(t *testing.T) {
	dir := exampleFolder(t)
	config := filepath.Join(dir, "gatehouse.yaml")
	write(t, config, []byte("nonsense: true\n"))
	if out, err := check(t, config); exitCode(err) != 1 || !strings.Contains(out, "gatehouse.yaml:1:1") {
		t.Errorf("nonsense: %v, want status 1 and its place\n%s", err, out)
	}
	copyFile(t, "gatehouse.example.custom", config+".custom")
	if out, err := check(t, config); err != nil {
		t.Errorf("with a good .custom file: %v\n%s", err, out)
	}
}

// exampleFolder is a folder with every file that the examples name.
func exampleFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ldap_certificates", "example-ca.pem")
	if err := os.Mkdir(filepath.Dir(ca), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, "ldap_certificates/example-ca.pem", ca)
	copyFile(t, "ldap_password.txt", filepath.Join(dir, "ldap_password.txt"))
	write(t, filepath.Join(dir, "upstream_password.txt"), []byte("secret\n"))
	writeCertificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	copyFile(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "upstream-ca.pem"))
	copyFile(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "ldap-ca.pem"))
	clients := authntest.NewAuthority(t, "clients")
	write(t, filepath.Join(dir, "clients.pem"), clients.PEM())
	write(t, filepath.Join(dir, "clients.crl"), clients.Revoked(t, time.Now().Add(time.Hour), nil))
	for _, name := range []string{"token-1.key", "token-2.key"} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		writeKey(t, filepath.Join(dir, name), key)
	}
	return dir
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, text)
	return to
}

func writeKey(t *testing.T, file string, key any) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry.example.com"},
		DNSNames:  []string{"registry.example.com", "images.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeKey(t, keyFile, key)
}

// TestCompose: the registry can be reached through the gateway only, its images
// survive a restart, and every file that is mounted is here.
func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Ports, Volumes []string
			ReadOnly       bool `yaml:"read_only"`
			Build          any
			NetworkMode    string `yaml:"network_mode"`
		}
		Volumes map[string]any
		Secrets map[string]struct{ File string }
	}
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, service := range file.Services {
		if name != "gatehouse" && (len(service.Ports) > 0 || service.NetworkMode != "") {
			t.Errorf("%s publishes %v (network %q)", name, service.Ports, service.NetworkMode)
		}
		for _, volume := range service.Volumes {
			checkVolume(t, name, volume, file.Volumes)
		}
	}
	gateway, registry := file.Services["gatehouse"], file.Services["registry"]
	if len(gateway.Ports) != 1 || gateway.Ports[0] != "127.0.0.1:5000:5000" || !gateway.ReadOnly {
		t.Errorf("gatehouse: ports %v, read-only %v", gateway.Ports, gateway.ReadOnly)
	}
	if len(registry.Volumes) != 1 || registry.Volumes[0] != "images:/var/lib/registry" {
		t.Errorf("the registry's volumes: %v", registry.Volumes)
	}
	for name, secret := range file.Secrets {
		if _, err := os.Stat(secret.File); err != nil {
			t.Errorf("secret %s: %v", name, err)
		}
	}
}

// checkVolume: a mount is of a file that is here or of a volume that is declared.
func checkVolume(t *testing.T, service, volume string, declared map[string]any) {
	t.Helper()
	source, _, ok := strings.Cut(volume, ":")
	if !ok {
		t.Errorf("%s: volume %q names no target", service, volume)
	}
	if strings.HasPrefix(source, "./") {
		if _, err := os.Stat(source); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		return
	}
	if _, ok := declared[source]; !ok {
		t.Errorf("%s: volume %q is not declared", service, source)
	}
}

// TestUnit: a reload is a HUP, a start checks first, and systemd waits for the drain.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("gatehouse.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ExecStartPre=/usr/local/bin/gatehouse check\n", "ExecReload=/bin/kill -HUP $MAINPID\n",
		"TimeoutStopSec=330\n", "StateDirectory=gatehouse\n", "CacheDirectory=gatehouse\nCacheDirectoryMode=0700\n", "NoNewPrivileges=yes\n", "ProtectSystem=strict\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
}

// TestChartFiles: the chart's rules and dashboard are links to those here; Helm refuses
// the whole chart where one leads nowhere.
func TestChartFiles(t *testing.T) {
	for _, name := range []string{"alerts.yml", "recording.yml", "dashboard.json"} {
		if info, err := os.Stat(filepath.Join("helm/gatehouse/files", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
