package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// canaries are secrets that occur nowhere else, by what they are. Each is looked
// for as it is and in the forms in which it travels.
type canaries map[string]string

func (c canaries) add(what string) string {
	secret := "canary" + hex.EncodeToString(random16())
	c[what] = secret
	return secret
}

func random16() []byte { b := make([]byte, 16); rand.Read(b); return b }

// seen says which canary stands in a text.
func (c canaries) seen(text string) (list []string) {
	for what, secret := range c {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret), hex.EncodeToString([]byte(secret))} {
			if i := strings.Index(text, form); i >= 0 {
				list = append(list, fmt.Sprintf("%s: ...%s", what, text[max(0, i-120):min(len(text), i+60)]))
				break
			}
		}
	}
	return list
}

const canaryConfig = `
listen: {address: %s, tls: {cert_file: %s, key_file: %s}, basic: true}
admin: {address: %s, pprof: true}
log: {level: debug}
audit: {file: audit.log}
upstream: {url: "%s", username: gateway, password_file: upstream_password}
tokens: {key_files: [token.key], refresh_lifetime: 1h}
throttle: {failures: 3, window: 1m}
directories:
  - name: local
    static:
      - {username: carol, password_file: static_password}
      - {username: admin, password_hash: "%s"}
  - name: example
    ldap:
      servers: ["%s"]
      bind_dn: %s
      bind_password_file: bind_password
      timeout: 2s
      users: {base: "ou=musicians,dc=example,dc=com", filter: "(&(|(uid={login})(mail={login}))(objectClass=person))"}
      cache: {fresh_for: 1s, stale_for: 1s}
policy:
  - {allow: ["*"], repositories: ["**"], to: ["user:local/carol", "directory:example"]}
`

// TestCanaries (G8, J3): whatever happens at the loudest level, no secret is in
// anything that the gateway writes: its logs, the audit, metrics, health, profiles,
// what check and explain print, and its answers to those who do not know it.
func TestCanaries(t *testing.T) {
	t.Parallel()
	secrets := canaries{"the bind password": bindPassword}
	static, mozart, upstream := secrets.add("a static password"), secrets.add("an LDAP password"), secrets.add("the upstream's password")
	slapd := startDirectory(t)
	changePassword(t, slapd, "uid=mozart,ou=musicians,dc=example,dc=com", musicians, mozart)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != upstream {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "{}")
	}))
	defer registry.Close()
	g := canaryGateway(t, slapd.URL(), registry.URL, secrets, static, upstream)

	var answers strings.Builder // to those who may not know any secret
	note := func(a answer) { fmt.Fprintf(&answers, "%d %v %s\n", a.status, a.header, a.body) }
	tokens := func(a answer) (access, refresh string) {
		t.Helper()
		var reply struct {
			Token   string
			Refresh string `json:"refresh_token"`
		}
		if err := json.Unmarshal(a.want(t, "login", http.StatusOK).body, &reply); err != nil || reply.Token == "" {
			t.Fatalf("%v: %s", err, a.body)
		}
		return reply.Token, reply.Refresh
	}
	login := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	form := func(values url.Values) answer {
		return g.send("POST", "/auth", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, strings.NewReader(values.Encode()))
	}

	// Good logins in each dialect, with each kind of credential.
	for user, password := range map[string]string{"carol": static, "mozart": mozart} {
		access, refresh := tokens(g.send("GET", "/auth?offline_token=true&scope=repository:a:pull,push", login(user, password), nil))
		secrets["an access token of "+user], secrets["a refresh token of "+user] = access, refresh
		again, _ := tokens(form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"repository:a:pull"}}))
		secrets["a token for a refresh token of "+user] = again
		more, _ := tokens(form(url.Values{"grant_type": {"password"}, "username": {user}, "password": {password}}))
		secrets["a token for a form of "+user] = more
		g.get("/v2/a/manifests/v1", access).want(t, "pull", http.StatusOK)
		g.send("GET", "/v2/a/manifests/v1", login(user, password), nil).want(t, "pull with Basic", http.StatusOK)
	}
	delete(secrets, "a refresh token of mozart") // empty, where the directory shows no stamp
	access := secrets["an access token of carol"]

	// Bad ones, and secrets where they do not belong.
	junk := func(what string) string { return secrets.add(what) }
	for range 5 { // throttled at the end
		note(g.send("GET", "/auth", login("carol", junk("a wrong static password")), nil))
		note(g.send("GET", "/auth", login("mozart", junk("a wrong LDAP password")), nil))
	}
	note(g.send("GET", "/auth", login(junk("a password as the name"), "x"), nil))
	note(g.send("GET", "/auth", login("!"+junk("a password as a name that no directory takes"), "x"), nil))
	note(form(url.Values{"grant_type": {"password"}, "username": {junk("a name in a form")}, "password": {junk("a wrong password in a form")}}))
	note(form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {junk("no refresh token")}}))
	note(form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {access}}))
	note(form(url.Values{"grant_type": {junk("a secret as the grant")}, "password": {junk("a password of no grant")}}))
	for _, field := range []string{"Basic ", "Bearer ", "Token ", ""} {
		secret := junk("in Authorization: " + field)
		for _, path := range []string{"/auth", "/v2/", "/v2/a/manifests/v1"} {
			note(g.send("GET", path, func(r *http.Request) { r.Header.Set("Authorization", field+secret) }, nil))
		}
	}
	for _, path := range []string{"/v2/?access_token=", "/auth?password=", "/auth?account=x&access_token=", "/v2/a/blobs/uploads/u?_state=", "/v2/a/manifests/v1?secret="} {
		note(g.get(path+junk("in the query "+path), access))
	}
	note(g.send("GET", "/v2/", func(r *http.Request) {
		r.Header.Set("Cookie", "session="+junk("a cookie"))
		r.Header.Set("Proxy-Authorization", "Basic "+junk("for a proxy"))
		r.Header.Set("X-Registry-Auth", junk("in another header"))
	}, nil))
	note(g.send("PATCH", "/v2/a/blobs/uploads/u?_state="+junk("an upload's state"), bearer(access), strings.NewReader(junk("a blob"))))

	// Faults: a config that is broken, the registry and the directory gone.
	good, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.config, strings.Replace(string(good), "log: {level: debug}", "passwort: "+junk("in a broken config"), 1))
	g.Cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, 10*time.Second, "a refused reload", func() bool { return strings.Contains(g.Log(), "reload refused") })
	write(t, g.config, string(good))
	registry.Close()
	note(g.get("/v2/a/manifests/v1", access))
	slapd.Stop()
	note(g.send("GET", "/auth", login("mozart", mozart), nil))
	note(g.send("GET", "/auth", login("bach", junk("a password while the directory is gone")), nil))

	written := map[string]string{"an answer": answers.String()}
	for _, path := range []string{"/metrics", "/readyz?verbose", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
		written[path] = g.admins(t, path)
	}
	for _, args := range [][]string{{"check"}, {"check", "--online"}, {"check", "--user", "carol"}, {"check", "--user", "mozart"}, {"explain", "carol", "pull", "a"}, {"explain", "--directory", "local", "carol", "pull", "a"}, {"healthcheck"}} {
		out, _ := exec.Command(binary, append(args, "-c", g.config)...).CombinedOutput() // some are refused: the directory is gone
		written[strings.Join(args, " ")] = string(out)
	}
	if err := g.Finish(20 * time.Second); err != nil {
		t.Error(err)
	}
	written["stdout and stderr"] = g.Log()
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(g.config), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	written["the audit"] = string(audit)
	for _, want := range []string{`"event":"login","result":"ok"`, `"event":"login","result":"refused"`, `"event":"throttle"`, `"event":"token"`, `"event":"reload","result":"refused"`, `"result":"unavailable"`} {
		if !strings.Contains(string(audit), want) {
			t.Errorf("the audit has no %s:\n%s", want, audit)
		}
	}
	for where, text := range written {
		if len(text) == 0 && where != "healthcheck" {
			t.Errorf("%s is empty", where)
		}
		for _, found := range secrets.seen(text) {
			t.Errorf("%s shows %s", where, found)
		}
	}
}

// canaryGateway runs a gateway with every kind of secret that a config can name.
func canaryGateway(t *testing.T, ldap, upstream string, secrets canaries, static, upstreamPassword string) *gateway {
	t.Helper()
	dir := t.TempDir()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pair := newKeyPair(t)
	tlsKey, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	secrets["the signing key"], secrets["the TLS key"] = strings.Split(string(key), "\n")[1], strings.Split(string(tlsKey), "\n")[1]
	secrets["a hash"] = hashes[adminPassword]
	for name, text := range map[string]string{"static_password": static, "upstream_password": upstreamPassword, "bind_password": bindPassword, "token.key": string(key)} {
		write(t, filepath.Join(dir, name), text+"\n")
	}
	g := &gateway{address: authntest.FreeAddress(t), admin: authntest.FreeAddress(t), scheme: "https", up: "/readyz", config: filepath.Join(dir, "gatehouse.yaml"),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: pair.trust(), ForceAttemptHTTP2: true}}}
	write(t, g.config, fmt.Sprintf(canaryConfig, g.address, pair.Cert, pair.Key, g.admin, upstream, hashes[adminPassword], ldap, bindDN))
	g.serve(t)
	t.Cleanup(func() { g.inspect(t) })
	return g
}

// admins gets a path of the admin listener.
func (g *gateway) admins(t *testing.T, path string) string {
	t.Helper()
	res, err := http.Get("http://" + g.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCanariesInFaults: a config that is wrong about a secret is told so without it.
func TestCanariesInFaults(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"a password where its file belongs":  "upstream: {url: \"http://127.0.0.1:1\", username: x, password: %s}",
		"a password in the upstream's URL":   "upstream: {url: \"http://gateway:%s@127.0.0.1:1\"}",
		"a password in a public URL":         "upstream: {url: \"http://127.0.0.1:1\"}\nlisten: {public_urls: [\"https://x:%s@registry.example.com\"]}",
		"a password in an LDAP URL":          "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, ldap: {servers: [\"ldap://x:%s@127.0.0.1\"], users: {base: dc=x, filter: \"(uid={login})\"}}}]",
		"a bind password":                    "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, ldap: {servers: [\"ldap://127.0.0.1\"], bind_password: %s, users: {base: dc=x, filter: \"(uid={login})\"}}}]",
		"a password where a hash belongs":    "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, static: [{username: x, password_hash: %s}]}]",
		"a hash that is cut":                 "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, static: [{username: x, password_hash: \"$2a$10$%s\"}]}]",
		"a number where a hash belongs":      "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, static: [{username: x, password_hash: 8675309867530986753}]}]",
		"a token on the list of the revoked": "upstream: {url: \"http://127.0.0.1:1\"}\ntokens: {revoked: [{token: eyJhbGciOiJFZERTQSJ9.%s.x}]}",
		"a list where a hash belongs":        "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, static: [{username: x, password_hash: [%s]}]}]",
		"a quote that is not closed":         "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories:\n- name: a\n  static:\n  - username: x\n    password_hash: \"%s\n",
		"a colon too many":                   "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories:\n- name: a\n  static:\n  - username: x\n    password_hash: a: %s\n",
		"a bracket too many":                 "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: a, static: [{username: x, password_hash: %s}}]\n",
		"a tab":                              "upstream: {url: \"http://127.0.0.1:1\"}\ndirectories:\n- name: a\n  static:\n  - username: x\n\tpassword_hash: %s\n",
		"an anchor":                          "upstream: {url: \"http://127.0.0.1:1\", username: &%s x}",
		"a tag":                              "upstream: {url: \"http://127.0.0.1:1\", username: !%s x}",
		"a key file that is no key":          "upstream: {url: \"http://127.0.0.1:1\"}\ntokens: {key_files: [secret]}",
		"a key pair that is none":            "upstream: {url: \"http://127.0.0.1:1\"}\nlisten: {tls: {cert_file: secret, key_file: secret}}",
	} {
		t.Run(name, func(t *testing.T) {
			secrets := canaries{"a number": "8675309867530986753"}
			secret := secrets.add("the secret")
			dir := t.TempDir()
			write(t, filepath.Join(dir, "secret"), secrets.add("a file's secret")+"\n")
			if strings.Contains(config, "%s") {
				config = fmt.Sprintf(config, secret)
			}
			write(t, filepath.Join(dir, "gatehouse.yaml"), config+"\n")
			for _, command := range []string{"check", "serve"} {
				out, err := exec.Command(binary, command, "-c", filepath.Join(dir, "gatehouse.yaml")).CombinedOutput()
				if err == nil || len(out) == 0 {
					t.Errorf("%s took it: %s", command, out)
				}
				for _, found := range secrets.seen(string(out)) {
					t.Errorf("%s shows %s", command, found)
				}
			}
		})
	}
}
