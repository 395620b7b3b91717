package proxy

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// counter is a yard where carol may make tokens.
type counter struct {
	*yard
	desk    *personal.Desk
	revoker *tokens.Revoker
}

func newCounter(t *testing.T, required ...string) *counter {
	t.Helper()
	c := &counter{revoker: tokens.NewRevoker(nil, nil)}
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	kept := store.Watched(file, store.Config{}, nil, nil)
	if err := c.revoker.Use(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	c.desk = &personal.Desk{Book: personal.NewBook(c.revoker, nil), Keep: time.Hour}
	c.desk.Defaults()
	c.desk.Book.Use(kept)
	c.desk.Makers, _ = authz.NewAudience([]string{"user:carol"}, []string{"corp"}, nil)
	c.desk.Bound, _ = authz.NewAudience(required, []string{"corp"}, nil)
	c.yard = newYardOf(t, func(cfg *tokens.Config) { cfg.Personal, cfg.Revoker = c.desk, c.revoker }, func(cfg *Config) { cfg.Personal = c.desk })
	return c
}

// ordered is a POST of a body.
func (c *counter) ordered(password, body string) *http.Request {
	r := c.basic("/auth/tokens", "carol", password)
	r.Method, r.Body, r.ContentLength = "POST", http.NoBody, int64(len(body))
	r = c.withBody(r, body)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func (c *counter) withBody(r *http.Request, body string) *http.Request {
	fresh := c.request(r.Method, r.URL.Path, "", strings.NewReader(body))
	fresh.Header = r.Header
	return fresh
}

type madeToken struct{ ID, Token, Name string }

func (c *counter) made(body string) (m madeToken) {
	c.t.Helper()
	resp, text := c.ask(c.ordered("carol-secret", body))
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Cache-Control") != "no-store" || json.Unmarshal([]byte(text), &m) != nil || m.Token == "" {
		c.t.Fatalf("%d %s", resp.StatusCode, text)
	}
	return m
}

// TestOwnTokenStatuses: each status of the contract.
func TestOwnTokenStatuses(t *testing.T) {
	c := newCounter(t)
	c.desk.PerUser = 3
	first := c.made(`{"name":"a"}`)
	long := `{"name":"x","repositories":["` + strings.Repeat("a", 17<<10) + `"]}`
	for _, o := range []struct {
		password, body string
		status         int
	}{
		{"carol-secret", `{"name":"a"}`, 409}, {"wrong", `{"name":"b"}`, 401}, {first.Token, `{"name":"b"}`, 401}, {string(c.token), `{"name":"b"}`, 401},
		{"eyJhbGciOiJSUzI1NiJ9.e30.AAAA", `{"name":"b"}`, 401},
		{"carol-secret", `{}`, 400}, {"carol-secret", ``, 400}, {"carol-secret", `[]`, 400}, {"carol-secret", `{"name":""}`, 400}, {"carol-secret", `{"name":1}`, 400}, {"carol-secret", `{"name":null}`, 400},
		{"carol-secret", `{"name":"b","name":"c"}`, 400}, {"carol-secret", `{"Name":"b"}`, 400}, {"carol-secret", `{"name":"b","x":1}`, 400}, {"carol-secret", `{"name":"b"}{}`, 400},
		{"carol-secret", `{"name":"b","lifetime":"x"}`, 400}, {"carol-secret", `{"name":"b","lifetime":3600}`, 400}, {"carol-secret", `{"name":"b","lifetime":"0s"}`, 400}, {"carol-secret", `{"name":"b","lifetime":"999999h"}`, 400},
		{"carol-secret", `{"name":"b","lifetime":"-1h"}`, 400}, {"carol-secret", `{"name":"b","lifetime":""}`, 400},
		{"carol-secret", `{"name":"b","repositories":["{user}/**"]}`, 400}, {"carol-secret", `{"name":"b","repositories":"**"}`, 400}, {"carol-secret", `{"name":"b","repositories":[null]}`, 400},
		{"carol-secret", `{"name":"b","actions":["fly"]}`, 400}, {"carol-secret", long, 413},
		{"carol-secret", `{"name":"b","repositories":["A/b"]}`, 400}, {"carol-secret", `{"name":"b","repositories":[".."]}`, 400},
		{"carol-secret", "{\"name\":\"b\xff\"}", 400}, {"carol-secret", `{"name":"\ud800"}`, 400}, {"carol-secret", `{"name":"b\u202e"}`, 400},
		{"carol-secret", `{"name":"b","lifetime":"1h","repositories":[],"actions":["pull","push"]}`, 201}, {"carol-secret", `{"name":"c"}`, 201}, {"carol-secret", `{"name":"d"}`, 409},
	} {
		resp, body := c.ask(c.ordered(o.password, o.body))
		if resp.StatusCode != o.status {
			t.Errorf("%s %.60s: %d %s, want %d", o.password, o.body, resp.StatusCode, body, o.status)
		}
		if o.status == 401 && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%.60s: %q", o.body, resp.Header.Get("WWW-Authenticate"))
		}
	}
	c.must(c.request("POST", "/auth/tokens", "", strings.NewReader(`{}`)), 401, "UNAUTHORIZED")
	form := c.ordered("carol-secret", `name=x`)
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.must(form, 415, "UNSUPPORTED")
	c.must(c.request("PUT", "/auth/tokens", "", nil), 405, "UNSUPPORTED")
	c.must(c.request("GET", "/auth/tokens/"+first.ID, "", nil), 405, "UNSUPPORTED")
	c.must(c.request("GET", "/auth/tokens/", "", nil), 404, "UNSUPPORTED")
	c.must(c.request("DELETE", "/auth/tokens/a.b", "", nil), 404, "UNSUPPORTED")
	list := c.must(c.basic("/auth/tokens", "carol", "carol-secret"), 200, "")
	if strings.Contains(list, "gthp_") || strings.Count(list, `"id"`) != 3 || list[0] != '[' {
		t.Error(list)
	}
	c.must(c.deleting("nothing"), 404, "UNSUPPORTED")
	c.must(c.deleting(first.ID), 204, "")
	c.must(c.deleting(first.ID), 404, "UNSUPPORTED")
	c.must(c.basic("/auth", "", first.Token), 401, "UNAUTHORIZED")
	c.desk.Makers, _ = authz.NewAudience([]string{"user:other"}, []string{"corp"}, nil)
	c.must(c.ordered("carol-secret", `{"name":"x"}`), 403, "DENIED")
	c.desk.Book.Use(nil)
}

func (c *counter) deleting(id string) *http.Request {
	r := c.basic("/auth/tokens/"+id, "carol", "carol-secret")
	r.Method = "DELETE"
	return r
}

// TestOwnTokensOfAnotherSite: what a browser says another site made is refused before the
// password is looked at.
func TestOwnTokensOfAnotherSite(t *testing.T) {
	c := newCounter(t)
	for _, h := range []struct {
		name, value string
		status      int
	}{{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Sec-Fetch-Site", "same-origin", 201}, {"Sec-Fetch-Site", "none", 201},
		{"Origin", "https://evil.example", 403}, {"Origin", "null", 403}, {"Origin", c.URL, 201}, {"Origin", c.URL + ".evil.example", 403}} {
		for _, password := range []string{"carol-secret", "wrong"} {
			r := c.ordered(password, `{"name":"`+h.name+strings.ReplaceAll(h.value, ":", "")[:4]+`"}`)
			r.Header.Set(h.name, h.value)
			want := h.status
			if password == "wrong" && want == 201 {
				continue
			}
			if resp, body := c.ask(r); resp.StatusCode != want {
				t.Errorf("%s: %s: %d %s, want %d", h.name, h.value, resp.StatusCode, body, want)
			}
		}
	}
	r := c.basic("/auth/tokens", "carol", "carol-secret")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	c.must(r, 403, "DENIED")
}

// TestPersonalTokenEverywhere: what a personal token is good for, in each way of showing
// it, and that all of it ends at once with the token.
func TestPersonalTokenEverywhere(t *testing.T) {
	c := newCounter(t)
	made := c.made(`{"name":"ci","repositories":["home/carol/ci/**"],"actions":["pull","push"]}`)
	scope := "?scope=repository:home/carol/ci/x:pull,push,delete&scope=repository:home/carol/other:pull&scope=registry:catalog:*"
	access := c.granted(c.basic("/auth"+scope, "whoever", made.Token))
	offline := c.granted(c.form("grant_type", "password", "username", "", "password", made.Token, "access_type", "offline"))
	if offline.RefreshToken == "" {
		t.Fatal("no refresh token")
	}
	redeemed := c.granted(c.form("grant_type", "refresh_token", "refresh_token", offline.RefreshToken, "scope", "repository:home/carol/ci/x:pull,push,delete"))
	for _, r := range []reply{access, redeemed} {
		c.must(c.request("PUT", "/v2/home/carol/ci/x/manifests/v1", r.Token, strings.NewReader("{}")), 200, "")
		c.must(c.request("DELETE", "/v2/home/carol/ci/x/manifests/v1", r.Token, nil), 403, "DENIED")
		c.must(c.request("GET", "/v2/home/carol/other/manifests/v1", r.Token, nil), 403, "DENIED")
		if want := "carol corp personal " + made.ID; c.told(&c.log, "user", "directory", "credential", "credential_id") != want {
			t.Errorf("the log: %s", c.log.String())
		}
	}
	c.must(c.basic("/v2/home/carol/ci/x/tags/list", "", made.Token), 200, "")
	c.must(c.basic("/v2/home/carol/other/tags/list", "", made.Token), 403, "DENIED")

	c.carol.set(func(p *person) { p.id.PasswordStamp = "p2" })
	c.must(c.request("GET", "/v2/", access.Token, nil), 200, "")
	c.must(c.basic("/auth", "", made.Token), 200, "")
	c.carol.set(func(p *person) { p.lookup = authn.ErrUnavailable })
	c.must(c.basic("/auth", "", made.Token), 503, "UNAVAILABLE")
	c.carol.set(func(p *person) { p.lookup = authn.ErrUnknownUser })
	c.must(c.basic("/auth", "", made.Token), 401, "UNAUTHORIZED")
	c.must(c.request("GET", "/v2/", access.Token, nil), 401, "UNAUTHORIZED")
	c.carol.set(func(*person) {})

	held := c.form("token", made.Token)
	held.URL.Path = "/auth/revoke"
	c.must(held, 200, "")
	if got := c.told(&c.audit, "msg", "result", "by", "user", "credential", "credential_id"); got != "credential revoked holder carol personal "+made.ID {
		t.Error(got)
	}
	c.must(c.basic("/auth", "", made.Token), 401, "UNAUTHORIZED")
	c.must(c.request("GET", "/v2/", access.Token, nil), 401, "UNAUTHORIZED")
	c.must(c.request("GET", "/v2/", redeemed.Token, nil), 401, "UNAUTHORIZED")
	c.must(c.form("grant_type", "refresh_token", "refresh_token", offline.RefreshToken), 401, "UNAUTHORIZED")
	if strings.Contains(c.log.String()+c.audit.String(), made.Token[15:]) {
		t.Error("a log shows the token")
	}
}

// TestNoLeeway: what is issued for a personal token ends with it, to the second.
func TestNoLeeway(t *testing.T) {
	c := newCounter(t)
	made := c.made(`{"name":"short","lifetime":"2s"}`)
	access := c.granted(c.basic("/auth", "", made.Token))
	c.must(c.request("GET", "/v2/", access.Token, nil), 200, "")
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(2 * time.Second)))
	c.must(c.request("GET", "/v2/", access.Token, nil), 401, "UNAUTHORIZED")
	c.must(c.basic("/auth", "", made.Token), 401, "UNAUTHORIZED")
}

// TestTokenRequired: a right password is told where to make a token, a wrong one what
// wrong ones are told; it is good for making tokens, and a refresh token of earlier is
// worth no more than it.
func TestTokenRequired(t *testing.T) {
	c := newCounter(t)
	refresh := c.granted(c.basic("/auth?offline_token=true", "carol", "carol-secret")).RefreshToken
	c.desk.Bound, _ = authz.NewAudience([]string{"directory:corp"}, []string{"corp"}, nil)
	text := "use a token from " + c.URL + "/ui/me/tokens"
	for _, r := range []*http.Request{c.basic("/auth", "carol", "carol-secret"), c.basic("/v2/", "carol", "carol-secret"), c.basic("/auth", "carol", refresh),
		c.form("grant_type", "password", "username", "carol", "password", "carol-secret"), c.form("grant_type", "refresh_token", "refresh_token", refresh)} {
		if body := c.must(r, 401, "UNAUTHORIZED"); !strings.Contains(body, text) {
			t.Errorf("%s: %s", r.URL, body)
		}
	}
	if body := c.must(c.basic("/auth", "carol", "wrong"), 401, "UNAUTHORIZED"); strings.Contains(body, text) || !strings.Contains(body, "invalid username or password") {
		t.Error(body)
	}
	made := c.made(`{"name":"x"}`)
	c.must(c.basic("/auth", "", made.Token), 200, "")
	c.must(c.basic("/v2/", "", made.Token), 200, "")
	c.must(c.basic("/auth", "", string(c.token)), 200, "")
	c.must(c.request("GET", "/v2/", "", nil), 401, "UNAUTHORIZED")
}

// TestPersonalOff: without the section there is no such endpoint, and no such token.
func TestPersonalOff(t *testing.T) {
	y := newYard(t)
	y.must(y.basic("/auth/tokens", "carol", "carol-secret"), 404, "UNSUPPORTED")
	y.must(y.basic("/auth", "", string(apitoken.Personal.New())), 401, "UNAUTHORIZED")
}
