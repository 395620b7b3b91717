package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// TestRedirects (row H5): a redirect is a way around the gateway. 301 and 308 never
// pass; a listed host counts for reading content and nothing else; and the log says
// what helps where the registry has moved.
func TestRedirects(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, func(c *Config) {
		c.Upstream.RedirectHosts = []string{"store.example", "store.example:8443", "*.s3.example", "*.s3.example:9000"}
		c.Access = slog.New(slog.NewJSONHandler(&log, nil))
	})
	token := h.token("root", "repository:team/app:pull,push,delete")
	manifest, blob, session := "/v2/team/app/manifests/dev", "/v2/team/app/blobs/"+digestA, "/v2/team/app/blobs/uploads/u"
	for _, c := range []struct {
		name, method, path string
		status             int
		location           string
		want               int
		log                string // what the record says
	}{
		{"blob", "GET", blob, 307, "https://store.example/x?sig=1", 307, ""},
		{"blob by HEAD", "HEAD", blob, 302, "https://store.example/x?sig=1", 302, ""},
		{"manifest", "GET", manifest, 303, "https://a.s3.example/x", 303, ""},
		{"manifest by HEAD", "HEAD", manifest, 307, "https://a.b.s3.example:9000/x", 307, ""},
		{"a port of the list", "GET", blob, 307, "https://store.example:8443/x", 307, ""},
		{"the scheme's own port", "GET", blob, 307, "https://store.example:443/x", 307, ""},
		{"another case", "GET", blob, 307, "https://STORE.example/x", 307, ""},
		{"another port", "GET", blob, 307, "https://store.example:444/x", 502, "redirect_hosts does not list"},
		{"the suffix at another port", "GET", blob, 307, "https://a.s3.example:8443/x", 502, "redirect_hosts does not list"},
		{"the suffix alone", "GET", blob, 307, "https://s3.example/x", 502, "redirect_hosts does not list"},
		{"another end", "GET", blob, 307, "https://a.s3.example.evil/x", 502, "redirect_hosts does not list"},
		{"301 of a blob", "GET", blob, 301, "https://store.example/x", 502, "only 302, 303 and 307"},
		{"308 of a blob", "HEAD", blob, 308, "https://store.example/x", 502, ""},
		{"300", "GET", blob, 300, "https://store.example/x", 502, ""},
		{"305", "GET", blob, 305, "https://store.example/x", 502, ""},
		{"301 to the request's path", "GET", manifest, 301, "https://store.example" + manifest, 502, "set upstream.url to https://store.example\""},
		{"308 with a prefix", "GET", manifest, 308, "https://store.example:8443/registry" + manifest, 502, "set upstream.url to https://store.example:8443/registry\""},
		{"301 of a push", "PUT", manifest, 301, "https://store.example" + manifest, 502, "set upstream.url to https://store.example\""},
		{"307 of a push", "PUT", manifest, 307, "https://store.example" + manifest, 502, "set upstream.url to https://store.example\""},
		{"307 of an unlisted host, the request's path", "GET", manifest, 307, "https://moved.example" + manifest, 502, "set upstream.url to https://moved.example\""},
		{"302 of a manifest PUT", "PUT", manifest, 302, "https://store.example/x", 502, "for GET and HEAD of blobs and manifests"},
		{"303 of a manifest DELETE", "DELETE", "/v2/team/app/manifests/old", 303, "https://store.example/x", 502, "for GET and HEAD of blobs and manifests"},
		{"307 of an upload's start", "POST", "/v2/team/app/blobs/uploads/", 307, "https://store.example/x", 502, "for GET and HEAD of blobs and manifests"},
		{"307 of a PATCH", "PATCH", session, 307, "https://store.example/x", 502, "for GET and HEAD of blobs and manifests"},
		{"303 of an upload's end", "PUT", session + "?digest=" + digestA, 303, "https://store.example/x", 502, ""},
		{"307 of a session's state", "GET", session, 307, "https://store.example/x", 502, ""},
		{"303 of a session's end", "DELETE", session, 303, "https://store.example/x", 502, ""},
		{"307 of tags", "GET", "/v2/team/app/tags/list", 307, "https://store.example/x", 502, ""},
		{"307 of referrers", "GET", "/v2/team/app/referrers/" + digestA, 307, "https://store.example/x", 502, ""},
		{"a challenge's way", "GET", blob, 307, "https://user@store.example/x", 502, ""},
		{"within the repository", "GET", manifest, 307, "/v2/team/app/manifests/" + digestA, 307, ""},
		{"301 within the repository", "GET", manifest, 301, "/v2/team/app/manifests/" + digestA, 502, ""},
		{"to itself", "GET", manifest, 307, manifest, 502, "it leads to itself"},
		{"to itself over TLS", "GET", manifest, 307, "https://UPSTREAM" + manifest, 502, "set upstream.url to https://UPSTREAM\""},
		{"signed", "GET", blob, 301, "https://store.example/x?sig=canary", 502, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			log.Reset()
			host := strings.TrimPrefix(h.upstream.URL, "http://")
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", strings.ReplaceAll(c.location, "UPSTREAM", host))
				w.WriteHeader(c.status)
			})
			var body io.Reader
			if c.method == "PUT" || c.method == "PATCH" {
				body = strings.NewReader("{}")
			}
			resp, text := h.do(h.request(c.method, c.path, token, body))
			location := resp.Header.Get("Location")
			if resp.StatusCode != c.want || c.want == 502 && (location != "" || strings.Contains(text, "example")) || c.want != 502 && location != c.location {
				t.Errorf("%d %q %s, want %d", resp.StatusCode, location, text, c.want)
			}
			if want := strings.ReplaceAll(c.log, "UPSTREAM", host); !strings.Contains(log.String(), want) || strings.Contains(log.String(), "canary") {
				t.Errorf("the log does not say %q: %s", want, log.String())
			}
		})
	}
}
