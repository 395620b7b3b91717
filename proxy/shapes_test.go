package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestUpstreamShapes holds what registries were seen to answer, or may, against
// what the client gets to see. PREFIX stands for the path of upstream.url, HOST
// for its host.
func TestUpstreamShapes(t *testing.T) {
	plain, prefixed := newHouse(t, nil), newHouse(t, func(c *Config) { c.Upstream.URL += "/registry/" })
	tokens := map[*house]string{}
	for _, h := range []*house{plain, prefixed} {
		tokens[h] = h.token("alice", "repository:team/app:pull,push")
	}
	const session = "/v2/team/app/blobs/uploads/7c1f1a53-6b0a-4b3f-9a57-5e6a31b0c1f2"
	tags, upload := "/v2/team/app/tags/list?n=2", "/v2/team/app/blobs/uploads/"
	for _, c := range []struct {
		name         string
		method, path string
		status       int
		header       http.Header
		want         int
		seen         http.Header // of the answer; nil: must be absent
	}{
		{"distribution, absolute by http.host", "POST", upload, 202,
			http.Header{"Location": {"https://registry.example.com" + session + "?_state=QUJD%3D%3D"}, "Docker-Upload-Uuid": {"7c1f"}, "Range": {"0-0"}}, 202,
			http.Header{"Location": {session + "?_state=QUJD%3D%3D"}, "Docker-Upload-Uuid": {"7c1f"}, "Range": {"0-0"}}},
		{"distribution, absolute by Host", "POST", upload, 202,
			http.Header{"Location": {"http://HOST" + session + "?_state=a-b_c%3D"}}, 202, http.Header{"Location": {session + "?_state=a-b_c%3D"}}},
		{"distribution with http.prefix", "POST", upload, 202,
			http.Header{"Location": {"http://HOST/PREFIX" + session + "?_state=a"}}, 202, http.Header{"Location": {session + "?_state=a"}}},
		{"distribution with relativeurls and http.prefix", "POST", upload, 202,
			http.Header{"Location": {"/PREFIX" + session + "?_state=a"}}, 202, http.Header{"Location": {session + "?_state=a"}}},
		{"zot", "POST", upload, 202,
			http.Header{"Location": {session}, "Blob-Upload-Uuid": {"7c1f"}, "Range": {"0-0"}}, 202,
			http.Header{"Location": {session}, "Blob-Upload-Uuid": {"7c1f"}}},
		{"beside the request's own path", "POST", upload, 202, http.Header{"Location": {"7c1f?x=y"}}, 202, http.Header{"Location": {upload + "7c1f?x=y"}}},
		{"a chunk out of order", "PATCH", session, 416, http.Header{"Location": {session}, "Range": {"0-9"}}, 416, http.Header{"Location": {session}, "Range": {"0-9"}}},
		{"the end of an upload", "PUT", session + "?digest=" + digestA, 201,
			http.Header{"Location": {"http://inner/v2/team/app/blobs/" + digestA}, "Docker-Content-Digest": {digestA}}, 201,
			http.Header{"Location": {"/v2/team/app/blobs/" + digestA}, "Docker-Content-Digest": {digestA}}},
		{"a manifest with a subject", "PUT", "/v2/team/app/manifests/dev", 201,
			http.Header{"Location": {"/v2/team/app/manifests/" + digestA}, "Oci-Subject": {digestA}, "Oci-Tag": {"dev"}}, 201,
			http.Header{"Location": {"/v2/team/app/manifests/" + digestA}, "Oci-Subject": {digestA}, "Oci-Tag": {"dev"}}},
		{"out of the repository, beside the request's path", "POST", upload, 202, http.Header{"Location": {"../../../other/blobs/uploads/x"}}, 502, nil},
		{"dots in an absolute path", "POST", upload, 202, http.Header{"Location": {"/v2/team/other/../app/blobs/uploads/x"}}, 502, nil},
		{"no path", "POST", upload, 202, http.Header{"Location": {"mailto:x"}}, 502, nil},
		{"two Locations", "POST", upload, 202, http.Header{"Location": {session, session}}, 502, nil},

		{"zot's list, unescaped", "GET", tags, 200, http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=a b>; rel="next"`}}, 200,
			http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=a b>; rel="next"`}}},
		{"absolute, with the prefix", "GET", tags, 200, http.Header{"Link": {`<http://HOST/PREFIX/v2/team/app/tags/list?n=2&last=b>; rel=next`}}, 200,
			http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=b>; rel="next"`}}},
		{"a query alone", "GET", tags, 200, http.Header{"Link": {`<?n=2&last=b>; rel="next"`}}, 200,
			http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=b>; rel="next"`}}},
		{"several in one field", "GET", tags, 200,
			http.Header{"Link": {`<http://inner/help>; rel="help", </v2/team/app/tags/list?n=2>; rel="first", </v2/team/app/tags/list?n=2&last=b>; title="a"; REL="Next"; anchor="http://inner/"`}}, 200,
			http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=b>; rel="next"`}}},
		{"without a relation", "GET", tags, 200, http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=b>`}}, 200,
			http.Header{"Link": {`</v2/team/app/tags/list?n=2&last=b>; rel="next"`}}},
		{"with a parameter that we drop", "GET", tags, 200, http.Header{"Link": {`</v2/team/app/tags/list?last=b&n=2&orderby=>; rel="next"`}}, 200,
			http.Header{"Link": {`</v2/team/app/tags/list?last=b&n=2&orderby=>; rel="next"`}}},
		{"a page that leads to itself", "GET", tags, 200, http.Header{"Link": {`</v2/team/app/tags/list?n=2&page=opaque>; rel="next"`}}, 502, nil},
		{"a page that we would refuse", "GET", tags, 200, http.Header{"Link": {`</v2/team/app/tags/list?n=-1>; rel="next"`}}, 502, nil},
		{"another repository's page", "GET", tags, 200, http.Header{"Link": {`</v2/team/b/tags/list?last=b>; rel="next"`}}, 502, nil},
		{"no link at all", "GET", tags, 200, http.Header{"Link": {`>`}}, 502, nil},
		{"an open link", "GET", tags, 200, http.Header{"Link": {`</v2/team/app/tags/list`}}, 502, nil},
		{"referrers", "GET", "/v2/team/app/referrers/" + digestA + "?artifactType=a%2Fb", 200,
			http.Header{"Link": {`</v2/team/app/referrers/` + digestA + `?artifactType=a%2Fb&n=1&last=x>; rel="next"`}, "Oci-Filters-Applied": {"artifactType"}, "Content-Type": {"application/vnd.oci.image.index.v1+json"}}, 200,
			http.Header{"Link": {`</v2/team/app/referrers/` + digestA + `?artifactType=a%2Fb&n=1&last=x>; rel="next"`}, "Oci-Filters-Applied": {"artifactType"}, "Content-Type": {"application/vnd.oci.image.index.v1+json"}}},
		{"a link on a manifest that leads elsewhere", "GET", "/v2/team/app/manifests/dev", 200, http.Header{"Link": {`<http://inner/docs>; rel="help"`}}, 200, http.Header{"Link": nil}},
		{"a malformed link on a manifest", "GET", "/v2/team/app/manifests/dev", 200, http.Header{"Link": {`x`}}, 200, http.Header{"Link": nil}},

		{"not modified", "GET", "/v2/team/app/manifests/dev", 304, http.Header{"Etag": {`"` + digestA + `"`}}, 304, http.Header{"Etag": {`"` + digestA + `"`}}},
		{"a part", "GET", "/v2/team/app/blobs/" + digestA, 206, http.Header{"Content-Range": {"bytes 0-0/2"}, "Accept-Ranges": {"bytes"}}, 206,
			http.Header{"Content-Range": {"bytes 0-0/2"}, "Accept-Ranges": {"bytes"}}},
		{"a hint for chunks", "POST", upload, 202, http.Header{"Location": {session}, "Oci-Chunk-Min-Length": {"1000"}}, 202, http.Header{"Oci-Chunk-Min-Length": {"1000"}}},
		{"a warning", "GET", "/v2/team/app/manifests/dev", 200, http.Header{"Warning": {`299 - "old"`, `299 - "very"`}}, 200, http.Header{"Warning": {`299 - "old"`, `299 - "very"`}}},
		{"too many requests", "GET", "/v2/team/app/manifests/dev", 429, http.Header{"Retry-After": {"7"}}, 429, http.Header{"Retry-After": {"7"}}},
		{"what is none of the client's", "GET", "/v2/team/app/manifests/dev", 200,
			http.Header{"Set-Cookie": {"a=b"}, "Via": {"1.1 inner"}, "X-Powered-By": {"x"}, "Strict-Transport-Security": {"max-age=9"}, "Access-Control-Allow-Origin": {"*"}, "Cache-Control": {"public"}}, 200,
			http.Header{"Set-Cookie": nil, "Via": nil, "X-Powered-By": nil, "Strict-Transport-Security": nil, "Access-Control-Allow-Origin": nil, "Cache-Control": {"private"}}},
	} {
		for h, prefix := range map[*house]string{plain: "", prefixed: "/registry"} {
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				for key, values := range c.header {
					for _, v := range values {
						w.Header().Add(key, strings.ReplaceAll(strings.ReplaceAll(v, "/PREFIX", prefix), "HOST", r.Host))
					}
				}
				w.WriteHeader(c.status)
			})
			resp, body := h.do(h.request(c.method, c.path, tokens[h], nil))
			if seen := h.upstream.take(); len(seen) != 1 || seen[0].URL.Path != prefix+strings.Split(c.path, "?")[0] {
				t.Errorf("%s: the upstream got %v", c.name, seen)
			}
			if resp.StatusCode != c.want {
				t.Errorf("%s: %d %v %s", c.name, resp.StatusCode, resp.Header, body)
			}
			for key, want := range c.seen {
				if got := resp.Header[key]; !slices.Equal(got, want) {
					t.Errorf("%s: %s: %q, want %q", c.name, key, got, want)
				}
			}
			if all := fmt.Sprint(resp.Header, body); strings.Contains(all, strings.TrimPrefix(h.upstream.URL, "http://")) || strings.Contains(all, "inner") {
				t.Errorf("%s: an inner address: %s", c.name, all)
			}
		}
	}
}

// protocolRow is one line of the API: what a client sends, what is asked of it,
// and what reaches the registry.
type protocolRow struct {
	method, path string // as the client sends it
	scope        string // of the challenge without a token
	forwarded    string // path and query at the registry; "": it never gets there
}

// protocolRows are the endpoints (OCI distribution-spec v1.1 end-1 to end-14, and
// Docker's catalog) with each parameter that they have.
func protocolRows() []protocolRow {
	const pull, push, remove = "repository:team/app:pull", "repository:team/app:pull,push", "repository:team/app:delete"
	q, fallback := url.QueryEscape(digestA), "sha256-"+strings.Repeat("a", 64)
	return []protocolRow{
		{"GET", "/v2/", "", ""},
		{"HEAD", "/v2/", "", ""},
		{"GET", "/v2/team/app/manifests/dev", pull, "/v2/team/app/manifests/dev"},
		{"HEAD", "/v2/team/app/manifests/" + digestA, pull, "/v2/team/app/manifests/" + digestA},
		{"GET", "/v2/team/app/manifests/dev?ns=docker.io", pull, "/v2/team/app/manifests/dev"},
		{"GET", "/v2/team/app/manifests/" + fallback, pull, "/v2/team/app/manifests/" + fallback},
		{"PUT", "/v2/team/app/manifests/" + fallback, push, "/v2/team/app/manifests/" + fallback},
		{"PUT", "/v2/team/app/manifests/dev", push, "/v2/team/app/manifests/dev"},
		{"PUT", "/v2/team/app/manifests/" + digestA + "?tag=a&tag=b", push, "/v2/team/app/manifests/" + digestA + "?tag=a&tag=b"},
		{"DELETE", "/v2/team/app/manifests/dev", remove, "/v2/team/app/manifests/dev"},
		{"DELETE", "/v2/team/app/manifests/" + digestA, remove, "/v2/team/app/manifests/" + digestA},
		{"GET", "/v2/team/app/blobs/" + digestA + "?ns=docker.io", pull, "/v2/team/app/blobs/" + digestA},
		{"HEAD", "/v2/team/app/blobs/sha256%3A" + strings.Repeat("a", 64), pull, "/v2/team/app/blobs/" + digestA},
		{"DELETE", "/v2/team/app/blobs/" + digestA, remove, "/v2/team/app/blobs/" + digestA},
		{"POST", "/v2/team/app/blobs/uploads/", push, "/v2/team/app/blobs/uploads/"},
		{"POST", "/v2/team/app/blobs/uploads/?digest=" + digestA, push, "/v2/team/app/blobs/uploads/?digest=" + digestA},
		{"POST", "/v2/team/app/blobs/uploads/?digest-algorithm=sha512", push, "/v2/team/app/blobs/uploads/?digest-algorithm=sha512"},
		{"POST", "/v2/team/app/blobs/uploads/?mount=" + q + "&from=public/x&origin=y", push + " repository:public/x:pull", "/v2/team/app/blobs/uploads/?mount=" + digestA + "&from=public%2Fx"},
		{"POST", "/v2/team/app/blobs/uploads/?mount=" + q, push, "/v2/team/app/blobs/uploads/"},
		{"POST", "/v2/team/app/blobs/uploads/?from=public/x", push, "/v2/team/app/blobs/uploads/"},
		{"PATCH", "/v2/team/app/blobs/uploads/u?_state=s%2Bt%3D", push, "/v2/team/app/blobs/uploads/u?_state=s%2Bt%3D"},
		{"PUT", "/v2/team/app/blobs/uploads/u?_state=s&digest=" + digestA, push, "/v2/team/app/blobs/uploads/u?_state=s&digest=" + digestA},
		{"GET", "/v2/team/app/blobs/uploads/u?_state=s", push, "/v2/team/app/blobs/uploads/u?_state=s"},
		{"DELETE", "/v2/team/app/blobs/uploads/u?_state=s", push, "/v2/team/app/blobs/uploads/u?_state=s"},
		{"GET", "/v2/team/app/tags/list?n=5&last=a", pull, "/v2/team/app/tags/list?n=5&last=a"},
		{"GET", "/v2/team/app/tags/list?n=0", pull, "/v2/team/app/tags/list?n=0"},
		{"GET", "/v2/team/app/tags/list?n=99999999999999999999", pull, "/v2/team/app/tags/list?n=1000"},
		{"GET", "/v2/team/app/referrers/" + digestA + "?artifactType=a%2Fb&n=3&last=c", pull, "/v2/team/app/referrers/" + digestA + "?artifactType=a%2Fb&n=3&last=c"},
		{"GET", "/v2/_catalog?n=0", "registry:catalog:*", ""},
	}
}

// TestProtocolRows sends each row without a token, with one that carries nothing,
// and with one that carries all.
func TestProtocolRows(t *testing.T) {
	h := newHouse(t, nil)
	full := h.token("root", "repository:team/app:pull,push,delete", "repository:public/x:pull", "registry:catalog:*")
	empty := h.token("root")
	for _, row := range protocolRows() {
		what := row.method + " " + row.path
		scope := ""
		if row.scope != "" {
			scope = `,scope="` + row.scope + `"`
		}
		want := `Bearer realm="` + h.URL + `/auth",service="gatehouse"` + scope
		resp, _ := h.do(h.request(row.method, row.path, "", nil))
		if got := resp.Header["Www-Authenticate"]; resp.StatusCode != 401 || len(got) != 1 || got[0] != want {
			t.Errorf("%s without a token: %d %q, want %q", what, resp.StatusCode, got, want)
		}
		resp, _ = h.do(h.request(row.method, row.path, empty, nil))
		if got := resp.Header.Get("Www-Authenticate"); row.scope != "" && (resp.StatusCode != 401 || got != want+`,error="insufficient_scope"`) || row.scope == "" && resp.StatusCode != 200 {
			t.Errorf("%s with an empty token: %d %q", what, resp.StatusCode, got)
		}
		if seen := h.upstream.take(); len(seen) != 0 {
			t.Errorf("%s reached the upstream", what)
		}
		resp, body := h.do(h.request(row.method, row.path, full, nil))
		seen := h.upstream.take()
		switch {
		case resp.StatusCode != 200:
			t.Errorf("%s with a token: %d %s", what, resp.StatusCode, body)
		case row.forwarded == "" && len(seen) == 0:
		case len(seen) != 1 || seen[0].Method != row.method || seen[0].URL.RequestURI() != row.forwarded:
			t.Errorf("%s went on as %v, want %s", what, seen, row.forwarded)
		}
	}
}

// TestTagsOfAPut: each tag of a PUT is judged like the path's own, wherever it
// stands, and so is the fallback tag of a referrer.
func TestTagsOfAPut(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "repository:team/app:pull,push")
	for path, status := range map[string]int{
		"dev?tag=test":                      200,
		"dev?tag=v1":                        403,
		"v1?tag=dev":                        403,
		digestA + "?tag=dev&tag=test":       200,
		digestA + "?tag=dev&tag=v9":         403,
		digestA + "?tag=v9&tag=dev":         403,
		digestA + "?t%61g=v9":               403,
		digestA + "?tag=v%39":               403,
		digestA + "?tag=dev&tag=.x":         400,
		digestA + "?tag=":                   400,
		"sha256-" + strings.Repeat("a", 64): 200,
	} {
		h.expect(h.request("PUT", "/v2/team/app/manifests/"+path, token, strings.NewReader("{}")), status, "")
		if seen := h.upstream.take(); (len(seen) == 1) != (status == 200) {
			t.Errorf("%s: %d requests reached the upstream", path, len(seen))
		}
	}
	h.expect(h.request("GET", "/v2/team/app/manifests/dev?tag=v1", token, nil), 200, "") // not a parameter of a GET
}
