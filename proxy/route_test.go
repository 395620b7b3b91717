package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"gatehouse/authz"
)

var digestA = "sha256:" + strings.Repeat("a", 64)

// status is what a refusal would be answered with; 0 is none.
func status(err error) (int, string) {
	var e *apiError
	if errors.As(err, &e) {
		return e.status, e.code
	}
	return 0, ""
}

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		method, target string
		kind           kind
		repository     string
		reference      string
		path           string // as the upstream will see it, with its query
	}{
		{"GET", "/v2/", routeBase, "", "", "/v2/"},
		{"HEAD", "/v2", routeBase, "", "", "/v2/"},
		{"GET", "/v2/_catalog?n=5&last=x", routeCatalog, "", "", "/v2/_catalog"},
		{"GET", "/v2/a/b/manifests/v1", routeManifest, "a/b", "v1", "/v2/a/b/manifests/v1"},
		{"GET", "/v2/a/manifests/sha256%3A" + strings.Repeat("a", 64), routeManifest, "a", digestA, "/v2/a/manifests/" + digestA},
		{"GET", "/v2/a/manifests/sha256%3a" + strings.Repeat("a", 64) + "?ns=docker.io", routeManifest, "a", digestA, "/v2/a/manifests/" + digestA},
		{"PUT", "/v2/a/manifests/" + digestA + "?tag=v1&tag=v2&x=y", routeManifest, "a", digestA, "/v2/a/manifests/" + digestA + "?tag=v1&tag=v2"},
		{"DELETE", "/v2/a/blobs/" + digestA, routeBlob, "a", digestA, "/v2/a/blobs/" + digestA},
		{"POST", "/v2/a/blobs/uploads/", routeUpload, "a", "", "/v2/a/blobs/uploads/"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b&origin=x", routeUpload, "a", "", "/v2/a/blobs/uploads/"},
		{"POST", "/v2/a/blobs/uploads/?digest=" + url.QueryEscape(digestA), routeUpload, "a", "", "/v2/a/blobs/uploads/?digest=" + digestA},
		{"PATCH", "/v2/a/blobs/uploads/u-1?_state=x%3D&z=1", routeSession, "a", "u-1", "/v2/a/blobs/uploads/u-1?_state=x%3D&z=1"},
		{"PUT", "/v2/a/blobs/uploads/u-1?digest=" + digestA + "&mount=" + digestA + "&from=b", routeSession, "a", "u-1", "/v2/a/blobs/uploads/u-1?digest=" + digestA},
		{"GET", "/v2/a/tags/list?n=5000&last=v1&evil=1", routeTags, "a", "", "/v2/a/tags/list?n=1000&last=v1"},
		{"GET", "/v2/a/referrers/" + digestA + "?artifactType=x%2Fy", routeReferrers, "a", digestA, "/v2/a/referrers/" + digestA + "?artifactType=x%2Fy"},
		{"GET", "http://gw/v2/a/tags/list", routeTags, "a", "", "/v2/a/tags/list"},
		// Names made of route words: the keywords count from the right.
		{"GET", "/v2/a/tags/list/tags/list", routeTags, "a/tags/list", "", "/v2/a/tags/list/tags/list"},
		{"GET", "/v2/manifests/manifests/manifests", routeManifest, "manifests", "manifests", "/v2/manifests/manifests/manifests"},
		{"GET", "/v2/a/blobs/uploads/manifests/v1", routeManifest, "a/blobs/uploads", "v1", "/v2/a/blobs/uploads/manifests/v1"},
		{"PATCH", "/v2/a/tags/list/blobs/uploads/x", routeSession, "a/tags/list", "x", "/v2/a/tags/list/blobs/uploads/x"},
	} {
		r, err := parseTarget(c.method, c.target)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.target, err)
			continue
		}
		got := r.path()
		if q := encodeQuery(r.query); q != "" {
			got += "?" + q
		}
		if r.kind != c.kind || r.repository != c.repository || r.reference != c.reference || got != c.path {
			t.Errorf("%s %s = %s %q %q -> %s, want %s %q %q -> %s", c.method, c.target, r.kind, r.repository, r.reference, got, c.kind, c.repository, c.reference, c.path)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"GET", "*", 400, "UNSUPPORTED"},
		{"CONNECT", "x:443", 400, "UNSUPPORTED"},
		{"GET", "//v2/a/tags/list", 400, "UNSUPPORTED"},
		{"GET", "/v2//a/tags/list", 400, "UNSUPPORTED"},
		{"GET", "/v2/a/../b/tags/list", 400, "UNSUPPORTED"},
		{"GET", "/v2/a/./tags/list", 400, "UNSUPPORTED"},
		{"PATCH", "/v2/a/blobs/uploads/..", 400, "UNSUPPORTED"},
		{"GET", "/v2/a%2fb/tags/list", 400, "UNSUPPORTED"},
		{"GET", "/v2/%61/tags/list", 400, "UNSUPPORTED"},
		{"GET", "/%76%32/_catalog", 400, "UNSUPPORTED"},
		{"GET", "/v2/%5fcatalog", 400, "UNSUPPORTED"},
		{"GET", "/v2/a/manifests/v%31", 400, "UNSUPPORTED"},
		{"GET", "/v2/a/manifests/sha256%3A%61", 400, "UNSUPPORTED"},
		{"GET", `/v2\a/tags/list`, 400, "UNSUPPORTED"},
		{"GET", "/v2/a\xc0\xaf/tags/list", 400, "UNSUPPORTED"},
		{"GET", "/v2/a/tags/list#/v2/", 400, "UNSUPPORTED"},
		{"GET", "/", 404, "UNSUPPORTED"},
		{"GET", "/v1/_ping", 404, "UNSUPPORTED"},
		{"GET", "/V2/", 404, "UNSUPPORTED"},
		{"GET", "/v2/_catalog/", 404, "UNSUPPORTED"},
		{"GET", "/v2/_catalog;x", 404, "UNSUPPORTED"},
		{"GET", "/v2/a;b/tags/list", 404, "UNSUPPORTED"},
		{"GET", "/v2/a/tags/list/", 404, "UNSUPPORTED"},
		{"POST", "/v2/a/blobs/uploads", 404, "UNSUPPORTED"},
		{"GET", "/v2/_zot/ext/search", 404, "UNSUPPORTED"},
		{"GET", "/v2/manifests/v1", 404, "UNSUPPORTED"},
		{"GET", "/auth/", 404, "UNSUPPORTED"},
		{"PATCH", "/v2/a/blobs/uploads/x:y", 404, "UNSUPPORTED"},
		{"POST", "/v2/", 405, "UNSUPPORTED"},
		{"OPTIONS", "/v2/a/tags/list", 405, "UNSUPPORTED"},
		{"get", "/v2/a/tags/list", 405, "UNSUPPORTED"},
		{"DELETE", "/v2/a/tags/list", 405, "UNSUPPORTED"},
		{"PATCH", "/v2/a/manifests/v1", 405, "UNSUPPORTED"},
		{"PUT", "/auth", 405, "UNSUPPORTED"},
		{"GET", "/v2/A/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/x:5000/y/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/a-/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/" + strings.Repeat("a", 256) + "/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/a/blobs/nodigest", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/referrers/sha256:abc", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/manifests/sha256:totallywrong", 404, "MANIFEST_UNKNOWN"},
		{"HEAD", "/v2/a/manifests/.x", 404, "MANIFEST_UNKNOWN"},
		{"PUT", "/v2/a/manifests/sha256:totallywrong", 400, "DIGEST_INVALID"},
		{"DELETE", "/v2/a/manifests/.x", 400, "TAG_INVALID"},
		{"PUT", "/v2/a/manifests/" + digestA + "?tag=.x", 400, "TAG_INVALID"},
		{"GET", "/v2/_catalog?n=-1", 400, "PAGINATION_NUMBER_INVALID"},
		{"GET", "/v2/a/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"},
		{"GET", "/v2/_catalog?n=", 400, "PAGINATION_NUMBER_INVALID"},
		{"GET", "/v2/_catalog?n=1&n=2", 400, "UNSUPPORTED"},
		{"GET", "/v2/_catalog?n=1;last=2", 400, "UNSUPPORTED"},
		{"GET", "/v2/_catalog?last=%zz", 400, "UNSUPPORTED"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b&from=c", 400, "UNSUPPORTED"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&fr%6fm=b&from=c", 400, "UNSUPPORTED"},
		{"POST", "/v2/a/blobs/uploads/?mount=x&from=b", 400, "DIGEST_INVALID"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=B", 400, "NAME_INVALID"},
		{"PUT", "/v2/a/blobs/uploads/u?digest=x", 400, "DIGEST_INVALID"},
		{"PUT", "/v2/a/blobs/uploads/u?_state=1&_state=2", 400, "UNSUPPORTED"},
	} {
		_, err := parseTarget(c.method, c.target)
		if got, code := status(err); got != c.status || code != c.code {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.target, got, code, c.status, c.code)
		}
	}
}

func TestScopeAndNeed(t *testing.T) {
	for _, c := range []struct {
		method, target, scope string
		action                authz.Action
	}{
		{"GET", "/v2/a/manifests/v1", "repository:a:pull", authz.Pull},
		{"PUT", "/v2/a/manifests/v1", "repository:a:pull,push", authz.Push},
		{"DELETE", "/v2/a/manifests/v1", "repository:a:delete", authz.Delete},
		{"GET", "/v2/a/blobs/uploads/x", "repository:a:pull,push", authz.Push},
		{"DELETE", "/v2/a/blobs/uploads/x", "repository:a:pull,push", authz.Push},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b/c", "repository:a:pull,push repository:b/c:pull", authz.Push},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA, "repository:a:pull,push", authz.Push},
		{"GET", "/v2/_catalog", "registry:catalog:*", authz.Catalog},
	} {
		r, err := parseTarget(c.method, c.target)
		if err != nil || r.scope() != c.scope || r.need().action != c.action {
			t.Errorf("%s %s: %q %s %v, want %q %s", c.method, c.target, r.scope(), r.need().action, err, c.scope, c.action)
		}
	}
}

// FuzzParseTarget: whatever is accepted is canonical, in the grammar, and parses
// again to the same route.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"/v2/", "/v2/a/manifests/v1", "/v2/a/blobs/uploads/x?_state=1", "/v2/a/tags/list?n=1", "/v2/a/manifests/sha256%3A" + strings.Repeat("a", 64), "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b", "//v2/..", "/v2/%5fcatalog"} {
		for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			f.Add(m, s)
		}
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := parseTarget(method, target)
		if err != nil {
			if s, _ := status(err); s < 400 || s > 499 {
				t.Fatalf("%q: refused with %d", target, s)
			}
			return
		}
		if r.kind == routeRealm {
			return
		}
		out := r.path()
		if path.Clean(out) != strings.TrimSuffix(out, "/") || strings.ContainsAny(out, "%?#\\;") {
			t.Fatalf("%q: the outgoing path %q is not canonical", target, out)
		}
		if r.repository != "" && !authz.ValidRepository(r.repository) {
			t.Fatalf("%q: repository %q", target, r.repository)
		}
		again, err := parseTarget(method, out+"?"+encodeQuery(r.query))
		if err != nil || again.kind != r.kind || again.repository != r.repository || again.reference != r.reference {
			t.Fatalf("%q -> %q parses to another route: %v", target, out, err)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseTarget("GET", "/v2/team/app/blobs/"+digestA); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzChallenge: whatever Host and target a client sends, the challenge is one
// Bearer challenge of quoted attributes in the fixed order, or the request is refused.
func FuzzChallenge(f *testing.F) {
	well := regexp.MustCompile(`^Bearer realm="https?://[A-Za-z0-9._:\[\]-]+/auth",service="gatehouse"(,scope="[a-z0-9:/._,* -]+")?(,error="insufficient_scope")?$`)
	e, _ := newEdge(Config{AllowPlaintext: true})
	g := &Gateway{service: "gatehouse"}
	f.Add("registry.example.com", "GET", "/v2/a/b/manifests/v1")
	f.Add(`a"b`, "POST", "/v2/a/blobs/uploads/?mount="+digestA+"&from=b/c")
	f.Add("[::1]:5000", "GET", `/v2/a",realm="x/tags/list`)
	f.Fuzz(func(t *testing.T, host, method, target string) {
		r := &http.Request{Host: host, RemoteAddr: "192.0.2.1:5", URL: &url.URL{}, Header: http.Header{}}
		o, err := e.admit(r, e.peer(r))
		if err != nil {
			return
		}
		rt, err := parseTarget(method, target)
		if err != nil {
			return
		}
		if got := g.challenge(&exchange{origin: o, route: rt}, "insufficient_scope"); !well.MatchString(got) {
			t.Fatalf("%q %q: %q", host, target, got)
		}
	})
}
