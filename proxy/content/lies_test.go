package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestNamedOtherwise: an answer that names another digest than it was asked for is wrong,
// whatever it brings; one whose name means nothing here is what its bytes are.
func TestNamedOtherwise(t *testing.T) {
	const right, wrong = "the content", "the c0ntent"
	digest := digestOf("sha256", []byte(right))
	for what, c := range map[string]struct {
		named  []string
		body   string
		kind   Kind
		served bool
	}{
		"another":                        {[]string{digestOf("sha256", []byte(wrong))}, right, Manifest, false},
		"another, and its bytes":         {[]string{digestOf("sha256", []byte(wrong))}, wrong, Manifest, false},
		"no whole one":                   {[]string{digest[:20]}, right, Manifest, false},
		"no whole one, wrong bytes":      {[]string{digest[:20]}, wrong, Blob, false},
		"it, and another":                {[]string{digest, digestOf("sha256", nil)}, right, Manifest, false},
		"a word":                         {[]string{"latest"}, right, Manifest, true},
		"a word, wrong bytes":            {[]string{"latest"}, wrong, Manifest, false},
		"in capitals, wrong bytes":       {[]string{strings.ToUpper(digest)}, wrong, Blob, false},
		"an algorithm of theirs":         {[]string{"blake3:" + digest[7:]}, right, Blob, true},
		"theirs, wrong bytes":            {[]string{"blake3:" + digest[7:]}, wrong, Blob, false},
		"by another algorithm":           {[]string{digestOf("sha512", []byte(right))}, right, Manifest, true},
		"by another algorithm, another":  {[]string{digestOf("sha512", []byte(wrong))}, right, Manifest, false},
		"nothing":                        {nil, right, Blob, true},
		"nothing, wrong bytes":           {nil, wrong, Blob, false},
		"a blob of a manifest's type":    {nil, right, Blob, true},
		"that, with another one's bytes": {nil, wrong, Blob, false},
	} {
		for _, small := range []Size{1 << 10, 0} { // in memory, and on the disk
			t.Run(fmt.Sprint(what, small), func(t *testing.T) {
				inDiskHouse(t, func(cfg *Config) { cfg.Small = small }, func(t *testing.T, h *diskHouse) {
					h.has[digest] = []byte(right)
					h.body = func(q Question, _ []byte) (*Answer, error) {
						a := whole(q, []byte(c.body))
						a.Header["Docker-Content-Digest"] = c.named
						if strings.Contains(what, "type") {
							a.Header["Content-Type"] = []string{"application/vnd.docker.distribution.manifest.v1+json"}
						}
						return a, nil
					}
					if c.kind == Manifest && small == 0 && c.named != nil && strings.HasPrefix(c.named[0], "sha512:") {
						return // on the disk one digest is looked at
					}
					r := h.request("a", digest)
					if r.Kind = c.kind; small == 0 {
						r.Kind = Blob
					}
					for range 2 { // the second one within the minute after
						got := h.Get(t.Context(), r)
						body, err := []byte(nil), got.Err
						switch {
						case got.Entry != nil && got.Entry.File != nil:
							body, err = follow(t.Context(), got.Entry.File, nil)
							got.Entry.File.Close()
						case got.Entry != nil:
							body = got.Entry.Body
						case got.Answer != nil:
							body, err = io.ReadAll(got.Answer.Body)
							got.Answer.Close()
						}
						if served := err == nil && string(body) == right; served != c.served || !c.served && !errors.Is(err, ErrMismatch) {
							t.Errorf("served %v: %q, %v", served, body, err)
						}
						synctest.Wait()
						r.Accept = []string{"*/*", "application/octet-stream"}
					}
					if state := h.find(&r.Subject, digest).state; (state == fresh) != c.served {
						t.Errorf("it stands: %v", state)
					}
				})
			})
		}
	}
}

// TestEndedMeanwhile: who comes after the registry has said no, or after a purge, does not join
// what was asked before, neither a question nor a download; who asked it gets its answer.
func TestEndedMeanwhile(t *testing.T) {
	no := func(h *diskHouse, repository, digest string) {
		h.Watch(Forwarded{Subject: Subject{"up", repository, Blob}, Reference: digest}).Answered(404, nil)
	}
	for what, c := range map[string]struct {
		happen func(h *diskHouse, digest string)
		joins  bool
	}{
		"nothing":          {func(*diskHouse, string) {}, true},
		"404":              {func(h *diskHouse, digest string) { no(h, "a", digest) }, false},
		"404 elsewhere":    {func(h *diskHouse, digest string) { no(h, "b", digest) }, true},
		"404 of another":   {func(h *diskHouse, digest string) { no(h, "a", digestOf("sha256", nil)) }, true},
		"404, then HEAD":   {func(h *diskHouse, digest string) { no(h, "a", digest); renews(h, digest) }, false},
		"HEAD":             {renews, true},
		"purge":            {func(h *diskHouse, digest string) { h.Purge(Purge{Digest: digest}) }, false},
		"purge of another": {func(h *diskHouse, digest string) { h.Purge(Purge{Digest: digestOf("sha256", nil)}) }, true},
	} {
		for _, small := range []Size{16 << 20, 0} { // read whole, and followed
			t.Run(fmt.Sprint(what, small), func(t *testing.T) {
				inDiskHouse(t, func(cfg *Config) { cfg.Small = small }, func(t *testing.T, h *diskHouse) {
					digest := h.put(2*Window, 1)
					gate := make(chan struct{})
					h.body = func(q Question, content []byte) (*Answer, error) {
						a := whole(q, content)
						a.Body = &gated{Reader: a.Body, gate: gate}
						return a, nil
					}
					first, second := make(chan []byte), make(chan Outcome)
					pull := func() (Outcome, []byte) { o, body, _ := h.pull(t.Context(), "a", digest); return o, body }
					go func() { _, body := pull(); first <- body }()
					if saw := h.took(); saw != "GET" {
						t.Errorf("asked %q", saw)
					}
					c.happen(h, digest)
					go func() { o, _ := pull(); second <- o }()
					if joined := h.took() == ""; joined != c.joins {
						t.Errorf("joined %v", joined)
					}
					close(gate)
					if body := <-first; !bytes.Equal(body, h.has[digest]) {
						t.Errorf("who was first got %d bytes", len(body))
					}
					if o := <-second; (o == Joined) != c.joins {
						t.Errorf("the second: %s", o)
					}
				})
			})
		}
	}
}

// renews shows a digest once more.
func renews(h *diskHouse, digest string) {
	a := whole(Question{Reference: digest}, h.has[digest])
	h.Watch(Forwarded{Subject: Subject{"up", "a", Blob}, Reference: digest}).Answered(200, a.Header)
}

// gated reads when its gate is open.
type gated struct {
	io.Reader
	gate chan struct{}
}

func (g *gated) Read(p []byte) (int, error) {
	<-g.gate
	return g.Reader.Read(p)
}

func (*gated) Close() error { return nil }

// TestSameAsWhat: a 304 that names another digest than the one that need not be sent says
// nothing, and the tag is asked for once more.
func TestSameAsWhat(t *testing.T) {
	other := digestOf("sha256", []byte("new"))
	for what, c := range map[string]struct {
		named, etag []string
		body        string
	}{
		"it": {[]string{saidDigest}, nil, saidBody}, "nothing": {nil, nil, saidBody}, "another": {[]string{other}, nil, "new"},
		"it and another":           {[]string{saidDigest, other}, nil, "new"},
		"by its tag":               {nil, []string{`"` + saidDigest + `"`}, saidBody},
		"another by its tag":       {nil, []string{`"` + other + `"`}, "new"},
		"another by a weak tag":    {nil, []string{`W/"` + other + `"`}, "new"},
		"a tag that is no digest":  {nil, []string{`"1-2-3"`}, saidBody},
		"it, and by tag another":   {[]string{saidDigest}, []string{`"` + other + `"`}, "new"},
		"another, and it by a tag": {[]string{other}, []string{`"` + saidDigest + `"`}, "new"},
	} {
		cache, r := said(t)
		cache.Get(t.Context(), r.request("a", "v1"))
		r.answer = func(q Question) (*Answer, error) {
			if q.Unless == "" {
				return has("new")(q)
			}
			return &Answer{Status: 304, Header: Header{"Docker-Content-Digest": c.named, "Etag": c.etag}}, nil
		}
		if got := cache.Get(t.Context(), r.request("a", "v1")); got.Entry == nil || string(got.Entry.Body) != c.body {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// TestNoToTheRest: a no to the rest of a broken answer, or to who asks alone after a wrong
// one, is a no as any other.
func TestNoToTheRest(t *testing.T) {
	for _, status := range []int{404, 410, 401, 403, 416, 500} {
		inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
			digest := h.put(3*Window, 1)
			h.wants("the first", "a", digest, Miss, "GET")
			if err := os.Remove(h.path(digest)); err != nil {
				t.Fatal(err)
			}
			h.body = func(q Question, content []byte) (*Answer, error) {
				if q.From > 0 {
					return says(status)(q)
				}
				a := whole(q, content)
				a.Body = breaking(content, Window+1)
				return a, nil
			}
			if _, _, err := h.pull(t.Context(), "a", digest); !errors.Is(err, ErrBroken) {
				t.Error(err)
			}
			if stands := h.ledger.standing(&Subject{"up", "a", Blob}, digest) != nil; stands == refuses(status) {
				t.Errorf("%d: it stands %v", status, stands)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		cache, r := said(t)
		of := r.request("a", saidDigest)
		cache.Get(t.Context(), of)
		cache.memory.clear()
		r.answer = has("wrong")
		cache.Get(t.Context(), of)
		r.answer = says(404)
		if got := cache.Get(t.Context(), of); got.Answer == nil || got.Answer.Status != 404 || cache.ledger.standing(&of.Subject, saidDigest) != nil {
			t.Errorf("alone: %+v", got)
		}
	})
}

// TestBeside: who may not wait for the question that runs has another one asked at once, which
// those who come later join, whichever ends first.
func TestBeside(t *testing.T) {
	for _, oldFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			gates := []chan string{make(chan string), make(chan string)}
			n := -1
			r.answer = func(q Question) (*Answer, error) {
				r.mu.Lock()
				n++
				gate := gates[n]
				r.mu.Unlock()
				return has(<-gate)(q)
			}
			outcomes := make(chan Outcome, 4)
			pull := func() { outcomes <- cache.Get(t.Context(), r.request("a", saidDigest)).Outcome }
			go pull()
			synctest.Wait()
			cache.Watch(manifest(Delete, "v9")).Answered(202, nil)
			for range 3 {
				go pull()
				synctest.Wait()
			}
			if len(r.asked) != 2 || cache.Status().Questions != 2 {
				t.Errorf("asked %q", r.asked)
			}
			if !oldFirst {
				gates[0], gates[1] = gates[1], gates[0]
			}
			for _, gate := range gates {
				gate <- saidBody
				synctest.Wait()
			}
			got := map[Outcome]int{}
			for range 4 {
				got[<-outcomes]++
			}
			if got[Miss] != 2 || got[Joined] != 2 || cache.Status().Questions != 0 || len(cache.flights.running) != 0 {
				t.Errorf("%v, %+v", got, cache.Status())
			}
			if state := cache.find(&Subject{"up", "a", Manifest}, saidDigest).state; state != fresh {
				t.Errorf("state %d", state)
			}
		})
	}
}

// TestLooksAskNothing: to look a digest up for a tag takes nobody the question in the background
// that is due; one that is asked, or answered by a tag's own, is asked once.
func TestLooksAskNothing(t *testing.T) {
	for what, c := range map[string]struct {
		tags time.Duration // tags_fresh_for
		want []string
	}{
		"asked each time": {0, []string{"GET a v1 " + saidDigest, "HEAD a " + saidDigest + " "}},
		"kept":            {time.Hour, []string{"HEAD a " + saidDigest + " "}},
	} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			cache.cfg.TagsFreshFor = c.tags
			cache.Get(t.Context(), r.request("a", "v1"))
			time.Sleep(35 * time.Second)
			r.asked = nil
			r.answer = func(q Question) (*Answer, error) {
				if q.Unless != "" {
					return says(304)(q)
				}
				return has(saidBody)(q)
			}
			for _, reference := range []string{"v1", saidDigest} {
				if got := cache.Get(t.Context(), r.request("a", reference)); got.Outcome != Hit {
					t.Errorf("%s: %s", what, got.Outcome)
				}
				synctest.Wait()
			}
			if !slices.Equal(r.asked, c.want) {
				t.Errorf("%s: asked %q", what, r.asked)
			}
		})
	}
}
