package contents

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
)

// filled is a cache with one blob in two repositories.
func filled(t *testing.T) (c *content.Cache, digest string, pull func(repository string) content.Outcome) {
	t.Helper()
	const body = "a blob"
	digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body)))
	var cfg content.Config
	cfg.Defaults()
	c = content.New(cfg, nil, nil)
	ask := func(_ context.Context, q content.Question) (*content.Answer, error) {
		return &content.Answer{Status: 200, Header: content.Header{"Content-Length": {"6"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
	pull = func(repository string) content.Outcome {
		r := c.Get(t.Context(), &content.Request{Subject: content.Subject{Upstream: "up", Repository: repository, Kind: content.Blob}, Reference: digest, Asker: content.Ask(ask)})
		if r.Entry == nil || string(r.Entry.Body) != body {
			t.Errorf("%s: %+v", repository, r)
		}
		return r.Outcome
	}
	pull("team/a")
	pull("team/b")
	return c, digest, pull
}

// TestPurge: what is forgotten is asked for again, and nothing else; each purge is recorded,
// and what is none is refused.
func TestPurge(t *testing.T) {
	for body, want := range map[string]struct {
		status  int
		removed int
		a, b    content.Outcome
	}{
		`{"all":true}`:                              {200, 1, content.Miss, content.Miss},
		`{"digest":"DIGEST"}`:                       {200, 1, content.Miss, content.Miss},
		`{"repository":"team/a"}`:                   {200, 0, content.Miss, content.Hit},
		`{"repository":"team/a","digest":"DIGEST"}`: {200, 0, content.Miss, content.Hit},
		`{"repository":"team/c"}`:                   {200, 0, content.Hit, content.Hit},
		`{}`:                                        {400, 0, content.Hit, content.Hit},
		`{"all":false}`:                             {400, 0, content.Hit, content.Hit},
		`{"all":true,"repository":"team/a"}`:        {400, 0, content.Hit, content.Hit},
		`{"all":true,"digest":"DIGEST"}`:            {400, 0, content.Hit, content.Hit},
		`{"digest":"sha256:00"}`:                    {400, 0, content.Hit, content.Hit},
		`{"repository":"../x"}`:                     {400, 0, content.Hit, content.Hit},
		`{"repository":"Team/A"}`:                   {400, 0, content.Hit, content.Hit},
		`{"everything":true}`:                       {400, 0, content.Hit, content.Hit},
		`[]`:                                        {400, 0, content.Hit, content.Hit},
		`{"all":true}{}`:                            {400, 0, content.Hit, content.Hit},
		``:                                          {400, 0, content.Hit, content.Hit},
		`{"repository":"` + strings.Repeat("a", 70000) + `"}`: {413, 0, content.Hit, content.Hit},
	} {
		c, digest, pull := filled(t)
		var recorded []string
		routes := admin.NewRoutes(http.NotFoundHandler())
		Register(routes, func() *content.Cache { return c }, func(e audit.Event, attrs ...any) { recorded = append(recorded, string(e)+fmt.Sprint(attrs...)) })
		r := httptest.NewRequest("POST", "/cache/purge", strings.NewReader(strings.ReplaceAll(body, "DIGEST", digest)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		var answer removed
		if err := json.Unmarshal(w.Body.Bytes(), &answer); w.Code != want.status || err != nil || answer.Removed != want.removed {
			t.Errorf("%.80s: %d %s", body, w.Code, w.Body)
		}
		if done := slices.ContainsFunc(recorded, func(s string) bool { return strings.HasPrefix(s, "purge") }); done != (want.status == 200) || len(recorded) > 1 {
			t.Errorf("%.80s: recorded %q", body, recorded)
		}
		if b, a := pull("team/b"), pull("team/a"); a != want.a || b != want.b {
			t.Errorf("%.80s: then %s and %s", body, a, b)
		}
	}
}

// TestBrowsersCannotPurge: a page that somebody's browser shows has no say.
func TestBrowsersCannotPurge(t *testing.T) {
	c, _, pull := filled(t)
	routes := admin.NewRoutes(http.NotFoundHandler())
	Register(routes, func() *content.Cache { return c }, func(audit.Event, ...any) { t.Error("recorded") })
	for _, header := range [][2]string{{"Origin", "https://evil.test"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Content-Type", "text/plain"}} {
		r := httptest.NewRequest("POST", "/cache/purge", strings.NewReader(`{"all":true}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(header[0], header[1])
		w := httptest.NewRecorder()
		if routes.ServeHTTP(w, r); w.Code != http.StatusForbidden && w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d", header, w.Code)
		}
	}
	w := httptest.NewRecorder()
	if routes.ServeHTTP(w, httptest.NewRequest("GET", "/cache/purge", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	if pull("team/a") != content.Hit {
		t.Error("something was forgotten")
	}
}

// TestStatus: what is there is counted, and where there is no cache that is said.
func TestStatus(t *testing.T) {
	c, _, _ := filled(t)
	for _, c := range []*content.Cache{c, nil} {
		routes := admin.NewRoutes(http.NotFoundHandler())
		Register(routes, func() *content.Cache { return c }, nil)
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, httptest.NewRequest("GET", "/cache/status", nil))
		want := `{"memory":{"entries":1,"bytes":1030,"most":67108864},"standings":2,"tags":0,"questions":0}`
		if c == nil {
			want = `{"message":"the config has no section cache"}`
		}
		if strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	var out strings.Builder
	show(&out, &content.Status{Memory: content.Store{Entries: 1, Bytes: 2, Most: 3}, Disk: &content.Store{Entries: 4, Bytes: 5, Most: 6}, Standings: 7, Tags: 8, Questions: 9})
	if want := "memory: 1 entries, 2 of 3 bytes\ndisk: 4 entries, 5 of 6 bytes\nstandings: 7\ntags: 8\nquestions: 9\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// FuzzPurge: a body that is no purge forgets nothing.
func FuzzPurge(f *testing.F) {
	f.Add(`{"all":true}`)
	f.Add(`{"repository":"a"}`)
	f.Fuzz(func(t *testing.T, body string) {
		done := false
		routes := admin.NewRoutes(http.NotFoundHandler())
		c := content.New(content.Config{Memory: 1 << 20}, nil, nil)
		Register(routes, func() *content.Cache { return c }, func(audit.Event, ...any) { done = true })
		r := httptest.NewRequest("POST", "/cache/purge", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		var a asked
		if good := json.Unmarshal([]byte(body), &a) == nil && a.check() == nil; done != (w.Code == 200) || done && !good {
			t.Errorf("%q: %d", body, w.Code)
		}
	})
}
