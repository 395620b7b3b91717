package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// catalog is a registry that lists names in its own order, in pages of n.
type catalog struct {
	names []string
	after func(last, name string) bool // the name comes after that cursor
	asked int
}

func (c *catalog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.asked++
	n, last := 3, r.FormValue("last")
	if r.FormValue("n") == "1" {
		n = 1
	}
	var page []string
	more := false
	for _, name := range c.names {
		if last != "" && !c.after(last, name) {
			continue
		}
		if more = len(page) == n; more {
			break
		}
		page = append(page, name)
	}
	if more {
		w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?last=%s>; rel="next"`, url.QueryEscape(page[n-1])))
	}
	json.NewEncoder(w).Encode(map[string][]string{"repositories": page})
}

// of is a Registry that asks a registry of the test's.
func of(t *testing.T, h http.Handler) *Registry {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	u, err := NewRegistry(Default(Config{URL: server.URL}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// all reads a listing to its end, and keeps what is within the prefixes.
func all(t *testing.T, l *Listing) (names []string, err error) {
	for {
		page, err := l.Next(t.Context())
		if err != nil {
			return names, err
		}
		for _, name := range page.Names {
			if covered(l.within, name) {
				names = append(names, name)
			}
		}
		if !page.More {
			return names, nil
		}
	}
}

func covered(within []string, name string) bool {
	return slices.ContainsFunc(within, func(prefix string) bool {
		return strings.HasPrefix(name, prefix) || name == strings.TrimSuffix(prefix, "/")
	})
}

// TestListing (row A6): over registries that sort in either way, that keep no order,
// or that take no cursor but a name they have, a listing has every name of interest
// once and in the registry's order, whatever it leaves out.
func TestListing(t *testing.T) {
	words := []string{"a", "b", "team", "team-a", "team.a", "team0", "tea", "x", "0", "zz"}
	r := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		s := words[r.IntN(len(words))]
		for range r.IntN(3) {
			s += "/" + words[r.IntN(len(words))]
		}
		return s
	}
	asked, pages := 0, 0
	for i := range 400 {
		set := map[string]bool{}
		for range 1 + r.IntN(60) {
			set[name()] = true
		}
		var names []string
		for n := range set {
			names = append(names, n)
		}
		slices.Sort(names)
		c := &catalog{names: names, after: func(last, name string) bool { return last < name }}
		at := func(name string) int { return slices.Index(names, name) }
		switch i % 5 {
		case 4: // by a language's collation, which looks at letters first
			key := func(s string) string { return strings.NewReplacer("/", "", "-", "", ".", "").Replace(s) + "\x00" + s }
			slices.SortFunc(names, func(a, b string) int { return strings.Compare(key(a), key(b)) })
			c.after = func(last, name string) bool { return key(last) < key(name) }
		case 1:
			slices.SortFunc(names, func(a, b string) int {
				return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
			})
			c.after = lessPath
		case 2: // a cursor that it does not have is none
			c.after = func(last, name string) bool { return at(last) < at(name) }
		case 3: // or is behind everything
			c.after = func(last, name string) bool { return at(last) >= 0 && at(last) < at(name) }
		}
		within := []string{}
		for range r.IntN(4) {
			prefix := name()
			if r.IntN(2) == 0 {
				prefix += "/"
			}
			within = append(within, prefix)
		}
		var want []string
		for _, n := range names {
			if covered(within, n) {
				want = append(want, n)
			}
		}
		u := of(t, c)
		for range 2 { // what was found out of the order is kept
			c.asked = 0
			got, err := all(t, u.Catalog(http.Header{}, "", within))
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d: of %q within %q: %q, want %q: %v", i, names, within, got, want, err)
			}
		}
		if i%5 < 2 {
			asked, pages = asked+c.asked, pages+1+len(names)/3
		}
	}
	if asked*4 > pages*3 {
		t.Errorf("%d of %d pages were asked for: nothing is left out", asked, pages)
	}
}

// TestListingOrder (row A6): a registry that turns out to keep no order after
// something was left out is an error, and is read whole from then on.
func TestListingOrder(t *testing.T) {
	c := &catalog{names: []string{"a", "b", "c", "d", "e", "m", "team/b", "z", "team/a"}, after: func(last, name string) bool { return last < name || last < "n" && name == "team/a" }}
	u := of(t, c)
	u.order.state.Store(isSorted)
	if _, err := all(t, u.Catalog(http.Header{}, "", []string{"team/"})); !errors.Is(err, ErrAnswer) {
		t.Errorf("%v", err)
	}
	if u.order.state.Load() != isNot {
		t.Error("it is still taken for sorted")
	}
}

// TestCursorAgain (row A24): a cursor that comes again ends the listing.
func TestCursorAgain(t *testing.T) {
	asked := 0
	u := of(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		next := "a"
		if r.FormValue("last") == "a" {
			next = "b"
		}
		w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?last=%s>; rel="next"`, next))
		fmt.Fprint(w, `{"repositories":["x"]}`)
	}))
	_, err := all(t, u.Catalog(http.Header{}, "", []string{""}))
	if !errors.Is(err, ErrAnswer) || !strings.Contains(fmt.Sprint(err), `"a"`) || asked > 4 {
		t.Errorf("%v after %d pages", err, asked)
	}
}

// TestSkip: where a reader of some prefixes goes on.
func TestSkip(t *testing.T) {
	for _, c := range []struct {
		within string
		at     string
		to     string
		over   bool
	}{
		{"team/", "a", "tea", false},
		{"team/", "tea", "", false},
		{"team/", "team", "", false},
		{"team/", "team-x", "", false}, // before team/ by bytes, behind it in a walk
		{"team/", "team.x", "", false},
		{"team/", "team/x/y", "", false},
		{"team/", "team0", "", true},
		{"team/", "teams", "", true},
		{"team/", "u", "", true},
		{"team-", "team0", "", true},
		{"team-", "team/x", "", false},
		{"a/ team/", "b", "tea", false},
		{"a/ team/", "0", "", false},
		{"a-b/ a/b/", "0", "a", false},
		{"x/y/z/ x/y-z/", "a", "x/y", false},
		{"team-500000/", "team-000001", "team-50000", false},
		{"", "x", "", false},
		{"", "zzz", "", false},
	} {
		within := strings.Fields(c.within)
		if c.within == "" {
			within = []string{""}
		}
		if to, over := skip(within, c.at); to != c.to || over != c.over {
			t.Errorf("%q at %q: %q %v, want %q %v", c.within, c.at, to, over, c.to, c.over)
		}
	}
}

// TestBefore: just before a name in both orders, and behind it where letters count first.
func TestBefore(t *testing.T) {
	for name, want := range map[string]string{"alpine/git": "a-zzz", "a/hidden": "a/h-zzz", "r0": "r-zzz", "a-b/c.dd": "a-b/c.d-zzz", "a": "", "a/b/c": "", "": ""} {
		got := before(name)
		if got != want || got != "" && (!less(got, name) || !lessPath(got, name)) {
			t.Errorf("before %q: %q, want %q", name, got, want)
		}
	}
}
