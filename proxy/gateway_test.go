package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
)

// upstreamRecorder is a registry that keeps what reached it and answers as told.
type upstreamRecorder struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []*http.Request
	bodies []string
	answer http.HandlerFunc
}

func newRecorder(t *testing.T) *upstreamRecorder {
	u := &upstreamRecorder{answer: func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "upstream") }}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.seen, u.bodies = append(u.seen, r), append(u.bodies, string(body))
		answer := u.answer
		u.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

// take gives what was seen since the last call.
func (u *upstreamRecorder) take() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen, u.bodies = nil, nil
	return seen
}

func (u *upstreamRecorder) answers(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = h
}

// house is a gateway with three users before a recorder.
type house struct {
	*httptest.Server
	gateway  *Gateway
	upstream *upstreamRecorder
	keyring  *tokens.Keyring
	key      authn.SecretFile
	t        *testing.T
}

func newHouse(t *testing.T, change func(*Config)) *house {
	t.Helper()
	up := newRecorder(t)
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{
		{Username: "alice", PasswordFile: authn.SecretFile{Secret: "alice-secret"}, Groups: []string{"team"}},
		{Username: "bob", PasswordFile: authn.SecretFile{Secret: "bob-secret"}}, {Username: "root", PasswordFile: authn.SecretFile{Secret: "root-secret"}}}})
	if err != nil {
		t.Fatal(err)
	}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{static}})
	policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
		{Position: "c.yaml:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"user:root"}},
		{Position: "c.yaml:2", Allow: []string{"pull", "push"}, Repositories: []string{"team/**"}, To: []string{"group:team"}},
		{Position: "c.yaml:3", Allow: []string{"pull"}, Repositories: []string{"public/**"}, To: []string{"everyone"}},
		{Position: "c.yaml:4", Deny: []string{"push", "delete"}, Repositories: []string{"team/**"}, Tags: []string{"v*"}, To: []string{"authenticated"}, Except: []string{"user:root"}},
	}})
	if policy == nil {
		t.Fatal(err)
	}
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, KeyFiles: []authn.SecretFile{key}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Upstream: upstream.Config{URL: up.URL, BlobMount: upstream.MountAlways}, Service: "gatehouse", UploadGrace: 6 * time.Hour, Keyring: keyring,
		Granter: tokens.NewGranter(tokens.GranterConfig{Keyring: keyring, Chain: chain, Policy: policy}), Chain: chain, Policy: policy}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Server: httptest.NewUnstartedServer(g), gateway: g, upstream: up, keyring: keyring, key: key, t: t}
	h.Config = DefaultLimits().Server(g, nil)
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// token logs in at the realm, as a client does.
func (h *house) token(user string, scopes ...string) string {
	h.t.Helper()
	r, _ := http.NewRequest("GET", h.URL+"/auth?"+url.Values{"scope": scopes}.Encode(), nil)
	if user != "" {
		r.SetBasicAuth(user, user+"-secret")
	}
	var reply struct{ Token string }
	body := h.expect(r, 200, "")
	if err := json.Unmarshal([]byte(body), &reply); err != nil || reply.Token == "" {
		h.t.Fatalf("realm: %s %v", body, err)
	}
	return reply.Token
}

func (h *house) request(method, path, token string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, h.URL+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func (h *house) do(r *http.Request) (*http.Response, string) {
	h.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		h.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

func (h *house) expect(r *http.Request, status int, code string) string {
	h.t.Helper()
	resp, body := h.do(r)
	if resp.StatusCode != status || code != "" && !strings.Contains(body, `"code":"`+code+`"`) {
		h.t.Errorf("%s %s: %d %s, want %d %s", r.Method, r.URL, resp.StatusCode, body, status, code)
	}
	return body
}

func TestChallenge(t *testing.T) {
	h := newHouse(t, nil)
	for path, want := range map[string]string{
		"/v2/":                      `Bearer realm="` + h.URL + `/auth",service="gatehouse"`,
		"/v2":                       `Bearer realm="` + h.URL + `/auth",service="gatehouse"`,
		"/v2/_catalog":              `Bearer realm="` + h.URL + `/auth",service="gatehouse",scope="registry:catalog:*"`,
		"/v2/public/x/manifests/v1": `Bearer realm="` + h.URL + `/auth",service="gatehouse",scope="repository:public/x:pull"`,
	} {
		resp, body := h.do(h.request("GET", path, "", nil))
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || got != want {
			t.Errorf("%s: %d %q, want %q", path, resp.StatusCode, got, want)
		}
		if id := resp.Header.Get("X-Request-Id"); id == "" || !strings.Contains(body, `"request_id":"`+id+`"`) || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v %s", path, resp.Header, body)
		}
	}
	resp, _ := h.do(h.request("GET", "/v2/", "x.y.z", nil))
	if got := resp.Header.Get("WWW-Authenticate"); !strings.HasSuffix(got, `,error="invalid_token"`) {
		t.Errorf("a bad token: %q", got)
	}
	if seen := h.upstream.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the upstream", len(seen))
	}
}

func TestDecisions(t *testing.T) {
	h := newHouse(t, nil)
	alice := h.token("alice", "repository:team/app:pull,push,delete", "repository:public/x:pull", "registry:catalog:*")
	narrow, anonymous, bob := h.token("alice"), h.token("", "repository:public/x:pull", "repository:team/app:pull"), h.token("bob", "repository:team/app:pull")
	for _, c := range []struct {
		method, path, token string
		status              int
		code, reason        string
		forwarded           bool
	}{
		{"GET", "/v2/", narrow, 200, "", "", false},
		{"GET", "/v2/team/app/manifests/v1", alice, 200, "", "", true},
		{"GET", "/v2/team/app/manifests/v1", narrow, 401, "UNAUTHORIZED", "insufficient_scope", false},
		{"GET", "/v2/team/app/manifests/v1", bob, 403, "DENIED", "", false},
		{"GET", "/v2/nowhere/app/manifests/v1", bob, 403, "DENIED", "", false},
		{"GET", "/v2/public/x/manifests/v1", anonymous, 200, "", "", true},
		{"GET", "/v2/team/app/manifests/v1", anonymous, 401, "UNAUTHORIZED", "insufficient_scope", false},
		{"PUT", "/v2/team/app/manifests/dev", alice, 200, "", "", true},
		{"PUT", "/v2/team/app/manifests/v2", alice, 403, "DENIED", "", false},
		{"PUT", "/v2/team/app/manifests/" + digestA + "?tag=dev&tag=v3", alice, 403, "DENIED", "", false},
		{"PUT", "/v2/team/app/manifests/" + digestA, alice, 200, "", "", true},
		{"DELETE", "/v2/team/app/manifests/" + digestA, alice, 403, "DENIED", "", false},
		{"POST", "/v2/team/app/blobs/uploads/", alice, 200, "", "", true},
		{"DELETE", "/v2/team/app/blobs/uploads/x", alice, 200, "", "", true},
		{"GET", "/v2/public/x/blobs/uploads/x", alice, 403, "DENIED", "", false},
	} {
		var body io.Reader
		if c.method == "PUT" {
			body = strings.NewReader("{}")
		}
		resp, text := h.do(h.request(c.method, c.path, c.token, body))
		seen := h.upstream.take()
		if resp.StatusCode != c.status || !strings.Contains(text, c.code) || (len(seen) == 1) != c.forwarded ||
			!strings.Contains(resp.Header.Get("WWW-Authenticate"), c.reason) {
			t.Errorf("%s %s: %d %s %q, %d forwarded; want %+v", c.method, c.path, resp.StatusCode, text, resp.Header.Get("WWW-Authenticate"), len(seen), c)
		}
	}
	_, text := h.do(h.request("PUT", "/v2/team/app/manifests/v2", alice, nil))
	if !strings.Contains(text, `"rule":"c.yaml:4"`) {
		t.Errorf("403 without the rule: %s", text)
	}
}

// TestOutgoing: the upstream sees the list of fields and nothing else.
func TestOutgoing(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "repository:team/app:pull,push", "repository:public/x:pull")
	r := h.request("GET", "/v2/team/app/manifests/dev", token, nil)
	for k, v := range map[string]string{"Accept": "a/b", "Cookie": "c=1", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil", "Forwarded": "host=evil",
		"X-Original-Url": "/v2/", "X-Http-Method-Override": "DELETE", "Range": "bytes=0-1", "Docker-X": "y", "Te": "trailers", "Proxy-Authorization": "z"} {
		r.Header.Set(k, v)
	}
	h.do(r)
	seen := h.upstream.take()[0]
	var keys []string
	for k := range seen.Header {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	want := []string{"Accept", "Docker-X", "Range", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id"}
	if !slices.Equal(keys, want) || seen.Header.Get("X-Forwarded-For") != "127.0.0.1" || strings.Contains(seen.Header.Get("X-Forwarded-Host"), "evil") {
		t.Errorf("the upstream saw %v", seen.Header)
	}
	r = h.request("PATCH", "/v2/team/app/blobs/uploads/u?_state=s", token, strings.NewReader("from=secret&mount=x"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	h.do(r)
	if seen := h.upstream.take()[0]; seen.Header.Get("Content-Type") != "application/octet-stream" || seen.ContentLength != 19 {
		t.Errorf("an upload with a form type went on as %q, %d", seen.Header.Get("Content-Type"), seen.ContentLength)
	}
}

func TestMount(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "repository:team/app:pull,push", "repository:public/x:pull", "repository:team/b:pull")
	for query, want := range map[string]string{
		"mount=" + digestA + "&from=public/x":     "digest: mount and from",
		"mount=" + digestA + "&from=team/b":       "digest: mount and from",
		"mount=" + digestA + "&from=team/c":       "", // not in the token
		"mount=" + digestA + "&from=secret/x":     "", // not in the policy
		"mount=" + digestA:                        "",
		"mount=" + digestA + "&digest=" + digestA: "digest",
	} {
		h.expect(h.request("POST", "/v2/team/app/blobs/uploads/?"+query, token, nil), 200, "")
		got := h.upstream.take()[0].URL.Query()
		mounted := got.Get("mount") != "" && got.Get("from") != ""
		if mounted != strings.Contains(want, "mount") || (got.Get("from") != "") != mounted || (got.Get("digest") != "") != (want == "digest") {
			t.Errorf("%s went on as %v", query, got)
		}
	}
}

func TestBodies(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "repository:team/app:pull,push")
	h.expect(h.request("POST", "/v2/team/app/blobs/uploads/", token, strings.NewReader("from=x")), 400, "UNSUPPORTED")
	h.expect(h.request("GET", "/v2/team/app/manifests/dev", token, strings.NewReader("x")), 400, "UNSUPPORTED")
	h.expect(h.request("PUT", "/v2/team/app/manifests/dev", token, strings.NewReader(strings.Repeat("x", maxManifest+1))), 413, "SIZE_INVALID")
	h.expect(h.request("PUT", "/v2/team/app/manifests/dev", token, io.MultiReader(strings.NewReader(strings.Repeat("x", maxManifest+1)))), 413, "SIZE_INVALID")
	if seen := h.upstream.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the upstream", len(seen))
	}
	h.expect(h.request("PUT", "/v2/team/app/manifests/dev", token, strings.NewReader(strings.Repeat("x", maxManifest))), 200, "")
}

func TestUpstreamAnswers(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Upstream.RedirectHosts = []string{"store.example", "*.s3.example"} })
	token := h.token("alice", "repository:team/app:pull,push")
	for _, c := range []struct {
		name     string
		status   int
		header   http.Header
		want     int
		location string
		link     string
	}{
		{"plain", 200, http.Header{"Set-Cookie": {"a=b"}, "Server": {"x"}, "Docker-Content-Digest": {digestA}}, 200, "", ""},
		{"challenge", 401, http.Header{"Www-Authenticate": {"Basic"}}, 502, "", ""},
		{"proxy challenge", 407, nil, 502, "", ""},
		{"absolute Location", 202, http.Header{"Location": {"http://inner:5000/v2/team/app/blobs/uploads/u?_state=a%3D"}}, 202, "/v2/team/app/blobs/uploads/u?_state=a%3D", ""},
		{"relative Location", 202, http.Header{"Location": {"/v2/team/app/blobs/uploads/u"}}, 202, "/v2/team/app/blobs/uploads/u", ""},
		{"another repository", 202, http.Header{"Location": {"/v2/team/other/blobs/uploads/u"}}, 502, "", ""},
		{"no API path", 202, http.Header{"Location": {"/evil"}}, 502, "", ""},
		{"listed redirect of a list", 307, http.Header{"Location": {"https://store.example/x?sig=1"}}, 502, "", ""},
		{"foreign redirect", 307, http.Header{"Location": {"http://169.254.169.254/x"}}, 502, "", ""},
		{"suffix itself", 307, http.Header{"Location": {"https://s3.example/x"}}, 502, "", ""},
		{"listed host, other port", 307, http.Header{"Location": {"https://store.example:8443/x"}}, 502, "", ""},
		{"path-cleaning", 301, http.Header{"Location": {"/v2/team/app/manifests/dev"}}, 502, "", ""},
		{"link", 200, http.Header{"Link": {`<http://inner/v2/team/app/tags/list?n=1&last=a>; rel="next"`}}, 200, "", `</v2/team/app/tags/list?n=1&last=a>; rel="next"`},
		{"foreign link", 200, http.Header{"Link": {`</v2/team/b/tags/list?n=1>; rel="next"`}}, 502, "", ""},
	} {
		h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
			for k, v := range c.header {
				w.Header()[k] = v
			}
			w.WriteHeader(c.status)
		})
		resp, body := h.do(h.request("GET", "/v2/team/app/tags/list", token, nil))
		if resp.StatusCode != c.want || resp.Header.Get("Location") != c.location || resp.Header.Get("Link") != c.link ||
			resp.Header.Get("Set-Cookie")+resp.Header.Get("Server")+resp.Header.Get("Www-Authenticate") != "" || strings.Contains(body, "inner") {
			t.Errorf("%s: %d %v %s", c.name, resp.StatusCode, resp.Header, body)
		}
	}
}

func TestUpstreamFaults(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Upstream.Timeout = 50 * time.Millisecond })
	token := h.token("alice", "repository:team/app:pull,push")
	release := make(chan struct{})
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) { <-release })
	h.expect(h.request("GET", "/v2/team/app/tags/list", token, nil), 504, "UNAVAILABLE")
	close(release)
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		conn.Close()
	})
	h.expect(h.request("GET", "/v2/team/app/tags/list", token, nil), 502, "UNAVAILABLE")
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := http.DefaultTransport.RoundTrip(h.request("GET", "/v2/team/app/blobs/"+digestA, token, nil))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("a cut answer looked whole")
	}
	h.upstream.Close()
	body := h.expect(h.request("GET", "/v2/team/app/tags/list", token, nil), 502, "UNAVAILABLE")
	if strings.Contains(body, "127.0.0.1") {
		t.Errorf("the answer names an inner address: %s", body)
	}
}

func TestCatalog(t *testing.T) {
	h := newHouse(t, nil)
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("hidden/%04d", i))
	}
	names = append(names, "public/a", "public/b", "team/a", "team/b", "team/c", "zzz/hidden")
	slices.Sort(names)
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		n, last := 0, r.FormValue("last")
		fmt.Sscan(r.FormValue("n"), &n)
		rest := names[slices.IndexFunc(append(names, "~"), func(s string) bool { return s > last }):]
		page := rest[:min(n, len(rest))]
		if len(page) < len(rest) {
			w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?last=%s&n=%d>; rel="next"`, url.QueryEscape(page[len(page)-1]), n))
		}
		json.NewEncoder(w).Encode(map[string][]string{"repositories": page})
	})
	token := h.token("alice", "registry:catalog:*")
	list := func(path string) ([]string, string) {
		resp, body := h.do(h.request("GET", path, token, nil))
		var got struct{ Repositories []string }
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 || got.Repositories == nil {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
		return got.Repositories, resp.Header.Get("Link")
	}
	if got, link := list("/v2/_catalog"); !slices.Equal(got, []string{"public/a", "public/b", "team/a", "team/b", "team/c"}) || link != "" {
		t.Errorf("all: %v %q", got, link)
	}
	var paged []string
	for path := "/v2/_catalog?n=2"; path != ""; {
		got, link := list(path)
		if len(got) == 0 || strings.Contains(link, "hidden") {
			t.Fatalf("%s: %v %q", path, got, link)
		}
		paged = append(paged, got...)
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	if len(paged) != 5 {
		t.Errorf("paged: %v", paged)
	}
	if got, link := list("/v2/_catalog?n=0"); len(got) != 0 || link != "" {
		t.Errorf("n=0: %v %q", got, link)
	}
	h.expect(h.request("GET", "/v2/_catalog", h.token(""), nil), 401, "UNAUTHORIZED")
	token = h.token("", "registry:catalog:*") // an everyone rule allows some pull
	if got, _ := list("/v2/_catalog"); !slices.Equal(got, []string{"public/a", "public/b"}) {
		t.Errorf("anonymous: %v", got)
	}
}

func TestRealm(t *testing.T) {
	h := newHouse(t, nil)
	post := func(contentType, body string) *http.Request {
		r := h.request("POST", "/auth", "", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return r
	}
	get := func(query, authorization string) *http.Request {
		r := h.request("GET", "/auth?"+query, "", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		return r
	}
	basic := func(user, password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		code    string
	}{
		{"anonymous", get("", ""), 200, ""},
		{"empty Basic", get("", "Basic Og=="), 200, ""},
		{"good", get("service=gatehouse&account=whoever", basic("alice", "alice-secret")), 200, ""},
		{"another spelling", get("", basic("ALICE", "alice-secret")), 200, ""},
		{"wrong", get("", basic("alice", "x")), 401, "UNAUTHORIZED"},
		{"empty password", get("", basic("alice", "")), 401, "UNAUTHORIZED"},
		{"empty name", get("", basic("", "x")), 401, "UNAUTHORIZED"},
		{"unknown", get("", basic("nobody", "x")), 401, "UNAUTHORIZED"},
		{"Bearer", get("", "Bearer x"), 401, "UNAUTHORIZED"},
		{"malformed", get("", "Basic !!!"), 401, "UNAUTHORIZED"},
		{"another service", get("service=other", ""), 400, "UNSUPPORTED"},
		{"doubled field", get("service=gatehouse&service=gatehouse", ""), 400, "UNSUPPORTED"},
		{"odd scopes", get("scope=x&scope=repository:A:pull&scope=a:b:c", ""), 200, ""},
		{"password grant", post(form+"; charset=utf-8", "grant_type=password&username=alice&password=alice-secret&service=gatehouse"), 200, ""},
		{"password grant, wrong", post(form, "grant_type=password&username=alice&password=x"), 401, "UNAUTHORIZED"},
		{"no grant", post(form, "username=alice&password=alice-secret"), 400, "UNSUPPORTED"},
		{"another grant", post(form, "grant_type=client_credentials"), 400, "UNSUPPORTED"},
		{"refresh, off", post(form, "grant_type=refresh_token&refresh_token=x"), 401, "UNAUTHORIZED"},
		{"no form", post("application/json", "{}"), 415, "UNSUPPORTED"},
		{"multipart", post("multipart/form-data; boundary=x", ""), 415, "UNSUPPORTED"},
		{"too large", post(form, "grant_type=password&x="+strings.Repeat("y", DefaultLimits().FormBytes)), 413, "SIZE_INVALID"},
		{"doubled form field", post(form, "grant_type=password&grant_type=password"), 400, "UNSUPPORTED"},
		{"other method", h.request("DELETE", "/auth", "", nil), 405, "UNSUPPORTED"},
	} {
		resp, body := h.do(c.request)
		ok := resp.StatusCode == c.status && strings.Contains(body, c.code) && resp.Header.Get("Cache-Control") == "no-store" &&
			resp.Header.Get("Content-Type") == "application/json"
		if c.status == 401 {
			ok = ok && strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ")
		}
		if c.status == 200 {
			var reply map[string]any
			ok = ok && json.Unmarshal([]byte(body), &reply) == nil && reply["token"] == reply["access_token"] && reply["expires_in"] == 900.0 && reply["issued_at"] == nil
			_, scope := reply["scope"]
			ok = ok && scope == (c.request.Method == "POST")
		}
		if !ok {
			t.Errorf("%s: %d %v %s", c.name, resp.StatusCode, resp.Header, body)
		}
	}
}

func TestBasic(t *testing.T) {
	request := func(h *house, password string) *http.Request {
		r := h.request("GET", "/v2/team/app/tags/list", "", nil)
		r.SetBasicAuth("alice", password)
		return r
	}
	off, on := newHouse(t, nil), newHouse(t, func(c *Config) { c.Listen.Basic = true })
	off.expect(request(off, "alice-secret"), 401, "UNAUTHORIZED")
	on.expect(request(on, "alice-secret"), 200, "")
	empty := on.request("GET", "/v2/", "", nil)
	empty.Header.Set("Authorization", "Basic Og==") // the anonymous caller needs a token here
	on.expect(empty, 401, "UNAUTHORIZED")
	resp, _ := on.do(request(on, "wrong"))
	if c := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || !strings.HasPrefix(c, "Bearer ") || strings.Contains(c, "error=") {
		t.Errorf("wrong Basic: %d %q", resp.StatusCode, c)
	}
}

func TestHosts(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Listen.PublicURLs = []string{"https://registry.example.com", "http://inner.example:5000"}
		c.Listen.TrustedProxies = []string{"127.0.0.0/8"}
	})
	for host, want := range map[string]string{"registry.example.com": "https://registry.example.com", "REGISTRY.example.com.": "https://registry.example.com",
		"registry.example.com:443": "https://registry.example.com", "inner.example:5000": "http://inner.example:5000",
		"inner.example": "", "registry.example.com:5000": "", "evil.example": "", "127.0.0.1": ""} {
		r := h.request("GET", "/v2/", "", nil)
		r.Host = host
		resp, body := h.do(r)
		got := resp.Header.Get("WWW-Authenticate")
		if want == "" && (resp.StatusCode != 421 || !strings.Contains(body, "UNSUPPORTED")) || want != "" && !strings.HasPrefix(got, `Bearer realm="`+want+`/auth"`) {
			t.Errorf("Host %s: %d %q", host, resp.StatusCode, got)
		}
	}
}

// TestRaw sends bytes that net/http's client would not.
func TestRaw(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "repository:team/app:pull")
	for raw, want := range map[string]string{
		"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nAuthorization: Basic eA==\r\n\r\n": "400",
		"GET /v2/team/app/tags/list HTTP/1.1\r\nHost: x\r\nAuthorization: bearer " + token + "\r\n\r\n":            "200",
		"GET http://other/v2/ HTTP/1.1\r\nHost: x\r\n\r\n":                                                         "401",
		"GET /v2/ HTTP/1.1\r\nHost: a\"b\r\n\r\n":                                                                  "4",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                                                    "4",
		"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 99) + "\r\n":                             "401",
		"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 100) + "\r\n":                            "431",
		"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("b", 33<<10) + "\r\n\r\n":                         "431",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, raw)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if !strings.HasPrefix(line, "HTTP/1.1 "+want) {
			t.Errorf("%.80q: %q, want %s", raw, line, want)
		}
	}
}

// TestGone: the token of a person who is no longer there is an invalid token, and
// not a wrong password.
func TestGone(t *testing.T) {
	h := newHouse(t, nil)
	text, _, err := h.keyring.Issue(tokens.Token{Kind: tokens.Access, Subject: authn.Ref{Directory: "local", Username: "alice", ID: "another"}})
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := h.do(h.request("GET", "/v2/team/app/tags/list", text, nil))
	if c := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || !strings.HasSuffix(c, `,error="invalid_token"`) {
		t.Errorf("%d %q", resp.StatusCode, c)
	}
}

// TestUploadGrace: a token that ended hours ago still continues an upload in a
// repository that it carries push for, and is good for nothing else.
func TestUploadGrace(t *testing.T) {
	h := newHouse(t, nil)
	old := func(age time.Duration) string {
		fresh, err := h.keyring.Verify(h.token("alice", "repository:team/app:pull,push", "repository:team/lib:pull"), tokens.Access, 0)
		if err != nil {
			t.Fatal(err)
		}
		past, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, KeyFiles: []authn.SecretFile{h.key},
			Now: func() time.Time { return time.Now().Add(-age) }})
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := past.Issue(fresh)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct {
		age          time.Duration
		method, path string
		status       int
	}{
		{15*time.Minute + 30*time.Second, "GET", "/v2/team/app/tags/list", 200}, // the minute's grace
		{17 * time.Minute, "GET", "/v2/team/app/tags/list", 401},
		{2 * time.Hour, "PATCH", "/v2/team/app/blobs/uploads/u", 200},
		{2 * time.Hour, "PUT", "/v2/team/app/blobs/uploads/u?digest=" + digestA, 200},
		{2 * time.Hour, "DELETE", "/v2/team/app/blobs/uploads/u", 200},
		{2 * time.Hour, "POST", "/v2/team/app/blobs/uploads/", 401},
		{2 * time.Hour, "PUT", "/v2/team/app/manifests/dev", 401},
		{2 * time.Hour, "PATCH", "/v2/team/lib/blobs/uploads/u", 401}, // it carries no push there
		{2 * time.Hour, "GET", "/v2/", 401},
		{7 * time.Hour, "PATCH", "/v2/team/app/blobs/uploads/u", 401},
	} {
		resp, _ := h.do(h.request(c.method, c.path, old(c.age), nil))
		invalid := strings.HasSuffix(resp.Header.Get("WWW-Authenticate"), `,error="invalid_token"`)
		if resp.StatusCode != c.status || invalid != (c.status == 401) {
			t.Errorf("%s old, %s %s: %d %q", c.age, c.method, c.path, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
	}
}

// TestUploadGraceAsksAnew: a token that lives on the upload grace alone is a
// ceiling like any other. Its person and the policy are asked at each chunk.
func TestUploadGraceAsksAnew(t *testing.T) {
	p := &person{}
	h := newHouse(t, func(c *Config) { c.Chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{p}}) })
	past, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, KeyFiles: []authn.SecretFile{h.key},
		Now: func() time.Time { return time.Now().Add(-2 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := authz.ParseScope([]string{"repository:team/app:pull,push"})
	if err != nil {
		t.Fatal(err)
	}
	late, _, err := past.Issue(tokens.Token{Kind: tokens.Access, Subject: authn.Ref{Directory: "corp", Username: "carol", ID: "u-1"}, PasswordStamp: "p1", Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*person)
		status int
	}{
		{"as she was", func(*person) {}, 200},
		{"gone", func(p *person) { p.lookup = authn.ErrUnknownUser }, 401},
		{"re-created", func(p *person) { p.id.ID = "u-2" }, 401},
		{"another password", func(p *person) { p.id.PasswordStamp = "p2" }, 401},
		{"out of the group", func(p *person) { p.id.Groups = nil }, 403},
		{"directory down", func(p *person) { p.lookup = authn.ErrUnavailable }, 503},
	} {
		p.set(func(p *person) { p.id.Groups = []authn.Group{{Name: "team"}}; c.change(p) })
		for _, request := range []string{"PATCH /v2/team/app/blobs/uploads/u", "PUT /v2/team/app/blobs/uploads/u?digest=" + digestA, "GET /v2/team/app/blobs/uploads/u", "DELETE /v2/team/app/blobs/uploads/u"} {
			method, path, _ := strings.Cut(request, " ")
			resp, body := h.do(h.request(method, path, late, nil))
			if seen := h.upstream.take(); resp.StatusCode != c.status || (len(seen) == 1) != (c.status == 200) {
				t.Errorf("%s, %s: %d %s, and %d requests reached the upstream; want %d", c.name, method, resp.StatusCode, body, len(seen), c.status)
			}
		}
	}
}
