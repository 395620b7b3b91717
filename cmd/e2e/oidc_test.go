package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

const (
	jobRules    = `  - {allow: [pull, push], repositories: ["ci/{machine}/**"], to: ["machine:github/octo-org/**"]}`
	jobAudience = "https://registry.example.com"
)

// jobs is a directory of the jobs of octo-org.
func jobs(issuer string) string {
	return fmt.Sprintf(`  - name: github
    oidc:
      issuer: %s
      audiences: [%s]
      workloads:
        - match: {repository: "octo-org/*", ref: [refs/heads/main, "refs/tags/v*"]}
          name: "{repository}"
          record: [run_id]
`, issuer, jobAudience)
}

// job is an ID token of octo-org/app, with some claims changed.
func job(t *testing.T, issuer *authntest.Issuer, change map[string]any) string {
	t.Helper()
	claims := map[string]any{"repository": "octo-org/app", "ref": "refs/heads/main", "run_id": "77"}
	maps.Copy(claims, change)
	token := issuer.Sign(t, issuer.Claims(time.Now(), jobAudience, claims))
	secrets = append(secrets, token)
	return token
}

// TestIDToken: clients push and pull with an ID token, the log names it, and nothing
// reaches the directory of people.
func TestIDToken(t *testing.T) {
	authntest.Need(t, "skopeo")
	issuer := authntest.StartIssuer(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Directories: jobs(issuer.URL), Policy: jobRules, Basic: true})
	token := job(t, issuer, nil)
	t.Run("docker", func(t *testing.T) { jobDocker(t, engine{dockertest.Start(t)}, g, token) })
	t.Run("skopeo", func(t *testing.T) {
		_, source := imageFolder(t, 50_000)
		ref := "docker://" + g.address + "/ci/octo-org/app/skopeo:v1"
		skopeo(t, "copy", "--dest-creds=github:"+token, "--dest-tls-verify=false", source, ref)
		skopeo(t, "copy", "--src-creds=github:"+token, "--src-tls-verify=false", ref, "dir:"+t.TempDir())
	})
	t.Run("skopeo with an exchanged token", func(t *testing.T) {
		_, source := imageFolder(t, 50_000)
		refresh := exchanged(t, g, token)
		ref := "docker://" + g.address + "/ci/octo-org/app/exchanged:v1"
		skopeo(t, "copy", "--dest-creds=github:"+refresh, "--dest-tls-verify=false", source, ref)
		skopeo(t, "copy", "--src-creds=github:"+refresh, "--src-tls-verify=false", ref, "dir:"+t.TempDir())
	})
	t.Run("crane", func(t *testing.T) {
		g.push(t, "ci/octo-org/app/crane:v1", "github", token)
		g.send(http.MethodGet, "/v2/ci/octo-org/app/crane/manifests/v1", func(r *http.Request) { r.SetBasicAuth("x", token) }, nil).want(t, "Basic", http.StatusOK)
	})
	if a := g.get("/auth/audience", "").want(t, "the audience", http.StatusOK); string(a.body) != `{"audience":"`+jobAudience+`"}` {
		t.Errorf("%s", a.body)
	}
	for _, bad := range []map[string]any{{"ref": "refs/heads/dev"}, {"aud": "https://other.example.com"}, {"iss": "https://other.example.com"}} {
		if e := g.realm("mozart", job(t, issuer, bad)).refusal(t, http.StatusUnauthorized, "UNAUTHORIZED"); e.Errors[0].Message != "the token is not valid (any more)" {
			t.Errorf("%v: %q", bad, e.Errors[0].Message)
		}
	}
	for _, want := range []string{`"user":"octo-org/app"`, `"directory":"github"`, `"credential":"oidc"`, `"subject":"repo:octo-org/app:ref:refs/heads/main"`, `"claims":{"run_id":"77"}`} {
		if !g.logs(want) {
			t.Errorf("the log never has %s", want)
		}
	}
	if keys, _ := issuer.Asked(); keys != 1 {
		t.Errorf("the issuer was asked %d times for its keys", keys)
	}
}

// exchanged is a refresh token for an ID token (RFC 8693).
func exchanged(t *testing.T, g *gateway, token string) string {
	t.Helper()
	res, err := g.client.PostForm(g.scheme+"://"+g.address+"/auth", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	secrets = append(secrets, body.Token)
	return body.Token
}

func jobDocker(t *testing.T, e engine, g *gateway, token string) {
	image := g.address + "/ci/octo-org/app/busybox:latest"
	e.signIn(t, "github", token, g.address)
	e.build(t, 12_346, image)
	e.Run(t, "push", image)
	e.Run(t, "image", "rm", image)
	e.Run(t, "pull", image)
}

// TestJobOutlivesItsToken: docker logs in with an ID token that ends, and pushes and pulls
// with the refresh token that it keeps, although tokens.refresh_lifetime is 0s. A reload
// that tightens the match ends it.
func TestJobOutlivesItsToken(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	e := engine{dockertest.Start(t)}
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: jobs(issuer.URL), Policy: jobRules, Tokens: fmt.Sprintf("key_files: [%q]", signingKey(t))})
	now := time.Now() // within the leeway of 30 s, for some seconds more
	token := job(t, issuer, map[string]any{"iat": now.Add(-5 * time.Minute).Unix(), "nbf": nil, "exp": now.Add(-24 * time.Second).Unix()})
	e.signIn(t, "github", token, g.address)
	eventually(t, 20*time.Second, "the ID token has ended", func() bool { return g.realm("github", token).status == http.StatusUnauthorized })
	image := g.address + "/ci/octo-org/app/late:latest"
	e.build(t, 40_000, image)
	e.Run(t, "push", image)
	e.Run(t, "image", "rm", image)
	e.Run(t, "pull", image)
	if !g.logs(`"grant":"refresh"`) {
		t.Error("docker showed no refresh token")
	}
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.config, strings.Replace(string(text), "refs/heads/main", "refs/heads/release", 1))
	g.reload(t)
	if out, err := e.Output("pull", image); err == nil {
		t.Errorf("pulled after the match was tightened: %s", out)
	}
}

// inspected is what token inspect says of a token, and its status.
func inspected(t *testing.T, config, token string) (said string, status int) {
	t.Helper()
	cmd := exec.Command(binary, "token", "inspect", "-c", config)
	cmd.Stdin = strings.NewReader(token + "\n")
	out, _ := cmd.CombinedOutput() // the status tells
	if strings.Contains(string(out), token) {
		t.Errorf("it shows the token:\n%s", out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestInspectExchanged: what was issued for an ID token is judged as the gateway would: by what
// is revoked, and by the workloads of the moment; the ID token itself by tokens.revoked.
func TestInspectExchanged(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Directories: jobs(issuer.URL), Policy: jobRules, Socket: "admin.sock",
		Tokens: fmt.Sprintf("key_files: [%q]", signingKey(t)), Sections: "store: {file: store.db}"})
	token := job(t, issuer, map[string]any{"jti": "job-77"})
	refresh := exchanged(t, g, token)
	access := g.realm("x", refresh).accessToken(t)
	want := func(when, token string, status int, texts ...string) {
		t.Helper()
		said, got := inspected(t, g.config, token)
		for _, text := range texts {
			if !strings.Contains(said, text) {
				t.Errorf("%s: no %q in:\n%s", when, text, said)
			}
		}
		if got != status {
			t.Errorf("%s: status %d, want %d:\n%s", when, got, status, said)
		}
	}
	want("refresh", refresh, 0, "good\nkind: refresh\n", "user: github/octo-org/app", "credential: oidc job-77")
	want("access", access, 0, "good\nkind: access\n", "credential: oidc job-77")
	want("ID token", token, 0, "good\nkind: oidc\nid: job-77\n")
	if _, err := authntest.Run(exec.Command(binary, "token", "revoke", "-c", g.config, "--user", "github/octo-org/app")); err != nil {
		t.Fatal(err)
	}
	g.get("/v2/", access).want(t, "what is revoked", http.StatusUnauthorized)
	want("refresh, revoked", refresh, 1, "not good: invalid token: revoked\nkind: refresh\n")
	want("access, revoked", access, 1, "not good: invalid token: revoked\nkind: access\n")
	want("ID token", token, 0, "good\nkind: oidc\n")
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // what is issued in the second of a revocation is revoked too
	later := exchanged(t, g, token)
	want("issued later", later, 0, "good\n")
	write(t, g.config, strings.Replace(string(config), "refs/heads/main", "refs/heads/release", 1))
	g.reload(t)
	want("the match is tighter", later, 1, "not good: ", "kind: refresh\n")
	write(t, g.config, strings.Replace(string(config), "tokens: {", "tokens: {revoked: [{token: job-77}], ", 1))
	want("on tokens.revoked", token, 1, "not good: it is on tokens.revoked\nkind: oidc\nid: job-77\n")
	want("issued for it", later, 1, "not good: invalid token: revoked\n")
}

// TestInspectIDToken: the command names the workload, or what does not fit, and 3 where
// the issuer is at fault.
func TestInspectIDToken(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	config := writeConfig(t, setup{Upstream: "http://127.0.0.1:1", Directories: jobs(issuer.URL), Policy: jobRules, Listen: "127.0.0.1:1", Admin: "127.0.0.1:2"})
	good := job(t, issuer, nil)
	inspect := func(token string, status int, want ...string) {
		t.Helper()
		out, got := inspected(t, config, token)
		if got != status {
			t.Errorf("status %d, want %d:\n%s", got, status, out)
		}
		for _, line := range want {
			if !strings.Contains(out, line) {
				t.Errorf("no %q in:\n%s", line, out)
			}
		}
	}
	inspect(good, 0, "good\nkind: oidc\n", "machine: github/octo-org/app", "workload: workloads[0]", "subject: repo:octo-org/app")
	inspect(job(t, issuer, map[string]any{"ref": "refs/heads/dev"}), 1, "not good: ", `does not fit: workloads[0]: ref is "refs/heads/dev"`)
	inspect(job(t, issuer, map[string]any{"aud": "https://other.example.com"}), 1, "is none of ours")
	issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	inspect(good, 3, "not good: ", "machine: github/octo-org/app")
}
