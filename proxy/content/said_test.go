package content

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The tests below hold what the cache takes the registry to have said: of tags, of what was
// pushed, of what is to be forgotten.

const saidBody = "content"

var saidDigest = digestOf("sha256", []byte(saidBody))

// said is a cache, and a registry that has saidBody everywhere.
func said(t *testing.T) (*Cache, *registry) {
	c := newTestCache(nil)
	c.Take(c.cfg, "up")
	return c, &registry{answer: has(saidBody)}
}

// manifest is a request that is forwarded, of the digest or a tag in a repository.
func manifest(act Act, reference string) Forwarded {
	f := Forwarded{Subject: Subject{"up", "a", Manifest}, Act: act, Reference: reference, Tag: !strings.Contains(reference, ":")}
	if act == Put {
		f.Body, f.MediaType = []byte(saidBody), mediaType
		if f.Tag {
			f.Tags = []string{reference}
		}
	}
	return f
}

func named(digest string) Header {
	return Header{"Content-Type": {mediaType}, "Docker-Content-Digest": {digest}, "Content-Length": {fmt.Sprint(len(saidBody))}}
}

// tag is what a tag of repository a is known to name.
func tag(c *Cache, name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.ledger.hint(&Subject{"up", "a", Manifest}, name)
	if !ok {
		return "nothing"
	}
	return h.digest
}

// TestTagsThatWereSeen: what forwarded requests show of tags.
func TestTagsThatWereSeen(t *testing.T) {
	other := digestOf("sha256", nil)
	look, put := manifest(Look, "v1"), manifest(Put, "v1")
	byDigest, several := manifest(Put, saidDigest), manifest(Put, saidDigest)
	several.Tags = []string{"v0", "v1"}
	for what, c := range map[string]struct {
		of     Forwarded
		status int
		digest string
		want   string
	}{
		"HEAD":                       {look, 200, other, other},
		"HEAD, of no known digest":   {look, 200, "md5:0", saidDigest},
		"HEAD, without one":          {look, 200, "", saidDigest},
		"HEAD of a part":             {look, 206, other, saidDigest},
		"404":                        {look, 404, other, "nothing"},
		"500":                        {look, 500, other, saidDigest},
		"no answer":                  {look, 0, other, saidDigest},
		"PUT":                        {put, 201, saidDigest, saidDigest},
		"PUT that is refused":        {put, 400, "", "nothing"},
		"PUT by digest":              {byDigest, 201, saidDigest, saidDigest},
		"PUT of several":             {several, 201, saidDigest, "nothing"},
		"DELETE":                     {manifest(Delete, "v1"), 202, "", "nothing"},
		"HEAD of another":            {manifest(Look, "v2"), 200, other, saidDigest},
		"a digest that is not found": {manifest(Look, other), 404, "", saidDigest},
	} {
		t.Run(what, func(t *testing.T) {
			cache, _ := said(t)
			cache.Watch(manifest(Look, "v1")).Answered(200, named(saidDigest))
			cache.Watch(c.of).Answered(c.status, named(c.digest))
			if got := tag(cache, "v1"); got != c.want {
				t.Errorf("v1 names %s, want %s", got, c.want)
			}
		})
	}
	cache, _ := said(t)
	cache.Watch(look).Answered(200, named(saidDigest))
	if cache.Watch(several); tag(cache, "v1") != "nothing" {
		t.Error("while it is being moved a tag is what it was")
	}
	if cache, _ = said(t); tag(cache, "v1") != "nothing" {
		t.Error("a tag is known from nothing")
	}
	if cache.Watch(byDigest).Answered(201, named(saidDigest)); tag(cache, saidDigest) != "nothing" {
		t.Error("a digest became a tag")
	}
}

// TestWhatWasPushed: a manifest that was stored is there under the header that the registry
// gives to such, where that can be known.
func TestWhatWasPushed(t *testing.T) {
	first := "the first"
	before := digestOf("sha256", []byte(first))
	etag := func(d string) []string { return []string{`"` + d + `"`} }
	for what, c := range map[string]struct {
		manner Header // of what was read before; nil: nothing was
		more   Header // that a pushed one has beside type and digest; nil: it is not kept
	}{
		"nothing known":     {nil, Header{"Etag": etag(saidDigest)}},
		"distribution":      {Header{"Docker-Distribution-Api-Version": {"registry/2.0"}, "Etag": etag(before)}, Header{"Docker-Distribution-Api-Version": {"registry/2.0"}, "Etag": etag(saidDigest)}},
		"plain":             {Header{}, Header{}},
		"another tag of it": {Header{"Etag": {"W/1"}}, Header{}},
		"another field":     {Header{"X-Of-This-One": {"1"}}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			cache, r := said(t)
			if c.manner != nil {
				r.answer = func(q Question) (*Answer, error) {
					a, err := has(first)(q)
					for name, values := range c.manner {
						a.Header[name] = values
					}
					return a, err
				}
				cache.Get(t.Context(), r.request("b", before))
			}
			cache.Watch(manifest(Put, "v1")).Answered(201, named(saidDigest))
			f := cache.find(&Subject{"up", "a", Manifest}, saidDigest)
			if c.more == nil {
				if f.state != absent {
					t.Errorf("kept, with %v", f.entry(saidDigest).Header)
				}
				return
			}
			for name, values := range named(saidDigest) {
				c.more[name] = values
			}
			if f.state != fresh || fmt.Sprint(f.entry(saidDigest).Header) != fmt.Sprint(c.more) || string(f.entry(saidDigest).Body) != saidBody {
				t.Errorf("%+v, want %v", f, c.more)
			}
		})
	}
}

// TestWhatWasNotPushed: nothing is kept of what the registry did not store as a manifest, and
// what was there stays.
func TestWhatWasNotPushed(t *testing.T) {
	empty := digestOf("sha256", nil)
	deletion, look, upload, typed := manifest(Delete, "v1"), manifest(Look, saidDigest), manifest(Put, empty), manifest(Put, "v1")
	deletion.Body, look.Body, upload.Body, typed.MediaType = []byte(saidBody), []byte(saidBody), nil, "a/b; c=d"
	deletion.MediaType, look.MediaType = mediaType, mediaType
	for what, c := range map[string]struct {
		of     Forwarded
		status int
		digest string
	}{
		"a DELETE": {deletion, 201, saidDigest}, "a GET": {look, 201, saidDigest}, "an upload": {upload, 201, empty}, "a type with more": {typed, 201, saidDigest}, "a refusal": {manifest(Put, "v1"), 400, ""},
	} {
		cache, _ := said(t)
		cache.Watch(c.of).Answered(c.status, named(c.digest))
		if s := cache.Status(); s.Memory.Entries != 0 || s.Standings != 0 || s.Tags != 0 {
			t.Errorf("%s: %+v", what, s)
		}
	}
	cache, r := said(t)
	cache.Get(t.Context(), r.request("a", saidDigest))
	if cache.Watch(manifest(Put, saidDigest)).Answered(403, nil); cache.find(&Subject{"up", "a", Manifest}, saidDigest).state != fresh {
		t.Error("a push that is refused ends what was shown")
	}
}

// TestNotes: what is noted of an answer: its content, what its tag names, its header where
// that is short.
func TestNotes(t *testing.T) {
	cache, r := said(t)
	cache.Get(t.Context(), r.request("a", "v1"))
	if tag(cache, "v1") != saidDigest || cache.manners["up"] == "" {
		t.Errorf("v1 names %s, manner %q", tag(cache, "v1"), cache.manners["up"])
	}
	if cache, r = said(t); cache.Get(t.Context(), r.request("a", saidDigest)).Outcome != Miss || cache.Status().Tags != 0 {
		t.Error("a digest is noted as a tag")
	}
	cache, r = said(t)
	blob := r.request("a", saidDigest)
	blob.Kind, blob.Accept = Blob, nil
	if cache.Get(t.Context(), blob); len(cache.manners) != 0 || cache.Status().Standings != 1 {
		t.Error("a blob is taken for how manifests are given")
	}
	cache, r = said(t)
	r.answer = func(q Question) (*Answer, error) {
		a, err := has(saidBody)(q)
		a.Header["X-Long"] = []string{strings.Repeat("x", maxLabel)}
		return a, err
	}
	if got := cache.Get(t.Context(), r.request("a", saidDigest)); got.Outcome != Miss || len(cache.manners) != 0 || cache.Status().Standings != 0 {
		t.Errorf("a header that is too long is remembered: %+v", cache.Status())
	}
}

// TestSuspects: a wrong answer is passed on to nobody, is told, and for a while who asks for
// that asks alone.
func TestSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var cfg Config
		cfg.Defaults()
		cache := New(cfg, nil, slog.New(slog.NewTextHandler(&log, nil)))
		r := &registry{answer: has("wrong")}
		q := r.request("a", saidDigest)
		if got := cache.Get(t.Context(), q); got.Entry != nil || !errors.Is(got.Err, ErrMismatch) {
			t.Errorf("%+v", got)
		}
		if !cache.suspect(q) || cache.suspect(r.request("b", saidDigest)) {
			t.Error("who is suspected")
		}
		if text := log.String(); strings.Count(text, "has another digest") != 1 || !strings.Contains(text, saidDigest) || !strings.Contains(text, "repository=a") {
			t.Error(text)
		}
		if time.Sleep(suspicion); cache.suspect(q) {
			t.Error("suspected for ever")
		}
	})
}

// TestAcceptsLiterally: media types are alike in any case (RFC 9110 section 8.3.1), but not at
// every registry, so another spelling is for the registry to judge.
func TestAcceptsLiterally(t *testing.T) {
	for own, want := range map[string]bool{" a/B ": true, "a/B;c=d": true, "a/b": false, "A/B": false, "a/Bc": false} {
		if accepts([]string{"x/y", "a/B"}, Manifest, own) != want || accepts([]string{"a/B"}, Blob, own) != want {
			t.Errorf("%q", own)
		}
	}
}

// TestWhoJoined: they get what was asked for before they came where nothing changed since,
// and are forwarded where something did.
func TestWhoJoined(t *testing.T) {
	for what, c := range map[string]struct {
		happen func(*Cache)
		want   Outcome
	}{
		"nothing":            {func(*Cache) {}, Joined},
		"a PUT":              {func(c *Cache) { c.Watch(manifest(Put, "v1")) }, Pass},
		"a PUT elsewhere":    {func(c *Cache) { f := manifest(Put, "v1"); f.Repository = "b"; c.Watch(f) }, Joined},
		"a 404":              {func(c *Cache) { c.Watch(manifest(Look, saidDigest)).Answered(404, nil) }, Pass},
		"a 404 of another":   {func(c *Cache) { c.Watch(manifest(Look, digestOf("sha256", nil))).Answered(404, nil) }, Joined},
		"a purge":            {func(c *Cache) { c.Purge(Purge{Digest: saidDigest}) }, Pass},
		"a purge there":      {func(c *Cache) { c.Purge(Purge{Repository: "a", Digest: saidDigest}) }, Pass},
		"a purge elsewhere":  {func(c *Cache) { c.Purge(Purge{Repository: "b", Digest: saidDigest}) }, Joined},
		"a purge of another": {func(c *Cache) { c.Purge(Purge{Digest: digestOf("sha256", nil)}) }, Joined},
	} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			gate, joined := make(chan bool), make(chan Outcome)
			r.answer = func(q Question) (*Answer, error) { <-gate; return has(saidBody)(q) }
			leader := make(chan Outcome)
			go func() { leader <- cache.Get(t.Context(), r.request("a", saidDigest)).Outcome }()
			synctest.Wait()
			go func() { joined <- cache.Get(t.Context(), r.request("a", saidDigest)).Outcome }()
			synctest.Wait()
			c.happen(cache)
			close(gate)
			if first, second := <-leader, <-joined; first != Miss || second != c.want {
				t.Errorf("%s: %s and %s, want %s", what, first, second, c.want)
			}
		})
	}
}

// TestResolve: what a tag names is asked for each time, and content that is here need not be
// sent again, unless something happened meanwhile.
func TestResolve(t *testing.T) {
	same := func(happen func(*Cache)) func(*Cache, Question) (*Answer, error) {
		return func(c *Cache, q Question) (*Answer, error) {
			happen(c)
			return says(304)(q)
		}
	}
	failing := func(_ *Cache, q Question) (*Answer, error) {
		a, _ := says(304)(q)
		return a, errors.New("cut")
	}
	for what, c := range map[string]struct {
		before  func(*Cache, *Request)
		answer  func(*Cache, Question) (*Answer, error)
		unless  string
		outcome Outcome
		entry   bool
	}{
		"the same":              {nil, same(func(*Cache) {}), saidDigest, Hit, true},
		"a PUT meanwhile":       {nil, same(func(c *Cache) { c.Watch(manifest(Put, "v2")) }), "", Pass, false},
		"a 404 meanwhile":       {nil, same(func(c *Cache) { c.Watch(manifest(Look, saidDigest)).Answered(404, nil) }), "", Pass, false},
		"an error":              {nil, failing, saidDigest, Miss, false},
		"another":               {nil, func(_ *Cache, q Question) (*Answer, error) { return has("new")(q) }, saidDigest, Miss, true},
		"what is not wanted":    {func(_ *Cache, r *Request) { r.Accept = []string{"a/b"} }, func(_ *Cache, q Question) (*Answer, error) { return has(saidBody)(q) }, "", Miss, true},
		"what is due":           {func(c *Cache, _ *Request) { c.Take(c.cfg, "up") }, func(_ *Cache, q Question) (*Answer, error) { return has(saidBody)(q) }, "", Miss, true},
		"a tag that is unknown": {func(_ *Cache, r *Request) { r.Reference = "v9" }, func(_ *Cache, q Question) (*Answer, error) { return has(saidBody)(q) }, "", Miss, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				cache.Get(t.Context(), r.request("a", "v1"))
				q := r.request("a", "v1")
				if c.before != nil {
					c.before(cache, q)
				}
				closed := 0
				r.answer = func(of Question) (*Answer, error) {
					a, err := c.answer(cache, of)
					if a != nil && a.Body == nil {
						a.Body = closer(func() { closed++ })
					}
					return a, err
				}
				time.Sleep(time.Second)
				got := cache.Get(t.Context(), q)
				if got.Outcome != c.outcome || (got.Entry != nil) != c.entry {
					t.Errorf("%+v", got)
				}
				if asked := r.asked[len(r.asked)-1]; !strings.HasSuffix(asked, " "+c.unless) {
					t.Errorf("asked %q, want unless %q", asked, c.unless)
				}
				if c.outcome == Hit {
					h, _ := cache.ledger.hint(&q.Subject, "v1")
					if closed != 1 || string(got.Entry.Body) != saidBody || !h.time.Equal(time.Now()) {
						t.Errorf("closed %d, seen %v", closed, h.time)
					}
				}
				got.Answer.Close()
			})
		})
	}
}

// TestPurgesOfMemory: what is forgotten of two repositories with the same content.
func TestPurgesOfMemory(t *testing.T) {
	for what, c := range map[string]struct {
		purge          Purge
		a, b           bool // whether it is there still
		removed, after int
	}{
		"all": {Purge{All: true}, false, false, 1, 0}, "a": {Purge{Repository: "a"}, false, true, 0, 1}, "a's": {Purge{Repository: "a", Digest: saidDigest}, false, true, 0, 1},
		"it": {Purge{Digest: saidDigest}, false, false, 1, 0}, "another": {Purge{Digest: digestOf("sha256", nil)}, true, true, 0, 1}, "nothing": {Purge{}, true, true, 0, 1},
	} {
		cache, r := said(t)
		cache.Get(t.Context(), r.request("a", saidDigest))
		cache.Get(t.Context(), r.request("b", saidDigest))
		removed := cache.Purge(c.purge)
		if removed != c.removed || cache.Status().Memory.Entries != c.after || cache.Status().Disk != nil {
			t.Errorf("%s: %d removed, %+v", what, removed, cache.Status())
		}
		if c.after == 0 { // it comes back by another repository, and shows nobody else's
			cache.Get(t.Context(), r.request("c", saidDigest))
		}
		for repository, want := range map[string]bool{"a": c.a, "b": c.b} {
			if got := cache.find(&Subject{"up", repository, Manifest}, saidDigest).state == fresh; got != want {
				t.Errorf("%s: in %s still there: %v", what, repository, got)
			}
		}
	}
}
