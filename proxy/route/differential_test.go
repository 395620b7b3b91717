package route

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	registry "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/gorilla/mux"
)

// registryKinds are distribution's own route names as kinds of ours.
var registryKinds = map[string]Kind{registry.RouteNameBase: Base, registry.RouteNameManifest: Manifest, registry.RouteNameTags: Tags,
	registry.RouteNameBlob: Blob, registry.RouteNameBlobUpload: Upload, registry.RouteNameBlobUploadChunk: Session,
	registry.RouteNameCatalog: Catalog}

// registryRoute is what distribution makes of a request target, by its own router:
// the endpoint, repository and reference. ok is false where it would serve
// nothing: no route, a target that Go's server refuses, or a redirect to a
// cleaner path.
func registryRoute(router *mux.Router, target string) (to Route, ok bool) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return Route{}, false
	}
	clean := path.Clean("/" + u.Path)
	if strings.HasSuffix(u.Path, "/") && clean != "/" {
		clean += "/"
	}
	var match mux.RouteMatch
	if clean != u.Path || !router.Match(&http.Request{Method: "GET", URL: u, Host: "registry"}, &match) || match.Handler != nil {
		return Route{}, false // a handler here is the router's redirect to another trailing slash
	}
	return Route{Kind: registryKinds[match.Route.GetName()], Repository: match.Vars["name"],
		Reference: match.Vars["reference"] + match.Vars["digest"] + match.Vars["uuid"]}, true
}

// sameRoute holds what we made of a target against what the registry would.
func sameRoute(a, b Route) bool {
	return a.Kind == b.Kind && a.Repository == b.Repository && a.Reference == b.Reference
}

// differ checks one target with every method. Whatever the registry would serve is
// routed by us to the same endpoint, repository and reference, or refused; and what
// we would send means the same to it, or nothing.
func differ(t *testing.T, router *mux.Router, target string) (routable, taken bool) {
	t.Helper()
	theirs, routable := registryRoute(router, target)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		ours, err := Parse(method, target)
		if err != nil || ours.Kind == Realm {
			continue
		}
		taken = true
		if routable && !sameRoute(ours, theirs) {
			t.Fatalf("%s %q: the registry serves %s of %q, %q; we judge %s of %q, %q", method, target,
				theirs.Kind, theirs.Repository, theirs.Reference, ours.Kind, ours.Repository, ours.Reference)
		}
		if sent, ok := registryRoute(router, ours.Path()); ok && !sameRoute(ours, sent) {
			t.Fatalf("%s %q: judged as %s of %q, but sent as %q, which is %s of %q", method, target,
				ours.Kind, ours.Repository, ours.Path(), sent.Kind, sent.Repository)
		}
	}
	return routable, taken
}

// words are the parts that targets are built of: those of the protocol, names, and
// what has been used to get past gateways.
var words = []string{"v2", "manifests", "blobs", "uploads", "tags", "list", "_catalog", "referrers", "auth",
	"a", "b", "team", "secret", "a-b", "a__b", "a---b", "a.b", "a_b", "A", "localhost", "host:5000", "latest", "v1", "V1", "_x", "-x", "x-",
	"sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("A", 64), "sha256:ab", "sha512:" + strings.Repeat("b", 128), "sha256+b64:" + strings.Repeat("c", 40),
	"sha256%3A" + strings.Repeat("a", 64), "sha256%3a" + strings.Repeat("a", 64), "0d7a2f3e-1b2c", "x=y", "...", "_zot", "ext", "search"}

// tricks are put into a target here and there.
var tricks = []string{"/", "//", "/.", "/..", "/../", "%2f", "%2F", "%2e%2e", "%5f", "%61", "%25", "%00", "%c0%af", "%3A", "%zz", ";", ";x", "?", "?n=1", "?/v2/",
	"#", "\\", " ", "\t", "\x00", "é", "\xc0\xaf", ":", "@", "*", "+", "~", "http://x"}

// targets is a seeded source of request targets. Half of them have the shape of an
// endpoint, so that a good part is routable.
type targets struct{ *rand.Rand }

func (g targets) word() string { return words[g.IntN(len(words))] }

func (g targets) segments(most int) string {
	list := make([]string, 1+g.IntN(most))
	for i := range list {
		list[i] = g.word()
	}
	return strings.Join(list, "/")
}

func (g targets) next() string {
	shapes := []string{"/tags/list", "/manifests/" + g.word(), "/blobs/" + g.word(), "/blobs/uploads/", "/blobs/uploads/" + g.word(), "/referrers/" + g.word(), "/_catalog"}
	s := "/v2/" + g.segments(5)
	switch g.IntN(8) {
	case 0:
		s = "/" + g.segments(4)
	case 1, 2:
		s += "/"
	case 3, 4, 5, 6:
		s += shapes[g.IntN(len(shapes))]
	}
	for range max(0, g.IntN(5)-2) {
		at := g.IntN(len(s) + 1)
		s = s[:at] + tricks[g.IntN(len(tricks))] + s[at:]
	}
	return s
}

// TestDifferential compares our classifier with distribution's own router over
// targets built of the protocol's words. $GATEHOUSE_CASES sets how many.
func TestDifferential(t *testing.T) {
	cases := 150_000
	if s := os.Getenv("GATEHOUSE_CASES"); s != "" {
		var err error
		if cases, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	router, g := registry.RouterWithPrefix(""), targets{rand.New(rand.NewPCG(1, uint64(cases)))}
	served, both := 0, 0
	for range cases {
		routable, taken := differ(t, router, g.next())
		if routable {
			served++
			if taken {
				both++
			}
		}
	}
	t.Logf("%d targets, %d that the registry would serve, %d of those taken by us", cases, served, both)
	if served < cases/50 || both < served/4 {
		t.Errorf("the generator makes too few targets that count: %d served, %d taken, of %d", served, both, cases)
	}
}

// FuzzDifferential looks for targets on which our classifier and distribution's
// own router disagree.
func FuzzDifferential(f *testing.F) {
	router, g := registry.RouterWithPrefix(""), targets{rand.New(rand.NewPCG(1, 2))}
	for range 200 {
		f.Add(g.next())
	}
	f.Fuzz(func(t *testing.T, target string) { differ(t, router, target) })
}
