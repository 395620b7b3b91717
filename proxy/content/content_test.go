package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mediaType = "application/vnd.oci.image.manifest.v1+json"

// registry answers every question alike, and counts them.
type registry struct {
	mu     sync.Mutex
	asked  []string
	answer func(q Question) (*Answer, error)
}

func (r *registry) Ask() Ask {
	return func(_ context.Context, q Question) (*Answer, error) {
		r.mu.Lock()
		method := "GET"
		if q.Head {
			method = "HEAD"
		}
		r.asked = append(r.asked, method+" "+q.Subject.Repository+" "+q.Reference+" "+q.Unless)
		answer := r.answer
		r.mu.Unlock()
		return answer(q)
	}
}

// has answers 200 with a body, under the digest that it has.
func has(body string) func(Question) (*Answer, error) {
	return func(q Question) (*Answer, error) {
		h := Header{"Content-Type": {mediaType}, "Docker-Content-Digest": {digestOf("sha256", []byte(body))}, "Content-Length": {fmt.Sprint(len(body))}}
		return &Answer{Status: 200, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func says(status int) func(Question) (*Answer, error) {
	return func(Question) (*Answer, error) { return &Answer{Status: status, Header: Header{}}, nil }
}

func (r *registry) request(repository, reference string) *Request {
	return &Request{Subject: Subject{"up", repository, Manifest}, Reference: reference, Tag: !strings.Contains(reference, ":"), Accept: []string{mediaType}, Asker: r}
}

func newTestCache(change func(*Config)) *Cache {
	var cfg Config
	cfg.Defaults()
	if change != nil {
		change(&cfg)
	}
	return New(cfg, nil, nil)
}

// TestStandings: each way in which a standing is made, renewed or ended, and those that only
// look so.
func TestStandings(t *testing.T) {
	body := "content"
	digest := digestOf("sha256", []byte(body))
	whole := Header{"Content-Type": {mediaType}, "Docker-Content-Digest": {digest}, "Content-Length": {"7"}}
	forwarded := Forwarded{Subject: Subject{"up", "a", Manifest}, Reference: digest}
	byTag := Forwarded{Subject: forwarded.Subject, Reference: "v1", Tag: true}
	tell := func(of Forwarded, status int, h Header) func(*Cache) {
		return func(c *Cache) { c.Watch(of).Answered(status, h) }
	}
	with := func(name, value string) Header {
		h := Header{"Content-Type": whole["Content-Type"], "Docker-Content-Digest": whole["Docker-Content-Digest"], "Content-Length": whole["Content-Length"]}
		h[name] = []string{value}
		return h
	}
	kind := forwarded
	kind.Kind = Blob
	elsewhere := forwarded
	elsewhere.Repository = "b"
	deletion, put, session := forwarded, byTag, forwarded
	deletion.Act, put.Act, session.Act = Delete, Put, Put
	session.Reference, session.Kind = "upload", Blob
	for what, step := range map[string]struct {
		before time.Duration // the age of the standing when it happens
		happen func(*Cache)
		after  time.Duration
		asked  bool // the next request has to ask
	}{
		"nothing":                   {0, func(*Cache) {}, 59 * time.Second, false},
		"fresh_for":                 {0, func(*Cache) {}, time.Minute, true},
		"HEAD":                      {50 * time.Second, tell(forwarded, 200, whole), 50 * time.Second, false},
		"by tag":                    {50 * time.Second, tell(byTag, 200, whole), 50 * time.Second, false},
		"HEAD of another size":      {50 * time.Second, tell(forwarded, 200, with("Content-Length", "8")), 50 * time.Second, true},
		"HEAD without a size":       {50 * time.Second, tell(forwarded, 200, Header{}), 50 * time.Second, true},
		"HEAD of another type":      {50 * time.Second, tell(forwarded, 200, with("Content-Type", "text/html")), 50 * time.Second, true},
		"HEAD of another digest":    {50 * time.Second, tell(forwarded, 200, with("Docker-Content-Digest", digestOf("sha256", nil))), 50 * time.Second, true},
		"HEAD, encoded":             {50 * time.Second, tell(forwarded, 200, with("Content-Encoding", "gzip")), 50 * time.Second, true},
		"304":                       {50 * time.Second, tell(forwarded, 304, whole), 50 * time.Second, true},
		"206":                       {50 * time.Second, tell(forwarded, 206, whole), 50 * time.Second, true},
		"elsewhere":                 {50 * time.Second, tell(elsewhere, 200, whole), 50 * time.Second, true},
		"the other kind":            {50 * time.Second, tell(kind, 200, whole), 50 * time.Second, true},
		"404":                       {0, tell(forwarded, 404, nil), 0, true},
		"410":                       {0, tell(forwarded, 410, nil), 0, true},
		"401":                       {0, tell(forwarded, 401, nil), 0, true},
		"403":                       {0, tell(forwarded, 403, nil), 0, true},
		"500":                       {0, tell(forwarded, 500, nil), 0, false},
		"no answer":                 {0, tell(forwarded, 0, nil), 0, false},
		"404 elsewhere":             {0, tell(elsewhere, 404, nil), 0, false},
		"404 as the other kind":     {0, tell(kind, 404, nil), 0, false},
		"404 of a tag":              {0, tell(byTag, 404, nil), 0, false},
		"DELETE":                    {0, tell(deletion, 202, nil), 0, true},
		"DELETE without an answer":  {0, tell(deletion, 0, nil), 0, true},
		"DELETE that is only sent":  {0, func(c *Cache) { c.Watch(deletion) }, 0, true},
		"PUT":                       {0, tell(put, 201, whole), 0, false},
		"an upload":                 {0, tell(session, 201, nil), 0, false},
		"a reload":                  {0, func(c *Cache) { c.Take(c.cfg, "up") }, 0, true},
		"another upstream":          {0, func(c *Cache) { c.Take(c.cfg, "other") }, 0, true},
		"a shorter fresh_for":       {30 * time.Second, func(c *Cache) { c.cfg.FreshFor = 10 * time.Second }, 0, true},
		"HEAD while a PUT was sent": {50 * time.Second, func(c *Cache) { w := c.Watch(forwarded); c.Watch(put).Answered(201, whole); w.Answered(200, whole) }, 50 * time.Second, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &registry{answer: has(body)}
				c := newTestCache(nil)
				c.Take(c.cfg, "up")
				if got := c.Get(t.Context(), r.request("a", digest)); got.Outcome != Miss || string(got.Entry.Body) != body {
					t.Fatalf("the first: %+v", got)
				}
				time.Sleep(step.before)
				step.happen(c)
				time.Sleep(step.after)
				state := c.find(&Subject{"up", "a", Manifest}, digest).state
				if asks := state != fresh; asks != step.asked {
					t.Errorf("the next request asks: %v, want %v", asks, step.asked)
				}
			})
		})
	}
}

// TestNeverMade: what makes no standing, though the content is here.
func TestNeverMade(t *testing.T) {
	body := "content"
	digest := digestOf("sha256", []byte(body))
	of := Subject{"up", "b", Manifest}
	whole := Header{"Content-Type": {mediaType}, "Docker-Content-Digest": {digest}, "Content-Length": {"7"}}
	put := func(change func(*Forwarded), status int, h Header) func(*Cache, *registry) {
		return func(c *Cache, _ *registry) {
			f := Forwarded{Subject: of, Act: Put, Reference: "v1", Tag: true, Tags: []string{"v1"}, Body: []byte(body), MediaType: mediaType}
			change(&f)
			c.Watch(f).Answered(status, h)
		}
	}
	same := func(*Forwarded) {}
	for what, step := range map[string]struct {
		happen func(*Cache, *registry)
		made   bool
	}{
		"a PUT":                 {put(same, 201, whole), true},
		"a PUT by digest":       {put(func(f *Forwarded) { f.Reference, f.Tag = digest, false }, 201, whole), true},
		"a PUT by another":      {put(func(f *Forwarded) { f.Reference, f.Tag = digestOf("sha256", nil), false }, 201, whole), false},
		"a PUT of another":      {put(func(f *Forwarded) { f.Body = []byte("other") }, 201, whole), false},
		"a PUT that is refused": {put(same, 400, whole), false},
		"a PUT without a word":  {put(same, 0, nil), false},
		"a PUT that is no 201":  {put(same, 202, whole), false},
		"a PUT that is unnamed": {put(same, 201, Header{}), false},
		"a PUT without a type":  {put(func(f *Forwarded) { f.MediaType = "" }, 201, whole), false},
		"an upload":             {put(func(f *Forwarded) { f.Body = nil }, 201, whole), false},
		"HEAD":                  {func(c *Cache, _ *registry) { c.Watch(Forwarded{Subject: of, Reference: digest}).Answered(200, whole) }, false},
		"HEAD by tag": {func(c *Cache, _ *registry) {
			c.Watch(Forwarded{Subject: of, Reference: "v1", Tag: true}).Answered(200, whole)
		}, false},
		"two PUTs at once": {func(c *Cache, _ *registry) {
			f := Forwarded{Subject: of, Act: Put, Reference: "v1", Tag: true, Tags: []string{"v1"}, Body: []byte(body), MediaType: mediaType}
			first, second := c.Watch(f), c.Watch(f)
			first.Answered(201, whole)
			second.Answered(201, whole)
		}, false},
		"a PUT beside another upstream": {func(c *Cache, _ *registry) {
			w := c.Watch(Forwarded{Subject: of, Act: Put, Reference: "v1", Tag: true, Body: []byte(body), MediaType: mediaType})
			c.Take(c.cfg, "other")
			c.Take(c.cfg, "up")
			w.Answered(201, whole)
		}, false},
		"a GET beside a PUT": {func(c *Cache, r *registry) {
			r.answer = func(q Question) (*Answer, error) {
				c.Watch(Forwarded{Subject: of, Act: Put}).Answered(201, nil)
				return has(body)(q)
			}
			c.Get(context.Background(), r.request("b", digest))
		}, false},
		"a GET beside a 404": {func(c *Cache, r *registry) {
			r.answer = func(q Question) (*Answer, error) {
				c.Watch(Forwarded{Subject: of, Reference: digest}).Answered(404, nil)
				return has(body)(q)
			}
			c.Get(context.Background(), r.request("b", digest))
		}, false},
		"a GET beside a reload": {func(c *Cache, r *registry) {
			r.answer = func(q Question) (*Answer, error) { c.Take(c.cfg, "up"); return has(body)(q) }
			c.Get(context.Background(), r.request("b", digest))
		}, false},
		"a GET":        {func(c *Cache, r *registry) { c.Get(context.Background(), r.request("b", digest)) }, true},
		"a GET by tag": {func(c *Cache, r *registry) { c.Get(context.Background(), r.request("b", "v1")) }, true},
		"a wrong GET": {func(c *Cache, r *registry) {
			r.answer = has("other")
			c.Get(context.Background(), r.request("b", digest))
		}, false},
		"the other kind": {func(c *Cache, r *registry) {
			q := r.request("b", digest)
			q.Kind, q.Accept = Blob, nil
			c.Get(context.Background(), q)
		}, false},
		"another upstream": {func(c *Cache, r *registry) {
			q := r.request("b", digest)
			q.Upstream = "other"
			c.Get(context.Background(), q)
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			r := &registry{answer: has(body)}
			c := newTestCache(nil)
			c.Take(c.cfg, "up")
			c.Get(t.Context(), r.request("a", digest)) // so that the content is here
			step.happen(c, r)
			if made := c.find(&of, digest).state == fresh; made != step.made {
				t.Errorf("made: %v, want %v", made, step.made)
			}
		})
	}
}

// TestBounds: what is remembered stays within the config's memory and 32 MiB, however many
// digests and repositories there are.
func TestBounds(t *testing.T) {
	c := newTestCache(func(cfg *Config) { cfg.Memory = 8 << 20 })
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	r := &registry{}
	for i := range 1_000_000 {
		body := fmt.Sprintf("content %d", i)
		q := Question{Subject: Subject{"up", fmt.Sprintf("repository/%d", i), Manifest}, Reference: digestOf("sha256", []byte(body))}
		a, _ := has(body)(q)
		c.note(&q, &Entry{Digest: q.Reference, Header: withoutLength(a.Header), Body: []byte(body)}, c.ledger.now())
		c.Watch(Forwarded{Subject: q.Subject, Reference: q.Reference + "0"}).Answered(404, nil)
		q.Tag = true
		c.ledger.name(&q.Subject, "v1", q.Reference, c.ledger.now(), false)
	}
	if used := int64(heap()) - int64(before); used > 8<<20+32<<20 {
		t.Errorf("%d MiB are used", used>>20)
	}
	if c.memory.bytes > c.memory.most || c.ledger.standings.Len() != mostStandings {
		t.Errorf("%d bytes, %d standings", c.memory.bytes, c.ledger.standings.Len())
	}
	runtime.KeepAlive(r)
}

// TestFlightsAreBounded: of 1,000 questions at once 256 run, and the others are forwarded.
func TestFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r := &registry{answer: func(q Question) (*Answer, error) { <-gate; return says(404)(q) }}
		c := newTestCache(nil)
		var all sync.WaitGroup
		var mu sync.Mutex
		outcomes := map[Outcome]int{}
		for i := range 1000 {
			all.Go(func() {
				got := c.Get(t.Context(), r.request("a", digestOf("sha256", fmt.Append(nil, i))))
				got.Answer.Close()
				mu.Lock()
				defer mu.Unlock()
				outcomes[got.Outcome]++
			})
		}
		synctest.Wait()
		if len(r.asked) != mostFlights {
			t.Errorf("%d run", len(r.asked))
		}
		close(gate)
		all.Wait()
		if outcomes[Miss] != mostFlights || outcomes[Pass] != 1000-mostFlights || c.flights.n != 0 || len(c.flights.running) != 0 {
			t.Errorf("%v, %d left", outcomes, c.flights.n)
		}
	})
}

// TestNextQuestion: who asks for a tag gets the answer to a question that was sent after they
// came.
func TestNextQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gates := make(chan string)
		r := &registry{answer: func(q Question) (*Answer, error) { return has(<-gates)(q) }}
		c := newTestCache(nil)
		var all sync.WaitGroup
		answers := make([]string, 4)
		for i := range answers {
			all.Go(func() { answers[i] = string(c.Get(t.Context(), r.request("a", "v1")).Entry.Body) })
			synctest.Wait()
		}
		gates <- "old"
		gates <- "new"
		all.Wait()
		if want := []string{"old", "new", "new", "new"}; !slices.Equal(answers, want) || len(r.asked) != 2 {
			t.Errorf("%q by %d questions", answers, len(r.asked))
		}
	})
}

// TestAnswersAreClosed: nobody forgets an answer, also where its asker left.
func TestAnswersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, closed := make(chan struct{}), 0
		r := &registry{answer: func(Question) (*Answer, error) {
			<-gate
			return &Answer{Status: 404, Header: Header{}, Body: closer(func() { closed++ })}, nil
		}}
		c := newTestCache(nil)
		ctx, leave := context.WithCancel(t.Context())
		go c.Get(ctx, r.request("a", digestOf("sha256", nil)))
		synctest.Wait()
		leave()
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	})
}

// TestWhoLeaves: who stops waiting is counted by what they waited for, and not as one whose request
// is not for the cache: for an answer, and for a yes to what is due.
func TestWhoLeaves(t *testing.T) {
	for what, second := range map[string]Outcome{"a digest": Joined, "a digest that is due": Joined, "a tag": Miss} { // of a tag another question is to come
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, r := said(t)
				reference := saidDigest
				switch what {
				case "a tag":
					reference = "v1"
				case "a digest that is due":
					c.Get(t.Context(), r.request("a", reference))
					time.Sleep(2 * time.Minute)
				}
				gate := make(chan bool)
				r.answer = func(q Question) (*Answer, error) { <-gate; return has(saidBody)(q) }
				ctx, leave := context.WithCancel(t.Context())
				left := make(chan Result, 2)
				for range cap(left) {
					go func() { left <- c.Get(ctx, r.request("a", reference)) }()
					synctest.Wait()
				}
				leave()
				counted := map[Outcome]int{}
				for range cap(left) {
					got := <-left
					if counted[got.Outcome]++; !errors.Is(got.Err, context.Canceled) || got.Entry != nil || got.Answer != nil {
						t.Errorf("who left has %+v", got)
					}
				}
				want := map[Outcome]int{Miss: 1}
				if want[second]++; !maps.Equal(counted, want) {
					t.Errorf("who left is counted as %v", counted)
				}
				close(gate)
			})
		})
	}
}

// closer is an empty body that tells when it is closed.
type closer func()

func (closer) Read([]byte) (int, error) { return 0, io.EOF }
func (f closer) Close() error           { f(); return nil }

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		field     []string
		kind      Kind
		mediaType string
		want      bool
	}{
		{nil, Manifest, mediaType, false},
		{nil, Blob, "application/octet-stream", true},
		{[]string{mediaType}, Manifest, mediaType, true},
		{[]string{"a/b, " + mediaType + " ; q=0.5"}, Manifest, mediaType, true},
		{[]string{"a/b, " + strings.ToUpper(mediaType)}, Manifest, mediaType, false},
		{[]string{"a/b", mediaType}, Manifest, mediaType + "; charset=utf-8", true},
		{[]string{mediaType + ";q=0"}, Manifest, mediaType, false},
		{[]string{mediaType + "; q=0.000"}, Manifest, mediaType, false},
		{[]string{mediaType + "x"}, Manifest, mediaType, false},
		{[]string{"*/*"}, Manifest, mediaType, false},
		{[]string{"application/*"}, Manifest, mediaType, false},
		{[]string{"x/y, */*"}, Blob, "application/octet-stream", true},
		{[]string{"x/y, */*;q=0"}, Blob, "application/octet-stream", false},
		{[]string{"x/y"}, Blob, "application/octet-stream", false},
		{[]string{","}, Manifest, "", false},
	} {
		if got := accepts(c.field, c.kind, c.mediaType); got != c.want {
			t.Errorf("accepts(%q, %s, %q) = %v", c.field, c.kind, c.mediaType, got)
		}
	}
}

// FuzzAccepts: a type that is not in the field as it is written is never accepted.
func FuzzAccepts(f *testing.F) {
	f.Add("a/b, c/d;q=0.1", "c/d")
	f.Fuzz(func(t *testing.T, field, mediaType string) {
		if accepts([]string{field}, Manifest, mediaType) && !strings.Contains(field, strings.TrimSpace(strings.SplitN(mediaType, ";", 2)[0])) {
			t.Errorf("%q accepts %q", field, mediaType)
		}
	})
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1": 1, "12B": 12, "256KiB": 256 << 10, "64MiB": 64 << 20, "64 MiB": 64 << 20, "20GiB": 20 << 30, "1TiB": 1 << 40} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "-1MiB", "1.5GiB", "64MB", "64Mi", "1 000", "99999999999TiB", "1e3"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64Min(0).Draw(t, "size"))
		var got Size
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%s: %d %v", want, got, err)
		}
	})
}

// TestReady: a hit makes nothing, and an entry that is ready for one repository is not what
// another was shown.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := &registry{answer: has("content")}, newTestCache(nil)
		digest := digestOf("sha256", []byte("content"))
		get := func(repository, warning string) *Entry {
			t.Helper()
			result := c.Get(t.Context(), r.request(repository, digest))
			if result.Entry == nil || result.Entry.Header.get("Warning") != warning || string(result.Entry.Body) != "content" {
				t.Fatalf("%s: %+v", repository, result)
			}
			return result.Entry
		}
		get("a", "")
		r.answer = func(q Question) (*Answer, error) {
			a, err := has("content")(q)
			a.Header["Warning"] = []string{"deprecated"}
			return a, err
		}
		get("b", "deprecated")
		for range 2 {
			if one := get("a", ""); one != get("a", "") || one.Header.length() != 7 {
				t.Errorf("another entry, or %v", one.Header)
			}
			get("b", "deprecated")
		}
		request := r.request("b", digest)
		if n := testing.AllocsPerRun(100, func() { c.Get(t.Context(), request) }); n != 0 {
			t.Errorf("%v allocations a hit", n)
		}
	})
}

// TestLabel: a header is the same again.
func TestLabel(t *testing.T) {
	digest := digestOf("sha256", nil)
	for _, h := range []Header{
		{"Content-Type": {mediaType}, "Docker-Content-Digest": {digest}, "Etag": {`"` + digest + `"`}},
		{"Warning": {`299 - "a: b"`, `299 - "c"`}, "Empty": {""}},
	} {
		text, ok := label(h, digest)
		got := unlabel(text, digest)
		if !ok || strings.Contains(text, digest) || len(got) != len(h) {
			t.Errorf("%v: %v", h, got)
		}
		for name := range h {
			if !slices.Equal(h[name], got[name]) {
				t.Errorf("%s: %q", name, got[name])
			}
		}
	}
	for what, h := range map[string]Header{"none": nil, "long": {"X": {strings.Repeat("x", maxLabel)}}, "odd": {"X": {"a\x00b"}}} {
		if _, ok := label(h, digest); ok {
			t.Errorf("%s: remembered", what)
		}
	}
}
