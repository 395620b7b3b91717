package content

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// TestPassing: whatever sizes it is read in, an answer that passes is the same, and of a wrong
// one the end does not come.
func TestPassing(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 63, 64, 65, 1000} {
		content := bytes.Repeat([]byte{7}, size)
		content = append(content, byte(size))[1:][:size]
		for what, reader := range map[string]func(io.Reader) io.Reader{
			"as it is": func(r io.Reader) io.Reader { return r }, "a byte at a time": iotest.OneByteReader, "halves": iotest.HalfReader, "with its end": iotest.DataErrReader,
		} {
			for into, read := range map[string]func(io.Reader) ([]byte, error){
				"all": io.ReadAll,
				"bytes": func(r io.Reader) ([]byte, error) {
					got, err := io.ReadAll(iotest.OneByteReader(r))
					return got, err
				},
				"a large buffer": func(r io.Reader) ([]byte, error) { var b bytes.Buffer; _, err := b.ReadFrom(r); return b.Bytes(), err },
			} {
				for _, right := range []bool{true, false} {
					told := 0
					q := &Question{Subject: Subject{"up", "a", Blob}, Reference: digestOf("sha256", content)}
					if !right {
						q.Reference = digestOf("sha256", []byte("another"))
					}
					a := &Answer{Status: 200, Header: Header{}, Body: io.NopCloser(reader(bytes.NewReader(content)))}
					if !verifies(q, a, func() { told++ }) {
						t.Fatal("not verified")
					}
					got, err := read(a.Body)
					switch {
					case right && (err != nil || !bytes.Equal(got, content) || told != 0):
						t.Errorf("%d, %s, %s: %d bytes, %v", size, what, into, len(got), err)
					case !right && (!errors.Is(err, ErrMismatch) || told != 1 || !bytes.HasPrefix(content, got) || len(got) != max(size-1, 0)):
						t.Errorf("wrong, %d, %s, %s: %d bytes, %v, told %d times", size, what, into, len(got), err, told)
					}
				}
			}
		}
	}
	broken := &Answer{Status: 200, Header: Header{}, Body: breaking([]byte("content"), 7)}
	verifies(&Question{Reference: saidDigest}, broken, nil)
	if got, err := io.ReadAll(broken.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) > 6 {
		t.Errorf("broken: %q, %v", got, err)
	}
}

// TestUnkeptIsVerified: what passes without being read first is verified all the same, for who
// asked and for all who waited, wherever its digest is known.
func TestUnkeptIsVerified(t *testing.T) {
	for what, c := range map[string]struct {
		kind   Kind
		tag    string // "": by digest
		header func(Header)
		named  string
		body   string
		right  bool
	}{
		"a manifest":              {Manifest, "", nil, saidDigest, saidBody, true},
		"a wrong manifest":        {Manifest, "", nil, "", "c0ntent", false},
		"a wrong manifest, named": {Manifest, "", nil, saidDigest, "c0ntent", false},
		"a blob":                  {Blob, "", nil, "", saidBody, true},
		"a page for a blob":       {Blob, "", func(h Header) { h["Content-Type"] = []string{"text/html"} }, "", "<html>log in</html>", false},
		"nothing for a blob":      {Blob, "", nil, "", "", false},
		"by tag":                  {Manifest, "v1", nil, saidDigest, saidBody, true},
		"by tag, wrong":           {Manifest, "v1", nil, saidDigest, "c0ntent", false},
		"by tag, unnamed":         {Manifest, "v1", nil, "", "c0ntent", true},
		"encoded":                 {Manifest, "", func(h Header) { h["Content-Encoding"] = []string{"gzip"} }, saidDigest, "zipped", true},
		"signed":                  {Manifest, "", func(h Header) { h["Content-Type"] = []string{"application/vnd.docker.distribution.manifest.v1+json"} }, saidDigest, "signed", true},
		"of a stated size":        {Manifest, "", func(h Header) { h["Content-Length"] = []string{"5000000"} }, "", strings.Repeat("c0ntent.", 5000000/8), false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				gate := make(chan bool)
				r.answer = func(Question) (*Answer, error) {
					<-gate
					h := Header{"Content-Type": {mediaType}}
					if c.named != "" {
						h["Docker-Content-Digest"] = []string{c.named}
					}
					if c.header != nil {
						c.header(h)
					}
					return &Answer{Status: 200, Header: h, Body: io.NopCloser(strings.NewReader(c.body))}, nil
				}
				var all sync.WaitGroup
				for i := range 3 {
					all.Go(func() {
						of := r.request("a", saidDigest)
						if of.Kind = c.kind; c.tag != "" {
							of.Reference, of.Tag = c.tag, true
						}
						got := cache.Get(t.Context(), of)
						if got.Answer == nil {
							if i == 0 || what != "encoded" && what != "signed" && what != "by tag, unnamed" { // which pass unseen
								t.Errorf("%d: %+v", i, got)
							}
							return // to be forwarded
						}
						defer got.Answer.Close()
						body, err := io.ReadAll(got.Answer.Body)
						if whole := err == nil && string(body) == c.body; whole != c.right || !c.right && !errors.Is(err, ErrMismatch) {
							t.Errorf("%d: %.20q, %v", i, body, err)
						}
					})
					synctest.Wait()
				}
				close(gate)
				all.Wait()
				if of := r.request("a", saidDigest); !c.right && c.tag == "" {
					if of.Kind = c.kind; !cache.suspect(of) {
						t.Error("not suspected")
					}
				}
				if n := cache.Status().Memory.Entries; n != 0 {
					t.Errorf("%d are kept", n)
				}
			})
		})
	}
}

// TestNoRoom: where too much is being read already, answers pass, verified on their way; nobody
// gets an error for it, in the minute after a wrong one neither.
func TestNoRoom(t *testing.T) {
	for _, suspected := range []bool{false, true} {
		for _, right := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				of := r.request("a", saidDigest)
				if suspected {
					r.answer = has("wrong")
					cache.Get(t.Context(), of)
				}
				cache.filling = mostFilling
				r.answer = has(saidBody)
				if !right {
					r.answer = func(q Question) (*Answer, error) {
						a, err := has("c0ntent")(q)
						delete(a.Header, "Docker-Content-Digest")
						return a, err
					}
				}
				got := cache.Get(t.Context(), of)
				if got.Answer == nil || got.Entry != nil {
					t.Fatalf("%+v", got)
				}
				defer got.Answer.Close()
				if body, err := io.ReadAll(got.Answer.Body); right != (err == nil && string(body) == saidBody) || !right && !errors.Is(err, ErrMismatch) {
					t.Errorf("%q, %v", body, err)
				}
			})
		}
	}
}

// TestOwnWay: who waited for an answer that is for its asker alone asks on their own, and that
// answer is verified too; who wants the header alone, or a part, is forwarded, and so is who
// waited for what streams.
func TestOwnWay(t *testing.T) {
	cut := func(q Question) (*Answer, error) {
		a, err := has(saidBody)(q)
		a.Body = breaking([]byte(saidBody), 3)
		return a, err
	}
	large := func(q Question) (*Answer, error) {
		a, err := has(saidBody)(q)
		a.Header["Content-Length"] = []string{"99999999"}
		return a, err
	}
	closes := func(Question) (*Answer, error) { return nil, errors.New("closed") }
	for what, c := range map[string]struct {
		first  func(Question) (*Answer, error)
		kind   Kind
		change func(*Request)
		alone  bool // the waiting one asks
	}{
		"404":             {says(404), Manifest, nil, true},
		"500":             {says(500), Blob, nil, true},
		"closed":          {closes, Blob, nil, true},
		"cut":             {cut, Manifest, nil, true},
		"a redirect":      {says(307), Blob, nil, true},
		"wrong":           {has("other"), Blob, nil, true},
		"404, for HEAD":   {says(404), Manifest, func(r *Request) { r.Head = true }, false},
		"cut, for HEAD":   {cut, Manifest, func(r *Request) { r.Head = true }, false},
		"what streams":    {large, Blob, nil, false},
		"another's types": {has(saidBody), Manifest, func(r *Request) { r.Accept = []string{"a/b"} }, false},
	} {
		for _, right := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				cache, r := said(t)
				gate, n := make(chan bool), 0
				r.answer = func(q Question) (*Answer, error) {
					r.mu.Lock()
					n++
					first := n == 1
					r.mu.Unlock()
					if first {
						<-gate
						return c.first(q)
					}
					if right {
						return has(saidBody)(q)
					}
					a, err := has("c0ntent")(q)
					delete(a.Header, "Docker-Content-Digest")
					return a, err
				}
				of := r.request("a", saidDigest)
				of.Kind = c.kind
				go func() {
					got := cache.Get(t.Context(), of)
					got.Answer.Close()
				}()
				synctest.Wait()
				waits := *of
				if c.change != nil {
					c.change(&waits)
				}
				done := make(chan Result)
				go func() { done <- cache.Get(t.Context(), &waits) }()
				synctest.Wait()
				close(gate)
				got := <-done
				switch {
				case !c.alone && (got.Entry != nil || got.Answer != nil || got.Err != nil):
					t.Errorf("%s: %+v", what, got)
				case c.alone && right && (got.Entry == nil || string(got.Entry.Body) != saidBody):
					t.Errorf("%s: %+v", what, got)
				case c.alone && !right && !errors.Is(got.Err, ErrMismatch):
					t.Errorf("%s, wrong: %+v", what, got)
				}
				if got.Outcome != Pass {
					t.Errorf("%s: %s", what, got.Outcome)
				}
			})
		}
	}
}

// TestPartsGoTheirWay: who wants a part of what the registry has no more is forwarded as they
// came, and one who wants all of it asks alone.
func TestPartsGoTheirWay(t *testing.T) {
	for _, partial := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			cache, r := said(t)
			of := r.request("a", saidDigest)
			cache.Get(t.Context(), of)
			time.Sleep(2 * time.Minute)
			r.answer, r.asked = says(404), nil
			of.Partial = partial
			got := cache.Get(t.Context(), of)
			if asked := len(r.asked); partial != (got.Answer == nil) || partial != (asked == 1) || got.Err != nil {
				t.Errorf("partial %v: %+v, asked %d", partial, got, asked)
			}
			got.Answer.Close()
		})
	}
}

// TestBrokenAlone: who asks alone has an error of their own for an answer that breaks.
func TestBrokenAlone(t *testing.T) {
	cache, r := said(t)
	r.answer = func(q Question) (*Answer, error) {
		a, err := has(saidBody)(q)
		a.Body = breaking([]byte(saidBody), 3)
		return a, err
	}
	if got := cache.Alone(t.Context(), r.request("a", saidDigest)); !errors.Is(got.Err, ErrBroken) || errors.Is(got.Err, ErrMismatch) || got.Entry != nil {
		t.Errorf("%+v", got)
	}
}
