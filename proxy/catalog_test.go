package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// registryCatalog is a registry that lists names in pages of n, or of 100 where
// none is given, but never of more than limit.
type registryCatalog struct {
	names []string // sorted
	limit int
	pages atomic.Int64 // that were read
}

func (c *registryCatalog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.pages.Add(1)
	n, last := min(100, c.limit), r.FormValue("last")
	fmt.Sscan(r.FormValue("n"), &n)
	if n > c.limit {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`)
		return
	}
	start, found := slices.BinarySearch(c.names, last)
	if found {
		start++
	}
	page := c.names[start:min(start+n, len(c.names))]
	if start+n < len(c.names) {
		w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?last=%s&n=%d>; rel="next"`, url.QueryEscape(page[len(page)-1]), n))
	}
	json.NewEncoder(w).Encode(map[string][]string{"repositories": page})
}

// list asks for one page of the catalog and wants its status.
func (h *house) list(token, query string, status int) (names []string, link string) {
	h.t.Helper()
	resp, body := h.do(h.request("GET", "/v2/_catalog"+query, token, nil))
	var got struct{ Repositories []string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != status {
		h.t.Fatalf("%s: %d %s", query, resp.StatusCode, body)
	}
	for key, values := range resp.Header {
		if strings.Contains(strings.Join(values, " ")+body, "hidden") {
			h.t.Errorf("%s: a hidden name in %s: %v, or in %s", query, key, values, body)
		}
	}
	return got.Repositories, resp.Header.Get("Link")
}

// TestCatalogOfMany (row A6): 10,000 repositories of which alice may see ten, wherever
// they lie: one request, and no page more than its n needs.
func TestCatalogOfMany(t *testing.T) {
	h := newHouse(t, nil)
	var visible []string
	for i := range 10 {
		visible = append(visible, fmt.Sprintf("team/%d", i))
	}
	catalog := func(prefix func(i int) string, limit int) *registryCatalog {
		c := &registryCatalog{names: slices.Clone(visible), limit: limit}
		for i := range 9990 {
			c.names = append(c.names, prefix(i)+fmt.Sprintf("/hidden-%d", i))
		}
		slices.Sort(c.names)
		return c
	}
	before := catalog(func(int) string { return "a" }, 1000)
	after := catalog(func(int) string { return "z" }, 1000)
	around := catalog(func(i int) string { return []string{"a", "z"}[i%2] }, 1000)
	small := catalog(func(int) string { return "a" }, 500) // its pages may not be larger, and are 100 then
	token := h.token("alice", "registry:catalog:*")
	for _, c := range []struct {
		name    string
		catalog *registryCatalog
		query   string
		names   int
		more    bool
		pages   int64
	}{
		{"at the end", before, "", 10, false, 5}, // three of them ask once how the upstream sorts,
		{"at the end, in one page", before, "?n=10", 10, false, 2},
		{"at the end, half", before, "?n=5", 5, true, 2},
		{"at the start", after, "", 10, false, 1},
		{"at the start, as many as there are", after, "?n=10", 10, false, 1},
		{"at the start, half", after, "?n=5", 5, true, 1},
		{"at the start, from the fifth on", after, "?n=4&last=team/4", 4, true, 1},
		{"in the middle", around, "?n=10", 10, false, 2},
		{"behind them all", around, "?last=team/9", 0, false, 1},
		{"small pages", small, "", 10, false, 3},
	} {
		h.upstream.answers(c.catalog.ServeHTTP)
		c.catalog.pages.Store(0)
		names, link := h.list(token, c.query, 200)
		if len(names) != c.names || !slices.IsSorted(names) || (link != "") != c.more || c.catalog.pages.Load() != c.pages {
			t.Errorf("%s: %d names, link %q after %d pages; want %d, more %v, %d pages", c.name, len(names), link, c.catalog.pages.Load(), c.names, c.more, c.pages)
		}
		for _, name := range names {
			if !slices.Contains(visible, name) {
				t.Errorf("%s: %s", c.name, name)
			}
		}
	}
	h.upstream.take()
}

// TestCatalogWalk follows our own links over every page size: each visible name
// once, and never an empty page that leads on.
func TestCatalogWalk(t *testing.T) {
	h := newHouse(t, nil)
	names := []string{"a/hidden", "public/a", "public/b/c", "public/d", "team/a", "team/b", "team/c", "zzz/hidden"}
	h.upstream.answers((&registryCatalog{names: names, limit: 2}).ServeHTTP)
	token := h.token("alice", "registry:catalog:*")
	for n := 1; n <= 8; n++ {
		var all []string
		query, pages := fmt.Sprintf("?n=%d", n), 0
		for ; query != "" && pages < 10; pages++ {
			page, link := h.list(token, query, 200)
			if len(page) == 0 && link != "" || len(page) > n {
				t.Errorf("n=%d: %v leads on to %q", n, page, link)
			}
			all = append(all, page...)
			raw, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
			_, query, _ = strings.Cut(raw, "?")
			if query != "" {
				query = "?" + query
			}
		}
		if !slices.Equal(all, names[1:7]) {
			t.Errorf("n=%d: %v in %d pages", n, all, pages)
		}
	}
}

// TestCatalogFaults: a part is never shown as the whole.
func TestCatalogFaults(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Upstream.Timeout = 5 * time.Second })
	token := h.token("alice", "registry:catalog:*")
	page := func(link string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", link)
			fmt.Fprint(w, `{"repositories":["team/a"]}`)
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		status int
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(302) }, 502},
		{"a login", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, 502},
		{"no JSON", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, 502},
		{"cut JSON", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"repositories":["team/a"`) }, 502},
		{"cut page", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"repositories":["team/a"]`)
		}, 502},
		{"a page without end", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"repositories":["team/a"`+strings.Repeat(`,"team/a"`, 1<<20)+`]}`)
		}, 502},
		{"a cursor that stays", page(`</v2/_catalog?last=team/a&n=1>; rel="next"`), 502},
		{"a link without a cursor", page(`</v2/_catalog?next=2>; rel="next"`), 502},
		{"a link that is none", page(`/v2/_catalog?last=b`), 502},
		{"fails behind the first page", func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("last") != "" {
				w.WriteHeader(500)
				return
			}
			page(`</v2/_catalog?last=team/a>; rel="next"`)(w, r)
		}, 502},
	} {
		h.upstream.answers(c.answer)
		resp, body := h.do(h.request("GET", "/v2/_catalog", token, nil))
		if resp.StatusCode != c.status || !strings.Contains(body, `"UNAVAILABLE"`) || strings.Contains(body, "team/a") {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
	}
	for _, link := range []string{`</v2/_catalog?last=team/b>; rel=prev`, ``} {
		h.upstream.answers(page(link))
		if names, next := h.list(token, "", 200); len(names) != 1 || next != "" {
			t.Errorf("%q: %v %q", link, names, next)
		}
	}
}

// TestCatalogRefused: the upstream's own errors pass, as on every endpoint.
func TestCatalogRefused(t *testing.T) {
	h := newHouse(t, nil)
	token := h.token("alice", "registry:catalog:*")
	for _, status := range []int{400, 403, 404, 429, 500, 503} {
		own := fmt.Sprintf(`{"errors":[{"code":"X%d"}]}`, status)
		h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Www-Authenticate", "Basic")
			w.WriteHeader(status)
			io.WriteString(w, own)
		})
		resp, body := h.do(h.request("GET", "/v2/_catalog", token, nil))
		if resp.StatusCode != status || body != own || resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Www-Authenticate") != "" {
			t.Errorf("%d: %d %s %v", status, resp.StatusCode, body, resp.Header)
		}
	}
}

// TestCatalogTime: an upstream that always has one page more, and a caller who may
// see none of it, end at the time limit and not with an empty list.
func TestCatalogTime(t *testing.T) {
	h := newHouse(t, nil)
	h.gateway.catalog.limit = 50 * time.Millisecond
	var pages atomic.Int64
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?last=x%d>; rel="next"`, pages.Add(1)))
		fmt.Fprint(w, `{"repositories":["x/hidden"]}`)
	})
	if names, link := h.list(h.token("alice", "registry:catalog:*"), "", 504); names != nil || link != "" || pages.Load() < 2 {
		t.Errorf("%v %q after %d pages", names, link, pages.Load())
	}
}
