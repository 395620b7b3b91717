package proxy

import (
	"fmt"
	"strings"
	"testing"

	"gatehouse/proxy/upstream"
)

const (
	aForm     = "Content-Type: " + formType + "\r\n"
	multipart = "Content-Type: multipart/form-data; boundary=b\r\n"
	uploads   = "/v2/team/app/blobs/uploads/"
	started   = "POST " + uploads
)

// form is the body that mounts a blob of a foreign repository at a registry that
// reads it, and parts is the same as a multipart body.
var (
	form  = "mount=" + digestA + "&from=secret/x"
	parts = "--b\r\nContent-Disposition: form-data; name=\"mount\"\r\n\r\n" + digestA + "\r\n--b\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\nsecret/x\r\n--b--\r\n"
)

// body is a request by alice with a body and its length.
func body(name, method, target, lines, text, want, seen string) attack {
	return send(name, method, target, fmt.Sprintf("%sContent-Length: %d\r\n", lines, len(text)), text, want, seen)
}

// start is an upload start by alice.
func start(name, query, want, seen string) attack {
	return send(name, "POST", uploads+query, "Content-Length: 0\r\n", "", want, seen)
}

// by is a request without a body by somebody.
func by(name, who, request, want, seen string) attack {
	return attack{name, request + " HTTP/1.1\r\nHost: gw.test\r\n" + who + "\r\nContent-Length: 0\r\n\r\n", want, seen}
}

// mounted is what the upstream sees of a mount that was allowed.
var mounted = started + "?mount=" + digestA + "&from=public%2Fx"

// scopeAttacks are rows D: what a request needs, and what the registry would do
// with parameters that were not judged.
var scopeAttacks = []attack{
	body("D1/form on an upload start", "POST", uploads, aForm, form, "400 UNSUPPORTED", ""),
	body("D1/multipart on an upload start", "POST", uploads, multipart, parts, "400 UNSUPPORTED", ""),
	body("D1/form behind an allowed mount", "POST", uploads+"?mount=$D&from=public/x", aForm, form, "400 UNSUPPORTED", ""),
	send("D1/form in chunks", "POST", uploads, aForm+chunked, "4\r\nfrom\r\n0\r\n\r\n", "400 UNSUPPORTED", ""),
	send("H3/empty chunks of a form", "POST", uploads, aForm+chunked, "0\r\n\r\n", "200", "POST /v2/team/app/blobs/uploads/"),
	body("D1/form on a monolithic upload", "POST", uploads+"?digest=$D", aForm, form, "200", started+"?digest="+digestA),
	body("D1/form on a chunk", "PATCH", uploads+"u", aForm, form, "200", "PATCH "+uploads+"u"),
	body("D1/multipart on an upload's end", "PUT", uploads+"u?digest=$D", multipart, parts, "200", "PUT "+uploads+"u?digest="+digestA),
	body("D1/form for a manifest", "PUT", "/v2/team/app/manifests/dev", "Content-Type:  Application/X-WWW-Form-Urlencoded ; charset=utf-8\r\n", form, "200", "PUT /v2/team/app/manifests/dev"),
	by("D1/form for a manifest, no token", aForm+"X: y", "PUT /v2/team/app/manifests/dev", "401 UNAUTHORIZED", ""),
	body("D1/multipart for a manifest", "PUT", "/v2/team/app/manifests/dev", multipart, parts, "200", "PUT /v2/team/app/manifests/dev"),
	body("D1/two types", "PUT", "/v2/team/app/manifests/dev", "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"+aForm, "tag=v1", "400 UNSUPPORTED", ""),
	by("D16/type of a form without a body", "$ALICE\r\nContent-Type: "+formType, "GET /v2/team/app/manifests/dev", "200", manifest),
	start("D2/mount from a foreign repository", "?mount=$D&from=secret/x", "200", started),
	start("D2/mount that is allowed", "?mount=$D&from=public/x", "200", mounted),
	start("D3/source not in the token", "?mount=$D&from=team/lib", "200", started),
	start("D4/two sources", "?mount=$D&from=public/x&from=secret/x", "400 UNSUPPORTED", ""),
	start("D4/an encoded key", "?mount=$D&from=public/x&fr%6fm=secret/x", "400 UNSUPPORTED", ""),
	start("D4/semicolon", "?mount=$D;from=secret/x", "400 UNSUPPORTED", ""),
	start("D4/bad encoding", "?mount=$D&from=%zz", "400 UNSUPPORTED", ""),
	start("D4/control character", "?mount=$D&from=public/x%00", "400 UNSUPPORTED", ""),
	start("D4/too many", "?"+strings.Repeat("a=b&", 11000)+"mount=$D&from=secret/x", "400 UNSUPPORTED", ""),
	start("D4/oversized", "?last="+strings.Repeat("x", 16<<10), "400 UNSUPPORTED", ""),
	start("D4/capitals are another key", "?MOUNT=$D&From=secret/x", "200", started),
	start("D4/no name at all", "?=&&=x&mount", "400 DIGEST_INVALID", ""),
	start("D4/source outside the grammar", "?mount=$D&from=../secret/x", "400 NAME_INVALID", ""),
	send("D4/mount on a session", "PATCH", uploads+"u?_state=a%26from%3Dsecret&mount=$D&from=secret/x", "Content-Length: 0\r\n", "", "200", "PATCH "+uploads+"u?_state=a%26from%3Dsecret"),
	start("D5/mount without a source", "?mount=$D", "200", started),
	by("D6/session under a foreign repository", "$ALICE", "GET /v2/secret/x/blobs/uploads/u", "403 DENIED", ""),
	by("D7/session read by who may only pull", "$BOB", "GET /v2/public/x/blobs/uploads/u", "403 DENIED", ""),
	by("D7/HEAD of a session", "$BOB", "HEAD /v2/public/x/blobs/uploads/u", "405", ""),
	by("D7/session cancelled by who may only pull", "$BOB", "DELETE /v2/public/x/blobs/uploads/u", "403 DENIED", ""),
	by("D8/DELETE by who may push", "$ALICE", "DELETE /v2/team/app/manifests/dev", "403 DENIED", ""),
	by("D8/DELETE of a blob", "$ALICE", "DELETE /v2/team/app/blobs/$D", "403 DENIED", ""),
	by("D8/DELETE by who may", "$ROOT", "DELETE /v2/team/app/manifests/dev", "200", "DELETE /v2/team/app/manifests/dev"),
	body("D9/protected tag", "PUT", "/v2/team/app/manifests/v1", "", "{}", "403 DENIED", ""),
	body("D9/protected tag by a digest", "PUT", "/v2/team/app/manifests/$D?tag=dev&tag=v1", "", "{}", "403 DENIED", ""),
	body("D9/free tag by a digest", "PUT", "/v2/team/app/manifests/$D?tag=dev", "", "{}", "200", "PUT /v2/team/app/manifests/$D?tag=dev"),
	by("D12/foreign referrers", "$ALICE", "GET /v2/secret/x/referrers/$D", "403 DENIED", ""),
	by("D12/foreign fallback tag", "$ALICE", "GET /v2/secret/x/manifests/sha256-"+strings.Repeat("a", 64), "403 DENIED", ""),
	by("D12/referrers", "$ALICE", "GET /v2/team/app/referrers/$D?artifactType=a%2Fb", "200", "GET /v2/team/app/referrers/$D?artifactType=a%2Fb"),
	by("D14/negative n", "$ALICE", "GET /v2/team/app/tags/list?n=-1", "400 PAGINATION_NUMBER_INVALID", ""),
	by("D14/n in powers", "$ALICE", "GET /v2/team/app/tags/list?n=1e9", "400 PAGINATION_NUMBER_INVALID", ""),
	by("D14/huge n", "$ALICE", "GET /v2/team/app/tags/list?n=99999999999999999999", "200", "GET /v2/team/app/tags/list?n=1000"),
	by("D14/two n", "$ALICE", "GET /v2/team/app/tags/list?n=1&n=2", "400 UNSUPPORTED", ""),
	by("D14/n with a sign", "$ALICE", "GET /v2/team/app/tags/list?n=%2B1", "400 PAGINATION_NUMBER_INVALID", ""),
	by("D16/HEAD", "$ALICE", "HEAD /v2/secret/x/manifests/v1", "403", ""),
	by("D16/conditional", "$ALICE\r\nIf-None-Match: \"$D\"", "GET /v2/secret/x/manifests/v1", "403 DENIED", ""),
	by("D16/range", "$ALICE\r\nRange: bytes=0-0", "GET /v2/secret/x/blobs/$D", "403 DENIED", ""),
	by("D16/range of a narrow token", "$BOB\r\nRange: bytes=0-0", "GET /v2/team/app/blobs/$D", "403 DENIED", ""),
	by("D22/anonymous token", "$ANYONE", "GET /v2/team/app/manifests/dev", "401 UNAUTHORIZED insufficient_scope", ""),
	by("D22/anonymous token where all may pull", "$ANYONE", "GET /v2/public/x/manifests/v1", "200", "GET /v2/public/x/manifests/v1"),
	by("D22/anonymous token pushes", "$ANYONE", "POST /v2/public/x/blobs/uploads/", "401 UNAUTHORIZED insufficient_scope", ""),
	by("D24/token as a password", "Authorization: Basic $BASIC", "GET /v2/team/app/manifests/dev", "401 UNAUTHORIZED", ""),
	by("E18/token in the query", "X: y", "GET /v2/team/app/manifests/dev?access_token=$TOKEN&token=$TOKEN", "401 UNAUTHORIZED", ""),
}

// TestScopes sends what asks for more than it says.
func TestScopes(t *testing.T) { run(t, newArena(t, nil), scopeAttacks) }

// TestUploadTypes: no body that goes on has a type that a registry would parse.
func TestUploadTypes(t *testing.T) {
	a := newArena(t, nil)
	for _, c := range scopeAttacks {
		if !strings.HasPrefix(c.name, "D1/") || c.seen == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			a.verdict(a.fill(c.raw))
			seen, _ := a.wire.take()
			if len(seen) != 1 || seen[0].header.Get("Content-Type") != "application/octet-stream" || len(seen[0].header.Values("Content-Type")) != 1 ||
				seen[0].body != form && seen[0].body != parts {
				t.Errorf("the upstream saw %+v", seen)
			}
		})
	}
}

// TestMountProfile: without the operator's word that the upstream honours `from`,
// nothing is mounted.
func TestMountProfile(t *testing.T) {
	a := newArena(t, func(c *Config) { c.Upstream.BlobMount = upstream.MountNever })
	run(t, a, []attack{start("D5/mount of an unproven upstream", "?mount=$D&from=public/x", "200", started)})
}

// TestExistence: what exists and what does not is refused with the same bytes but
// for the request id, and the upstream is not asked.
func TestExistence(t *testing.T) {
	a := newArena(t, nil)
	refusal := func(request string) string {
		answers, _, _ := a.verdict(a.fill(by("", "$ALICE", request, "", "").raw))
		r := answers[0]
		id := r.header.Get("X-Request-Id")
		r.header.Del("Date")
		return strings.ReplaceAll(fmt.Sprint(r.status, r.header, r.body), id, "ID")
	}
	for _, target := range []string{"GET /v2/%s/manifests/v1", "HEAD /v2/%s/manifests/v1", "GET /v2/%s/tags/list", "GET /v2/%s/blobs/$D", "POST /v2/%s/blobs/uploads/", "DELETE /v2/%s/manifests/v1"} {
		t.Run("D15/"+strings.ReplaceAll(target, "/", " "), func(t *testing.T) {
			there, missing := refusal(fmt.Sprintf(target, "secret/x")), refusal(fmt.Sprintf(target, "secret/y"))
			if strings.ReplaceAll(there, "secret/x", "secret/y") != missing {
				t.Errorf("%s\n%s", there, missing)
			}
			if _, seen := a.arrivals(); seen != "" {
				t.Errorf("the upstream saw %s", seen)
			}
		})
	}
}
