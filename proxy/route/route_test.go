package route

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"

	"gatehouse/authz"
)

var digestA = "sha256:" + strings.Repeat("a", 64)

// told is what the gateway makes of each fault.
var told = map[Fault]struct {
	status int
	code   string
}{Malformed: {400, "UNSUPPORTED"}, NoEndpoint: {404, "UNSUPPORTED"}, NoMethod: {405, "UNSUPPORTED"}, NoManifest: {404, "MANIFEST_UNKNOWN"},
	BadName: {400, "NAME_INVALID"}, BadTag: {400, "TAG_INVALID"}, BadDigest: {400, "DIGEST_INVALID"}, BadPage: {400, "PAGINATION_NUMBER_INVALID"}}

// status is what a refusal is answered with; 0 is none.
func status(err error) (int, string) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	return told[e.Fault].status, told[e.Fault].code
}

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		method, target string
		kind           Kind
		repository     string
		reference      string
		path           string // as the upstream will see it, with its query
	}{
		{"GET", "/v2/", Base, "", "", "/v2/"},
		{"HEAD", "/v2", Base, "", "", "/v2/"},
		{"GET", "/v2/_catalog?n=5&last=x", Catalog, "", "", "/v2/_catalog"},
		{"GET", "/v2/a/b/manifests/v1", Manifest, "a/b", "v1", "/v2/a/b/manifests/v1"},
		{"GET", "/v2/a/manifests/sha256%3A" + strings.Repeat("a", 64), Manifest, "a", digestA, "/v2/a/manifests/" + digestA},
		{"GET", "/v2/a/manifests/sha256%3a" + strings.Repeat("a", 64) + "?ns=docker.io", Manifest, "a", digestA, "/v2/a/manifests/" + digestA},
		{"PUT", "/v2/a/manifests/" + digestA + "?tag=v1&tag=v2&x=y", Manifest, "a", digestA, "/v2/a/manifests/" + digestA + "?tag=v1&tag=v2"},
		{"DELETE", "/v2/a/blobs/" + digestA, Blob, "a", digestA, "/v2/a/blobs/" + digestA},
		{"POST", "/v2/a/blobs/uploads/", Upload, "a", "", "/v2/a/blobs/uploads/"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b&origin=x", Upload, "a", "", "/v2/a/blobs/uploads/"},
		{"POST", "/v2/a/blobs/uploads/?digest=" + url.QueryEscape(digestA), Upload, "a", "", "/v2/a/blobs/uploads/?digest=" + digestA},
		{"PATCH", "/v2/a/blobs/uploads/u-1?_state=x%3D&z=1", Session, "a", "u-1", "/v2/a/blobs/uploads/u-1?_state=x%3D&z=1"},
		{"PUT", "/v2/a/blobs/uploads/u-1?digest=" + digestA + "&mount=" + digestA + "&from=b", Session, "a", "u-1", "/v2/a/blobs/uploads/u-1?digest=" + digestA},
		{"GET", "/v2/a/tags/list?n=5000&last=v1&evil=1", Tags, "a", "", "/v2/a/tags/list?n=1000&last=v1"},
		{"GET", "/v2/a/referrers/" + digestA + "?artifactType=x%2Fy", Referrers, "a", digestA, "/v2/a/referrers/" + digestA + "?artifactType=x%2Fy"},
		{"GET", "http://gw/v2/a/tags/list", Tags, "a", "", "/v2/a/tags/list"},
		// Names made of route words: the keywords count from the right.
		{"GET", "/v2/a/tags/list/tags/list", Tags, "a/tags/list", "", "/v2/a/tags/list/tags/list"},
		{"GET", "/v2/manifests/manifests/manifests", Manifest, "manifests", "manifests", "/v2/manifests/manifests/manifests"},
		{"GET", "/v2/a/blobs/uploads/manifests/v1", Manifest, "a/blobs/uploads", "v1", "/v2/a/blobs/uploads/manifests/v1"},
		{"PATCH", "/v2/a/tags/list/blobs/uploads/x", Session, "a/tags/list", "x", "/v2/a/tags/list/blobs/uploads/x"},
	} {
		r, err := Parse(c.method, c.target)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.target, err)
			continue
		}
		got := r.Path()
		if q := EncodeQuery(r.Query); q != "" {
			got += "?" + q
		}
		if r.Kind != c.kind || r.Repository != c.repository || r.Reference != c.reference || got != c.path {
			t.Errorf("%s %s = %s %q %q -> %s, want %s %q %q -> %s", c.method, c.target, r.Kind, r.Repository, r.Reference, got, c.kind, c.repository, c.reference, c.path)
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
		_, err := Parse(c.method, c.target)
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
		r, err := Parse(c.method, c.target)
		if err != nil || r.Scope() != c.scope || r.Need.Action != c.action {
			t.Errorf("%s %s: %q %s %v, want %q %s", c.method, c.target, r.Scope(), r.Need.Action, err, c.scope, c.action)
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
		r, err := Parse(method, target)
		if err != nil {
			if s, _ := status(err); s < 400 || s > 499 {
				t.Fatalf("%q: refused with %d", target, s)
			}
			return
		}
		if r.Kind == Realm {
			return
		}
		out := r.Path()
		if path.Clean(out) != strings.TrimSuffix(out, "/") || strings.ContainsAny(out, "%?#\\;") {
			t.Fatalf("%q: the outgoing path %q is not canonical", target, out)
		}
		if r.Repository != "" && !authz.ValidRepository(r.Repository) {
			t.Fatalf("%q: repository %q", target, r.Repository)
		}
		again, err := Parse(method, out+"?"+EncodeQuery(r.Query))
		if err != nil || again.Kind != r.Kind || again.Repository != r.Repository || again.Reference != r.Reference {
			t.Fatalf("%q -> %q parses to another route: %v", target, out, err)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("GET", "/v2/team/app/blobs/"+digestA); err != nil {
			b.Fatal(err)
		}
	}
}
