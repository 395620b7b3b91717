package proxy

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// patch is a PATCH of an upload session by alice with the given framing.
func patch(name, lines, body, want, seen string) attack {
	return attack{name, "PATCH /v2/team/app/blobs/uploads/u HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n" + lines + "\r\n" + body, want, seen}
}

// put is a manifest PUT by alice.
func put(name, lines, body, want, seen string) attack {
	return attack{name, "PUT /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n" + lines + "\r\n" + body, want, seen}
}

// bodyless is a request by alice whose endpoint has no body, with one in chunks.
func bodyless(name, line, chunks, want, seen string) attack {
	first, rest, found := strings.Cut(line, " HTTP/1.1\r\n")
	if found {
		rest += "\r\n"
	}
	return attack{name, first + " HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n" + rest + chunked + "\r\n" + chunks, want, seen}
}

const (
	lastChunk = "0\r\n\r\n"

	chunked = "Transfer-Encoding: chunked\r\n"
	patched = "PATCH /v2/team/app/blobs/uploads/u"
	hidden  = "GET /v2/secret/x/manifests/v1 HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n"
	inside  = "GET /v2/secret/x/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n" // as an attacker wants the registry to read it
)

// framingAttacks are rows C: where a request ends. What follows a request on its
// connection is judged alone, and never reaches the upstream as it came.
var framingAttacks = []attack{
	patch("C1/both lengths", "Content-Length: 4\r\n"+chunked, "3\r\nabc\r\n0\r\n\r\n"+hidden, "200, 403 DENIED", patched),
	patch("C1/both lengths, the other order", chunked+"Content-Length: 400\r\n", "0\r\n\r\n"+hidden, "200, 403 DENIED", patched),
	patch("C1/a request in a body", "Content-Length: 52\r\n", inside, "200", patched),
	patch("C2/two lengths", "Content-Length: 3\r\nContent-Length: 5\r\n", "abcde", "400", ""),
	patch("C2/plus", "Content-Length: +4\r\n", "abcd", "400", ""),
	patch("C2/minus", "Content-Length: -4\r\n", "abcd", "400", ""),
	patch("C2/list", "Content-Length: 4, 4\r\n", "abcd", "400", ""),
	patch("C2/hex", "Content-Length: 0x4\r\n", "abcd", "400", ""),
	patch("C2/empty", "Content-Length:\r\n", "abcd", "400", ""),
	patch("C2/overflow", "Content-Length: 18446744073709551620\r\n", "abcd", "400", ""),
	patch("C3/identity", "Transfer-Encoding: identity\r\n", "abcd", "501", ""),
	patch("C3/xchunked", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", "501", ""),
	patch("C3/list", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", "501", ""),
	patch("C3/twice", chunked+chunked, "0\r\n\r\n", "501", ""),
	patch("C3/vertical tab", "Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n", "400", ""),
	patch("C3/space before the colon", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n", "400", ""),
	put("C4/bare LF in a chunk size", chunked, "2\n{}\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C4/bare LF in an extension", chunked, "2;\n{}\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C4/sign of a chunk size", chunked, "+2\r\n{}\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C4/prefix of a chunk size", chunked, "0x2\r\n{}\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C4/huge chunk size", chunked, "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C4/chunk longer than its size", chunked, "1\r\n{}\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C5/extensions without end", chunked, strings.Repeat("1;"+strings.Repeat("x", 3000)+"\r\nx\r\n", 20)+"0\r\n\r\n", "400 SIZE_INVALID", ""),
	put("C5/one large extension", chunked, "1;"+strings.Repeat("x", 64<<10)+"\r\nx\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
	patch("C6/trailers", chunked+"Trailer: Authorization, X-Forwarded-For, Digest\r\n", "3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 6.6.6.6\r\nDigest: x\r\n\r\n", "200", patched),
	patch("C6/undeclared trailers", chunked, "3\r\nabc\r\n0\r\nCookie: a=b\r\nFrom: secret/x\r\n\r\n", "200", patched),
	with("C7/fold in Authorization", "$ALICE\r\n x\r\n", "401 UNAUTHORIZED invalid_token", ""),
	with("C7/fold before the token", "Authorization: Bearer\r\n $TOKEN\r\n", "200", manifest),
	{"C7/bare LF", "GET /v2/team/app/manifests/dev HTTP/1.1\nHost: gw.test\n$ALICE\nAccept: a/b\n\n", "200", manifest},
	{"C7/bare LF and a foreign name", "GET /v2/secret/x/manifests/v1 HTTP/1.1\nHost: gw.test\n$ALICE\n\n", "403 DENIED", ""},
	with("C8/space before a colon", "Authorization : Bearer $TOKEN\r\n", "400", ""),
	with("C8/NUL", "$ALICE\r\nX-A: a\x00b\r\n", "400", ""),
	with("C8/bare CR", "$ALICE\r\nX-A: a\rTransfer-Encoding: chunked\r\n", "400", ""),
	with("C8/space in a name", "$ALICE\r\nX A: b\r\n", "400", ""),
	with("C8/no name", "$ALICE\r\n: b\r\n", "400", ""),
	with("C8/no colon", "$ALICE\r\nnonsense\r\n", "400", ""),
	{"C8/fold in the first line", "GET /v2/ HTTP/1.1\r\n Host: gw.test\r\n\r\n", "400", ""},
	{"C8/version", "GET /v2/ HTTP/3.0\r\nHost: gw.test\r\n\r\n", "505", ""},
	{"C8/no version", "GET /v2/\r\nHost: gw.test\r\n\r\n", "400", ""},
	{"C10/CONNECT", "CONNECT gw.test HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n" + inside, "400 UNSUPPORTED", ""},
	{"C10/CONNECT to a path", "CONNECT /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\n\r\n" + hidden, "405 UNSUPPORTED", ""},
	{"C10/CONNECT with a body", "CONNECT gw.test HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Length: 52\r\n\r\n" + inside, "400 UNSUPPORTED", ""},
	{"C12/preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "421 UNSUPPORTED", ""},
	{"C12/preface as a request", "PRI * HTTP/1.1\r\nHost: gw.test\r\n\r\n", "400 UNSUPPORTED", ""},
	{"C15/GET", "GET /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Length: 4\r\n\r\nabcd", "400 UNSUPPORTED", ""},
	bodyless("C15/GET in chunks", "GET "+dev, "1\r\nx\r\n0\r\n\r\n", "400 UNSUPPORTED", ""),
	bodyless("C15/DELETE in chunks", "DELETE /v2/team/app/blobs/uploads/u", "1\r\nx\r\n0\r\n\r\n", "400 UNSUPPORTED", ""),
	bodyless("C15/POST in chunks", "POST "+uploads, "1\r\nx\r\n0\r\n\r\n", "400 UNSUPPORTED", ""),
	bodyless("C15/broken chunk", "GET "+dev, "x\r\n\r\n", "400 SIZE_INVALID", ""),
	// H3: no content is no body, however it is framed.
	bodyless("H3/GET", "GET "+dev, lastChunk, "200", manifest),
	bodyless("H3/HEAD", "HEAD "+dev, lastChunk, "200", "HEAD "+dev),
	bodyless("H3/DELETE of a session", "DELETE /v2/team/app/blobs/uploads/u", lastChunk, "200", "DELETE /v2/team/app/blobs/uploads/u"),
	bodyless("H3/POST", "POST "+uploads, lastChunk, "200", "POST "+uploads),
	bodyless("H3/POST as a form", "POST "+uploads+" HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded", lastChunk, "200", "POST "+uploads),
	bodyless("H3/GET of tags", "GET /v2/team/app/tags/list", lastChunk, "200", "GET /v2/team/app/tags/list"),
	bodyless("H3/GET of the base", "GET /v2/", lastChunk, "200", ""),
	bodyless("H3/GET of a session", "GET /v2/team/app/blobs/uploads/u", lastChunk, "200", "GET /v2/team/app/blobs/uploads/u"),
	{"H3/GET of the realm", "GET /auth HTTP/1.1\r\nHost: gw.test\r\n" + chunked + "\r\n" + lastChunk, "200", ""},
	bodyless("H3/trailers", "GET "+dev, "0\r\nX-From: secret/x\r\n\r\n", "200", manifest),
	bodyless("H3/then a request", "GET "+dev, lastChunk+hidden, "200, 403 DENIED", manifest),
	{"H3/refused, and on", "GET " + dev + " HTTP/1.1\r\nHost: gw.test\r\n" + chunked + "\r\n" + lastChunk + hidden, "401 UNAUTHORIZED, 403 DENIED", ""},
	{"C15/HEAD", "HEAD /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Length: 4\r\n\r\nabcd", "400", ""},
	{"C15/DELETE", "DELETE /v2/team/app/blobs/uploads/u HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Length: 4\r\n\r\nabcd", "400 UNSUPPORTED", ""},
	{"C15/GET of the realm", "GET /auth HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 4\r\n\r\nabcd", "400 UNSUPPORTED", ""},
	{"C15/GET without length", "GET /v2/team/app/manifests/dev HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Length: 0\r\n\r\n", "200", manifest},
}

// TestFraming sends raw framing over HTTP/1.1.
func TestFraming(t *testing.T) { run(t, newArena(t, nil), framingAttacks) }

// TestFramingCloses: after bad framing nothing more is read from that client.
func TestFramingCloses(t *testing.T) {
	a := newArena(t, nil)
	for _, c := range framingAttacks {
		row, _, _ := strings.Cut(c.name, "/")
		if !slices.Contains([]string{"C2", "C3", "C4", "C5", "C8"}, row) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if _, got, alive := a.verdict(a.fill(c.raw)); alive || strings.Contains(got, ",") {
				t.Errorf("%q: the connection lives on: %s", c.raw, got)
			}
		})
	}
	a.wire.take()
}

// TestBrokenUploads: an upload whose framing breaks while it is streamed never
// looks whole to the upstream.
func TestBrokenUploads(t *testing.T) {
	a := newArena(t, nil)
	for _, c := range []attack{
		patch("C4/bare LF in a chunk size", chunked, "3\nabc\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
		patch("C4/bare LF after a good chunk", chunked, "3\r\nabc\r\n3\nabc\r\n0\r\n\r\n", "400 SIZE_INVALID", ""),
		patch("C5/extensions without end", chunked, strings.Repeat("1;"+strings.Repeat("x", 3000)+"\r\nx\r\n", 20)+"0\r\n\r\n", "400 SIZE_INVALID", ""),
		patch("C6/broken trailer", chunked, "3\r\nabc\r\n0\r\nno trailer\r\n\r\n", "400 SIZE_INVALID", ""),
	} {
		t.Run(c.name, func(t *testing.T) {
			a.t = t
			_, got, alive := a.verdict(a.fill(c.raw))
			if got != c.want || alive {
				t.Errorf("answered %q, alive %v", got, alive)
			}
		})
	}
	a.verdict(a.fill("GET /v2/public/x/manifests/v1 HTTP/1.1\r\nHost: gw.test\r\n$BOB\r\n\r\n"))
	seen, _ := a.wire.take()
	for _, r := range seen {
		if r.whole != (r.line == "GET /v2/public/x/manifests/v1") {
			t.Errorf("the upstream saw %+v", r)
		}
	}
}

// TestOutgoingFraming: what the upstream gets is framed by us.
func TestOutgoingFraming(t *testing.T) {
	a := newArena(t, nil)
	for _, c := range []struct {
		attack
		body, length, encoding string
	}{
		{patch("C1/both lengths", "Content-Length: 4\r\n"+chunked, "3\r\nabc\r\n0\r\n\r\n", "", ""), "abc", "", ""},
		{patch("C6/trailers", chunked+"Trailer: X-Gw\r\n", "3;ext=1\r\nabc\r\n0\r\nX-Gw: 1\r\n\r\n", "", ""), "abc", "", ""},
		{patch("C1/a length", "Content-Length: 3\r\n", "abc", "", ""), "abc", "3", ""},
		{put("C1/a manifest in chunks", chunked, "2\r\n{}\r\n0\r\n\r\n", "", ""), "{}", "2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.verdict(a.fill(c.raw))
			seen, raw := a.wire.take()
			if len(seen) != 1 || !seen[0].whole || seen[0].body != c.body || seen[0].header.Get("Content-Length") != c.length ||
				strings.Count(raw, "Content-Length")+strings.Count(raw, "Transfer-Encoding: chunked") != 1 || strings.Contains(raw, "Trailer") || strings.Contains(raw, "X-Gw") || strings.Contains(raw, "ext=1") {
				t.Errorf("the upstream got %q", raw)
			}
		})
	}
}

// TestUpstreamConnections: no connection to the upstream is used again after an
// exchange that did not end as it should.
func TestUpstreamConnections(t *testing.T) {
	a := newArena(t, nil)
	connection := func() int {
		t.Helper()
		if _, got, _ := a.verdict(a.fill("GET /v2/public/x/manifests/v1 HTTP/1.1\r\nHost: gw.test\r\n$BOB\r\n\r\n")); got != "200" {
			t.Fatalf("the next user got %s", got)
		}
		seen, _ := a.wire.take()
		if len(seen) == 0 || seen[len(seen)-1].line != "GET /v2/public/x/manifests/v1" {
			t.Fatalf("the upstream saw %v", seen)
		}
		return seen[len(seen)-1].conn
	}
	first := connection()
	if connection() != first {
		t.Error("an idle connection was not used again")
	}
	upload := func() int {
		t.Helper()
		if _, got, _ := a.verdict(a.fill(patch("", "Content-Length: 3\r\n", "abc", "", "").raw)); got != "200" {
			t.Fatalf("the next upload got %s", got)
		}
		seen, _ := a.wire.take()
		return seen[len(seen)-1].conn
	}
	t.Run("C14/abort in a PATCH", func(t *testing.T) {
		before, reads := upload(), connection()
		if upload() != before {
			t.Error("an idle connection was not used again")
		}
		conn, err := net.Dial("tcp", a.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, a.fill("PATCH /v2/team/app/blobs/uploads/u HTTP/1.1\r\nHost: gw.test\r\n$ALICE\r\nContent-Length: 1000\r\n\r\nGET /v2/secret/x/"))
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn) // until the gateway is done with it
		conn.Close()
		if upload() == before || connection() != reads {
			t.Error("the connection of an aborted upload was used again, or another is not")
		}
	})
	for name, answer := range map[string]string{
		"C14/bytes after the answer": plainAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
		"C14/answer cut":             "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort" + hangUp,
		"C14/two lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort!",
		"C14/no HTTP":                "nonsense\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := connection()
			a.wire.answers(func(*http.Request) string {
				a.wire.answers(func(*http.Request) string { return plainAnswer })
				return answer
			})
			answers := a.send(a.fill(get("", "/v2/team/app/blobs/"+digestA, "", "").raw))
			for _, r := range answers {
				if strings.Contains(r.body, "forged") {
					t.Errorf("the client got %+v", r)
				}
			}
			if connection() == before {
				t.Error("the connection was used again")
			}
		})
	}
	t.Run("C14/early answer", func(t *testing.T) {
		a.wire.answerEarly(true)
		_, got, _ := a.verdict(a.fill(patch("", "Content-Length: 52\r\n", inside, "", "").raw))
		a.wire.answerEarly(false)
		if got != "200" {
			t.Errorf("answered %s", got)
		}
		a.wire.take() // the upstream reads on after its answer, and notes a request at its end
		connection()
	})
}
