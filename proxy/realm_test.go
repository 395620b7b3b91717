package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/tokens"
)

// person is a directory of one person, who is called carol, and of the faults
// that the test gives it.
type person struct {
	mu           sync.Mutex
	id           authn.Identity
	password     authn.Secret
	find, verify error
	lookup       error
}

func (p *person) Name() string { return "corp" }

func (p *person) Find(_ context.Context, login string) (authn.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.find == nil && !strings.EqualFold(login, p.id.Username) {
		return authn.Identity{}, authn.ErrUnknownUser
	}
	return p.id, p.find
}

func (p *person) Verify(_ context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verify == nil && password != p.password {
		return id, authn.ErrInvalidCredentials
	}
	return id, p.verify
}

func (p *person) Lookup(context.Context, authn.Ref) (authn.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id, p.lookup
}

// set puts carol back to what she was, and then makes one thing different.
func (p *person) set(change func(*person)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id = authn.Identity{Directory: "corp", Username: "carol", ID: "u-1", PasswordStamp: "p1"}
	p.password, p.find, p.verify, p.lookup = "carol-secret", nil, nil, nil
	change(p)
}

// newRealm is a gateway that takes Basic too and gives refresh tokens.
func newRealm(t *testing.T, p *person) *house {
	t.Helper()
	throttle := authn.NewThrottle(authn.ThrottleConfig{Failures: 3, Window: time.Hour})
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{p}, Throttle: throttle})
	policy, err := authz.New(authz.Config{Directories: []string{"corp"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"pull", "push"}, Repositories: []string{"team/**"}, To: []string{"user:carol"}}}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute,
		RefreshLifetime: time.Hour, KeyFiles: []authn.SecretFile{key}})
	if err != nil {
		t.Fatal(err)
	}
	return newHouse(t, func(c *Config) {
		c.Listen.Basic, c.Keyring, c.Chain, c.Policy = true, keyring, chain, policy
		c.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: keyring, Chain: chain, Policy: policy})
	})
}

// form is a request in the OAuth2 dialect.
func (h *house) form(fields ...string) *http.Request {
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	r := h.request("POST", "/auth", "", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

func (h *house) basic(path, user, password string) *http.Request {
	r := h.request("GET", path, "", nil)
	r.SetBasicAuth(user, password)
	return r
}

// reply is what the realm says.
type reply struct {
	Token        string  `json:"token"`
	AccessToken  string  `json:"access_token"`
	ExpiresIn    int     `json:"expires_in"`
	Scope        *string `json:"scope"`
	RefreshToken string  `json:"refresh_token"`
	IssuedAt     *string `json:"issued_at"`
}

func (h *house) reply(r *http.Request) reply {
	h.t.Helper()
	var got reply
	if body := h.expect(r, 200, ""); json.Unmarshal([]byte(body), &got) != nil || got.Token == "" || got.Token != got.AccessToken || got.ExpiresIn != 900 || got.IssuedAt != nil {
		h.t.Fatalf("%s: %s", r.URL, body)
	}
	return got
}

// TestRealmMatrix: each way of showing who one is, under each fault. A POST must
// never be answered 403, 415, 501 or another 5xx than 503 (and so must not be a
// GET): containerd and docker give up at those instead of falling back.
func TestRealmMatrix(t *testing.T) {
	p := &person{}
	p.set(func(*person) {})
	for _, c := range []struct {
		fault              string
		change             func(*person)
		get, post, refresh int  // at the realm
		basic, bearer      int  // under /v2/
		throttleFirst      bool // three wrong passwords go before
		password           string
	}{
		{fault: "none", change: func(*person) {}, get: 200, post: 200, refresh: 200, basic: 200, bearer: 200},
		{fault: "another password", change: func(p *person) { p.password = "new" }, get: 401, post: 401, refresh: 200, basic: 401, bearer: 200},
		{fault: "another password, and the stamp shows it", change: func(p *person) { p.password, p.id.PasswordStamp = "new", "p2" }, get: 401, post: 401, refresh: 401, basic: 401, bearer: 401},
		{fault: "gone", change: func(p *person) { p.find, p.lookup = authn.ErrUnknownUser, authn.ErrUnknownUser }, get: 401, post: 401, refresh: 401, basic: 401, bearer: 401},
		{fault: "locked for a while", change: func(p *person) { p.verify, p.id.NoLogin = authn.ErrInvalidCredentials, "locked" }, get: 401, post: 401, refresh: 401, basic: 401, bearer: 200},
		{fault: "re-created", change: func(p *person) { p.id.ID = "u-2" }, get: 200, post: 200, refresh: 401, basic: 200, bearer: 401},
		{fault: "directory down", change: func(p *person) {
			p.find, p.verify, p.lookup = authn.ErrUnavailable, authn.ErrUnavailable, authn.ErrUnavailable
		}, get: 503, post: 503, refresh: 503, basic: 503, bearer: 503},
		{fault: "directory down at the bind", change: func(p *person) { p.verify = authn.ErrUnavailable }, get: 503, post: 503, refresh: 200, basic: 503, bearer: 200},
		{fault: "an error that nobody knows", change: func(p *person) {
			p.find, p.lookup = errors.New("boom at ldap.inner"), errors.New("boom at ldap.inner")
		}, get: 503, post: 503, refresh: 503, basic: 503, bearer: 503},
		{fault: "throttled", change: func(*person) {}, throttleFirst: true, password: "a fourth", get: 429, post: 429, refresh: 200, basic: 429, bearer: 200},
		// A9: the password that was good before passes.
		{fault: "throttled, with the good password", change: func(*person) {}, throttleFirst: true, get: 200, post: 200, refresh: 200, basic: 200, bearer: 200},
	} {
		h := newRealm(t, p) // its throttle has counted nothing
		p.set(func(*person) {})
		got := h.reply(h.basic("/auth?offline_token=true&scope=repository:team/app:pull", "carol", "carol-secret"))
		if got.RefreshToken == "" {
			t.Fatal("no refresh token")
		}
		if c.throttleFirst {
			for i := range 3 {
				h.expect(h.basic("/auth", "carol", fmt.Sprint("wrong", i)), 401, "UNAUTHORIZED")
			}
		}
		p.set(c.change)
		password := cmp.Or(c.password, "carol-secret")
		for _, way := range []struct {
			name    string
			request *http.Request
			status  int
			scheme  string // of the 401
			reason  string
		}{
			{"GET with Basic", h.basic("/auth", "carol", password), c.get, "Basic", ""},
			{"POST with a password", h.form("grant_type", "password", "username", "carol", "password", password, "client_id", "x"), c.post, "Basic", ""},
			{"POST with a refresh token", h.form("grant_type", "refresh_token", "refresh_token", got.RefreshToken, "service", "gatehouse"), c.refresh, "Basic", ""},
			{"Basic under /v2/", h.basic("/v2/", "carol", password), c.basic, "Bearer", ""},
			{"Basic on content", h.basic("/v2/team/app/tags/list", "carol", password), c.basic, "Bearer", ""},
			{"Bearer", h.request("GET", "/v2/team/app/tags/list", got.Token, nil), c.bearer, "Bearer", `error="invalid_token"`},
		} {
			resp, body := h.do(way.request)
			what := c.fault + ", " + way.name
			if resp.StatusCode != way.status {
				t.Errorf("%s: %d %s, want %d", what, resp.StatusCode, body, way.status)
			}
			if resp.StatusCode != 200 {
				h.refusal(what, resp, body)
			}
			challenges := resp.Header.Values("Www-Authenticate")
			if resp.StatusCode == 401 && (len(challenges) != 1 || !strings.HasPrefix(challenges[0], way.scheme+" realm=") || !strings.HasSuffix(challenges[0], way.reason) ||
				way.reason == "" && strings.Contains(challenges[0], "error=")) || resp.StatusCode != 401 && len(challenges) > 0 {
				t.Errorf("%s: %q", what, challenges)
			}
		}
	}
}

// refusal checks what all refusals have.
func (h *house) refusal(what string, resp *http.Response, body string) {
	h.t.Helper()
	var errs struct {
		Errors []struct {
			Code, Message string
			Detail        struct {
				RequestID string `json:"request_id"`
			}
		}
	}
	codes := map[int]string{401: "UNAUTHORIZED", 429: "TOOMANYREQUESTS", 503: "UNAVAILABLE", 400: "UNSUPPORTED", 405: "UNSUPPORTED"}
	err := json.Unmarshal([]byte(body), &errs)
	if err != nil || len(errs.Errors) != 1 || errs.Errors[0].Code != codes[resp.StatusCode] || errs.Errors[0].Message == "" ||
		errs.Errors[0].Detail.RequestID != resp.Header.Get("X-Request-Id") {
		h.t.Errorf("%s: %v %s", what, err, body)
	}
	retry := resp.StatusCode == 429 || resp.StatusCode == 503
	if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/json" || (resp.Header.Get("Retry-After") != "") != retry {
		h.t.Errorf("%s: %v", what, resp.Header)
	}
	if strings.Contains(body, "inner") || strings.Contains(body, "secret") {
		h.t.Errorf("%s tells too much: %s", what, body)
	}
}

// TestRefreshDialects: who gets a refresh token, by which words, and what it is
// good for.
func TestRefreshDialects(t *testing.T) {
	p := &person{}
	p.set(func(*person) {})
	h := newRealm(t, p)
	login := []string{"grant_type", "password", "username", "carol", "password", "carol-secret"}
	for _, c := range []struct {
		name    string
		request *http.Request
		refresh bool
	}{
		{"docker login", h.basic("/auth?account=carol&client_id=docker&offline_token=true&service=gatehouse", "carol", "carol-secret"), true},
		{"not asked for", h.basic("/auth?service=gatehouse", "carol", "carol-secret"), false},
		{"asked for in another word", h.basic("/auth?offline_token=false", "carol", "carol-secret"), false},
		{"nobody", h.request("GET", "/auth?offline_token=true", "", nil), false},
		{"form", h.form(append(login, "access_type", "offline")...), true},
		{"form, online", h.form(append(login, "access_type", "online")...), false},
	} {
		if got := h.reply(c.request); (got.RefreshToken != "") != c.refresh {
			t.Errorf("%s: refresh token %v", c.name, got.RefreshToken != "")
		}
	}
	refresh := h.reply(h.form(append(login, "access_type", "offline")...)).RefreshToken
	got := h.reply(h.form("grant_type", "refresh_token", "refresh_token", refresh, "scope", "repository:team/a:pull repository:other/a:pull", "access_type", "offline"))
	if got.Scope == nil || *got.Scope != "repository:team/a:pull" || got.RefreshToken != "" {
		t.Errorf("%+v", got)
	}
	h.expect(h.request("GET", "/v2/team/a/tags/list", got.Token, nil), 200, "")
	h.expect(h.request("GET", "/v2/", refresh, nil), 401, "UNAUTHORIZED") // another kind
	for _, wrong := range []string{got.Token, refresh[:len(refresh)-20] + "AAAAAAAAAAAAAAAAAAAA", "x"} {
		h.expect(h.form("grant_type", "refresh_token", "refresh_token", wrong), 401, "UNAUTHORIZED")
	}
	h.expect(h.form("grant_type", "refresh_token"), 400, "UNSUPPORTED")
	p.set(func(p *person) { p.id.PasswordStamp = "" })
	if got := h.reply(h.basic("/auth?offline_token=true", "carol", "carol-secret")); got.RefreshToken != "" {
		t.Error("a refresh token that no new password would end")
	}
}

// TestRealmScopes: what is asked in each spelling, and what the token then carries,
// alike in both dialects.
func TestRealmScopes(t *testing.T) {
	h := newHouse(t, nil)
	many := slices.Repeat([]string{"repository:team/a:pull"}, 1001)
	for _, c := range []struct {
		user   string
		scopes []string
		want   string
	}{
		{"alice", nil, ""},
		{"alice", []string{""}, ""},
		{"alice", []string{"repository:team/a:pull"}, "repository:team/a:pull"},
		{"alice", []string{"repository:team/a:push,pull"}, "repository:team/a:pull,push"},
		{"alice", []string{"repository:team/a:pull", "repository:team/a:push"}, "repository:team/a:pull,push"},
		{"alice", []string{"repository:team/a:pull repository:team/a:pull,push"}, "repository:team/a:pull,push"},
		{"alice", []string{"repository:team/a:pull,push repository:public/x:pull"}, "repository:public/x:pull repository:team/a:pull,push"},
		{"alice", []string{"repository:team/a:pull,push", "repository:secret/x:pull"}, "repository:team/a:pull,push"},
		{"alice", []string{"repository:team/a:*"}, "repository:team/a:pull,push"},
		{"root", []string{"repository:any/a:*"}, "repository:any/a:pull,push,delete"},
		{"root", []string{"repository:any/a:delete,pull", "repository:any/a:push"}, "repository:any/a:pull,push,delete"},
		{"alice", []string{"repository:team/a:delete"}, ""},
		{"alice", []string{"repository(plugin):team/a:pull"}, "repository:team/a:pull"},
		{"root", []string{"repository:localhost:5000/team/a:pull"}, ""},
		{"root", []string{"repository:registry.example.com:5000/team/a:pull repository:team/a:pull"}, "repository:team/a:pull"},
		{"root", []string{"registry:catalog:*"}, "registry:catalog:*"},
		{"bob", []string{"registry:catalog:*", "repository:team/a:pull"}, "registry:catalog:*"},
		{"", []string{"registry:catalog:* repository:public/x:pull,push"}, "registry:catalog:* repository:public/x:pull"},
		{"", []string{"repository:team/a:pull"}, ""},
		{"root", []string{"registry:other:*", "repository:A:pull", "repository:a:fly", "repository:a", "x:y:pull", "repository::pull", "a b", "\x00", "repository:a/../b:pull"}, ""},
		{"root", many[:1000], "repository:team/a:pull"},
		{"root", []string{strings.Join(many[:1000], "  ")}, "repository:team/a:pull"},
		{"root", many, "400"},
		{"root", []string{strings.Join(many, " ")}, "400"},
	} {
		get := h.request("GET", "/auth?"+url.Values{"scope": c.scopes, "service": {"gatehouse"}}.Encode(), "", nil)
		fields := []string{"grant_type", "password", "service", "gatehouse", "client_id", "x"}
		if c.user != "" {
			get.SetBasicAuth(c.user, c.user+"-secret")
			fields = append(fields, "username", c.user, "password", c.user+"-secret")
		} else {
			get.Header.Set("Authorization", "Basic Og==")
		}
		for _, s := range c.scopes {
			fields = append(fields, "scope", s)
		}
		post := h.form(fields...)
		if c.want == "400" {
			h.expect(get, 400, "UNSUPPORTED")
			h.expect(post, 400, "UNSUPPORTED")
			continue
		}
		for _, r := range []*http.Request{get, post} {
			got := h.reply(r)
			token, err := h.keyring.Verify(got.Token, tokens.Access, 0)
			if err != nil || token.Scope.String() != c.want || (got.Scope != nil) != (r.Method == "POST") || got.Scope != nil && *got.Scope != c.want {
				t.Errorf("%s %.60q: the token carries %q (%v), the reply %v; want %q", r.Method, c.scopes, token.Scope, err, got.Scope, c.want)
			}
			resp, _ := h.do(h.request("GET", "/v2/", got.Token, nil)) // any good token will do
			if resp.StatusCode != 200 {
				t.Errorf("%.60q: /v2/ is %d", c.scopes, resp.StatusCode)
			}
		}
	}
}

// TestChallengeWhole: a client that hands the challenge's scope back whole, in one
// value, gets a token that is good for what it was refused (reggie, crane, regctl).
func TestChallengeWhole(t *testing.T) {
	h := newHouse(t, nil)
	fetched := map[string]string{}
	for _, row := range protocolRows() {
		resp, _ := h.do(h.request(row.method, row.path, "", nil))
		_, scope, _ := strings.Cut(resp.Header.Get("Www-Authenticate"), `scope="`)
		scope = strings.TrimSuffix(scope, `"`)
		if fetched[scope] == "" {
			fetched[scope] = h.token("root", scope)
		}
		resp, body := h.do(h.request(row.method, row.path, fetched[scope], nil))
		if resp.StatusCode != 200 {
			t.Errorf("%s %s with %q: %d %s", row.method, row.path, scope, resp.StatusCode, body)
		}
	}
	if mounted := slices.ContainsFunc(h.upstream.take(), func(r *http.Request) bool { return r.URL.Query().Get("from") == "public/x" }); !mounted {
		t.Error("the scope of a mount does not reach its source")
	}
}

// TestAnonymousGrant: a request that shows nothing is counted as one, and what shows
// something as that, whatever became of it.
func TestAnonymousGrant(t *testing.T) {
	d := newDock(t, nil)
	for grant, requests := range map[string][]*http.Request{
		`anonymous",result="granted"} 4`: {d.request("GET", "/auth", "", nil), d.basic("/auth", "", ""), d.form("grant_type", "password"), d.form("grant_type", "password", "username", "")},
		`anonymous",result="invalid"} 3`: {d.form("grant_type", "x"), d.form(), d.request("GET", "/auth?service=x", "", nil)},
		`basic",result="granted"} 1`:     {d.basic("/auth", "carol", "carol-secret")},
		`password",result="granted"} 1`:  {d.form("grant_type", "password", "username", "carol", "password", "carol-secret")},
		`refresh",result="refused"} 1`:   {d.form("grant_type", "refresh_token", "refresh_token", "x")},
		`oidc",result="granted"} 1`:      {d.basic("/auth", "", d.job(nil))},
		`exchange",result="invalid"} 1`:  {d.form("grant_type", exchangeGrant)},
	} {
		for _, r := range requests {
			d.ask(r)
		}
		if shown := scraped(d.metrics); !strings.Contains(shown, `gatehouse_token_requests_total{grant="`+grant+"\n") {
			t.Errorf("no %s in %s", grant, shown)
		}
	}
	if strings.Contains(scraped(d.metrics), `grant=""`) {
		t.Error("a request without a grant")
	}
	if d.granted(d.request("GET", "/auth", "", nil)); d.told(&d.log, "grant") != "anonymous" || strings.Contains(d.told(&d.audit, "msg", "grant"), "anonymous") {
		t.Errorf("log %q, audit %s", d.told(&d.log, "grant"), d.audit.String())
	}
}

// TestRealmAnswers: JSON and no challenge but Basic on every answer of the realm,
// whatever reaches it.
func TestRealmAnswers(t *testing.T) {
	h := newHouse(t, nil)
	header := func(r *http.Request, key, value string) *http.Request { r.Header.Set(key, value); return r }
	for name, c := range map[string]struct {
		request *http.Request
		status  int
	}{
		"PUT":                     {h.request("PUT", "/auth", "", nil), 405},
		"HEAD":                    {h.request("HEAD", "/auth", "", nil), 405},
		"OPTIONS":                 {h.request("OPTIONS", "/auth", "", nil), 405},
		"a body on GET":           {h.request("GET", "/auth", "", strings.NewReader("x")), 400},
		"a malformed query":       {h.request("GET", "/auth?scope=%25zz;x", "", nil), 400},
		"another service":         {h.request("GET", "/auth?service=registry.docker.io", "", nil), 400},
		"another service, posted": {h.form("grant_type", "password", "service", "x"), 400},
		"no grant":                {h.form("service", "gatehouse"), 400},
		"another grant":           {h.form("grant_type", "authorization_code"), 400},
		"a doubled grant":         {h.form("grant_type", "password", "grant_type", "refresh_token"), 400},
		"negotiate":               {header(h.request("GET", "/auth", "", nil), "Authorization", "Negotiate x"), 401},
		"no base64":               {header(h.request("GET", "/auth", "", nil), "Authorization", "Basic ="), 401},
		"no colon":                {header(h.request("GET", "/auth", "", nil), "Authorization", "Basic YWxpY2U="), 401},
		"nothing":                 {header(h.request("GET", "/auth", "", nil), "Authorization", "Basic"), 401},
		"a name alone":            {h.basic("/auth", "alice", ""), 401},
		"a password alone":        {h.basic("/auth", "", "alice-secret"), 401},
		"a name alone, posted":    {h.form("grant_type", "password", "username", "alice"), 401},
		"a long name":             {h.basic("/auth", strings.Repeat("a", 257), "x"), 401},
		"a long password":         {h.basic("/auth", "alice", strings.Repeat("a", 4097)), 401},
		"a name in Latin-1":       {h.basic("/auth", "j\xfcrgen", "x"), 401},
	} {
		resp, body := h.do(c.request)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, c.status)
		}
		if c.request.Method != "HEAD" {
			h.refusal(name, resp, body)
		}
		if got := resp.Header.Values("Www-Authenticate"); (resp.StatusCode == 401) != (len(got) == 1 && got[0] == `Basic realm="gatehouse", charset="UTF-8"`) { // D19
			t.Errorf("%s: %q", name, got)
		}
		if got := resp.Header.Get("Allow"); (resp.StatusCode == 405) != (got == "GET, POST") {
			t.Errorf("%s: Allow %q", name, got)
		}
	}
}
