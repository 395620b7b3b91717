package upstream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

var digestA = "sha256:" + strings.Repeat("a", 64)

// FuzzLocation: wherever an upstream says that something is, the client gets a
// path of ours in the same repository, or nothing.
func FuzzLocation(f *testing.F) {
	u, err := New(Config{URL: "http://inner.example:5000/prefix", RedirectHosts: []string{"store.example", "*.s3.example"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"/v2/team/app/blobs/uploads/u?_state=x", "/prefix/v2/team/app/blobs/uploads/u", "http://other/v2/team/app/blobs/uploads/u", "../../x/blobs/uploads/u", "u",
		"//evil.example/v2/team/app/blobs/uploads/u", "javascript:alert(1)", "/v2/team%2fapp/blobs/uploads/u", "https://a.s3.example/x", "https://s3.example.evil/x", "http:///v2/team/app/tags/list", "?x=y", "#x", "/v2/team/app/../x/tags/list"} {
		f.Add(202, s)
		f.Add(307, s)
	}
	f.Fuzz(func(t *testing.T, status int, location string) {
		rt, err := route.Parse("GET", "/v2/team/app/blobs/"+digestA)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := url.Parse("http://inner.example:5000/prefix/v2/team/app/blobs/" + digestA)
		resp := &http.Response{StatusCode: status, Header: http.Header{"Location": {location}}, Request: &http.Request{URL: at}}
		if u.rewriteLocation(&rt, resp) != nil {
			return
		}
		got := resp.Header.Get("Location")
		target, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%d %q became %q", status, location, got)
		}
		if status >= 300 && status < 400 && target.Host != "" {
			if host := strings.ToLower(target.Hostname()); host != "store.example" && !strings.HasSuffix(host, ".s3.example") {
				t.Fatalf("%d %q leads to %q", status, location, host)
			}
			return
		}
		if to, _, err := route.At(target.EscapedPath()); target.Host != "" || target.Scheme != "" || got[0] != '/' || err != nil || to.Repository != "team/app" {
			t.Fatalf("%d %q became %q", status, location, got)
		}
	})
}

// TestFaultsNameNoQuery (G8): what the log says of an answer that may not pass has
// nothing of its query, which is where signed URLs and upload states are.
func TestFaultsNameNoQuery(t *testing.T) {
	u, err := New(Config{URL: "http://inner.example:5000"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rt := route.Route{Kind: route.Blob, Repository: "team/app"}
	for _, c := range []struct {
		status   int
		location string
	}{
		{307, "https://evil.example/x?sig=canary"}, {307, "https://store.example/x%zz?sig=canary"}, {307, "https://[::1/x?sig=canary"},
		{301, "/v2/team/app/blobs/uploads/u?_state=canary"}, {202, "/v2/secret/x/blobs/uploads/u?_state=canary"}, {202, "x:canary?sig=canary"},
	} {
		resp := &http.Response{StatusCode: c.status, Status: http.StatusText(c.status), Header: http.Header{"Location": {c.location}}}
		if err := u.check(&rt, resp); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", c.location, err)
		}
	}
}

// TestReady (row H7): only a registry's own answer is ready.
func TestReady(t *testing.T) {
	for _, c := range []struct {
		username, location string
		status             int
		want               string // of the error; empty: ready
	}{
		{"", "", 200, ""},
		{"gateway", "", 200, ""},
		{"", "", 401, ""},
		{"gateway", "", 401, "401"},
		{"", "https://registry.example/v2/", 301, "set upstream.url to https://registry.example"},
		{"", "https://registry.example/inner/v2/", 308, "set upstream.url to https://registry.example/inner"},
		{"", "/login", 302, "is outside"},
		{"", "", 204, "204"},
		{"", "", 403, "403"},
		{"", "", 404, "404"},
		{"", "", 500, "500"},
	} {
		var paths []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			paths = append(paths, r.URL.Path)
			if c.location != "" {
				w.Header().Set("Location", c.location)
			}
			w.WriteHeader(c.status)
		}))
		u, err := New(Config{URL: server.URL, Username: c.username}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Ready(t.Context()); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		u.Close()
		server.Close()
		if len(paths) != 1 || paths[0] != "/v2/" {
			t.Errorf("%+v: it was asked for %q", c, paths)
		}
	}
}

// TestUpstreamURL (row H6): a URL that ends in /v2 would make pushes land in v2/team/x.
func TestUpstreamURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://registry/":           "",
		"http://registry/prefix/":    "",
		"http://registry/v2x":        "",
		"http://registry/v2":         "write http://registry",
		"http://registry/v2/":        "write http://registry",
		"http://registry:5000/v2//":  "write http://registry:5000",
		"https://registry/prefix/v2": "write https://registry/prefix",
		"https://registry/a/v2/":     "write https://registry/a",
		"registry:5000":              "such as http://127.0.0.1:5001",
	} {
		_, err := New(Config{URL: text}, nil)
		var fault *authn.KeyError
		if (err == nil) != (want == "") || err != nil && (!errors.As(err, &fault) || fault.Key != "url" || !strings.HasSuffix(strings.TrimSuffix(fault.Error(), ")"), want) && want[0] == 'w') {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
