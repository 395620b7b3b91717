package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

const clusterAudience = "registry.example.com"

// cluster is a directory of the pods of a cluster whose API server is never dialled.
func cluster(t *testing.T, issuer *authntest.Issuer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwks.json")
	write(t, file, string(issuer.KeySet()))
	return fmt.Sprintf(`  - name: cluster
    oidc:
      issuer: https://kubernetes.default.svc.cluster.local
      audiences: [%s]
      jwks_file: %s
      workloads:
        - match: {"/kubernetes.io/namespace": prod, sub: "system:serviceaccount:prod:*"}
          name: "{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}"
`, clusterAudience, file)
}

// podToken is what the API server gives a node for a pod.
func podToken(t *testing.T, issuer *authntest.Issuer, namespace string, end time.Time) string {
	t.Helper()
	token := issuer.Sign(t, issuer.Claims(time.Now(), clusterAudience, map[string]any{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{clusterAudience}, "exp": end.Unix(),
		"sub":           "system:serviceaccount:" + namespace + ":builder",
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": "builder", "uid": "u"}}}))
	secrets = append(secrets, token)
	return token
}

// node is a program of the types of Kubernetes: the kubelet's side of the plugin, or what
// reads objects.
type node struct{ program string }

func newNode(t *testing.T, pkg string) node {
	t.Helper()
	return node{ownProgram(t, "deploy/testdata/decode", pkg)}
}

func (n node) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(n.program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := authntest.Run(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ask gives the plugin the kubelet's request and returns the lines that the kubelet reads.
func (n node) ask(t *testing.T, image, token string) []string {
	t.Helper()
	plugin := exec.Command(binary, "kubelet-credential-provider")
	plugin.Env = []string{} // it needs none
	plugin.Stdin = strings.NewReader(n.run(t, token, "request", image))
	reply, err := authntest.Run(plugin)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(n.run(t, reply, "response")), "\n")
}

// TestKubelet: what the plugin writes the kubelet's own types read, and it lets a pod of the
// cluster pull, and no other.
func TestKubelet(t *testing.T) {
	issuer, n := authntest.StartIssuer(t), newNode(t, "./credentials")
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: cluster(t, issuer),
		Policy: `  - {allow: [pull], repositories: ["{machine}/**"], to: ["machine:cluster/**"]}`})
	g.push(t, "prod/builder/app:v1", "admin", adminPassword)
	image := g.address + "/prod/builder/app"
	token := podToken(t, issuer, "prod", time.Now().Add(10*time.Minute))
	lines := n.ask(t, image, token)
	var kept time.Duration
	if kind, text, _ := strings.Cut(lines[0], " "); kind == "Registry" {
		kept, _ = time.ParseDuration(text)
	}
	if kept > 9*time.Minute+30*time.Second || kept < 9*time.Minute || len(lines) != 2 {
		t.Fatalf("%d lines, kept for %s", len(lines), kept)
	}
	auth := strings.Fields(lines[1])
	if len(auth) != 3 || auth[0] != g.address || auth[2] != token {
		t.Fatalf("not %s, a name and the token", g.address)
	}
	access := g.token(t, auth[1], auth[2], "repository:prod/builder/app:pull")
	g.get("/v2/prod/builder/app/manifests/v1", access).want(t, "a pull of the pod", http.StatusOK)

	stranger := strings.Fields(n.ask(t, image, podToken(t, issuer, "dev", time.Now().Add(10*time.Minute)))[1])
	g.realm(stranger[1], stranger[2]).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED")
	if lines := n.ask(t, image, ""); len(lines) != 1 || lines[0] != "Registry 0s" {
		t.Errorf("without a token: %q", lines)
	}
}

// TestKubeletConfig: the types of Kubernetes take what we hand out, strictly.
func TestKubeletConfig(t *testing.T) {
	for _, c := range []struct{ file, pkg, want string }{
		{"credential-provider.yaml", "./credentials", "gatehouse kubelet-credential-provider credentialprovider.kubelet.k8s.io/v1 [registry.example.com] 0s registry.example.com Token true\n"},
		{"rbac.yaml", ".", "ClusterRole registry-tokens\nClusterRoleBinding registry-tokens\n"},
	} {
		text, err := os.ReadFile(filepath.Join("../../deploy/kubelet", c.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := newNode(t, c.pkg).run(t, string(text), "config"); got != c.want {
			t.Errorf("%s: %q, want %q", c.file, got, c.want)
		}
	}
}
