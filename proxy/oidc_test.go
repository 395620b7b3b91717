package proxy

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/oidc"
	"gatehouse/authn/workload"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

const audience = "https://registry.example.com"

// dock is a gateway for carol and for jobs of octo-org.
type dock struct {
	*yard
	issuer  *authntest.Issuer
	keyring *tokens.Keyring
	carol   *person
	jobs    *oidc.Directory
	metrics *metrics.Metrics
	now     time.Time
}

func newDock(t *testing.T, change func(*oidc.Config)) *dock {
	t.Helper()
	d := &dock{yard: &yard{}, issuer: authntest.StartIssuer(t), carol: &person{}, metrics: metrics.New(metrics.BuildInfo{}), now: time.Now().Truncate(time.Second)}
	d.carol.set(func(*person) {})
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	d.keyring, err = tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, KeyFiles: []authn.SecretFile{key}, Now: d.clock, Metrics: d.metrics, Revoker: tokens.NewRevoker(nil, d.clock)})
	if err != nil {
		t.Fatal(err)
	}
	d.house = newHouse(t, func(c *Config) { d.assemble(t, c, change) })
	return d
}

func (d *dock) clock() time.Time { return d.now }

// assemble makes the parts that a reload changes.
func (d *dock) assemble(t *testing.T, c *Config, change func(*oidc.Config)) {
	t.Helper()
	cfg := oidc.Config{Name: "github", Issuer: d.issuer.URL, Audiences: []string{audience}, Now: d.clock, Before: d.jobs}
	cfg.Defaults()
	cfg.Workloads = []workload.Workload{{Match: workload.Match{{Claim: "repository", Any: []string{"octo-org/*"}}, {Claim: "ref", Any: []string{"refs/heads/main", "refs/tags/v*"}}},
		Name: "{repository}", Groups: []string{"ci"}, Record: []string{"run_id", "actor"}}}
	if change != nil {
		change(&cfg)
	}
	list := []authn.Directory{d.carol}
	if jobs, err := oidc.New(cfg); jobs != nil {
		d.jobs, list = jobs, append(list, jobs)
	} else if cfg.Issuer != "" {
		t.Fatal(err)
	}
	throttle := authn.NewThrottle(authn.ThrottleConfig{Failures: 3, Window: time.Hour, TokensPerSource: 90})
	chain := authn.NewChain(authn.ChainConfig{Directories: list, Throttle: throttle})
	policy, err := authz.New(authz.Config{Directories: []string{"corp", "github"}, Machines: []string{"github"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"pull", "push"}, Repositories: []string{"ci/{machine}/**"}, To: []string{"machine:github/octo-org/**"}},
		{Position: "c.yaml:2", Allow: []string{"pull"}, Repositories: []string{"shared/**"}, To: []string{"group:ci"}}}})
	if policy == nil {
		t.Fatal(err)
	}
	c.Listen.Basic, c.Keyring, c.Chain, c.Policy, c.Metrics = true, d.keyring, chain, policy, d.metrics
	c.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: d.keyring, Chain: chain, Policy: policy, Addresses: []string{"https://pull.example.com"}})
	c.Access, c.Audit = slog.New(slog.NewJSONHandler(&d.log, nil)), slog.New(slog.NewJSONHandler(&d.audit, nil))
}

// upstreamConfig is the registry of the house.
func (d *dock) upstreamConfig() upstream.Config { return upstream.Config{URL: d.upstream.URL} }

// reload makes the gateway one of another config.
func (d *dock) reload(t *testing.T, change func(*oidc.Config)) {
	t.Helper()
	cfg := Config{Upstream: d.upstreamConfig(), Service: "gatehouse", UploadGrace: 6 * time.Hour}
	d.assemble(t, &cfg, change)
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.gateway = g
}

// job is an ID token of octo-org/App at main, with some claims changed.
func (d *dock) job(change map[string]any) string {
	claims := map[string]any{"repository": "octo-org/App", "ref": "refs/heads/main", "run_id": 7, "actor": "octocat", "jti": "job-1"}
	for name, value := range change {
		claims[name] = value
	}
	return d.issuer.Sign(d.t, d.issuer.Claims(d.now, audience, claims))
}

const jobScope = "?scope=repository:ci/octo-org/app/x:pull,push,delete"

func (d *dock) push(token string, status int) {
	d.t.Helper()
	code := map[int]string{401: "UNAUTHORIZED", 403: "DENIED"}[status]
	d.must(d.request("PUT", "/v2/ci/octo-org/app/x/manifests/v1", token, strings.NewReader("{}")), status, code)
}

// TestJob: an ID token logs in by each way, whatever user name stands beside it; log and
// audit name it.
func TestJob(t *testing.T) {
	d := newDock(t, nil)
	job := d.job(nil)
	got := map[string]reply{
		"Basic":             d.granted(d.basic("/auth"+jobScope, "github", job)),
		"without a name":    d.granted(d.basic("/auth"+jobScope, "", job)),
		"a person's name":   d.granted(d.basic("/auth"+jobScope, "carol", job+"\n")),
		"the form":          d.granted(d.form("grant_type", "password", "username", "x", "password", job, "scope", "repository:ci/octo-org/app/x:pull,push")),
		"Basic of the form": d.granted(d.form("grant_type", "password", "password", job, "scope", "repository:ci/octo-org/app/x:pull,push")),
	}
	const want = "octo-org/app github oidc job-1 repo:octo-org/app:ref:refs/heads/main"
	if login := d.told(&d.audit, "user", "directory", "credential", "credential_id", "subject", "msg", "result", "grant"); login != want+" login ok oidc" {
		t.Errorf("audit: %s", login)
	}
	for name, r := range got {
		if r.ExpiresIn != 900 || r.RefreshToken != "" {
			t.Errorf("%s: %+v", name, r)
		}
		d.push(r.Token, http.StatusOK)
		for _, stream := range []string{d.told(&d.log, "user", "directory", "credential", "credential_id", "subject"), d.told(&d.audit, "user", "directory", "credential", "credential_id", "subject")} {
			if stream != want {
				t.Errorf("%s: %s", name, stream)
			}
		}
		if !strings.Contains(d.log.String(), `"claims":{"actor":"octocat","run_id":"7"}`) || !strings.Contains(d.audit.String(), `"claims":{"actor":"octocat","run_id":"7"}`) {
			t.Errorf("%s: %s", name, d.log.String())
		}
	}
	token := got["Basic"].Token
	d.must(d.request("GET", "/v2/ci/octo-org/other/manifests/v1", token, nil), http.StatusForbidden, "DENIED")
	d.must(d.request("GET", "/v2/shared/x/manifests/v1", d.granted(d.basic("/auth?scope=repository:shared/x:pull", "", job)).Token, nil), http.StatusOK, "")
	d.must(d.basic("/v2/ci/octo-org/app/x/manifests/v1", "x", job), http.StatusOK, "")
	for _, secret := range strings.Split(job, ".") {
		if strings.Contains(d.log.String()+d.audit.String(), secret) {
			t.Error("a log shows the token")
		}
	}
}

// TestJobRefresh: a refresh token outlives the ID token, as long as its directory says,
// although tokens.refresh_lifetime is 0s, and counts in both dialects.
func TestJobRefresh(t *testing.T) {
	d := newDock(t, nil)
	began := d.now
	job := d.job(map[string]any{"exp": d.now.Add(time.Minute).Unix()})
	var refresh string
	for _, way := range []string{"&offline_token=true", "&access_type=offline"} {
		refresh = d.granted(d.basic("/auth"+jobScope+way, "x", job)).RefreshToken
		if refresh == "" {
			t.Fatalf("%s: no refresh token", way)
		}
	}
	if d.granted(d.form("grant_type", "password", "username", "x", "password", job, "access_type", "offline")).RefreshToken == "" {
		t.Error("no refresh token of the form")
	}
	again := func() map[string]*http.Request {
		return map[string]*http.Request{
			"the grant": d.form("grant_type", "refresh_token", "refresh_token", refresh, "scope", "repository:ci/octo-org/app/x:pull,push"),
			"Basic":     d.basic("/auth"+jobScope+"&offline_token=true", "x", refresh),
			"/v2/":      d.basic("/v2/", "x", refresh),
		}
	}
	for _, after := range []time.Duration{time.Second, 2 * time.Minute, 59 * time.Minute, time.Hour - time.Second} {
		d.now = began.Add(after)
		for name, r := range again() {
			if name == "/v2/" {
				d.must(r, http.StatusOK, "")
				continue
			}
			got := d.granted(r)
			d.push(got.Token, http.StatusOK)
			if left := int((time.Hour - after).Seconds()); got.ExpiresIn != min(900, left) || got.RefreshToken != "" {
				t.Errorf("%s after %s: %+v", name, after, got)
			}
		}
	}
	held := d.granted(again()["Basic"]).Token
	d.now = began.Add(time.Hour)
	d.push(held, http.StatusUnauthorized) // without the leeway of people's
	for _, r := range again() {
		d.must(r, http.StatusUnauthorized, "UNAUTHORIZED")
	}
	d.must(d.basic("/auth"+jobScope, "x", job), http.StatusUnauthorized, "UNAUTHORIZED")
}

// TestJobWithoutSession: all that is issued ends with the ID token.
func TestJobWithoutSession(t *testing.T) {
	d := newDock(t, func(c *oidc.Config) { c.Session = 0 })
	job := d.job(map[string]any{"exp": d.now.Add(time.Minute).Unix()})
	got := d.granted(d.basic("/auth"+jobScope+"&offline_token=true", "x", job))
	if got.RefreshToken != "" || got.ExpiresIn != 60 {
		t.Errorf("%+v", got)
	}
	d.now = d.now.Add(59 * time.Second)
	d.push(got.Token, http.StatusOK)
	d.now = d.now.Add(time.Second)
	d.push(got.Token, http.StatusUnauthorized)
}

// TestJobReload: what was issued counts by the config of the moment.
func TestJobReload(t *testing.T) {
	d := newDock(t, nil)
	first := d.granted(d.basic("/auth"+jobScope+"&offline_token=true", "x", d.job(nil)))
	keys, _ := d.issuer.Asked()
	for _, c := range []struct {
		name   string
		change func(*oidc.Config)
		status int
	}{
		{"the same", nil, http.StatusOK},
		{"a tighter match", func(c *oidc.Config) { c.Workloads[0].Match[1].Any = []string{"refs/tags/v*"} }, http.StatusUnauthorized},
		{"the same again", nil, http.StatusOK},
		{"another name", func(c *oidc.Config) { c.Workloads[0].Name = "other/{repository}" }, http.StatusUnauthorized},
		{"another issuer", func(c *oidc.Config) { c.Issuer = "http://127.0.0.1:1" }, http.StatusUnauthorized},
		{"no issuer", func(c *oidc.Config) { c.Issuer, c.Workloads = "", nil }, http.StatusUnauthorized},
	} {
		d.reload(t, c.change)
		d.push(first.Token, c.status)
		resp, body := d.ask(d.request("GET", "/v2/", first.Token, nil))
		if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != c.status || c.status == 401 && !strings.HasSuffix(challenge, `,error="invalid_token"`) {
			t.Errorf("%s: %d %q %s", c.name, resp.StatusCode, challenge, body)
		}
		resp, body = d.ask(d.form("grant_type", "refresh_token", "refresh_token", first.RefreshToken))
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
	}
	if after, _ := d.issuer.Asked(); after != keys {
		t.Errorf("the issuer was asked %d times, before %d", after, keys)
	}
}

// TestBadJobs: 401 with one text, the reason in the log; an issuer at fault is 503, and
// what it has shown before goes on.
func TestBadJobs(t *testing.T) {
	d := newDock(t, nil)
	good := d.job(nil)
	d.granted(d.basic("/auth", "x", good))
	for want, bad := range map[string]string{
		"is none of ours":          d.issuer.Sign(t, d.issuer.Claims(d.now, "https://other.example.com", nil)),
		"repository is absent":     d.issuer.Sign(t, d.issuer.Claims(d.now, audience, nil)),
		`ref is \"refs/heads/dev`:  d.job(map[string]any{"ref": "refs/heads/dev"}),
		"expired at":               d.job(map[string]any{"iat": d.now.Add(-time.Hour).Unix(), "exp": d.now.Add(-time.Minute).Unix()}),
		"no claims with an iss":    d.job(map[string]any{"iss": 5}),
		"no directory has its iss": d.job(map[string]any{"iss": "https://other.example.com"}),
		"over 2048":                d.job(map[string]any{"actor": strings.Repeat("x", 3000)}),
		"over 16 KiB":              d.job(map[string]any{"more": strings.Repeat("x", 17000)}),
		"the signature is not by":  good[:len(good)-10] + "AAAAAAAAAA",
	} {
		for _, path := range []string{"/auth", "/v2/"} {
			resp, body := d.ask(d.basic(path, "carol", bad))
			if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"message":"the token is not valid (any more)"`) || strings.Contains(body, want) {
				t.Errorf("%s: %d %s", want, resp.StatusCode, body)
			}
			if !strings.Contains(d.log.String(), want) || d.told(&d.audit, "msg", "result", "credential") != "login refused oidc" {
				t.Errorf("%s: the log has %s", want, d.log.String())
			}
			d.log.Reset()
		}
	}
	d.issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	d.granted(d.basic("/auth", "x", good))
	down := newDock(t, nil)
	job := down.job(nil)
	down.issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	resp, body := down.ask(down.basic("/auth", "x", job))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || strings.Contains(body, "127.0.0.1") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	for _, want := range []string{`gatehouse_credentials_total{kind="oidc",result="unavailable"} 1`, `gatehouse_token_requests_total{grant="oidc",result="unavailable"} 1`} {
		if shown := scraped(down.metrics); !strings.Contains(shown, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, want := range []string{`{kind="oidc",result="ok"} 2`, `{kind="oidc",result="malformed"} 4`, `{kind="oidc",result="mismatch"} 8`, `{kind="oidc",result="expired"} 2`, `{kind="oidc",result="unknown"} 4`} {
		if shown := scraped(d.metrics); !strings.Contains(shown, "gatehouse_credentials_total"+want) {
			t.Errorf("no %s", want)
		}
	}
}

func scraped(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// TestAudience: the first one is told to anybody; without an issuer there is no such place.
func TestAudience(t *testing.T) {
	d := newDock(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/auth/audience", 200, `{"audience":"` + audience + `"}`}, {"HEAD", "/auth/audience", 200, ""}, {"POST", "/auth/audience", 405, "UNSUPPORTED"},
		{"GET", "/auth/audience?x=1", 200, `{"audience":"` + audience + `"}`}, {"GET", "/auth/audience/", 404, "UNSUPPORTED"}, {"GET", "/auth/other", 404, "UNSUPPORTED"},
	} {
		resp, body := d.ask(d.request(c.method, c.path, "", nil))
		if resp.StatusCode != c.status || c.status == 200 && body != c.want || !strings.Contains(body, c.want) || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %d %s %v", c.method, c.path, resp.StatusCode, body, resp.Header)
		}
	}
	plain := newYard(t)
	plain.must(plain.request("GET", "/auth/audience", "", nil), http.StatusNotFound, "UNSUPPORTED")
	resp, _ := d.ask(d.request("GET", "/auth/audience", "", strings.NewReader("body")))
	if resp.StatusCode != http.StatusBadRequest {
		t.Error("a body is taken", fmt.Sprint(resp.StatusCode))
	}
}

// swapped is the answer to a token exchange.
type swapped struct {
	AccessToken string  `json:"access_token"`
	IssuedType  string  `json:"issued_token_type"`
	TokenType   string  `json:"token_type"`
	ExpiresIn   int     `json:"expires_in"`
	Scope       *string `json:"scope"`
	Error       string  `json:"error"`
}

func (d *dock) swap(token string, status int, fields ...string) (got swapped) {
	d.t.Helper()
	if !slices.Contains(fields, "subject_token_type") {
		fields = append(fields, "subject_token_type", typeIDToken)
	}
	body := d.must(d.form(append([]string{"grant_type", exchangeGrant, "subject_token", token}, fields...)...), status, "")
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		d.t.Fatalf("%v: %s", err, body)
	}
	return got
}

// TestTokenExchange: an ID token is exchanged for an access token, or for a refresh token
// that counts as a password (RFC 8693).
func TestTokenExchange(t *testing.T) {
	d := newDock(t, nil)
	job := d.job(nil)
	const scope = "repository:ci/octo-org/app/x:pull,push,delete"
	for name, fields := range map[string][]string{
		"the default":    {"scope", scope},
		"named":          {"scope", scope, "requested_token_type", typeAccess, "service", "gatehouse"},
		"our service":    {"scope", scope, "audience", "gatehouse"},
		"our audience":   {"scope", scope, "audience", audience},
		"our address":    {"scope", scope, "audience", "https://pull.example.com"},
		"and a slash":    {"scope", scope, "resource", "https://pull.example.com/"},
		"offline_access": {"scope", scope, "offline_token", "true"},
	} {
		got := d.swap(job, 200, fields...)
		if got.IssuedType != typeAccess || got.TokenType != "Bearer" || got.ExpiresIn != 900 || got.Scope == nil || *got.Scope != "repository:ci/octo-org/app/x:pull,push" {
			t.Errorf("%s: %+v", name, got)
		}
		d.push(got.AccessToken, http.StatusOK)
	}
	refresh := d.swap(job, 200, "requested_token_type", typeRefresh)
	if refresh.IssuedType != typeRefresh || refresh.TokenType != "N_A" || refresh.ExpiresIn != 3600 || refresh.Scope == nil {
		t.Errorf("%+v", refresh)
	}
	if got := d.told(&d.audit, "msg", "result", "grant", "credential", "credential_id", "user"); got != "login ok exchange oidc job-1 octo-org/app" {
		t.Errorf("audit: %s", got)
	}
	d.push(d.granted(d.basic("/auth"+jobScope, "x", refresh.AccessToken)).Token, http.StatusOK)
	d.push(d.granted(d.form("grant_type", "refresh_token", "refresh_token", refresh.AccessToken, "scope", scope)).Token, http.StatusOK)
	if short := d.swap(job, 200, "expires_in", "30", "scope", scope); short.ExpiresIn != 30 {
		t.Errorf("shortened: %+v", short)
	}
	if long := d.swap(job, 200, "expires_in", "86400", "scope", scope); long.ExpiresIn != 900 {
		t.Errorf("lengthened: %+v", long)
	}
	if short := d.swap(job, 200, "expires_in", "30", "requested_token_type", typeRefresh); short.ExpiresIn != 30 {
		t.Errorf("shortened: %+v", short)
	}
	if d.swap(job, 200, "subject_token_type", typeJWT); !strings.Contains(scraped(d.metrics), `gatehouse_token_requests_total{grant="exchange",result="granted"} 12`) {
		t.Error("the exchanges are not counted")
	}
}

// TestRefreshEnds: what is issued for the refresh token of an ID token ends with it, whether
// it is revoked or was shortened; what was issued for the ID token itself goes on.
func TestRefreshEnds(t *testing.T) {
	d := newDock(t, nil)
	job := d.job(nil)
	const scope = "repository:ci/octo-org/app/x:pull,push"
	refresh := func(fields ...string) string {
		return d.swap(job, 200, append(fields, "requested_token_type", typeRefresh)...).AccessToken
	}
	redeem := func(token string) reply {
		return d.granted(d.form("grant_type", "refresh_token", "refresh_token", token, "scope", scope))
	}
	first, second := refresh(), refresh()
	direct, ended, other := d.swap(job, 200, "scope", scope).AccessToken, redeem(first).Token, redeem(second).Token
	byBasic := d.granted(d.basic("/auth"+jobScope, "x", first)).Token
	d.push(ended, http.StatusOK)
	revoke := d.form("token", first)
	revoke.URL.Path = "/auth/revoke"
	d.must(revoke, http.StatusOK, "")
	for _, token := range []string{ended, byBasic} {
		d.push(token, http.StatusUnauthorized)
	}
	d.must(d.form("grant_type", "refresh_token", "refresh_token", first), http.StatusUnauthorized, "UNAUTHORIZED")
	for _, token := range []string{direct, other, redeem(second).Token, d.granted(d.basic("/auth"+jobScope, "x", job)).Token} {
		d.push(token, http.StatusOK)
	}

	d.now = d.now.Add(time.Second)
	issued := d.now
	short := redeem(refresh("expires_in", "30"))
	exchanged := d.swap(job, 200, "scope", scope, "expires_in", "30")
	if short.ExpiresIn != 30 || exchanged.ExpiresIn != 30 {
		t.Errorf("%d s and %d s, want 30", short.ExpiresIn, exchanged.ExpiresIn)
	}
	for _, c := range []struct {
		after        time.Duration
		short, plain int
	}{{29 * time.Second, 200, 200}, {30 * time.Second, 401, 200}, {90 * time.Second, 401, 200}, {91 * time.Second, 401, 401}} {
		d.now = issued.Add(c.after)
		d.push(short.Token, c.short)
		d.push(exchanged.AccessToken, c.plain)
	}
}

// TestRefusedExchange: errors are ours, with RFC 6749's word beside.
func TestRefusedExchange(t *testing.T) {
	d := newDock(t, nil)
	job := d.job(nil)
	refresh := d.swap(job, 200, "requested_token_type", typeRefresh).AccessToken
	for _, c := range []struct {
		name, token string
		status      int
		oauth       string
		fields      []string
	}{
		{"an actor", job, 400, "invalid_request", []string{"actor_token", "x"}},
		{"an actor's type", job, 400, "invalid_request", []string{"actor_token_type", typeJWT}},
		{"another type", job, 400, "invalid_request", []string{"subject_token_type", typeAccess}},
		{"no type", job, 400, "invalid_request", []string{"subject_token_type", ""}},
		{"another type asked for", job, 400, "invalid_request", []string{"requested_token_type", typeIDToken}},
		{"a foreign audience", job, 400, "invalid_target", []string{"audience", "https://other.example.com"}},
		{"a foreign resource", job, 400, "invalid_target", []string{"resource", "https://other.example.com"}},
		{"a foreign service", job, 400, "invalid_request", []string{"service", "other"}},
		{"no token", "", 400, "invalid_request", nil},
		{"two tokens", job, 400, "invalid_request", []string{"subject_token", job}},
		{"two types", job, 400, "invalid_request", []string{"subject_token_type", typeIDToken, "subject_token_type", typeJWT}},
		{"two audiences", job, 400, "invalid_request", []string{"audience", audience, "audience", audience}},
		{"two grants", job, 400, "invalid_request", []string{"grant_type", "password"}},
		{"no time", job, 400, "invalid_request", []string{"expires_in", "0"}},
		{"less than none", job, 400, "invalid_request", []string{"expires_in", "-5"}},
		{"no number", job, 400, "invalid_request", []string{"expires_in", "soon"}},
		{"a password", "carol-secret", 401, "invalid_grant", nil},
		{"a refresh token of ours", refresh, 401, "invalid_grant", nil},
		{"a token for somebody else", d.job(map[string]any{"aud": "x"}), 401, "invalid_grant", nil},
		{"a job that no workload takes", d.job(map[string]any{"ref": "refs/heads/dev"}), 401, "invalid_grant", nil},
	} {
		if got := d.swap(c.token, c.status, c.fields...); got.Error != c.oauth || got.AccessToken != "" {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got := d.told(&d.log, "grant"); got != "exchange" {
			t.Errorf("%s: the log has %q", c.name, got)
		}
	}
	d.issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	d.issuer.Rotate(t, true)
	unknown := d.job(nil)
	d.now = d.now.Add(11 * time.Second)
	if got := d.swap(unknown, 503); got.Error != "temporarily_unavailable" {
		t.Errorf("at fault: %+v", got)
	}
	bare := newDock(t, func(c *oidc.Config) { c.Session = 0 })
	if got := bare.swap(bare.job(nil), 400, "requested_token_type", typeRefresh); got.Error != "invalid_request" {
		t.Errorf("no session: %+v", got)
	}
}
