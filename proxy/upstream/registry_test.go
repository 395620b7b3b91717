package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/proxy/route"
)

// place is an address that counts, and answers as it is told.
type place struct {
	*httptest.Server
	asked  atomic.Int64 // not for /v2/
	answer atomic.Pointer[http.HandlerFunc]
}

func newPlace(t *testing.T) *place {
	p := &place{}
	p.answers(func(http.ResponseWriter, *http.Request) {})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			p.asked.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *place) answers(h http.HandlerFunc) { p.answer.Store(&h) }

func status(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
}

// hangUp ends the connection instead of answering.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

func registryAt(t *testing.T, timeout time.Duration, urls ...string) *Registry {
	t.Helper()
	r, err := NewRegistry(Entry{Name: "a", URLs: urls, Config: Config{Timeout: timeout}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func send(t *testing.T, r *Registry, method, target string, body io.Reader) (*Response, error) {
	t.Helper()
	rt, err := route.Parse(method, target)
	if err != nil {
		t.Fatal(err)
	}
	length := int64(0)
	if body != nil {
		length = -1
	}
	resp, err := r.Do(t.Context(), Request{Route: rt, Header: http.Header{"Accept": {"*/*"}}, Body: body, Length: length})
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

const manifest, upload = "/v2/team/app/manifests/dev", "/v2/team/app/blobs/uploads/"

// TestLeastInFlight: requests go where the least is in flight, until its answer is closed.
func TestLeastInFlight(t *testing.T) {
	one, two := newPlace(t), newPlace(t)
	r := registryAt(t, 0, one.URL, two.URL)
	var held []*Response
	for range 10 {
		resp, err := send(t, r, "GET", manifest, nil)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, resp)
	}
	if one.asked.Load() != 5 || two.asked.Load() != 5 {
		t.Errorf("%d and %d of ten open answers", one.asked.Load(), two.asked.Load())
	}
	for i := range held[:8] {
		held[i].Body.Close()
		held[i].Body.Close() // counts once
	}
	for _, a := range r.addresses {
		if n := a.state.inFlight.Load(); n != 1 {
			t.Errorf("%s: %d in flight, want 1", a.shown, n)
		}
	}
}

// TestElsewhere: what has no body is tried once more at another address after a dial
// fault, or where no header came; nothing else is.
func TestElsewhere(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, c := range []struct {
		name, method, target string
		body                 bool
		first                http.HandlerFunc // nil: nobody listens
		again                bool
	}{
		{"dial", "GET", manifest, false, nil, true}, {"dial", "HEAD", manifest, false, nil, true}, {"dial", "DELETE", manifest, false, nil, true},
		{"dial", "POST", upload, false, nil, true}, {"dial", "PUT", upload + "u?digest=" + digestA, false, nil, true},
		{"dial", "PUT", manifest, true, nil, false}, {"dial", "PATCH", upload + "u", true, nil, false},
		{"no header", "GET", manifest, false, hangUp, true}, {"no header", "POST", upload, false, hangUp, true},
		{"no header", "PUT", manifest, true, hangUp, false}, {"no header", "PATCH", upload + "u", true, hangUp, false},
		{"silence", "GET", manifest, false, silent, true}, {"silence", "PATCH", upload + "u", true, silent, false},
		{"502", "GET", manifest, false, status(502), false}, {"401", "GET", manifest, false, status(401), false},
	} {
		t.Run(c.name+" "+c.method, func(t *testing.T) {
			t.Parallel()
			two, first := newPlace(t), gone.URL
			if c.first != nil {
				one := newPlace(t)
				one.answers(c.first)
				first = one.URL
			}
			r := registryAt(t, time.Second, first, two.URL)
			var body io.Reader
			if c.body {
				body = bytes.NewReader([]byte("{}"))
			}
			resp, err := send(t, r, c.method, c.target, body)
			if again := err == nil && resp.Status == 200 && two.asked.Load() == 1; again != c.again || !again && two.asked.Load() != 0 {
				t.Errorf("again %v (%v, %v, %d asked there), want %v", again, resp, err, two.asked.Load(), c.again)
			}
		})
	}
}

// TestOnceOnly: at a third address nothing is tried, and what may have been done is told.
func TestOnceOnly(t *testing.T) {
	places := []*place{newPlace(t), newPlace(t), newPlace(t)}
	for _, p := range places {
		p.answers(hangUp)
	}
	r := registryAt(t, 0, places[0].URL, places[1].URL, places[2].URL)
	_, err := send(t, r, "DELETE", manifest, nil)
	var failed *Error
	if !errors.As(err, &failed) || !failed.Sent || places[2].asked.Load() != 0 {
		t.Errorf("%v, and %d at the third", err, places[2].asked.Load())
	}
	places[1].Close()
	r = registryAt(t, 0, places[0].URL, places[1].URL)
	if _, err := send(t, r, "DELETE", manifest, nil); !errors.As(err, &failed) || !failed.Sent {
		t.Errorf("the first may have done it: %v", err)
	}
}

// TestPutAside: three 5xx in a row, and nothing goes there until a look brings it back;
// where all are aside, the one that was put aside first is tried.
func TestPutAside(t *testing.T) {
	one, two := newPlace(t), newPlace(t)
	one.answers(status(503))
	r := registryAt(t, 0, one.URL, two.URL)
	ask := func(n int) {
		t.Helper()
		for range n {
			resp, err := send(t, r, "GET", manifest, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	ask(20)
	if one.asked.Load() != 3 || two.asked.Load() != 17 {
		t.Fatalf("%d and %d; want three faults and no more", one.asked.Load(), two.asked.Load())
	}
	if h := r.Health(); h[0].Err == nil || h[1].Err != nil || h[0].Address != one.URL {
		t.Errorf("health: %v", h)
	}
	two.answers(status(500))
	ask(3)
	before := one.asked.Load()
	ask(2)
	if one.asked.Load() != before+2 {
		t.Errorf("all aside: %d of 2 went to the least bad", one.asked.Load()-before)
	}
	one.answers(status(200))
	two.answers(status(200))
	ask(1)
	if h := r.Health(); h[0].Err != nil || h[1].Err == nil {
		t.Errorf("after a good answer of the least bad: %v", h)
	}
	time.Sleep(time.Until(r.addresses[1].state.aside()))
	r.BringBack(t.Context())
	if h := r.Health(); h[1].Err != nil {
		t.Errorf("after a look: %v", h)
	}
}

// TestAsideRequests: what becomes of a request aside puts no address aside, brings none back, and
// is not tried at another one.
func TestAsideRequests(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	one := newPlace(t)
	ask := func(r *Registry, aside bool) {
		rt, err := route.Parse("HEAD", manifest)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := r.Do(t.Context(), Request{Route: rt, Aside: aside}); err == nil {
			resp.Body.Close()
		}
	}
	bad := registryAt(t, 0, one.URL)
	one.answers(status(503))
	for range faultsRow {
		ask(bad, true)
	}
	if h := bad.Health(); h[0].Err != nil || one.asked.Load() != faultsRow {
		t.Errorf("after answers of 503: %v, %d asked", h, one.asked.Load())
	}
	for range faultsRow {
		ask(bad, false)
	}
	one.answers(status(200))
	ask(bad, true)
	if h := bad.Health(); h[0].Err == nil {
		t.Error("a good answer aside brings an address back")
	}
	before := one.asked.Load()
	two := registryAt(t, 0, gone.URL, one.URL)
	ask(two, true)
	if h := two.Health(); h[0].Err != nil || one.asked.Load() != before {
		t.Errorf("where nobody listens: %v, %d asked at the other address", h, one.asked.Load()-before)
	}
	for _, a := range slices.Concat(bad.addresses, two.addresses) {
		if n := a.state.inFlight.Load(); n != 0 {
			t.Errorf("%d in flight at %s", n, a.shown)
		}
	}
}

// TestLeavers: clients that leave put nothing aside.
func TestLeavers(t *testing.T) {
	one := newPlace(t)
	arrived := make(chan struct{})
	one.answers(func(_ http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-r.Context().Done() })
	r := registryAt(t, 0, one.URL)
	for range 5 {
		ctx, leave := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			_, err := r.Do(ctx, Request{Route: route.Route{Kind: route.Tags, Method: "GET", Repository: "a"}})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
		<-arrived
		leave()
		asking.Wait()
	}
	if h := r.Health(); h[0].Err != nil || r.addresses[0].state.inFlight.Load() != 0 {
		t.Errorf("%v, %d in flight", h, r.addresses[0].state.inFlight.Load())
	}
}

// TestLook tells of each address what a question there says, or what is known.
func TestLook(t *testing.T) {
	one, two, three := newPlace(t), newPlace(t), newPlace(t)
	two.answers(status(404))
	three.Close()
	r := registryAt(t, 0, one.URL, two.URL, three.URL)
	list := r.Look(t.Context())
	if list[0].Err != nil || list[1].Err == nil || !strings.Contains(list[1].Err.Error(), "404") || !errors.Is(list[2].Err, ErrUnreachable) {
		t.Errorf("%v", list)
	}
	if h := r.Health(); h[1].Err != nil || h[2].Err == nil {
		t.Errorf("only a dial fault puts aside: %v", h)
	}
}

// TestStatesOutliveReloads: another registry of the same name and address knows.
func TestStatesOutliveReloads(t *testing.T) {
	states := NewStates()
	e := Entry{Name: "a", URLs: []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}}
	before, err := NewRegistry(e, states, nil)
	if err != nil {
		t.Fatal(err)
	}
	before.addresses[0].state.take(time.Now(), unreachable)
	e.URLs = []string{"http://127.0.0.1:3", "http://127.0.0.1:1"}
	after, err := NewRegistry(e, states, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h := after.Health(); h[0].Err != nil || h[1].Err == nil {
		t.Errorf("%v", h)
	}
}

// TestEntry: what is wrong with an entry is told of its own key.
func TestEntry(t *testing.T) {
	for _, c := range []struct {
		e    Entry
		want string // the keys
	}{
		{Entry{Name: "team-a", URLs: []string{"http://h"}}, ""},
		{Entry{Name: "a", URL: "http://h"}, ""},
		{Entry{Name: "a b", URLs: []string{"http://h"}}, "name"},
		{Entry{Name: "a"}, "urls"},
		{Entry{Name: "a", URLs: []string{"http://h"}, URL: "http://h"}, "urls"},
		{Entry{Name: "a", URLs: []string{"http://h", "http://i", "http://h"}}, "urls[2]"},
		{Entry{Name: "a", URLs: []string{"https://h", "http://i"}, Config: Config{CAFile: authn.File{Name: "x"}}}, "urls[1]"},
		{Entry{Name: "a", URLs: []string{"http://h", "http://i"}, Config: Config{Username: "u"}}, "username"},
	} {
		if got := keysOf(c.e.Check()); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
	}
	_, err := NewRegistry(Entry{Name: "a", URLs: []string{"http://h", "h:1", "http://h/v2/"}}, nil, nil)
	if got := keysOf(err); got != "urls[1] urls[2]" {
		t.Errorf("%q: %v", got, err)
	}
}

// TestIdentity: two entries are one registry, to which we are the same, by their addresses, user and
// certificate; what they are called, and how long they may take, is nothing to it.
func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	pair := func(name string) Config {
		cert, key := authntest.WriteClient(t, dir, name, authntest.NewAuthority(t, "CA").URI(t, "spiffe://gate.test/"+name))
		c, err := os.ReadFile(cert)
		k, kerr := os.ReadFile(key)
		if err := errors.Join(err, kerr); err != nil {
			t.Fatal(err)
		}
		return Config{CertFile: authn.File{Name: name, Data: c}, KeyFile: authn.SecretFile{Name: name, Secret: authn.Secret(k)}}
	}
	first, second := pair("first"), pair("second")
	of := func(name, url string, c Config) string {
		r, err := NewRegistry(Entry{Name: name, URL: url, Config: c}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Identity()
	}
	is := of("a", "https://h", first)
	slow := first
	slow.Timeout = time.Minute
	if of("b", "https://h", first) != is || of("a", "https://h", slow) != is {
		t.Error("another name, or time, makes it another registry")
	}
	for what, other := range map[string]string{"an address": of("a", "https://i", first), "a certificate": of("a", "https://h", second),
		"no certificate": of("a", "https://h", Config{}), "a user": of("a", "https://h", Config{Username: "u"})} {
		if other == is {
			t.Errorf("another by %s is the same", what)
		}
	}
}

func keysOf(err error) string {
	var faults authn.Faults
	faults.Join(err)
	var keys []string
	if joined, ok := faults.Err().(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if k := new(authn.KeyError); errors.As(e, &k) && !slices.Contains(keys, k.Key) {
				keys = append(keys, k.Key)
			}
		}
	}
	return strings.Join(keys, " ")
}
