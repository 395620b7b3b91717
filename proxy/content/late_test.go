package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The tests below hold what those get who come while something is under way: after a word that
// takes back what was asked for, when a download is about to end, for a part of it.

// takings take back what a question brings, or do not: then those who come later join it.
var takings = map[string]struct {
	happen func(c *Cache, of Forwarded)
	joins  bool
}{
	"nothing":           {func(*Cache, Forwarded) {}, true},
	"a 404":             {func(c *Cache, of Forwarded) { c.Watch(of).Answered(404, nil) }, false},
	"a 403":             {func(c *Cache, of Forwarded) { c.Watch(of).Answered(403, nil) }, false},
	"a 500":             {func(c *Cache, of Forwarded) { c.Watch(of).Answered(500, nil) }, true},
	"a 404 elsewhere":   {func(c *Cache, of Forwarded) { of.Repository = "b"; c.Watch(of).Answered(404, nil) }, true},
	"a DELETE":          {func(c *Cache, of Forwarded) { of.Act = Delete; c.Watch(of).Answered(202, nil) }, false},
	"a DELETE, sent":    {func(c *Cache, of Forwarded) { of.Act = Delete; c.Watch(of) }, false},
	"a purge of all":    {func(c *Cache, of Forwarded) { c.Purge(Purge{All: true}) }, false},
	"a purge of it":     {func(c *Cache, of Forwarded) { c.Purge(Purge{Digest: of.Reference}) }, false},
	"a purge there":     {func(c *Cache, of Forwarded) { c.Purge(Purge{Repository: "a", Digest: of.Reference}) }, false},
	"a purge elsewhere": {func(c *Cache, of Forwarded) { c.Purge(Purge{Repository: "b", Digest: of.Reference}) }, true},
	"another upstream":  {func(c *Cache, of Forwarded) { c.Take(c.cfg, "other") }, false},
}

// TestWhoComesLate: nobody joins a question that was sent before what it brings was taken back.
func TestWhoComesLate(t *testing.T) {
	for what, taking := range takings {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				gate := make(chan bool)
				r.answer = func(q Question) (*Answer, error) { <-gate; return has(saidBody)(q) }
				var all sync.WaitGroup
				pull := func(want Outcome) {
					all.Go(func() {
						if got := cache.Get(t.Context(), r.request("a", saidDigest)); got.Outcome != want || string(got.Entry.Body) != saidBody {
							t.Errorf("%+v, want %s", got, want)
						}
					})
					synctest.Wait()
				}
				pull(Miss)
				taking.happen(cache, manifest(Look, saidDigest))
				want, questions := Miss, 2
				if taking.joins {
					want, questions = Joined, 1
				}
				pull(want)
				close(gate)
				all.Wait()
				if len(r.asked) != questions {
					t.Errorf("asked %q", r.asked)
				}
			})
		})
	}
}

// TestLateDownload: nobody follows a download that began before what it brings was taken back,
// nor does a HEAD give it back; those who follow it already read on.
func TestLateDownload(t *testing.T) {
	for what, taking := range takings {
		for late, before := range map[string]time.Duration{"": 0, ", and its yes is old": 2 * time.Minute} {
			t.Run(what+late, func(t *testing.T) {
				inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
					digest := h.put(3*Window, 1)
					h.body = func(q Question, content []byte) (*Answer, error) {
						a := whole(q, content)
						if !q.Head {
							a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(10 * time.Minute), ctx: context.Background()}
						}
						return a, nil
					}
					var all sync.WaitGroup
					pull := func() {
						all.Go(func() {
							if _, got, err := h.pull(t.Context(), "a", digest); err != nil || !bytes.Equal(got, h.has[digest]) {
								t.Errorf("%d bytes, %v", len(got), err)
							}
						})
						synctest.Wait()
					}
					pull()
					h.took()
					time.Sleep(before)
					taking.happen(h.Cache, Forwarded{Subject: Subject{"up", "a", Blob}, Reference: digest})
					pull()
					want := "GET"
					if taking.joins && before > 0 {
						want = "HEAD"
					} else if taking.joins {
						want = ""
					}
					if saw := h.took(); saw != want {
						t.Errorf("asked %q, want %q", saw, want)
					}
					all.Wait()
				})
			})
		}
	}
}

// TestWhoJoinedLarge: who waits for a large answer to begin follows it where nothing took it back
// meanwhile, and is forwarded otherwise.
func TestWhoJoinedLarge(t *testing.T) {
	for what, taking := range takings {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest, gate := h.put(2*Window, 1), make(chan bool)
				h.body = func(q Question, content []byte) (*Answer, error) { <-gate; return whole(q, content), nil }
				outcomes := make(chan Outcome, 2)
				for range 2 {
					go func() {
						outcome, got, err := h.pull(t.Context(), "a", digest)
						if outcome != Pass && (err != nil || !bytes.Equal(got, h.has[digest])) {
							t.Errorf("%s: %d bytes, %v", outcome, len(got), err)
						}
						outcomes <- outcome
					}()
					synctest.Wait()
				}
				taking.happen(h.Cache, Forwarded{Subject: Subject{"up", "a", Blob}, Reference: digest})
				close(gate)
				want := map[bool]Outcome{true: Joined, false: Pass}[taking.joins]
				if first, second := <-outcomes, <-outcomes; first != Miss && second != Miss || first != want && second != want {
					t.Errorf("%s and %s, want %s and %s", first, second, Miss, want)
				}
			})
		})
	}
}

// TestYesTooLate: a HEAD that was sent before what runs was taken back does not renew it.
func TestYesTooLate(t *testing.T) {
	cases := maps.Clone(takings)
	cases["a PUT"] = cases["a DELETE"]
	for what, taking := range cases {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest, gate := h.put(3*Window, 1), make(chan bool)
				h.body = func(q Question, content []byte) (*Answer, error) {
					a := whole(q, content)
					if q.Head {
						<-gate
					} else {
						a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(10 * time.Minute), ctx: context.Background()}
					}
					return a, nil
				}
				var all sync.WaitGroup
				pull := func() {
					all.Go(func() { h.pull(t.Context(), "a", digest) })
					synctest.Wait()
				}
				pull()
				time.Sleep(2 * time.Minute)
				h.took()
				pull()
				if saw := h.took(); saw != "HEAD" {
					t.Errorf("asked %q", saw)
				}
				of := Forwarded{Subject: Subject{"up", "a", Blob}, Reference: digest}
				if what == "a PUT" {
					of.Act = Put
					h.Watch(of).Answered(201, nil)
				} else {
					taking.happen(h.Cache, of)
				}
				close(gate)
				want := map[bool]string{true: "", false: "GET"}[taking.joins]
				if saw := h.took(); saw != want {
					t.Errorf("then asked %q, want %q", saw, want)
				}
				all.Wait()
			})
		})
	}
}

// landing is a lock at which, when it is given up, a question is answered.
type landing struct {
	sync.Mutex
	answer func()
}

func (l *landing) Unlock() {
	l.Mutex.Unlock()
	if answer := l.answer; answer != nil {
		l.answer = nil
		answer()
	}
}

// TestLeavesOnce: an answer that comes in the moment in which who began it leaves is closed once:
// closed twice, its connection would be used for two.
func TestLeavesOnce(t *testing.T) {
	for _, first := range []bool{true, false} {
		lock, closed := &landing{}, 0
		s := &flights{lock: lock, now: func() moment { return moment{} }, running: map[key]*flight{}}
		f := &flight{done: make(chan struct{})}
		arrive := func() {
			o := outcome{answer: &Answer{Body: closer(func() { closed++ })}}
			if s.land(key{}, f, o) {
				o.answer.Close()
			}
		}
		if first {
			arrive()
		} else {
			lock.answer = arrive
		}
		if s.leave(f); closed != 1 {
			t.Errorf("it came first: %v; closed %d times", first, closed)
		}
	}
}

// TestEndingDownload: who comes when a download ends for want of readers is not cut with it, and what
// they get instead is verified.
func TestEndingDownload(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(nearEnd+2*Window, 1)
		h.body = func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content) // which does not heed that it is cut
			a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(time.Minute), ctx: context.Background()}
			return a, nil
		}
		r := h.Get(t.Context(), h.request("a", digest))
		r.Entry.File.Close()
		time.Sleep(patience + time.Second)
		h.body = func(q Question, content []byte) (*Answer, error) {
			wrong := bytes.Clone(content)
			wrong[0] ^= 1
			return whole(q, wrong), nil
		}
		if outcome, got, err := h.pull(t.Context(), "a", digest); outcome != Pass || !errors.Is(err, ErrMismatch) || len(got) >= len(h.has[digest]) {
			t.Errorf("what is wrong: %s, %d bytes, %v", outcome, len(got), err)
		}
		h.body = nil
		if outcome, got, err := h.pull(t.Context(), "a", digest); outcome != Pass || err != nil || !bytes.Equal(got, h.has[digest]) {
			t.Errorf("what is right: %s, %d bytes, %v", outcome, len(got), err)
		}
		time.Sleep(time.Hour)
	})
}

// TestEndWhileResuming: a download that ends, with the gateway or for want of readers, does not wait for a
// registry that is asked to go on with it and says nothing.
func TestEndWhileResuming(t *testing.T) {
	for what, stops := range map[string]bool{"the gateway ends": true, "nobody reads": false} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(nearEnd+2*Window, 1)
				h.body = func(q Question, content []byte) (*Answer, error) {
					if q.From > 0 {
						h.mu.Lock()
						ctx := h.ctx
						h.mu.Unlock()
						<-ctx.Done()
						return nil, ctx.Err()
					}
					a := whole(q, content)
					a.Body = breaking(content, Window)
					return a, nil
				}
				r := h.Get(t.Context(), h.request("a", digest))
				if saw := h.took(); saw != fmt.Sprint("GET, from ", Window) {
					t.Fatalf("asked %q", saw)
				}
				begun := time.Now()
				if stops {
					h.end()
				} else {
					r.Entry.File.Close()
					time.Sleep(patience)
					synctest.Wait()
				}
				if took := time.Since(begun); took > patience || len(h.growths) != 0 || len(h.files()) != 0 {
					t.Errorf("after %s %d downloads, %q", took, len(h.growths), h.files())
				}
				if stops {
					if _, err := follow(t.Context(), r.Entry.File, nil); err == nil {
						t.Error("who read had all of it")
					}
					r.Entry.File.Close()
				}
			})
		})
	}
}

// TestPartOfADownload: nobody gets a part of what is still being downloaded: neither its length
// nor its digest is known to be right.
func TestPartOfADownload(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(3*Window, 1)
		part := h.request("a", digest)
		part.Partial = true
		h.wants("the first", "a", digest, Miss, "GET")
		time.Sleep(2 * time.Minute)
		h.body = func(q Question, content []byte) (*Answer, error) {
			if q.Head { // meanwhile it is gone from the disk
				h.drop(digest, nil, errShort)
				return &Answer{Status: 500, Header: Header{}}, nil
			}
			a := whole(q, content)
			a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(time.Second), ctx: h.ctx}
			return a, nil
		}
		if got := h.Get(t.Context(), part); got.Outcome != Pass || got.Entry != nil {
			t.Errorf("%+v", got)
		}
		if got := h.Get(t.Context(), part); got.Outcome != Pass || got.Entry != nil {
			t.Errorf("while it runs: %+v", got)
		}
		time.Sleep(2 * time.Second)
		got := h.Get(t.Context(), part)
		if got.Outcome != Hit || got.Entry == nil {
			t.Fatalf("when it is whole: %+v", got)
		}
		got.Entry.File.Close()
	})
}

// TestLargeAlgorithms: content on the disk is verified by the algorithm of its digest.
func TestLargeAlgorithms(t *testing.T) {
	for _, algorithm := range []string{"sha256", "sha384", "sha512"} {
		t.Run(algorithm, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				content := bytes.Repeat([]byte(algorithm), Window)
				digest := digestOf(algorithm, content)
				h.has[digest] = content
				h.wants("the first", "a", digest, Miss, "GET")
				h.wants("a hit", "a", digest, Hit, "")
				time.Sleep(rotPeriod)
				h.wants("to be hashed again", "a", digest, Hit, "HEAD")
				time.Sleep(20 * time.Second)
				if h.wants("and right still", "a", digest, Hit, ""); len(h.files()) != 1 {
					t.Errorf("files: %q", h.files())
				}
				wrong := strings.Replace(digest, ":", ":0", 1)[:len(digest)]
				h.has[wrong] = content
				if _, got, err := h.pull(t.Context(), "a", wrong); !errors.Is(err, ErrMismatch) || int64(len(got)) > lastWindow(int64(len(content))) {
					t.Errorf("of another digest: %d bytes, %v", len(got), err)
				}
			})
		})
	}
}

// TestSaysNo: what ends by what the cache itself has asked, in the background or for somebody.
func TestSaysNo(t *testing.T) {
	heads := func(status int, change func(Header)) func(Question) (*Answer, error) {
		return func(q Question) (*Answer, error) {
			if !q.Head {
				return says(404)(q)
			}
			a, err := has(saidBody)(q)
			a.Status, a.Body = status, nil
			change(a.Header)
			return a, err
		}
	}
	same := func(Header) {}
	for what, c := range map[string]struct {
		answer func(Question) (*Answer, error)
		age    time.Duration // of the standing when it is asked for
		ends   bool          // at once
		stands bool          // when it would be old by itself
		asked  int
	}{
		"HEAD yes, in the background":         {heads(200, same), 35 * time.Second, false, true, 1},
		"HEAD no, in the background":          {heads(404, same), 35 * time.Second, true, false, 1},
		"HEAD 403, in the background":         {heads(403, same), 35 * time.Second, true, false, 1},
		"HEAD of another, in the background":  {heads(200, func(h Header) { h["Docker-Content-Digest"] = []string{digestOf("sha256", nil)} }), 35 * time.Second, false, false, 1},
		"HEAD without one, in the background": {heads(200, func(h Header) { delete(h, "Docker-Content-Digest") }), 35 * time.Second, false, true, 1},
		"HEAD 304, in the background":         {heads(304, same), 35 * time.Second, false, false, 1},
		"HEAD 500, in the background":         {heads(500, same), 35 * time.Second, false, false, 1},
		"HEAD no, and GET no":                 {heads(404, same), 2 * time.Minute, true, false, 2},
		"HEAD 500, and GET no":                {heads(500, same), 2 * time.Minute, true, false, 2},
		"HEAD of another size, and GET no":    {heads(200, func(h Header) { h["Content-Length"] = []string{"8"} }), 2 * time.Minute, true, false, 2},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				cache.Get(t.Context(), r.request("a", saidDigest))
				time.Sleep(c.age)
				r.answer = c.answer
				got := cache.Get(t.Context(), r.request("a", saidDigest))
				got.Answer.Close()
				if synctest.Wait(); len(r.asked) != 1+c.asked {
					t.Errorf("asked %q", r.asked)
				}
				of := &Subject{"up", "a", Manifest}
				if ended := cache.find(of, saidDigest).state == absent; ended != c.ends {
					t.Errorf("it ended: %v", ended)
				}
				time.Sleep(30 * time.Second)
				if stands := cache.find(of, saidDigest).state == fresh; stands != c.stands {
					t.Errorf("it stands: %v", stands)
				}
			})
		})
	}
}

// TestGetSaysNo: a GET that the registry refuses ends what it was known to have, also for when it
// cannot be asked.
func TestGetSaysNo(t *testing.T) {
	for what, c := range map[string]struct {
		reference string
		status    int
		lasts     bool
	}{
		"digest, 404": {saidDigest, 404, false}, "digest, 401": {saidDigest, 401, false}, "digest, 429": {saidDigest, 429, true}, "digest, 304": {saidDigest, 304, true},
		"tag, 404": {"v1", 404, false}, "tag, 403": {"v1", 403, false}, "tag, 429": {"v1", 429, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				cache.cfg.StaleFor = time.Hour
				cache.Get(t.Context(), r.request("a", "v1"))
				time.Sleep(2 * time.Minute)
				r.answer = func(q Question) (*Answer, error) {
					if q.Head {
						return says(500)(q)
					}
					return says(c.status)(q)
				}
				cache.Get(t.Context(), r.request("a", c.reference)).Answer.Close()
				r.answer = func(Question) (*Answer, error) { return nil, errors.New("away") }
				got := cache.Get(t.Context(), r.request("a", c.reference))
				got.Answer.Close()
				if lasts := got.Outcome == Stale; lasts != c.lasts {
					t.Errorf("then %+v", got)
				}
			})
		})
	}
}

// TestUnkept: an answer that is not content in a form to keep goes to who asked for it as it came, is
// asked for again by the next, and leaves nothing.
func TestUnkept(t *testing.T) {
	for what, c := range map[string]struct {
		change func(a *Answer)
		err    error
		kept   bool
	}{
		"good":                   {func(*Answer) {}, nil, true},
		"as it is":               {func(a *Answer) { a.Header["Content-Encoding"] = []string{"identity"} }, nil, true},
		"encoded":                {func(a *Answer) { a.Header["Content-Encoding"] = []string{"gzip"} }, nil, false},
		"without a length":       {func(a *Answer) { delete(a.Header, "Content-Length") }, nil, false},
		"a length that is none":  {func(a *Answer) { a.Header["Content-Length"] = []string{"x"} }, nil, false},
		"a length below nothing": {func(a *Answer) { a.Header["Content-Length"] = []string{"-7"} }, nil, false},
		"two lengths":            {func(a *Answer) { a.Header["Content-Length"] = []string{"7", "7"} }, nil, false},
		"a part":                 {func(a *Answer) { a.Status = 206 }, nil, false},
		"a redirect":             {func(a *Answer) { a.Status = 307 }, nil, false},
		"too many requests":      {func(a *Answer) { a.Status = 429 }, nil, false},
		"an error beside it":     {func(*Answer) {}, ErrBroken, false},
		"large":                  {func(a *Answer) { a.Header["Content-Length"] = []string{fmt.Sprint(MaxManifest + 1)} }, nil, false},
	} {
		for _, reference := range []string{saidDigest, "v1"} {
			cache, r := said(t)
			r.answer = func(q Question) (*Answer, error) {
				a, _ := has(saidBody)(q)
				c.change(a)
				return a, c.err
			}
			got := cache.Get(t.Context(), r.request("a", reference))
			if got.Outcome != Miss || (got.Entry != nil) != c.kept || (got.Answer != nil) == c.kept || got.Err != c.err {
				t.Errorf("%s, %s: %+v", what, reference, got)
			} else if !c.kept {
				body, err := io.ReadAll(got.Answer.Body)
				if err != nil || string(body) != saidBody {
					t.Errorf("%s, %s: %q, %v", what, reference, body, err)
				}
			}
			got.Answer.Close()
			if s := cache.Status(); (s.Memory.Entries == 1) != c.kept || (s.Standings == 1) != c.kept || (s.Tags == 1) != (c.kept && reference == "v1") || s.Questions != 0 {
				t.Errorf("%s, %s: %+v", what, reference, s)
			}
		}
	}
}

// TestAskedFirst: a download whose yes is old is followed after a HEAD that shows the same, and is
// asked for once more otherwise.
func TestAskedFirst(t *testing.T) {
	for what, c := range map[string]struct {
		change func(h Header)
		asked  string
	}{
		"the same":         {func(Header) {}, "HEAD"},
		"unnamed":          {func(h Header) { delete(h, "Docker-Content-Digest") }, "HEAD"},
		"another length":   {func(h Header) { h["Content-Length"] = []string{"8"} }, "HEAD, GET"},
		"without one":      {func(h Header) { delete(h, "Content-Length") }, "HEAD, GET"},
		"encoded":          {func(h Header) { h["Content-Encoding"] = []string{"gzip"} }, "HEAD, GET"},
		"another's digest": {func(h Header) { h["Docker-Content-Digest"] = []string{digestOf("sha256", nil)} }, "HEAD, GET"},
	} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(3*Window, 1)
				h.body = func(q Question, content []byte) (*Answer, error) {
					a := whole(q, content)
					if q.Head {
						c.change(a.Header)
						return a, nil
					}
					a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(10 * time.Minute), ctx: context.Background()}
					return a, nil
				}
				var all sync.WaitGroup
				pull := func(want string) {
					all.Go(func() { h.pull(t.Context(), "a", digest) })
					if saw := h.took(); saw != want {
						t.Errorf("asked %q, want %q", saw, want)
					}
				}
				pull("GET")
				pull("")
				h.Watch(Forwarded{Subject: Subject{"up", "a", Blob}, Act: Put}).Answered(201, nil)
				pull(c.asked) // as what was asked before a PUT counts no more
				if c.asked == "HEAD" {
					time.Sleep(2 * time.Minute)
					pull(c.asked)
				}
				all.Wait()
			})
		})
	}
}

// TestAway: while the registry cannot be asked, what was seen is given out at once, until stale_for
// is over, however often it is asked for; an answer that breaks is such a fault too.
func TestAway(t *testing.T) {
	for what, away := range map[string]func(q Question) (*Answer, error){
		"no answer": func(Question) (*Answer, error) { return nil, errors.New("away") },
		"503":       says(503),
		"cut": func(q Question) (*Answer, error) {
			a, err := has(saidBody)(q)
			if a.Body = io.NopCloser(io.MultiReader(strings.NewReader(saidBody[:3]), brokenReader{})); q.Head {
				return says(500)(q)
			}
			return a, err
		},
		"longer than it said": func(q Question) (*Answer, error) {
			a, err := has(saidBody)(q)
			if a.Body = io.NopCloser(strings.NewReader(saidBody + "x")); q.Head {
				return says(500)(q)
			}
			return a, err
		},
	} {
		for _, reference := range []string{saidDigest, "v1"} {
			t.Run(what+", "+reference[:2], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cache, r := said(t)
					cache.cfg.StaleFor = 10 * time.Minute
					cache.Get(t.Context(), r.request("a", "v1"))
					time.Sleep(2 * time.Minute)
					r.answer = func(q Question) (*Answer, error) { time.Sleep(time.Second / 10); return away(q) }
					served, began := 0, time.Now().Add(-2*time.Minute)
					for time.Since(began) < 12*time.Minute {
						asked := time.Now()
						got := cache.Get(t.Context(), r.request("a", reference))
						got.Answer.Close()
						waited, age := time.Since(asked), asked.Sub(began)
						if stale := got.Outcome == Stale && string(got.Entry.Body) == saidBody; stale != (age < 10*time.Minute) || got.Entry != nil && !stale {
							t.Fatalf("after %s: %+v", age, got)
						}
						if served++; served > 1 && age < 10*time.Minute && waited > 0 {
							t.Fatalf("after %s somebody waited for %s", age, waited)
						}
						time.Sleep(5 * time.Second)
					}
				})
			})
		}
	}
}

// TestStaleTag: what a tag named is given out for stale_for after the tag was seen, though its digest
// was seen later, by whichever way the fault is known.
func TestStaleTag(t *testing.T) {
	for age, want := range map[time.Duration]Outcome{9 * time.Minute: Stale, 11 * time.Minute: Miss} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			cache.cfg.StaleFor = 10 * time.Minute
			cache.Get(t.Context(), r.request("a", "v1"))
			time.Sleep(5 * time.Minute)
			cache.Watch(manifest(Look, saidDigest)).Answered(200, named(saidDigest))
			r.answer = func(Question) (*Answer, error) { return nil, errors.New("away") }
			time.Sleep(age - 5*time.Minute)
			for what, reference := range []string{"v1", "v1", saidDigest, "v1"} { // the first is when the fault is not known yet
				got := cache.Get(t.Context(), r.request("a", reference))
				if reference == saidDigest && got.Outcome != Stale || reference == "v1" && (got.Outcome != want || (got.Entry != nil) != (want == Stale)) {
					t.Errorf("after %s, %d, %s: %+v", age, what, reference, got)
				}
			}
		})
	}
}

// TestJoinersAccept: who joins takes what the one before has asked for, or is forwarded; while the
// registry is away what they take is looked at too.
func TestJoinersAccept(t *testing.T) {
	for accept, want := range map[string]Outcome{mediaType: Joined, "a/b": Pass, "": Pass, mediaType + ";q=0": Pass, "*/*": Pass} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			gate := make(chan bool)
			r.answer = func(q Question) (*Answer, error) { <-gate; return has(saidBody)(q) }
			go cache.Get(t.Context(), r.request("a", saidDigest))
			synctest.Wait()
			q := r.request("a", saidDigest)
			q.Accept = []string{accept}
			got := make(chan Result)
			go func() { got <- cache.Get(t.Context(), q) }()
			synctest.Wait()
			close(gate)
			if result := <-got; result.Outcome != want || (result.Entry != nil) != (want == Joined) {
				t.Errorf("%q: %+v, want %s", accept, result, want)
			}
			cache.cfg.StaleFor = time.Hour
			time.Sleep(2 * time.Minute)
			r.answer = says(503)
			for range 2 { // when the fault is not known yet, and when it is
				result := cache.Get(t.Context(), q)
				result.Answer.Close()
				if stale := result.Outcome == Stale; stale != (want == Joined) {
					t.Errorf("%q, while it is away: %+v", accept, result)
				}
			}
		})
	}
}

// TestStaleTypes: while the registry is away nobody gets a type that they do not take, by a tag either.
func TestStaleTypes(t *testing.T) {
	for accept, want := range map[string]Outcome{mediaType: Stale, "a/b": Miss} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			cache.cfg.StaleFor = time.Hour
			cache.Get(t.Context(), r.request("a", "v1"))
			time.Sleep(2 * time.Minute)
			r.answer = says(503)
			q := r.request("a", "v1")
			q.Accept = []string{accept}
			for range 2 {
				got := cache.Get(t.Context(), q)
				got.Answer.Close()
				if got.Outcome != want {
					t.Errorf("%s: %+v", accept, got)
				}
			}
		})
	}
}

// TestFollowersAccept: nobody follows a download of a type that they do not take.
func TestFollowersAccept(t *testing.T) {
	for accept, asked := range map[string]string{"": "", "*/*": "", "application/octet-stream": "", "a/b": "GET", "*/*;q=0": "GET"} {
		inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
			digest := h.put(3*Window, 1)
			h.body = func(q Question, content []byte) (*Answer, error) {
				a := whole(q, content)
				a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(time.Minute), ctx: context.Background()}
				return a, nil
			}
			go h.pull(t.Context(), "a", digest)
			h.took()
			q := h.request("a", digest)
			if accept != "" {
				q.Accept = []string{accept}
			}
			got := h.Get(t.Context(), q)
			if saw := h.took(); saw != asked {
				t.Errorf("%q: asked %q, want %q", accept, saw, asked)
			}
			if got.Entry == nil || got.Entry.File == nil {
				t.Fatalf("%q: %+v", accept, got)
			}
			got.Entry.File.Close()
			time.Sleep(time.Hour)
		})
	}
}

// TestSuspectTags: for a minute after a wrong answer by a tag each who asks has an answer of their own,
// verified and not kept.
func TestSuspectTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, r := said(t)
		r.answer = func(q Question) (*Answer, error) {
			a, err := has("wrong")(q)
			a.Header["Docker-Content-Digest"] = []string{saidDigest}
			return a, err
		}
		for range 2 {
			if got := cache.Get(t.Context(), r.request("a", "v1")); got.Entry != nil || !errors.Is(got.Err, ErrMismatch) {
				t.Errorf("%+v", got)
			}
		}
		r.answer = has(saidBody)
		for range 2 {
			if got := cache.Get(t.Context(), r.request("a", "v1")); got.Outcome != Pass || got.Entry == nil || string(got.Entry.Body) != saidBody {
				t.Errorf("mended: %+v", got)
			}
		}
		if s := cache.Status(); s.Memory.Entries+s.Standings+s.Tags != 0 {
			t.Errorf("kept: %+v", s)
		}
		time.Sleep(suspicion)
		if got := cache.Get(t.Context(), r.request("a", "v1")); got.Outcome != Miss || cache.Status().Standings != 1 {
			t.Errorf("a minute later: %+v", got)
		}
	})
}

// TestOlderYes: an answer to what was asked before a fault does not say that the registry is back.
func TestOlderYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, _ := said(t)
		cache.cfg.StaleFor = time.Hour
		before := cache.ledger.now()
		time.Sleep(time.Second)
		cache.heard("up", 0, cache.ledger.now())
		for what, c := range map[string]struct {
			upstream string
			m        moment
			away     bool
		}{"an older yes": {"up", before, true}, "another's": {"other", cache.ledger.now(), true}} {
			if cache.heard(c.upstream, 200, c.m); (cache.offlineLocked("up", time.Now()) != nil) != c.away {
				t.Errorf("%s: away %v", what, !c.away)
			}
		}
		if cache.heard("up", 200, cache.ledger.now()); cache.offlineLocked("up", time.Now()) != nil {
			t.Error("a newer yes: away still")
		}
	})
}

// TestLateBeginning: a download for which room was taken just before the cache closed ends with it, and
// does not keep it from ending.
func TestLateBeginning(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		const size = 3 * Window
		digest := h.put(size, 1)
		q := Question{Subject: Subject{Upstream: "up", Repository: "a", Kind: Blob}, Reference: digest}
		ask := func(ctx context.Context, q Question) (*Answer, error) {
			a := whole(q, h.has[digest])
			a.Body = &stalling{Reader: a.Body, first: 1, until: make(chan time.Time), ctx: ctx}
			return a, nil
		}
		a, _ := h.ask(t.Context(), ask, q)
		if err := h.reserveDisk(size); err != nil {
			t.Fatal(err)
		}
		file, info, err := h.disk.folder.create(size)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan bool)
		go func() { h.end(); close(ended) }()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("it ended before the download that had its room")
		default:
		}
		h.begin(h.newGrowth(ask, &q, &Entry{Digest: digest, Header: a.Header, Size: size}, a, moment{time: time.Now()}, file, info))
		<-ended
		if h.disk.reserved != 0 || h.flights.n != 0 || len(h.growths) != 0 || len(h.files()) != 0 {
			t.Errorf("left: %d bytes, %d flights, %d downloads, %v", h.disk.reserved, h.flights.n, len(h.growths), h.files())
		}
		if err := h.reserveDisk(size); !errors.Is(err, errNotForUs) {
			t.Errorf("later: %v", err)
		}
	})
}

// TestComesAgain: what is pulled again while its old file waits to be removed stays, and is kept; while
// the old file is being removed the new one waits for its name.
func TestComesAgain(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("first", "a", digest, Miss, "GET")
		synctest.Wait()
		gone := func() []string {
			_, gone := h.forget(Purge{All: true})
			return gone
		}
		old := gone()
		h.wants("again", "a", digest, Miss, "GET")
		synctest.Wait()
		h.discard(old, "purge")
		h.wants("after the removal", "a", digest, Hit, "")
		old = gone()
		if !h.mayRemove(digest) || h.mayRemove(digest) {
			t.Error("it is not removed once")
		}
		h.wants("while it is removed", "a", digest, Miss, "GET")
		synctest.Wait()
		if h.disk.peek(digest) != nil {
			t.Error("it has its name, and loses it")
		}
		h.disk.folder.remove(digest)
		h.named(digest)
		synctest.Wait()
		h.discard(old, "purge")
		h.wants("kept", "a", digest, Hit, "")
		if len(h.disk.naming) != 0 {
			t.Errorf("being named: %v", h.disk.naming)
		}
	})
}

// TestTooManyToCheck: a file that could not be opened for want of descriptors stays, and is hashed at
// its next use.
func TestTooManyToCheck(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, &os.PathError{Op: "open", Err: syscall.EMFILE}} {
		inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
			digest := h.put(Window, 1)
			h.wants("first", "a", digest, Miss, "GET")
			synctest.Wait()
			i := h.disk.peek(digest)
			i.waits, i.checked = true, 0
			h.checked(i, err)
			if h.disk.peek(digest) != i || i.waits || i.checked != 0 || len(h.files()) != 1 {
				t.Errorf("%v: %+v, %q", err, i, h.files())
			}
			h.wants("used", "a", digest, Hit, "")
			time.Sleep(time.Minute)
			if synctest.Wait(); i.checked == 0 {
				t.Errorf("%v: it was not hashed", err)
			}
		})
	}
}

// TestFoundTooLate: what a check, or a reader, found of a file says nothing of the one that came
// after it.
func TestFoundTooLate(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("first", "a", digest, Miss, "GET")
		synctest.Wait()
		old := h.disk.peek(digest)
		h.drop(digest, old, errShort)
		h.wants("again", "a", digest, Miss, "GET")
		synctest.Wait()
		h.checked(old, errRotten)
		h.drop(digest, old, errShort)
		h.wants("kept", "a", digest, Hit, "")
		h.checked(h.disk.peek(digest), errRotten)
		h.wants("found of itself", "a", digest, Miss, "GET")
	})
}
