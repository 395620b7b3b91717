package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSilentRegistry: a registry that takes questions and is silent is away for as long as it is being
// asked: only who comes first waits for it.
func TestSilentRegistry(t *testing.T) {
	const silence = 30 * time.Second // longer than a fault is remembered
	for _, reference := range []string{saidDigest, "v1"} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			cache.cfg.StaleFor = time.Hour
			cache.Get(t.Context(), r.request("a", "v1"))
			time.Sleep(2 * time.Minute)
			r.answer = func(Question) (*Answer, error) { time.Sleep(silence); return nil, errors.New("silent") }
			for n, end := 0, time.Now().Add(30*time.Minute); time.Now().Before(end); n++ {
				asked := time.Now()
				if got := cache.Get(t.Context(), r.request("a", reference)); got.Outcome != Stale {
					t.Fatalf("%s: %+v", reference, got)
				}
				if waited := time.Since(asked); n > 0 && waited > 0 {
					t.Fatalf("%s: the %dth waited for %s", reference, n, waited)
				}
				time.Sleep(time.Second)
			}
			r.mu.Lock()
			r.answer = has(saidBody)
			r.mu.Unlock()
			time.Sleep(2 * silence) // what was sent before has its end
			for range 2 {
				cache.Get(t.Context(), r.request("a", saidDigest))
				synctest.Wait()
			}
			if got := cache.Get(t.Context(), r.request("a", saidDigest)); got.Outcome != Hit {
				t.Errorf("back: %+v", got)
			}
			cache.mu.Lock()
			defer cache.mu.Unlock()
			if f := cache.offlineLocked("up", time.Now()); f != nil {
				t.Errorf("back, and at fault still: %+v", f)
			}
		})
	}
}

// TestMadeOfAList: what a registry made of a list, for who takes none, is not what the tag names for
// who takes lists, while it is not asked for; a single manifest that was seen by them, or pushed, is.
func TestMadeOfAList(t *testing.T) {
	both := dockerManifest + ", " + dockerList
	given := Header{"Content-Type": {dockerManifest}, "Docker-Content-Digest": {saidDigest}, "Content-Length": {fmt.Sprint(len(saidBody))}}
	pushed, seen := manifest(Put, "v1"), manifest(Look, "v1")
	pushed.MediaType = dockerManifest
	get := func(accept string) func(*Cache, *registry) {
		return func(c *Cache, r *registry) {
			q := r.request("a", "v1")
			q.Accept = []string{accept}
			c.Get(context.Background(), q)
		}
	}
	head := func(accept string) func(*Cache, *registry) {
		return func(c *Cache, r *registry) {
			q := r.request("a", saidDigest)
			q.Accept = []string{dockerManifest}
			c.Get(context.Background(), q)
			seen.Accept = []string{accept}
			c.Watch(seen).Answered(200, given)
		}
	}
	same := func(accept string) func(*Cache, *registry) { // asked once more, and a 304
		return func(c *Cache, r *registry) {
			answer := r.answer
			r.answer = says(304)
			c.cfg.TagsFreshFor = 0
			get(accept)(c, r)
			r.answer = answer
		}
	}
	for what, c := range map[string]struct {
		before func(*Cache, *registry)
		accept string
		given  bool
	}{
		"304 to who takes none":                          {func(c *Cache, r *registry) { get(dockerManifest)(c, r); same(dockerManifest)(c, r) }, both, false},
		"304 to who takes none, seen by who takes lists": {func(c *Cache, r *registry) { get(both)(c, r); same(dockerManifest)(c, r) }, both, true},
		"304 to who takes lists":                         {func(c *Cache, r *registry) { get(dockerManifest)(c, r); same(both)(c, r) }, both, true},

		"GET by who takes none, for them":            {get(dockerManifest), dockerManifest, true},
		"GET by who takes none, for who takes lists": {get(dockerManifest), both, false},
		"GET by who takes lists":                     {get(both), both, true},
		"GET by who takes lists, for who takes none": {get(both), dockerManifest, true},
		"HEAD by who takes none":                     {head(dockerManifest), both, false},
		"HEAD by who takes lists":                    {head(both), both, true},
		"PUT":                                        {func(c *Cache, _ *registry) { c.Watch(pushed).Answered(201, given) }, both, true},
		"GET by both, in turn": {func(c *Cache, r *registry) {
			get(dockerManifest)(c, r)
			c.cfg.TagsFreshFor = 0
			get(both)(c, r)
		}, both, true},
	} {
		for _, away := range []bool{false, true} {
			t.Run(fmt.Sprint(what, ", away: ", away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cache, r := said(t)
					r.answer = func(q Question) (*Answer, error) {
						a, err := has(saidBody)(q)
						a.Header["Content-Type"] = []string{dockerManifest}
						return a, err
					}
					cache.cfg.TagsFreshFor = time.Minute
					c.before(cache, r)
					cache.cfg.TagsFreshFor = 30 * time.Second
					if away {
						cache.cfg.StaleFor = time.Hour
						time.Sleep(2 * time.Minute)
					}
					r.asked, r.answer = nil, says(503)
					q := r.request("a", "v1")
					q.Accept = []string{c.accept}
					got := cache.Get(t.Context(), q)
					got.Answer.Close()
					if (got.Entry != nil) != c.given || !away && (len(r.asked) == 0) != c.given {
						t.Errorf("%+v, asked %q", got, r.asked)
					}
				})
			})
		}
	}
}

// TestVouched: of what a tag names nothing is kept that neither the registry names a digest for, nor
// anybody has asked for: a page that asks for a password has status 200 too. It passes, as without a cache.
func TestVouched(t *testing.T) {
	page := "<html>log in</html>"
	for what, c := range map[string]struct {
		mediaType []string
		digest    []string
		kept      bool
	}{
		"a manifest":                {[]string{mediaType}, []string{digestOf("sha256", []byte(page))}, true},
		"without a digest":          {[]string{mediaType}, nil, true},
		"another type":              {[]string{"text/html"}, []string{digestOf("sha256", []byte(page))}, true},
		"neither":                   {[]string{"text/html; charset=utf-8"}, nil, false},
		"nothing":                   {nil, nil, false},
		"a digest that is not one":  {[]string{mediaType}, []string{"sha256:abc"}, false},
		"a digest that is not ours": {[]string{mediaType}, []string{"blake3:" + strings.Repeat("0", 64)}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			r.answer = func(Question) (*Answer, error) {
				h := Header{"Content-Length": {fmt.Sprint(len(page))}}
				if c.mediaType != nil {
					h["Content-Type"] = c.mediaType
				}
				if c.digest != nil {
					h["Docker-Content-Digest"] = c.digest
				}
				return &Answer{Status: 200, Header: h, Body: io.NopCloser(strings.NewReader(page))}, nil
			}
			got := cache.Get(t.Context(), r.request("a", "v1"))
			var body []byte
			if got.Entry != nil {
				body = got.Entry.Body
			} else if got.Answer != nil {
				body, _ = io.ReadAll(got.Answer.Body)
				got.Answer.Close()
			}
			s := cache.Status()
			if string(body) != page || (s.Memory.Entries+s.Standings+s.Tags > 0) != c.kept {
				t.Errorf("%s: %q, %+v, kept %+v", what, body, got, s)
			}
		})
	}
}

// TestPutByDigest: a manifest that was put by its digest is there though the registry does not repeat
// that; by a tag it has to.
func TestPutByDigest(t *testing.T) {
	other := manifest(Put, digestOf("sha256", []byte("other")))
	for what, c := range map[string]struct {
		of    Forwarded
		named []string
		kept  bool
	}{
		"by digest":                   {manifest(Put, saidDigest), nil, true},
		"by digest, named":            {manifest(Put, saidDigest), []string{saidDigest}, true},
		"by digest, another named":    {manifest(Put, saidDigest), []string{other.Reference}, false},
		"by SHA-512":                  {manifest(Put, digestOf("sha512", []byte(saidBody))), nil, true},
		"by a digest that it has not": {other, nil, false},
		"by tag":                      {manifest(Put, "v1"), nil, false},
		"by tag, named":               {manifest(Put, "v1"), []string{saidDigest}, true},
	} {
		cache, r := said(t)
		h := Header{}
		if c.named != nil {
			h["Docker-Content-Digest"] = c.named
		}
		cache.Watch(c.of).Answered(201, h)
		if s := cache.Status(); (s.Standings == 1) != c.kept || (s.Memory.Entries == 1) != c.kept {
			t.Errorf("%s: %+v", what, s)
		}
		if got := cache.Get(t.Context(), r.request("a", saidDigest)); c.kept && !strings.HasPrefix(c.of.Reference, "sha512") && (got.Outcome != Hit || string(got.Entry.Body) != saidBody) {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// TestSmallRest: where content is here and only the standing is new, the little that there is of an answer is
// read, so that its connection is kept; of much nothing is.
func TestSmallRest(t *testing.T) {
	for size, read := range map[int]bool{1: true, pieces: true, pieces + 1: false, Window + 1: false} {
		inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
			digest := h.put(size, 1)
			h.wants("first", "a", digest, Miss, "GET")
			left, closed := -1, 0
			h.body = func(q Question, content []byte) (*Answer, error) {
				a, body := whole(q, content), bytes.NewReader(content)
				a.Body = struct {
					io.Reader
					io.Closer
				}{body, closer(func() { left = body.Len(); closed++ })}
				return a, nil
			}
			h.wants("elsewhere", "b", digest, Hit, "GET")
			if closed != 1 || (left == 0) != read || !read && left != size {
				t.Errorf("of %d bytes %d are left, closed %d times", size, left, closed)
			}
		})
	}
}
