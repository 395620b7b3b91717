package proxy

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
)

var digestA = "sha256:" + strings.Repeat("a", 64)

// FuzzChallenge: whatever Host and target a client sends, the challenge is one
// Bearer challenge of quoted attributes in the fixed order, or the request is refused.
func FuzzChallenge(f *testing.F) {
	well := regexp.MustCompile(`^Bearer realm="https?://[A-Za-z0-9._:\[\]-]+/auth",service="gatehouse"(,scope="[a-z0-9:/._,* -]+")?(,error="insufficient_scope")?$`)
	e, _ := listener.NewEdge(listener.Config{AllowPlaintext: true})
	f.Add("registry.example.com", "GET", "/v2/a/b/manifests/v1")
	f.Add(`a"b`, "POST", "/v2/a/blobs/uploads/?mount="+digestA+"&from=b/c")
	f.Add("[::1]:5000", "GET", `/v2/a",realm="x/tags/list`)
	f.Fuzz(func(t *testing.T, host, method, target string) {
		r := &http.Request{Host: host, RemoteAddr: "192.0.2.1:5", URL: &url.URL{}, Header: http.Header{}}
		o, err := e.Admit(r, e.Peer(r))
		if err != nil {
			return
		}
		rt, err := route.Parse(method, target)
		if err != nil {
			return
		}
		if got := challenge(&exchange{origin: o, route: rt}, "gatehouse", "insufficient_scope"); !well.MatchString(got) {
			t.Fatalf("%q %q: %q", host, target, got)
		}
	})
}
