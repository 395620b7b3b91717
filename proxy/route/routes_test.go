package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// describe writes all that is known of a route, leaving out what is empty.
func describe(r Route) string {
	var b strings.Builder
	b.WriteString(string(r.Kind))
	put := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, strings.ReplaceAll(value, digestA, "D"))
		}
	}
	put("name", r.Repository)
	put("ref", r.Reference)
	if r.Tag {
		put("is", "tag")
	}
	put("tags", strings.Join(r.Tags, ","))
	put("mount", r.Mount)
	put("from", r.Source)
	put("digest", r.Digest)
	if r.Page >= 0 {
		put("page", fmt.Sprint(r.Page))
	}
	put("last", r.Last)
	var query []string
	for _, p := range r.Query {
		query = append(query, p.Key+":"+p.Value)
	}
	put("query", strings.Join(query, "&"))
	put("need", string(r.Need.Action))
	put("scope", strings.ReplaceAll(r.Scope(), " ", "+"))
	if r.CarriesBody() {
		put("body", "yes")
	}
	return b.String()
}

// TestRoutes: everything that is read from a request, for each endpoint and
// parameter; D is a digest.
func TestRoutes(t *testing.T) {
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat("x=1&", n), "&") }
	for _, c := range []struct{ request, want string }{
		{"GET /v2", "base"},
		{"HEAD /v2/?n=1&x=2", "base"},
		{"GET /auth?scope=%zz;&n=x", "realm"},
		{"POST /auth", "realm body=yes"},
		{"GET http://gw/v2/", "base"},
		{"GET HTTPS://gw:5000/v2/a/tags/list?n=1", "tags name=a page=1 query=n:1 need=pull scope=repository:a:pull"},
		// Manifests and blobs.
		{"GET /v2/a/b/manifests/v1", "manifest name=a/b ref=v1 is=tag tags=v1 need=pull scope=repository:a/b:pull"},
		{"HEAD /v2/a/manifests/D", "manifest name=a ref=D need=pull scope=repository:a:pull"},
		{"PUT /v2/a/manifests/v1", "manifest name=a ref=v1 is=tag tags=v1 need=push scope=repository:a:pull,push body=yes"},
		{"PUT /v2/a/manifests/v1?tag=v2&tag=v3", "manifest name=a ref=v1 is=tag tags=v1,v2,v3 query=tag:v2&tag:v3 need=push scope=repository:a:pull,push body=yes"},
		{"PUT /v2/a/manifests/D?tag=v2", "manifest name=a ref=D tags=v2 query=tag:v2 need=push scope=repository:a:pull,push body=yes"},
		{"DELETE /v2/a/manifests/v1", "manifest name=a ref=v1 is=tag tags=v1 need=delete scope=repository:a:delete"},
		{"DELETE /v2/a/manifests/D", "manifest name=a ref=D need=delete scope=repository:a:delete"},
		{"GET /v2/a/manifests/manifests", "manifest name=a ref=manifests is=tag tags=manifests need=pull scope=repository:a:pull"},
		{"GET /v2/a/blobs/D", "blob name=a ref=D need=pull scope=repository:a:pull"},
		{"HEAD /v2/a/blobs/sha256%3A" + strings.Repeat("a", 64), "blob name=a ref=D need=pull scope=repository:a:pull"},
		{"DELETE /v2/a/blobs/D", "blob name=a ref=D need=delete scope=repository:a:delete"},
		// Parameters are read where their endpoint has them, and nowhere else.
		{"GET /v2/a/manifests/v1?tag=.x&mount=x&from=X&digest=x&n=x&last=x&artifactType=x&_state=x&ns=x", "manifest name=a ref=v1 is=tag tags=v1 last=x need=pull scope=repository:a:pull"},
		{"PUT /v2/a/manifests/v1?digest=D", "manifest name=a ref=v1 is=tag tags=v1 need=push scope=repository:a:pull,push body=yes"},
		{"DELETE /v2/a/manifests/v1?tag=v2", "manifest name=a ref=v1 is=tag tags=v1 need=delete scope=repository:a:delete"},
		// Uploads.
		{"POST /v2/a/blobs/uploads/", "upload name=a need=push scope=repository:a:pull,push"},
		{"POST /v2/a/blobs/uploads/?digest=D", "upload name=a digest=D query=digest:D need=push scope=repository:a:pull,push body=yes"},
		{"POST /v2/a/blobs/uploads/?digest-algorithm=sha512&tag=.x&n=x&_state=1&x=1", "upload name=a query=digest-algorithm:sha512 need=push scope=repository:a:pull,push"},
		{"POST /v2/a/blobs/uploads/?mount=D&from=b/c&origin=x", "upload name=a mount=D from=b/c need=push scope=repository:a:pull,push+repository:b/c:pull"},
		{"POST /v2/a/blobs/uploads/?mount=D", "upload name=a mount=D need=push scope=repository:a:pull,push"},
		{"POST /v2/a/blobs/uploads/?from=b", "upload name=a need=push scope=repository:a:pull,push"},
		{"POST /v2/a/blobs/uploads/?mount=D&from=b&digest=D", "upload name=a digest=D query=digest:D need=push scope=repository:a:pull,push body=yes"},
		{"GET /v2/a/blobs/uploads/u-1_A.z=", "session name=a ref=u-1_A.z= need=push scope=repository:a:pull,push"},
		{"PATCH /v2/a/blobs/uploads/u?_state=s&x=1&x=2&mount=x&from=X&origin=x&tag=.x&n=x&artifactType=x", "session name=a ref=u last= query=_state:s&x:1&x:2 need=push scope=repository:a:pull,push body=yes"},
		{"PATCH /v2/a/blobs/uploads/u?digest=D&digest-algorithm=sha256", "session name=a ref=u query=digest:D&digest-algorithm:sha256 need=push scope=repository:a:pull,push body=yes"},
		{"PUT /v2/a/blobs/uploads/u?digest=D", "session name=a ref=u digest=D query=digest:D need=push scope=repository:a:pull,push body=yes"},
		{"PUT /v2/a/blobs/uploads/u?tag=.x", "session name=a ref=u need=push scope=repository:a:pull,push body=yes"},
		{"DELETE /v2/a/blobs/uploads/u?digest=D", "session name=a ref=u query=digest:D need=push scope=repository:a:pull,push"},
		{"PATCH /v2/a/blobs/uploads/u?a=1&&b=2&", "session name=a ref=u query=a:1&b:2 need=push scope=repository:a:pull,push body=yes"},
		{"PATCH /v2/a/blobs/uploads/u?a=%20+~%C3%A9&b", "session name=a ref=u query=a:  ~é&b: need=push scope=repository:a:pull,push body=yes"},
		{"PATCH /v2/a/blobs/uploads/u?" + many(64), "session name=a ref=u query=" + strings.TrimSuffix(strings.Repeat("x:1&", 64), "&") + " need=push scope=repository:a:pull,push body=yes"},
		// Lists.
		{"GET /v2/_catalog?n=7&last=x/y&x=1", "catalog page=7 last=x/y need=catalog scope=registry:catalog:*"},
		{"HEAD /v2/_catalog?n=0", "catalog page=0 need=catalog scope=registry:catalog:*"},
		{"GET /v2/a/tags/list?last=v1&n=1000", "tags name=a page=1000 last=v1 query=last:v1&n:1000 need=pull scope=repository:a:pull"},
		{"GET /v2/a/tags/list?n=1001", "tags name=a page=1000 query=n:1000 need=pull scope=repository:a:pull"},
		{"GET /v2/a/tags/list?n=999&artifactType=x", "tags name=a page=999 query=n:999 need=pull scope=repository:a:pull"},
		{"HEAD /v2/a/tags/list?n=99999999999999999999999999", "tags name=a page=1000 query=n:1000 need=pull scope=repository:a:pull"},
		{"GET /v2/a/referrers/D?artifactType=x/y&n=2&last=z", "referrers name=a ref=D page=2 last=z query=artifactType:x/y&n:2&last:z need=pull scope=repository:a:pull"},
		{"HEAD /v2/a/referrers/D?x=1", "referrers name=a ref=D need=pull scope=repository:a:pull"},
	} {
		method, target, _ := strings.Cut(strings.ReplaceAll(c.request, "D?", digestA+"?"), " ")
		target = strings.ReplaceAll(target, "=D", "="+digestA)
		if strings.HasSuffix(target, "/D") {
			target = target[:len(target)-1] + digestA
		}
		r, err := Parse(method, target)
		if got := describe(r); err != nil || got != strings.ReplaceAll(c.want, "last= ", "") {
			t.Errorf("%s\n got %s, %v\nwant %s", c.request, got, err, c.want)
		}
	}
}

// TestRoutesRefused: what differs from an endpoint by one thing.
func TestRoutesRefused(t *testing.T) {
	for want, requests := range map[string][]string{
		"404 UNSUPPORTED other": {
			"GET /v1/a/tags/list", "GET /v2x/a/tags/list", "GET /a/tags/list", "GET /v2/x", "GET /v2/a/b/list", "GET /v2/a/tags/x", "GET /v2/tags/list",
			"GET /v2/manifests/v1", "GET /v2/blobs/" + digestA, "GET /v2/referrers/" + digestA, "GET /v2/a/manifests/", "PUT /v2/a/manifests/", "GET /v2/a/blobs/", "GET /v2/a/referrers/",
			"POST /v2/blobs/uploads/", "POST /v2/uploads/", "POST /v2/a/x/uploads/", "POST /v2/a/blobs/x/", "POST /v2/a/blobs/uploads", "PATCH /v2/blobs/uploads/u", "PATCH /v2/a/x/uploads/u", "PATCH /v2/a/blobs/x/u",
			"PATCH /v2/a/blobs/uploads/" + strings.Repeat("u", 513), "PATCH /v2/a/blobs/uploads/a:b", "GET /v2/;", "GET /auth;", "GET /AUTH",
		},
		"400 UNSUPPORTED other": {
			"GET http://gw", "GET http:/v2/", "GET x", "GET ", "GET /x://gw/v2/a/tags/list", "GET /v2/a%2fb/manifests/sha256%3A" + strings.Repeat("a", 64), "GET /v2/a/manifests/v1%3Ax", "GET /v2/a/manifests/v1%3A",
			"GET /v2/a/manifests/sha256%3A" + strings.Repeat("a", 63), "GET /v2/a/manifests/sha256%3A" + strings.Repeat("a", 61) + "%61", "GET /v2/a/tags/list#", "GET #/v2/",
			"GET /v2/..", "GET /v2/.", "GET /./v2/", "GET /v2/a/tags/../list", "GET /v2/a/tags/list//",
		},
		"400 UNSUPPORTED session": {
			"PATCH /v2/a/blobs/uploads/u?%zz=1", "PATCH /v2/a/blobs/uploads/u?a=%zz", "PATCH /v2/a/blobs/uploads/u?;a=1", "PATCH /v2/a/blobs/uploads/u?a=1;b=2", "PATCH /v2/a/blobs/uploads/u?a=%00", "PATCH /v2/a/blobs/uploads/u?a=%0a",
			"PATCH /v2/a/blobs/uploads/u?%1f=1", "PATCH /v2/a/blobs/uploads/u?a=%7f", "PATCH /v2/a/blobs/uploads/u?a=%ff", "PATCH /v2/a/blobs/uploads/u?a=%ef%bf%bd", "PATCH /v2/a/blobs/uploads/u?" + strings.Repeat("x=1&", 64) + "x=1",
			"PATCH /v2/a/blobs/uploads/u?digest-algorithm=SHA", "PUT /v2/a/blobs/uploads/u?%5fstate=1&_state=1",
		},
		"400 UNSUPPORTED upload":                  {"POST /v2/a/blobs/uploads/?digest-algorithm=a..b"},
		"400 DIGEST_INVALID session":              {"PATCH /v2/a/blobs/uploads/u?digest=x", "DELETE /v2/a/blobs/uploads/u?digest=sha256:x"},
		"400 DIGEST_INVALID upload":               {"POST /v2/a/blobs/uploads/?digest=x", "POST /v2/a/blobs/uploads/?digest=", "POST /v2/a/blobs/uploads/?mount=&from=b"},
		"400 DIGEST_INVALID manifest":             {"PUT /v2/a/manifests/:x", "PUT /v2/a/manifests/x:", "DELETE /v2/a/manifests/sha256:" + strings.Repeat("A", 64)},
		"400 DIGEST_INVALID blob":                 {"GET /v2/a/blobs/v1", "GET /v2/a/blobs/sha256:" + strings.Repeat("a", 65)},
		"404 MANIFEST_UNKNOWN manifest":           {"GET /v2/a/manifests/:x", "GET /v2/a/manifests/-x", "HEAD /v2/a/manifests/" + strings.Repeat("a", 129)},
		"400 TAG_INVALID manifest":                {"PUT /v2/a/manifests/-x", "PUT /v2/a/manifests/v1?tag=", "PUT /v2/a/manifests/v1?tag=a:b"},
		"400 PAGINATION_NUMBER_INVALID catalog":   {"GET /v2/_catalog?n=/", "GET /v2/_catalog?n=:", "GET /v2/_catalog?n=1%20", "GET /v2/_catalog?n=+1"},
		"400 PAGINATION_NUMBER_INVALID tags":      {"GET /v2/a/tags/list?n=", "GET /v2/a/tags/list?n=0x1"},
		"400 PAGINATION_NUMBER_INVALID referrers": {"GET /v2/a/referrers/" + digestA + "?n=-1"},
	} {
		for _, request := range requests {
			method, target, _ := strings.Cut(request, " ")
			r, err := Parse(method, target)
			s, code := status(err)
			if got := fmt.Sprint(s, " ", code, " ", r.Kind); got != want {
				t.Errorf("%s: %s, want %s", request, got, want)
			}
		}
	}
}

// TestPathBytes: of all bytes a path may hold the printed ones of ASCII, without
// the space, the backslash, and what ends or encodes a path; no other is cleaned away.
func TestPathBytes(t *testing.T) {
	for c := range 256 {
		_, err := Parse("GET", "/v2/a"+string([]byte{byte(c)})+"b/tags/list")
		s, code := status(err)
		printed := c > ' ' && c < 0x7f && !strings.ContainsRune("\\%#", rune(c))
		if outside := s == 400 && code == "UNSUPPORTED"; outside == printed {
			t.Errorf("byte %#x: %d %s", c, s, code)
		}
	}
}

// TestQuerySize: a query may have 16 KiB and no more.
func TestQuerySize(t *testing.T) {
	target := "/v2/a/blobs/uploads/u?_state=" + strings.Repeat("s", 16<<10-len("_state="))
	if _, err := Parse("PATCH", target); err != nil {
		t.Errorf("16 KiB: %v", err)
	}
	if s, code := status(second(Parse("PATCH", target+"s"))); s != 400 || code != "UNSUPPORTED" {
		t.Errorf("a byte more: %d %s", s, code)
	}
}

// TestMethods: each endpoint has its methods, names them in Allow, and no others.
func TestMethods(t *testing.T) {
	all := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND", ""}
	for path, want := range map[string]string{
		"/v2/": "GET, HEAD", "/v2/_catalog": "GET, HEAD", "/v2/a/tags/list": "GET, HEAD", "/v2/a/referrers/" + digestA: "GET, HEAD", "/auth": "GET, POST",
		"/v2/a/manifests/v1": "GET, HEAD, PUT, DELETE", "/v2/a/blobs/" + digestA: "GET, HEAD, DELETE", "/v2/a/blobs/uploads/": "POST", "/v2/a/blobs/uploads/u": "GET, PATCH, PUT, DELETE",
	} {
		has := strings.Split(want, ", ")
		for _, method := range all {
			_, err := Parse(method, path)
			if slices.Contains(has, method) != (err == nil) {
				t.Errorf("%s %s: %v", method, path, err)
			}
			if e, ok := err.(*Error); ok && (e.Fault != NoMethod || strings.Join(e.Allow, ", ") != want) {
				t.Errorf("%s %s: %d, Allow %q, want %q", method, path, e.Fault, e.Allow, want)
			}
		}
	}
}

// TestOnce: of a parameter that steers something the registry may read another
// copy than we do, so it stands once; tag, and what is unknown, may repeat.
func TestOnce(t *testing.T) {
	for name, value := range map[string]string{"mount": digestA, "from": "b", "origin": "x", "digest": digestA, "digest-algorithm": "sha256", "n": "1", "last": "x", "artifactType": "x", "_state": "x"} {
		for _, request := range []string{"POST /v2/a/blobs/uploads/", "PATCH /v2/a/blobs/uploads/u", "GET /v2/a/tags/list", "PUT /v2/a/manifests/v1", "GET /v2/_catalog", "GET /v2/"} {
			method, path, _ := strings.Cut(request, " ")
			if _, err := Parse(method, path+"?"+name+"="+value); err != nil {
				t.Errorf("%s?%s: %v", request, name, err)
			}
			if s, code := status(second(Parse(method, path+"?"+name+"="+value+"&x=1&"+name+"="+value))); s != 400 || code != "UNSUPPORTED" {
				t.Errorf("%s with two %s: %d %s", request, name, s, code)
			}
		}
	}
}

func second(_ Route, err error) error { return err }

// TestDigests holds the grammar of digests, algorithms and session ids at their ends.
func TestDigests(t *testing.T) {
	hex := func(n int) string { return strings.Repeat("0a9f", n/4+1)[:n] }
	for _, c := range []struct {
		text string
		want bool
	}{
		{"sha256:" + hex(64), true}, {"sha256:" + hex(63), false}, {"sha256:" + hex(65), false}, {"sha256:" + hex(128), false},
		{"sha384:" + hex(96), true}, {"sha384:" + hex(95), false}, {"sha384:" + hex(97), false}, {"sha384:" + hex(64), false},
		{"sha512:" + hex(128), true}, {"sha512:" + hex(127), false}, {"sha512:" + hex(129), false}, {"sha512:" + hex(64), false},
		{"sha256:" + hex(63) + "g", false}, {"sha384:" + hex(95) + "g", false}, {"sha512:" + hex(127) + "g", false}, {"x:" + hex(63) + "g", false},
		{"x:" + hex(31), false}, {"x:" + hex(32), true}, {"x:" + hex(512), true}, {"x:" + hex(513), false},
		{"a+b.c_d-e0:" + hex(32), true}, {"A:" + hex(32), false}, {":" + hex(32), false}, {hex(64), false}, {"", false}, {"sha256", false}, {"sha256:", false}, {"sha256:" + hex(32) + ":" + hex(31), false},
	} {
		if ValidDigest(c.text) != c.want {
			t.Errorf("ValidDigest(%q) = %v", c.text, !c.want)
		}
	}
	for text, want := range map[string]bool{"a": true, "z": true, "0": true, "9": true, "az09": true, "a+b": true, "a.b": true, "a_b": true, "a-b": true, "": false, "A": false, "Z": false, "a++b": false, "+a": false, "a-": false,
		"a b": false, "`": false, "{": false, "/": false, ":": false, "a/b": false, "aé": false, strings.Repeat("a", 32): true, strings.Repeat("a", 33): false} {
		if validAlgorithm(text) != want {
			t.Errorf("validAlgorithm(%q) = %v", text, !want)
		}
	}
	for c := range 256 {
		text := string([]byte{byte(c)})
		if want := strings.IndexByte("0123456789abcdef", byte(c)) >= 0; isHex(text) != want {
			t.Errorf("isHex(%q) = %v", text, !want)
		}
		if want := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=", byte(c)) >= 0; validSession(text) != want {
			t.Errorf("validSession(%q) = %v", text, !want)
		}
	}
	if validSession("") || !validSession(strings.Repeat("a", 512)) || validSession(strings.Repeat("a", 513)) {
		t.Error("a session id has 1 to 512 bytes")
	}
}

// TestKinds: what metrics and headers make of a kind, and the requests of each
// method that may have a body.
func TestKinds(t *testing.T) {
	kinds := []Kind{Base, Manifest, Blob, Upload, Session, Tags, Referrers, Catalog, Realm, Other}
	for i, want := range strings.Fields("base manifest* blob* upload upload tags referrers catalog realm other") {
		got := kinds[i].Label()
		if kinds[i].Content() {
			got += "*"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", kinds[i], got, want)
		}
		for _, method := range []string{"GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "TRACE"} {
			r := Route{Kind: kinds[i], Method: method}
			want := method == "PUT" || method == "PATCH" || method == "POST" && kinds[i] == Realm
			if r.CarriesBody() != want {
				t.Errorf("%s of %s: a body is %v", method, kinds[i], !want)
			}
		}
	}
}
