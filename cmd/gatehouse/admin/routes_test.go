package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/cmd/gatehouse/cli"
)

type asked struct {
	Name string `json:"name"`
}

// testRoutes are some of each kind.
func testRoutes() *Routes {
	rs := NewRoutes(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the rest") }))
	rs.Get("/get", func(_ context.Context, query url.Values) (any, error) {
		switch query.Get("q") {
		case "text":
			return Text("a table\n"), nil
		case "bytes":
			return &Stream{io.NopCloser(strings.NewReader("0123456789")), 10}, nil
		case "cut":
			return &Stream{io.NopCloser(strings.NewReader("01234")), 10}, nil
		case "wrong":
			return nil, &Fault{http.StatusBadRequest, "q is wrong"}
		case "away":
			return nil, &Fault{http.StatusServiceUnavailable, "the store is away"}
		case "broken":
			return nil, errors.New("a fault of ours")
		}
		return asked{query.Get("q")}, nil
	})
	Post(rs, "/post", func(_ context.Context, a asked) (any, error) { return a, nil })
	return rs
}

// TestRoutes: what is answered, and what is refused before a route is asked.
func TestRoutes(t *testing.T) {
	rs := testRoutes()
	for _, test := range []struct {
		method, target, body string
		header               map[string]string
		status               int
		want                 string
	}{
		{"GET", "/get?q=x", "", nil, 200, `{"name":"x"}`}, {"GET", "/get?q=text", "", nil, 200, "a table"}, {"GET", "/get?q=%zz", "", nil, 400, "query"},
		{"GET", "/get?q=wrong", "", nil, 400, `{"message":"q is wrong"}`}, {"GET", "/get?q=broken", "", nil, 500, `{"message":"a fault of ours"}`},
		{"GET", "/metrics", "", nil, 200, "the rest"}, {"POST", "/get", "{}", nil, 405, "GET"}, {"GET", "/post", "", nil, 405, "POST"}, {"HEAD", "/post", "", nil, 405, ""},
		{"POST", "/post", `{"name":"x"}`, nil, 200, `{"name":"x"}`}, {"POST", "/post", ` {} `, nil, 200, `{"name":""}`},
		{"POST", "/post", `{"name":"x"}{}`, nil, 400, "more behind"}, {"POST", "/post", `{"nme":"x"}`, nil, 400, `unknown field`}, {"POST", "/post", ``, nil, 400, "EOF"},
		{"POST", "/post", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413, "too large"},
		{"POST", "/post", `{}`, map[string]string{"Content-Type": "text/plain"}, 415, "application/json"},
		{"POST", "/post", `{}`, map[string]string{"Content-Type": "application/json; charset=utf-8"}, 200, "{"},
		{"POST", "/post", `{}`, map[string]string{"Origin": "https://registry.example.com"}, 403, "pages"}, {"POST", "/post", `{}`, map[string]string{"Origin": "null"}, 403, "pages"},
		{"GET", "/get?q=x", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, "pages"}, {"GET", "/get?q=x", "", map[string]string{"Sec-Fetch-Site": "same-site"}, 403, "pages"},
		{"GET", "/metrics", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, "pages"}, {"GET", "/get?q=x", "", map[string]string{"Sec-Fetch-Site": "none"}, 200, "x"},
	} {
		r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
		if test.method == "POST" {
			r.Header.Set("Content-Type", "application/json")
		}
		for key, value := range test.header {
			r.Header.Set(key, value)
		}
		w := httptest.NewRecorder()
		rs.ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) || w.Code >= 400 && w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %.50s %v: %d %s %v", test.method, test.target, test.body, test.header, w.Code, w.Body, w.Header())
		}
	}
}

// downloads: bytes arrive all, or it is told that they broke off.
func downloads(t *testing.T, c *Client) {
	t.Helper()
	for q, want := range map[string]struct {
		text, err string
		status    int
	}{
		"bytes": {"0123456789", "", 0}, "cut": {"01234", "broke off", cli.Fault}, "away": {"", "the store is away", cli.Down}, "broken": {"", "a fault of ours", cli.Fault},
	} {
		var got strings.Builder
		var e *cli.Error
		err := c.Download(t.Context(), "/get", url.Values{"q": {q}}, &got)
		if want.err == "" && err == nil && got.String() == want.text {
			continue
		}
		if !errors.As(err, &e) || e.Status != want.status || !strings.Contains(err.Error(), want.err) || got.String() != want.text {
			t.Errorf("%s: %v, %q", q, err, got.String())
		}
	}
}

// TestClient: answers and errors of each kind arrive, with the status that the command
// ends with.
func TestClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: testRoutes()}
	go s.Serve(l)
	c := newClient(path)
	var got asked
	if err := c.Get(t.Context(), "/get", url.Values{"q": {"x y"}}, &got); err != nil || got.Name != "x y" {
		t.Errorf("%+v %v", got, err)
	}
	if err := c.Post(t.Context(), "/post", asked{"z"}, &got); err != nil || got.Name != "z" {
		t.Errorf("%+v %v", got, err)
	}
	if err := c.Post(t.Context(), "/post", asked{"z"}, nil); err != nil {
		t.Error(err)
	}
	var text Text
	if err := c.Get(t.Context(), "/get", url.Values{"q": {"text"}}, &text); err != nil || text != "a table\n" {
		t.Errorf("%q %v", text, err)
	}
	for q, want := range map[string]int{"wrong": cli.Usage, "away": cli.Down, "broken": cli.Fault} {
		var e *cli.Error
		var f *Fault
		if err := c.Get(t.Context(), "/get", url.Values{"q": {q}}, &got); !errors.As(err, &e) || e.Status != want || !errors.As(err, &f) || f.Message == "" {
			t.Errorf("%s: %v", q, err)
		}
	}
	for target, want := range map[string]string{"/none": "cannot be read"} { // not JSON
		if err := c.Get(t.Context(), target, nil, &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", target, err)
		}
	}
	downloads(t, c)
	s.Close()
	var e *cli.Error
	if err := c.Get(t.Context(), "/get", nil, &got); !errors.As(err, &e) || e.Status != cli.Down || !strings.Contains(err.Error(), "no gateway answers at admin.socket "+path) {
		t.Errorf("nobody there: %v", err)
	}
}
