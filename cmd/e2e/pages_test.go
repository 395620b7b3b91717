package e2e

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// visitor is a person at the pages under /ui/, with a browser that has no script.
type visitor struct {
	t      testing.TB
	base   string // http://host:port
	client *http.Client
}

// page is what a visitor was shown.
type page struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// visit begins a visit; without a user it is an anonymous one.
func (g *gateway) visit(t testing.TB, user, password string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, base: g.scheme + "://" + g.address, client: &http.Client{Jar: jar, Transport: g.client.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if user == "" {
		return v
	}
	if p := v.post("/ui/login", url.Values{"login": {user}, "password": {password}}); p.status != http.StatusSeeOther {
		t.Fatalf("login of %s: %d %s", user, p.status, p.body)
	}
	return v
}

func (v *visitor) do(q *http.Request) page {
	v.t.Helper()
	began := time.Now()
	resp, err := v.client.Do(q)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header, string(body), time.Since(began)}
}

func (v *visitor) request(method, target string, body io.Reader) *http.Request {
	v.t.Helper()
	q, err := http.NewRequest(method, v.base+target, body)
	if err != nil {
		v.t.Fatal(err)
	}
	return q
}

// get opens a page and wants it to be there.
func (v *visitor) get(target string) page {
	v.t.Helper()
	p := v.do(v.request(http.MethodGet, target, nil))
	if p.status != http.StatusOK {
		v.t.Fatalf("%s: %d %s", target, p.status, p.body)
	}
	return p
}

// post sends a form as a browser does from a page of ours.
func (v *visitor) post(target string, form url.Values) page {
	v.t.Helper()
	q := v.request(http.MethodPost, target, strings.NewReader(form.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", v.base)
	q.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.do(q)
}

// all are the values of an attribute in the page, in its order.
func (p page) all(attribute string) (values []string) {
	for _, found := range regexp.MustCompile(`[\s"]`+attribute+`="([^"]*)"`).FindAllStringSubmatch(p.body, -1) {
		values = append(values, html.UnescapeString(found[1]))
	}
	return values
}

// heap is the gateway's, in bytes.
func (g *gateway) heap(t *testing.T) float64 {
	t.Helper()
	return g.metric(t, "go_memstats_heap_inuse_bytes")
}

// echoes wants a page as JSON to be what the socket said, which it returns.
func (v *visitor) echoes(target string, said []byte) (answer map[string]any) {
	v.t.Helper()
	q := v.request(http.MethodGet, target, nil)
	q.Header.Set("Accept", "application/json")
	p := v.do(q)
	var shown map[string]any
	if err := errors.Join(json.Unmarshal([]byte(p.body), &shown), json.Unmarshal(said, &answer)); err != nil {
		v.t.Fatalf("%s: %v: %s, and %s", target, err, p.body, said)
	}
	if !reflect.DeepEqual(shown, answer) || p.header.Get("Content-Type") != "application/json" {
		v.t.Errorf("%s: %s is not %s", target, p.body, said)
	}
	return answer
}
