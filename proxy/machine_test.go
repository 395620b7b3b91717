package proxy

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/machine"
	"gatehouse/authz"
	"gatehouse/tokens"
)

// yard is a gateway for carol and the machine ci/app.
type yard struct {
	*house
	token authn.Secret
	id    string // of the token
	log   bytes.Buffer
	audit bytes.Buffer
	carol *person
}

func newYard(t *testing.T) *yard {
	t.Helper()
	return newYardOf(t, func(*tokens.Config) {}, func(*Config) {})
}

// newYardOf is one with another config of tokens, and of the gateway.
func newYardOf(t *testing.T, change func(*tokens.Config), more func(*Config)) *yard {
	t.Helper()
	y := &yard{token: apitoken.Machine.New()}
	shown, err := apitoken.Parse(y.token)
	if err != nil {
		t.Fatal(err)
	}
	y.id = shown.ID
	carol := &person{}
	carol.set(func(*person) {})
	y.carol = carol
	robots, err := machine.New(machine.Config{Name: "robots", Machines: []machine.Machine{
		{Name: "ci/app", Tokens: []machine.Token{{Hash: shown.Hash.String(), Expires: machine.Expiry{Time: time.Now().Add(1000 * time.Hour)}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	throttle := authn.NewThrottle(authn.ThrottleConfig{Failures: 3, Window: time.Hour, TokensPerSource: 9})
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{carol, robots}, Throttle: throttle})
	policy, err := authz.New(authz.Config{Directories: []string{"corp", "robots"}, Machines: []string{"robots"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"pull", "push"}, Repositories: []string{"{machine}/**"}, To: []string{"machine:robots/ci/*"}},
		{Position: "c.yaml:2", Allow: []string{"*"}, Repositories: []string{"home/{user}/**"}, To: []string{"authenticated"}, Except: []string{"machines"}}}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	cfg := tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, RefreshLifetime: time.Hour, KeyFiles: []authn.SecretFile{key}, Revoker: tokens.NewRevoker(nil, nil)}
	change(&cfg)
	keyring, err := tokens.NewKeyring(cfg)
	if err != nil {
		t.Fatal(err)
	}
	y.house = newHouse(t, func(c *Config) {
		c.Listen.Basic, c.Keyring, c.Chain, c.Policy = true, keyring, chain, policy
		c.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: keyring, Chain: chain, Policy: policy})
		more(c)
		c.Access, c.Audit = slog.New(slog.NewJSONHandler(&y.log, nil)), slog.New(slog.NewJSONHandler(&y.audit, nil))
	})
	return y
}

// ask goes the way of a request whole, records included, before it returns.
func (y *yard) ask(r *http.Request) (*http.Response, string) {
	y.t.Helper()
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:1"
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	y.gateway.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

func (y *yard) must(r *http.Request, status int, code string) string {
	y.t.Helper()
	resp, body := y.ask(r)
	if resp.StatusCode != status || code != "" && !strings.Contains(body, `"code":"`+code+`"`) {
		y.t.Errorf("%s %s: %d %s, want %d %s", r.Method, r.URL, resp.StatusCode, body, status, code)
	}
	return body
}

func (y *yard) granted(r *http.Request) (got reply) {
	y.t.Helper()
	if body := y.must(r, 200, ""); json.Unmarshal([]byte(body), &got) != nil || got.Token == "" {
		y.t.Fatalf("%s: %s", r.URL, body)
	}
	return got
}

// told is the last record of a stream: the keys that are named, and nothing secret.
func (y *yard) told(stream *bytes.Buffer, keys ...string) string {
	y.t.Helper()
	lines := strings.Split(strings.TrimSpace(stream.String()), "\n")
	var record map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &record); err != nil {
		y.t.Fatalf("%v: %s", err, stream)
	}
	var values []string
	for _, key := range keys {
		value, _ := record[key].(string)
		values = append(values, value)
	}
	return strings.Join(values, " ")
}

// TestMachineAtTheRealm: a machine gets a token in both dialects, whatever user name
// stands beside its own, and what it gets is a ceiling under /v2/.
func TestMachineAtTheRealm(t *testing.T) {
	y := newYard(t)
	scope := "?scope=repository:ci/app/x:pull,push,delete"
	var got []reply
	for _, name := range []string{"ci/app", "carol", "", "x y"} {
		got = append(got, y.granted(y.basic("/auth"+scope, name, string(y.token))))
	}
	got = append(got, y.granted(y.form("grant_type", "password", "username", "x", "password", string(y.token), "scope", "repository:ci/app/x:pull,push")))
	got = append(got, y.granted(y.form("grant_type", "password", "password", string(y.token), "scope", "repository:ci/app/x:pull,push")))
	offline := y.granted(y.basic("/auth"+scope+"&offline_token=true", "x", string(y.token)))
	if offline.RefreshToken == "" {
		t.Fatal("no refresh token")
	}
	got = append(got, y.granted(y.form("grant_type", "refresh_token", "refresh_token", offline.RefreshToken, "scope", "repository:ci/app/x:pull,push")))
	got = append(got, y.granted(y.basic("/auth"+scope, "x", offline.RefreshToken)))
	y.upstream.take()
	for i, r := range got {
		y.must(y.request("PUT", "/v2/ci/app/x/manifests/v1", r.Token, strings.NewReader("{}")), http.StatusOK, "")
		if want := "ci/app robots machine " + y.id; y.told(&y.log, "user", "directory", "credential", "credential_id") != want || y.told(&y.audit, "user", "directory", "credential", "credential_id") != want {
			t.Errorf("%d: %s, %s", i, y.log.String(), y.audit.String())
		}
	}
	y.must(y.request("GET", "/v2/ci/other/x/manifests/v1", got[0].Token, nil), http.StatusForbidden, "DENIED")
	y.must(y.request("GET", "/v2/home/carol/manifests/v1", got[0].Token, nil), http.StatusForbidden, "DENIED")
	if len(y.upstream.take()) != len(got) {
		t.Error("not each push, and nothing else, reached the upstream")
	}
	if strings.Contains(y.log.String()+y.audit.String(), string(y.token)[5:]) || strings.Contains(y.log.String(), offline.RefreshToken) {
		t.Error("a log shows a token")
	}
}

// TestMachineRecords: logins say what was shown, and which token.
func TestMachineRecords(t *testing.T) {
	y := newYard(t)
	refresh := y.granted(y.basic("/auth?offline_token=true", "x", string(y.token))).RefreshToken
	nobodys := apitoken.Machine.New()
	other, _ := apitoken.Parse(nobodys)
	for _, c := range []struct {
		name, path, password string
		status               int
		want                 string // audit: event, result, grant, credential, credential_id
	}{
		{"good", "/auth", string(y.token), 200, "login ok machine machine " + y.id},
		{"nobody's", "/auth", string(nobodys), 401, "login refused machine machine " + other.ID},
		{"a wrong checksum", "/auth", string(nobodys[:52]) + "_", 401, "login refused machine machine "},
		{"personal", "/auth", string(apitoken.Personal.New())[:20], 401, "login refused personal personal "},
		{"an ID token", "/auth", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA", 401, "login refused oidc oidc "},
		{"refreshed", "/auth", refresh, 200, ""},
		{"a password", "/auth", "carol-secret", 200, "login ok basic  "},
		{"Basic under /v2/", "/v2/", string(y.token), 200, "login ok  machine " + y.id},
		{"Basic under /v2/, nobody's", "/v2/", string(nobodys), 401, "login refused  machine " + other.ID},
	} {
		y.must(y.basic(c.path, "carol", c.password), c.status, "")
		got := y.told(&y.audit, "msg", "result", "grant", "credential", "credential_id")
		if c.want != "" && got != c.want || c.want == "" && !strings.HasPrefix(got, "login ok refresh refresh ") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if c.status == 401 && (y.told(&y.log, "error") == "" || !strings.Contains(y.told(&y.log, "error"), "the token is refused")) {
			t.Errorf("%s: the log has no reason: %s", c.name, y.log.String())
		}
		for _, secret := range []string{string(y.token), string(nobodys), refresh} {
			if strings.Contains(y.log.String()+y.audit.String(), secret[16:40]) {
				t.Errorf("%s: a log shows a token", c.name)
			}
		}
	}
}

// TestBadTokens: one text outside, the challenges of each place, and 429 after too many
// different ones, while good ones pass.
func TestBadTokens(t *testing.T) {
	y := newYard(t)
	bad := string(apitoken.Machine.New())
	for _, c := range []struct{ path, challenge string }{{"/auth", `Basic realm="gatehouse", charset="UTF-8"`},
		{"/v2/", `Bearer realm="` + y.URL + `/auth",service="gatehouse"`}} {
		resp, body := y.ask(y.basic(c.path, "carol", bad))
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || got != c.challenge || !strings.Contains(body, `"message":"the token is not valid (any more)"`) || !strings.Contains(body, `"code":"UNAUTHORIZED"`) {
			t.Errorf("%s: %d %q %s", c.path, resp.StatusCode, got, body)
		}
	}
	for range 8 {
		y.must(y.basic("/auth", "carol", string(apitoken.Machine.New())), 401, "UNAUTHORIZED")
	}
	for _, path := range []string{"/auth", "/v2/"} {
		resp, body := y.ask(y.basic(path, "carol", string(apitoken.Personal.New())))
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "TOOMANYREQUESTS") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
		if got := y.told(&y.audit, "msg", "limit"); got != "throttle tokens_per_source" {
			t.Errorf("%s: %s", path, got)
		}
		y.must(y.basic(path, "", string(y.token)), 200, "")
		y.must(y.basic(path, "carol", "carol-secret"), 200, "")
	}
}
