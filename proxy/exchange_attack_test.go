package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/tokens"
)

// TestRequestHeader is B1 to B3 and B8 to B13 as the upstream sees them: the
// fields of the list, our own, and nothing else, whatever the caller sends.
func TestRequestHeader(t *testing.T) {
	a := newArena(t, nil)
	odd := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x",
		"X-Forwarded-Uri: /v2/", "X-Forwarded-User: root", "X_Forwarded_For: 6.6.6.6", "X-Forwarded.For: 6.6.6.6", "Forwarded: for=6.6.6.6;host=evil.example",
		"X-Real-Ip: 6.6.6.6", "X-Client-Ip: 6.6.6.6", "True-Client-Ip: 6.6.6.6", "Cf-Connecting-Ip: 6.6.6.6", "Via: 1.1 evil", "X-Original-Url: /v2/", "X-Rewrite-Url: /v2/",
		"X-Http-Method-Override: DELETE", "X-Remote-User: root", "Remote-User: root", "X-Request-Id: forged-0123456789", "Cookie: a=b", "Proxy-Authorization: Basic eDp5",
		"X-Authorization: Basic eDp5", "Keep-Alive: x", "Proxy-Connection: x", "Upgrade: x", "Expect: 100-continue", "Te: trailers", "Origin: https://evil.example",
		"Referer: x", "Sec-Fetch-Mode: x", "Traceparent: 00-x", "Host2: x", "Content-Encoding: br"}
	allowed := []string{"Accept: a/b", "Accept: c/d", "Accept-Encoding: gzip", "If-None-Match: \"x\"", "Range: bytes=0-1", "User-Agent: u/1", "Docker-Odd: y", "Oci-Odd: z"}
	_, got, _ := a.verdict(a.fill(with("", "$ALICE\r\nConnection: Accept, X-Request-Id, X-Forwarded-For\r\n"+strings.Join(slices.Concat(odd, allowed), "\r\n")+"\r\n", "", "").raw))
	seen, _ := a.arrivals()
	if got != "200" || len(seen) != 1 {
		t.Fatalf("%s, %v", got, seen)
	}
	h := seen[0].header
	for key := range h {
		if !slices.Contains([]string{"Accept", "Accept-Encoding", "If-None-Match", "Range", "User-Agent", "Docker-Odd", "Oci-Odd", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id"}, key) {
			t.Errorf("the upstream saw %s: %q", key, h[key])
		}
	}
	if h.Get("X-Forwarded-For") != "127.0.0.1" || h.Get("X-Forwarded-Host") != "gw.test" || h.Get("X-Forwarded-Proto") != "http" || strings.Contains(h.Get("X-Request-Id"), "forged") || len(h["Accept"]) != 2 {
		t.Errorf("the upstream saw %v", h)
	}
}

// TestCompression is B13: the client's own wish passes, none is added, and bytes
// stay as they are.
func TestCompression(t *testing.T) {
	a := newArena(t, nil)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("a layer"))
	z.Close()
	a.wire.answers(func(*http.Request) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), packed.Bytes())
	})
	for wish, want := range map[string]string{"": "", "Accept-Encoding: zstd\r\n": "zstd"} {
		answers, _, _ := a.verdict(a.fill(with("", "$ALICE\r\n"+wish, "", "").raw))
		seen, _ := a.arrivals()
		if len(seen) != 1 || seen[0].header.Get("Accept-Encoding") != want || answers[0].body != packed.String() || answers[0].header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%q: the upstream saw %v, the client %q", wish, seen, answers[0].body)
		}
	}
}

// answer is an upstream's answer with these header lines.
func answer(status, lines string) string {
	return "HTTP/1.1 " + status + "\r\n" + lines + "Content-Length: 2\r\n\r\n{}"
}

// TestAnswers are rows I, B4 and C13: what of the upstream's answer a client sees.
func TestAnswers(t *testing.T) {
	lure := newWire(t) // nothing of ours ever follows a redirect there
	a := newArena(t, func(c *Config) { c.Upstream.RedirectHosts = []string{"store.example"} })
	away := "Location: http://" + lure.Addr().String() + "/v2/team/app/blobs/uploads/u\r\n"
	for _, c := range []struct{ name, method, target, answer, want, location string }{
		{"I1/inner host", "POST", uploads, answer("202 Accepted", "Location: http://inner.example:5000/v2/team/app/blobs/uploads/u?_state=x\r\n"), "202", "/v2/team/app/blobs/uploads/u?_state=x"},
		{"I1/another repository", "POST", uploads, answer("202 Accepted", "Location: /v2/secret/x/blobs/uploads/u\r\n"), "502 UNAVAILABLE", ""},
		{"I1/dots", "POST", uploads, answer("202 Accepted", "Location: /v2/team/app/../../secret/x/blobs/uploads/u\r\n"), "502 UNAVAILABLE", ""},
		{"I1/encoded", "POST", uploads, answer("202 Accepted", "Location: /v2/team/app%2f..%2f..%2fsecret/x/blobs/uploads/u\r\n"), "502 UNAVAILABLE", ""},
		{"I1/script", "POST", uploads, answer("202 Accepted", "Location: javascript:alert(1)\r\n"), "502 UNAVAILABLE", ""},
		{"I1/two", "POST", uploads, answer("202 Accepted", "Location: /v2/team/app/blobs/uploads/u\r\nLocation: http://evil.example/\r\n"), "502 UNAVAILABLE", ""},
		{"I1/two in one redirect", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", "Location: http://store.example/x\r\nLocation: http://evil.example/\r\n"), "502 UNAVAILABLE", ""},
		{"I2/metadata service", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", "Location: http://169.254.169.254/latest/\r\n"), "502 UNAVAILABLE", ""},
		{"I2/listed host", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", "Location: https://store.example/x?sig=1\r\n"), "307", "https://store.example/x?sig=1"},
		{"I2/listed host as a user", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", "Location: https://store.example@evil.example/x\r\n"), "502 UNAVAILABLE", ""},
		{"I2/listed host and a backslash", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", "Location: https://evil.example\\@store.example/x\r\n"), "502 UNAVAILABLE", ""},
		{"I2/another scheme", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", "Location: ftp://store.example/x\r\n"), "502 UNAVAILABLE", ""},
		{"I2/no Location", "GET", "/v2/team/app/blobs/$D", answer("307 Temporary Redirect", ""), "502 UNAVAILABLE", ""},
		{"I2/cleaned path", "GET", "/v2/team/app/blobs/$D", answer("301 Moved Permanently", "Location: /v2/team/app/blobs/$D\r\n"), "502 UNAVAILABLE", ""},
		{"B4/redirect of a blob", "GET", "/v2/team/app/blobs/$D", answer("302 Found", away), "502 UNAVAILABLE", ""},
		{"B4/redirect of the catalog", "GET", "/v2/_catalog", answer("302 Found", away), "502 UNAVAILABLE", ""},
		{"I3/challenge", "GET", "/v2/team/app/tags/list", answer("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"https://evil.example/\"\r\n"), "502 UNAVAILABLE", ""},
		{"I3/proxy challenge", "GET", "/v2/team/app/tags/list", answer("407 Proxy Authentication Required", "Proxy-Authenticate: Basic\r\n"), "502 UNAVAILABLE", ""},
		{"I3/challenge on a good answer", "GET", "/v2/team/app/tags/list", answer("200 OK", "WWW-Authenticate: Basic\r\nProxy-Authenticate: Basic\r\nAuthentication-Info: x\r\n"), "200", ""},
		{"I4/fields", "GET", "/v2/team/app/tags/list", answer("200 OK", "Set-Cookie: a=b\r\nAlt-Svc: h3=\":1\"\r\nAccess-Control-Allow-Origin: *\r\nServer: inner\r\nVia: inner\r\nRefresh: 0\r\nClear-Site-Data: *\r\nStrict-Transport-Security: max-age=0\r\nContent-Security-Policy: x\r\nX-Inner: inner\r\n"), "200", ""},
		{"I4/protocol switch", "GET", "/v2/team/app/tags/list", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + hangUp, "502 UNAVAILABLE", ""},
		{"A14/protocol switch for an upgrade", "GET", "/v2/team/app/blobs/$D", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + hangUp, "502 UNAVAILABLE", ""},
		{"I13/status below 100", "GET", "/v2/team/app/tags/list", answer("099 Odd", ""), "502 UNAVAILABLE", ""},
		{"I13/status above 599", "GET", "/v2/team/app/tags/list", answer("600 Odd", ""), "502 UNAVAILABLE", ""},
		{"C13/early hints", "GET", "/v2/team/app/tags/list", "HTTP/1.1 103 Early Hints\r\nLink: </inner>; rel=preload\r\n\r\n" + answer("200 OK", ""), "200", ""},
		{"C6/trailers of an answer", "GET", "/v2/team/app/tags/list", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n2\r\n{}\r\n0\r\nSet-Cookie: a=b\r\n\r\n", "200", ""},
		{"I13/no HTTP", "GET", "/v2/team/app/tags/list", "inner nonsense\r\n\r\n" + hangUp, "502 UNAVAILABLE", ""},
		{"H12/large header", "GET", "/v2/team/app/tags/list", answer("200 OK", "X: "+strings.Repeat("x", 65<<10)+"\r\n"), "502 UNAVAILABLE", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.t = t
			a.wire.answers(func(*http.Request) string { return a.fill(c.answer) })
			answers, got, _ := a.answersTo(a.fill(by("", "$ALICE", c.method+" "+c.target, "", "").raw))
			if got != c.want || answers[0].header.Get("Location") != c.location {
				t.Errorf("%s %v, want %s %s", got, answers[0].header, c.want, c.location)
			}
			for _, key := range []string{"Set-Cookie", "Alt-Svc", "Access-Control-Allow-Origin", "Server", "Via", "Refresh", "Clear-Site-Data", "Strict-Transport-Security", "Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "X-Inner", "Link", "Upgrade", "Trailer"} {
				if v := answers[0].header.Get(key); v != "" {
					t.Errorf("the client saw %s: %s", key, v)
				}
			}
			if s := fmt.Sprint(answers); strings.Contains(s, "inner") || strings.Contains(s, a.wire.Addr().String()) {
				t.Errorf("the client saw an inner name: %s", s)
			}
			a.wire.take()
		})
	}
	if seen, raw := lure.take(); len(seen) > 0 || raw != "" {
		t.Errorf("a redirect was followed: %q", raw)
	}
}

// TestOwnHeader is I5 and I6: what keeps caches and browsers from making use of an answer.
func TestOwnHeader(t *testing.T) {
	a := newArena(t, nil)
	a.wire.answers(func(*http.Request) string {
		return answer("200 OK", "Content-Type: text/html\r\nCache-Control: public, max-age=99\r\nX-Content-Type-Options: x\r\nContent-Security-Policy: default-src *\r\nDocker-Distribution-Api-Version: registry/9\r\n")
	})
	for _, c := range []struct{ name, target, cache, csp string }{
		{"I5/blob", "/v2/team/app/blobs/$D", "private", "default-src 'none'; sandbox"},
		{"I6/manifest", "/v2/team/app/manifests/dev", "private", "default-src 'none'; sandbox"},
		{"I5/tags", "/v2/team/app/tags/list", "private, no-store", ""},
		{"I5/base", "/v2/", "no-store", ""},
		{"I5/refusal", "/v2/secret/x/tags/list", "no-store", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := a.send(a.fill(get("", c.target, "", "").raw))
			h := answers[0].header
			if strings.Join(h.Values("Cache-Control"), "|") != c.cache || strings.Join(h.Values("Content-Security-Policy"), "|") != c.csp ||
				strings.Join(h.Values("X-Content-Type-Options"), "|") != "nosniff" || strings.Join(h.Values("Docker-Distribution-Api-Version"), "|") != "registry/2.0" || h.Get("Vary") != "Authorization" {
				t.Errorf("%v", h)
			}
		})
	}
}

// TestSilentParts is I13 and B9: faults and counters. The upstream is gone, and
// nobody learns where it was; and who is throttled stays so, whatever addresses
// they claim.
func TestSilentParts(t *testing.T) {
	t.Run("I13/upstream gone", func(t *testing.T) {
		a := newArena(t, nil)
		a.wire.Close()
		a.wire.closeAll()
		answers, got, _ := a.verdict(a.fill(get("", "/v2/team/app/tags/list", "", "").raw))
		if s := fmt.Sprint(answers); got != "502 UNAVAILABLE" || strings.Contains(s, "127.0.0.1") || strings.Contains(s, "connect") {
			t.Errorf("%s", s)
		}
	})
	t.Run("B9/forged addresses", func(t *testing.T) {
		a := newArena(t, func(c *Config) {
			static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{
				{Username: "alice", PasswordFile: authn.SecretFile{Secret: "alice-secret"}}, {Username: "bob", PasswordFile: authn.SecretFile{Secret: "bob-secret"}}, {Username: "root", PasswordFile: authn.SecretFile{Secret: "root-secret"}}}})
			if err != nil {
				t.Fatal(err)
			}
			c.Chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{static}, Throttle: authn.NewThrottle(authn.ThrottleConfig{Failures: 3, Window: time.Minute})})
			c.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: c.Keyring, Chain: c.Chain, Policy: c.Policy})
		})
		last := 0
		for i := range 5 {
			r := &http.Request{Header: http.Header{}}
			r.SetBasicAuth("alice", fmt.Sprint("wrong", i))
			got := a.send(fmt.Sprintf("GET /auth HTTP/1.1\r\nHost: gw.test\r\nAuthorization: %s\r\nX-Forwarded-For: 10.%d.1.1\r\nX-Real-Ip: 10.%d.1.1\r\nForwarded: for=10.%d.1.1\r\n\r\n", r.Header.Get("Authorization"), i, i, i))
			last = got[0].status
		}
		if last != 429 {
			t.Errorf("the fifth guess was answered %d", last)
		}
	})
}

// TestRealmAttacks are the rows on the realm: what a caller asks for himself.
func TestRealmAttacks(t *testing.T) {
	a := newArena(t, nil)
	alice := func() string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth("alice", "alice-secret")
		return "Authorization: " + r.Header.Get("Authorization") + "\r\n"
	}()
	scopes := func(n int) string {
		return strings.TrimPrefix(strings.Repeat("&scope=repository:secret/x:pull", n), "&")
	}
	for _, c := range []struct{ name, query, lines, want, granted string }{
		{"D17/more than the policy gives", "scope=repository:team/app:pull,push,delete,*", alice, "200", "repository:team/app:pull,push"},
		{"D17/nothing of the policy's", "scope=repository:secret/x:pull", alice, "200", ""},
		{"D18/plugin class", "scope=repository(plugin):team/app:pull,push", alice, "200", "repository:team/app:pull,push"},
		{"D18/odd ones", "scope=&scope=x&scope=repository::pull&scope=repository:team/app:&scope=registry:catalog:pull&scope=admin:all:*&scope=repository:../x:pull", alice, "200", ""},
		{"D18/twice", "scope=repository:team/app:pull&scope=repository:team/app:push", alice, "200", "repository:team/app:pull,push"},
		{"D19/too many", scopes(1001), alice, "400 UNSUPPORTED", ""},
		{"D19/as many as may be", scopes(1000), alice, "200", ""},
		{"D20/another service", "service=other", alice, "400 UNSUPPORTED", ""},
		{"D20/two services", "service=gatehouse&service=other", alice, "400 UNSUPPORTED", ""},
		{"D21/another account", "account=root&scope=repository:secret/x:pull", alice, "200", ""},
		{"D22/anonymous", "scope=repository:team/app:pull&scope=repository:public/x:pull,push", "", "200", "repository:public/x:pull"},
		{"B5/two Authorization fields", "", alice + alice, "400 UNSUPPORTED", ""},
		{"E16/refresh tokens are off", "offline_token=true&access_type=offline", alice, "200", ""},
		{"E18/password in the query", "username=alice&password=alice-secret&scope=repository:team/app:pull", "", "200", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := a.send("GET /auth?" + c.query + " HTTP/1.1\r\nHost: gw.test\r\n" + c.lines + "\r\n")[0]
			if got.String() != c.want {
				t.Fatalf("%s: %s", got, got.body)
			}
			if c.want != "200" {
				return
			}
			text, _, _ := strings.Cut(strings.TrimPrefix(got.body, `{"token":"`), `"`)
			token, err := a.keyring.Verify(text, tokens.Access, 0)
			if err != nil || token.Scope.String() != c.granted || strings.Contains(got.body, "refresh_token") || strings.Contains(got.body, "root") {
				t.Errorf("granted %q, %v", token.Scope, err)
			}
		})
	}
	if _, seen := a.arrivals(); seen != "" {
		t.Errorf("the upstream saw %s", seen)
	}
}

// TestLogInjection is J9: what a caller writes stays inside its field of one line.
func TestLogInjection(t *testing.T) {
	var log bytes.Buffer
	a := newArena(t, func(c *Config) { c.Access = slog.New(slog.NewJSONHandler(&log, nil)) })
	log.Reset()
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth("a\n{\"level\":\"INFO\",\"user\":\"root\"}", "canary-password")
	a.send("GET /auth?scope=" + url.QueryEscape("x\n{}") + " HTTP/1.1\r\nHost: gw.test\r\nAuthorization: " + r.Header.Get("Authorization") + "\r\nUser-Agent: \"}{\"\r\n\r\n")
	a.send("GET /v2/a%0a%7b%7d/" + strings.Repeat("x", 6000) + "?_state=canary-state&access_token=canary-token HTTP/1.1\r\nHost: gw.test\r\n\r\n")
	for line := range strings.Lines(log.String()) {
		if len(line) > 4096 || !strings.HasPrefix(line, `{"time":`) || strings.Contains(line, "canary") {
			t.Errorf("%.300q", line)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 4 { // each with its probe
		t.Errorf("%d records", n)
	}
}

// TestClientWithoutAddress is rows H1 and A2 through the whole gateway: a client whose
// address the trusted proxy does not say is not allowed as the proxy is, and what is
// denied to some network is denied to it; the log says so once a minute.
func TestClientWithoutAddress(t *testing.T) {
	var access, log bytes.Buffer
	h := newHouse(t, func(c *Config) {
		c.Listen.TrustedProxies = []string{"127.0.0.0/8"}
		c.Access, c.Logger = slog.New(slog.NewJSONHandler(&access, nil)), slog.New(slog.NewJSONHandler(&log, nil))
		policy, err := authz.New(authz.Config{Directories: []string{"local"}, Rules: []authz.Rule{
			{Position: "c.yaml:1", Allow: []string{"pull"}, Repositories: []string{"inside/**"}, To: []string{"authenticated"}, Networks: []string{"127.0.0.0/8"}},
			{Position: "c.yaml:2", Allow: []string{"pull"}, Repositories: []string{"open/**"}, To: []string{"authenticated"}},
			{Position: "c.yaml:3", Deny: []string{"pull"}, Repositories: []string{"open/**"}, To: []string{"authenticated"}, Networks: []string{"203.0.113.0/24"}}}})
		if err != nil {
			t.Fatal(err)
		}
		c.Policy = policy
		c.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: c.Keyring, Chain: c.Chain, Policy: policy})
	})
	token := h.token("alice", "repository:inside/a:pull", "repository:open/a:pull")
	for _, c := range []struct {
		forwarded    string
		inside, open int
		ip           any
	}{
		{"127.0.0.9", 200, 200, "127.0.0.9"},
		{"203.0.113.9:4711", 403, 403, "203.0.113.9"},
		{"[2001:db8::1]:4711", 403, 200, "2001:db8::1"},
		{"unknown", 403, 403, nil},
		{"127.0.0.1, garbage", 403, 403, nil},
		{"", 403, 403, nil},
	} {
		for repository, want := range map[string]int{"inside/a": c.inside, "open/a": c.open} {
			access.Reset()
			r := h.request("GET", "/v2/"+repository+"/manifests/v1", token, nil)
			r.Header.Set("X-Forwarded-For", c.forwarded)
			h.expect(r, want, "")
			var record map[string]any
			if err := json.Unmarshal(access.Bytes(), &record); err != nil || record["client_ip"] != c.ip {
				t.Errorf("%q: %v %s", c.forwarded, err, access.Bytes())
			}
			for _, up := range h.upstream.take() {
				if got := up.Header.Get("X-Forwarded-For"); got != c.ip {
					t.Errorf("%q: the upstream hears of %q", c.forwarded, got)
				}
			}
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"proxy":"127.0.0.1"`) {
		t.Errorf("log: %s", text)
	}
}
