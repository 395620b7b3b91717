package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/authz"
)

// TestAuditAllOf: every request of some people is recorded, whatever it ends in, and of
// others what is recorded of anybody.
func TestAuditAllOf(t *testing.T) {
	var out bytes.Buffer
	people, err := authz.NewAudience([]string{"user:local/root", "group:team"}, []string{"local"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(c *Config) {
		c.Listen.Basic = true
		c.Audit, c.AuditAllOf = slog.New(slog.NewJSONHandler(&out, nil)), people
	})
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		fmt.Sscanf(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], "s%d", &status)
		w.WriteHeader(status)
	})
	root, alice, bob := h.token("root", "repository:team/a:pull,push"), h.token("alice", "repository:team/a:pull"), h.token("bob", "repository:public/a:pull")
	for _, c := range []struct{ method, path, token, want string }{
		{"GET", "/v2/", root, "request ok root 200"},
		{"GET", "/v2/team/a/manifests/x", root, "request ok root 200"},
		{"GET", "/v2/team/a/manifests/s404", root, "request refused root 404"},
		{"GET", "/v2/team/a/manifests/s503", root, "request unavailable root 503"},
		{"GET", "/v2/other/a/manifests/x", root, "request refused root 401"},
		{"PUT", "/v2/team/a/manifests/x", root, "push ok root 200"},
		{"GET", "/v2/team/a/tags/list", alice, "request ok alice 200"},
		{"GET", "/v2/elsewhere/manifests/x", alice, "denied refused alice 403"},
		{"GET", "/v2/public/a/manifests/x", bob, ""},
		{"GET", "/v2/public/a/manifests/x", "", ""},
		{"GET", "/v2/public/../manifests/x", root, ""}, // it is not asked whose it is
		{"GET", "/auth", "", ""},
	} {
		out.Reset()
		var body io.Reader
		if c.method == "PUT" {
			body = strings.NewReader("{}")
		}
		h.serve(c.method, c.path, body, func(r *http.Request) {
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
		})
		got := ""
		if text := out.String(); text != "" {
			got = strings.Join([]string{field(text, "msg"), field(text, "result"), field(text, "user"), field(text, "status")}, " ")
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, got, c.want)
		}
	}
	out.Reset()
	h.serve("GET", "/auth", nil, func(r *http.Request) { r.SetBasicAuth("root", "wrong") })
	if got := field(out.String(), "msg"); got != "login" {
		t.Errorf("a wrong password: %s", out.String())
	}
	for _, c := range []struct{ method, path, who, password, want string }{
		{"GET", "/v2/team/a/manifests/x", "root", "root-secret", "login ok root, request ok root"},
		{"GET", "/v2/", "root", "root-secret", "login ok root, request ok root"},
		{"GET", "/v2/team/a/manifests/s503", "root", "root-secret", "request unavailable root"},
		{"GET", "/v2/elsewhere/manifests/x", "alice", "alice-secret", "denied refused alice"},
		{"PUT", "/v2/team/a/manifests/x", "root", "root-secret", "push ok root"},
		{"GET", "/v2/public/a/manifests/x", "bob", "bob-secret", "login ok bob"},
		{"GET", "/v2/team/a/manifests/x", "root", "wrong", "login refused root"},
		{"GET", "/auth", "root", "root-secret", "login ok root"},
	} {
		out.Reset()
		h.serve(c.method, c.path, nil, func(r *http.Request) { r.SetBasicAuth(c.who, c.password) })
		var got []string
		for line := range strings.Lines(out.String()) {
			got = append(got, strings.Join([]string{field(line, "msg"), field(line, "result"), field(line, "user")}, " "))
		}
		if all := strings.Join(got, ", "); all != c.want {
			t.Errorf("%s %s with the password of %s: %q, want %q", c.method, c.path, c.who, all, c.want)
		}
	}
}

// serve answers a request in this goroutine: its record is there afterwards.
func (h *house) serve(method, path string, body io.Reader, as func(*http.Request)) {
	r := httptest.NewRequest(method, "http://h"+path, body)
	r.RemoteAddr = "127.0.0.1:1"
	as(r)
	h.gateway.ServeHTTP(httptest.NewRecorder(), r)
}

// field is the value of a field of a JSON line.
func field(line, key string) string {
	_, rest, _ := strings.Cut(line, `"`+key+`":`)
	value, _, _ := strings.Cut(strings.TrimRight(rest, "}\n"), ",")
	return strings.Trim(value, `"`)
}
