package proxy

import (
	"strings"
	"testing"
)

// attack is one raw request. $ALICE and so on are Authorization fields, $TOKEN is
// alice's, $D a digest. A request without a Host gets gw.test's.
type attack struct {
	name string // begins with the row of the threat catalogue
	raw  string
	want string // the answers: status, code, the challenge's error
	seen string // the requests that reached the upstream; "": not a byte
}

// get is a GET by alice.
func get(name, target, want, seen string) attack {
	return attack{name, "GET " + target + " HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n", want, seen}
}

// with is a GET of a manifest that alice may pull, with more header lines.
func with(name, lines, want, seen string) attack {
	return attack{name, "GET /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\n" + lines + "\r\n", want, seen}
}

// send is another method by alice, with a body of known length.
func send(name, method, target, lines, body, want, seen string) attack {
	return attack{name, method + " " + target + " HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n" + lines + "\r\n" + body, want, seen}
}

// manifest is where an honest request of alice's leads.
const manifest = "GET /v2/team/app/manifests/dev"

// pathAttacks are rows A: what the target means here and at the registry.
var pathAttacks = []attack{
	get("A0/control", "/v2/team/app/manifests/dev", "200", manifest),
	get("A1/slash", "/v2/team%2fapp/manifests/dev", "400 UNSUPPORTED", ""),
	get("A1/slash in capitals", "/v2/team%2Fapp/manifests/dev", "400 UNSUPPORTED", ""),
	get("A1/underscore", "/v2/%5fcatalog", "400 UNSUPPORTED", ""),
	get("A1/api", "/%76%32/_catalog", "400 UNSUPPORTED", ""),
	get("A1/letter of a tag", "/v2/team/app/manifests/%64ev", "400 UNSUPPORTED", ""),
	get("A1/twice", "/v2/team%252fapp/manifests/dev", "400 UNSUPPORTED", ""),
	get("A1/realm", "/%61uth", "400 UNSUPPORTED", ""),
	get("A1/colon of a digest", "/v2/team/app/manifests/sha256%3A"+strings.Repeat("a", 64), "200", "GET /v2/team/app/manifests/$D"),
	get("A1/colon of a tag", "/v2/team/app/manifests/v%3A1", "400 UNSUPPORTED", ""),
	get("A2/dots", "/v2/team/app/../../secret/x/manifests/v1", "400 UNSUPPORTED", ""),
	get("A2/one dot", "/v2/team/./app/manifests/dev", "400 UNSUPPORTED", ""),
	get("A2/encoded dots", "/v2/team/app/%2e%2e/%2e%2e/secret/x/manifests/v1", "400 UNSUPPORTED", ""),
	get("A2/out of the api", "/v2/../v2/_catalog", "400 UNSUPPORTED", ""),
	get("A2/at the end", "/v2/secret/x/manifests/..", "400 UNSUPPORTED", ""),
	get("A3/authority", "//v2/_catalog", "400 UNSUPPORTED", ""),
	get("A3/authority with a host", "//other/v2/_catalog", "400 UNSUPPORTED", ""),
	get("A3/in a name", "/v2//secret/x/manifests/v1", "400 UNSUPPORTED", ""),
	get("A3/before the keyword", "/v2/secret/x//manifests/v1", "400 UNSUPPORTED", ""),
	get("A4/base", "/v2", "200", ""),
	get("A4/base with a slash", "/v2/", "200", ""),
	attack{"A4/base without a token", "GET /v2 HTTP/1.1\r\nHost: gw.test\r\n\r\n", "401 UNAUTHORIZED", ""},
	get("A4/catalog", "/v2/_catalog/", "404 UNSUPPORTED", ""),
	get("A4/tags", "/v2/team/app/tags/list/", "404 UNSUPPORTED", ""),
	get("A4/manifest", "/v2/team/app/manifests/dev/", "404 UNSUPPORTED", ""),
	send("A4/upload start", "POST", "/v2/team/app/blobs/uploads", "Content-Length: 0\r\n", "", "404 UNSUPPORTED", ""),
	get("A5/api", "/V2/", "404 UNSUPPORTED", ""),
	get("A5/catalog", "/v2/_CATALOG", "404 UNSUPPORTED", ""),
	get("A5/keyword", "/v2/team/app/Manifests/dev", "404 UNSUPPORTED", ""),
	get("A5/name", "/v2/Team/app/manifests/dev", "400 NAME_INVALID", ""),
	get("A5/name with a port", "/v2/x:5000/y/tags/list", "400 NAME_INVALID", ""),
	get("A6/encoded NUL", "/v2/team%00/app/manifests/dev", "400 UNSUPPORTED", ""),
	get("A6/overlong", "/v2%c0%afteam/app/manifests/dev", "400 UNSUPPORTED", ""),
	get("A6/raw UTF-8", "/v2/te\u00e4m/app/manifests/dev", "400 UNSUPPORTED", ""),
	get("A6/backslash", `/v2\team/app/manifests/dev`, "400 UNSUPPORTED", ""),
	get("A6/NUL", "/v2/team\x00/app/manifests/dev", "400", ""),
	get("A6/tab", "/v2/team\t/app/manifests/dev", "400", ""),
	get("A6/space", "/v2/team /app/manifests/dev", "400", ""),
	get("A6/long name", "/v2/"+strings.Repeat("a", 256)+"/tags/list", "400 NAME_INVALID", ""),
	get("A7/catalog", "/v2/_catalog;x", "404 UNSUPPORTED", ""),
	get("A7/name", "/v2/team;a/app/manifests/dev", "404 UNSUPPORTED", ""),
	get("A8/path in the query", "/v2/secret/x/manifests/v1?x=/v2/", "403 DENIED", ""),
	get("A8/fragment", "/v2/secret/x/manifests/v1#/v2/", "400 UNSUPPORTED", ""),
	get("A8/fragment in the query", "/v2/team/app/manifests/dev?x=#/v2/", "400 UNSUPPORTED", ""),
	get("A9/tags list twice", "/v2/team/app/tags/list/manifests/v1", "200", "GET /v2/team/app/tags/list/manifests/v1"),
	get("A9/uploads in a name", "/v2/team/blobs/uploads/manifests/v1", "200", "GET /v2/team/blobs/uploads/manifests/v1"),
	get("A9/foreign name of keywords", "/v2/manifests/manifests/manifests", "403 DENIED", ""),
	get("A9/foreign name before ours", "/v2/secret/x/manifests/team/app/manifests/dev", "403 DENIED", ""),
	send("A10/dots as a session", "PATCH", "/v2/team/app/blobs/uploads/..", "Content-Length: 1\r\n", "x", "400 UNSUPPORTED", ""),
	send("A10/one dot as a session", "PATCH", "/v2/team/app/blobs/uploads/.", "Content-Length: 1\r\n", "x", "400 UNSUPPORTED", ""),
	get("A11/foreign absolute form", "http://other/v2/_catalog", "421 UNSUPPORTED", ""),
	get("A11/our absolute form", "http://gw.test/v2/team/app/manifests/dev", "200", manifest),
	get("A11/absolute form without a path", "http://gw.test", "400 UNSUPPORTED", ""),
	get("A11/credentials in the authority", "http://a:b@gw.test/v2/team/app/manifests/dev", "200", manifest),
	attack{"A11/foreign Host with our target", "GET http://gw.test/v2/team/app/manifests/dev HTTP/1.1\r\nHost: other\r\n$ALICE\r\n\r\n", "200", manifest},
	get("A12/asterisk", "*", "400 UNSUPPORTED", ""),
	attack{"A12/asterisk of OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n", "400 UNSUPPORTED", ""},
	attack{"A12/authority form", "GET gw.test:80 HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n", "400 UNSUPPORTED", ""},
	attack{"A12/no path", "GET gw.test HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n", "400", ""},
	send("A13/TRACE", "TRACE", "/v2/team/app/manifests/dev", "", "", "405 UNSUPPORTED", ""),
	send("A13/OPTIONS", "OPTIONS", "/v2/team/app/manifests/dev", "", "", "405 UNSUPPORTED", ""),
	send("A13/lower case", "get", "/v2/team/app/manifests/dev", "", "", "405 UNSUPPORTED", ""),
	send("A13/PROPFIND", "PROPFIND", "/v2/", "", "", "405 UNSUPPORTED", ""),
	send("A13/another endpoint's method", "PATCH", "/v2/team/app/manifests/dev", "Content-Length: 0\r\n", "", "405 UNSUPPORTED", ""),
	send("A13/override", "POST", "/v2/team/app/blobs/uploads/", "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\nContent-Length: 0\r\n", "", "200", "POST /v2/team/app/blobs/uploads/"),
	with("A14/websocket", "$ALICE\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n", "200", manifest),
	with("A14/h2c", "$ALICE\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", "200", manifest),
	get("A15/zot", "/v2/_zot/ext/search", "404 UNSUPPORTED", ""),
	get("A15/oci extension", "/v2/_oci/ext/discover", "404 UNSUPPORTED", ""),
	get("A15/metrics", "/metrics", "404 UNSUPPORTED", ""),
	get("A15/pprof", "/debug/pprof/", "404 UNSUPPORTED", ""),
	get("A15/v1", "/v1/_ping", "404 UNSUPPORTED", ""),
	get("A15/harbor", "/api/v2.0/projects", "404 UNSUPPORTED", ""),
	attack{"A17/capitals, dot and port", "GET /v2/ HTTP/1.1\r\nHost: GW.TEST.:80\r\n$ALICE\r\n\r\n", "200", ""},
	attack{"A17/unknown", "GET /v2/ HTTP/1.1\r\nHost: other\r\n$ALICE\r\n\r\n", "421 UNSUPPORTED", ""},
	attack{"A17/another port", "GET /v2/ HTTP/1.1\r\nHost: gw.test:81\r\n$ALICE\r\n\r\n", "421 UNSUPPORTED", ""},
	attack{"A17/two", "GET /v2/ HTTP/1.1\r\nHost: gw.test\r\nHost: gw.test\r\n$ALICE\r\n\r\n", "400", ""},
	attack{"A17/none", "GET /v2/ HTTP/1.1\r\n$ALICE\r\n\r\n", "400", ""},
	attack{"A17/none by HTTP/1.0", "GET /v2/ HTTP/1.0\r\n$ALICE\r\n\r\n", "421 UNSUPPORTED", ""},
}

// headerAttacks are rows B: who is believed, and who is told what.
var headerAttacks = []attack{
	with("B1/Connection names ours", "$ALICE\r\nConnection: Authorization, X-Forwarded-For, X-Request-Id, Accept\r\nAccept: a/b\r\n", "200", manifest),
	with("B2/identity", "X-Remote-User: root\r\nX_Forwarded_User: root\r\nX-Forwarded.User: root\r\nRemote-User: root\r\nX-Auth-Request-User: root\r\n", "401 UNAUTHORIZED", ""),
	with("B5/bearer, then basic", "$ALICE\r\nAuthorization: Basic eDp5\r\n", "400 UNSUPPORTED", ""),
	with("B5/basic, then bearer", "Authorization: Basic eDp5\r\n$ALICE\r\n", "400 UNSUPPORTED", ""),
	with("B5/the same twice", "$ALICE\r\n$ALICE\r\n", "400 UNSUPPORTED", ""),
	with("B6/lower case", "authorization: bearer $TOKEN\r\n", "200", manifest),
	with("B6/two spaces", "Authorization: Bearer  $TOKEN\r\n", "401 UNAUTHORIZED invalid_token", ""),
	with("B6/comma", "Authorization: Bearer $TOKEN,x\r\n", "401 UNAUTHORIZED invalid_token", ""),
	with("B6/tab", "Authorization: Bearer\t$TOKEN\r\n", "401 UNAUTHORIZED", ""),
	with("B6/no scheme", "Authorization: $TOKEN\r\n", "401 UNAUTHORIZED", ""),
	with("B6/bare scheme", "Authorization: Bearer\r\n", "401 UNAUTHORIZED invalid_token", ""),
	with("B6/empty", "Authorization:\r\n", "401 UNAUTHORIZED", ""),
	with("B6/another scheme", "Authorization: Token $TOKEN\r\n", "401 UNAUTHORIZED", ""),
	attack{"B7/Host", "GET /v2/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421 UNSUPPORTED", ""},
	attack{"B7/X-Forwarded-Host", "GET /v2/ HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil.example\r\n\r\n", "401 UNAUTHORIZED", ""},
	attack{"B10/another path", "GET /v2/secret/x/manifests/v1 HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nX-Original-URL: /v2/\r\nX-Rewrite-URL: /v2/\r\nX-Forwarded-Uri: /v2/\r\nX-Forwarded-Prefix: /x\r\n\r\n", "403 DENIED", ""},
	attack{"B11/health check", "GET /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\nUser-Agent: kube-probe/1.30\r\nX-Health-Check: 1\r\n\r\n", "401 UNAUTHORIZED", ""},
	get("B12/quote", `/v2/a",realm="x/tags/list`, "400 NAME_INVALID", ""),
	get("B12/encoded quote", "/v2/a%22,realm=%22x/tags/list", "400 UNSUPPORTED", ""),
	attack{"B12/quote in Host", "GET /v2/ HTTP/1.1\r\nHost: a\"b\r\n\r\n", "400", ""},
}

func run(t *testing.T, a *arena, table []attack) {
	t.Helper()
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			a.t = t
			_, got, _ := a.verdict(a.fill(c.raw))
			_, seen := a.arrivals()
			if got != c.want || seen != a.fill(c.seen) {
				t.Errorf("%.300q\nanswered %q, want %q\nthe upstream saw %q, want %q", c.raw, got, c.want, seen, a.fill(c.seen))
			}
		})
	}
}

// TestPaths sends raw request targets over HTTP/1.1.
func TestPaths(t *testing.T) { run(t, newArena(t, nil), pathAttacks) }

// TestHeaders sends raw header fields over HTTP/1.1.
func TestHeaders(t *testing.T) { run(t, newArena(t, nil), headerAttacks) }
