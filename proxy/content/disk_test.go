package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/metrics"
)

// diskHouse is a cache with a folder, before a registry of blobs.
type diskHouse struct {
	*Cache
	t    *testing.T
	dir  string
	end  func() // ends it in order
	mu   sync.Mutex
	has  map[string][]byte // by digest; in every repository
	saw  []string
	body func(q Question, content []byte) (*Answer, error) // nil: as it is
	ctx  context.Context                                   // of the latest question
}

func newDiskHouse(t *testing.T, dir string, change func(*Config)) *diskHouse {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := &diskHouse{t: t, dir: dir, has: map[string][]byte{}, Cache: newTestCache(func(c *Config) {
		c.Small, c.Free = 0, 0
		if change != nil {
			change(c)
		}
	})}
	h.Use(f)
	h.Take(h.cfg, "up")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() { h.Tend(ctx); close(done) }()
	synctest.Wait()
	h.end = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(h.end)
	return h
}

// inDiskHouse runs a test in a bubble.
func inDiskHouse(t *testing.T, change func(*Config), test func(t *testing.T, h *diskHouse)) {
	synctest.Test(t, func(t *testing.T) { test(t, newDiskHouse(t, t.TempDir(), change)) })
}

// put gives the registry a blob of so many bytes, and returns its digest.
func (h *diskHouse) put(size int, seed byte) (digest string) {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	digest = digestOf("sha256", content)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.has[digest] = content
	return digest
}

// change does something to what the registry has.
func (h *diskHouse) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *diskHouse) answer(ctx context.Context, q Question) (*Answer, error) {
	h.mu.Lock()
	method := "GET"
	if q.Head {
		method = "HEAD"
	}
	if q.From > 0 {
		method = fmt.Sprint("from ", q.From)
	}
	h.saw = append(h.saw, method)
	content, ok := h.has[q.Reference]
	body := h.body
	h.ctx = ctx
	h.mu.Unlock()
	switch {
	case !ok:
		return &Answer{Status: 404, Header: Header{}}, nil
	case body != nil:
		return body(q, content)
	}
	return whole(q, content), nil
}

// whole is a good answer.
func whole(q Question, content []byte) *Answer {
	a := &Answer{Status: 200, Header: Header{"Content-Type": {"application/octet-stream"}, "Docker-Content-Digest": {q.Reference}}}
	if q.From > 0 {
		a.Status = 206
		a.Header["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", q.From, len(content)-1, len(content))}
	}
	a.Header["Content-Length"] = []string{fmt.Sprint(int64(len(content)) - q.From)}
	a.Body = io.NopCloser(bytes.NewReader(content[q.From:]))
	return a
}

// took gives what was asked since the last call.
func (h *diskHouse) took() string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	saw := strings.Join(h.saw, ", ")
	h.saw = nil
	return saw
}

func (h *diskHouse) request(repository, digest string) *Request {
	return &Request{Subject: Subject{"up", repository, Blob}, Reference: digest, Asker: Ask(h.answer)}
}

// errForwarded is that of a request that the registry gets as it came: also where what it would have
// followed broke before it could.
var errForwarded = fmt.Errorf("to be forwarded: %w", ErrBroken)

// pull reads all that a request gets: of a download, as it comes.
func (h *diskHouse) pull(ctx context.Context, repository, digest string) (Outcome, []byte, error) {
	r := h.Get(ctx, h.request(repository, digest))
	switch {
	case r.Err != nil:
		return r.Outcome, nil, r.Err
	case r.Answer != nil:
		defer r.Answer.Close()
		if r.Answer.Body == nil {
			return r.Outcome, nil, fmt.Errorf("status %d", r.Answer.Status)
		}
		got, err := io.ReadAll(r.Answer.Body)
		return r.Outcome, got, err
	case r.Entry == nil:
		return r.Outcome, nil, errForwarded
	case r.Entry.File == nil:
		return r.Outcome, r.Entry.Body, nil
	}
	defer r.Entry.File.Close()
	got, err := follow(ctx, r.Entry.File, nil)
	return r.Outcome, got, err
}

// follow reads a file to its end, as it grows; pause: between parts.
func follow(ctx context.Context, f *File, pause func()) ([]byte, error) {
	var got bytes.Buffer
	for int64(got.Len()) < f.Size() {
		ready, err := f.Ready(ctx, int64(got.Len()))
		if err != nil {
			return got.Bytes(), err
		}
		if _, err := io.CopyN(&got, f, ready-int64(got.Len())); err != nil {
			return got.Bytes(), err
		}
		if pause != nil {
			pause()
		}
	}
	return got.Bytes(), nil
}

// wants holds a pull against an outcome, and against the registry's bytes.
func (h *diskHouse) wants(what, repository, digest string, outcome Outcome, saw string) {
	h.t.Helper()
	got, content, err := h.pull(h.t.Context(), repository, digest)
	if took := h.took(); got != outcome || err != nil || !bytes.Equal(content, h.has[digest]) || took != saw {
		h.t.Errorf("%s: %s, %d bytes, %v, having asked %q; want %s and %q", what, got, len(content), err, took, outcome, saw)
	}
}

// path is where content lies.
func (h *diskHouse) path(digest string) string {
	return filepath.Join(h.dir, "v1", digest[7:9], "sha256-"+digest[7:])
}

// files are the names of all that lies in v1 but for the marks.
func (h *diskHouse) files() (list []string) {
	filepath.WalkDir(filepath.Join(h.dir, "v1"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "clean" {
			list = append(list, path)
		}
		return err
	})
	return list
}

// TestDisk: a large blob is asked for once, is a hit then, needs a whole answer's beginning in
// another repository, and lies where the layout says, for us alone.
func TestDisk(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(3*Window+5, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		h.wants("a hit", "a", digest, Hit, "")
		h.wants("elsewhere", "b", digest, Hit, "GET")
		time.Sleep(2 * time.Minute)
		h.wants("later", "a", digest, Hit, "HEAD")
		info, err := os.Stat(h.path(digest))
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 3*Window+5 {
			t.Errorf("the file: %v %v", info, err)
		}
		for _, dir := range []string{h.dir + "/v1", h.dir + "/v1/tmp", filepath.Dir(h.path(digest))} {
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v %v", dir, info, err)
			}
		}
		if list := h.files(); len(list) != 1 {
			t.Errorf("files: %q", list)
		}
		delete(h.has, digest)
		time.Sleep(2 * time.Minute)
		if outcome, _, err := h.pull(t.Context(), "a", digest); err == nil {
			t.Errorf("deleted: %s", outcome)
		}
	})
}

// TestHerd: a hundred readers of one blob at their own pace, a third of which leave, the
// first of all too: one question, and all others have the whole.
func TestHerd(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(2*Window+77, 1)
		h.body = func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Body = &trickle{Reader: a.Body, each: 20 * time.Millisecond}
			return a, nil
		}
		var all sync.WaitGroup
		for i := range 100 {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			all.Go(func() {
				r := h.Get(ctx, h.request("a", digest))
				if r.Entry == nil || r.Entry.File == nil {
					t.Errorf("%d: %+v", i, r)
					return
				}
				defer r.Entry.File.Close()
				if i%3 == 0 {
					leave()
				}
				got, err := follow(ctx, r.Entry.File, func() { time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) })
				if i%3 != 0 && (err != nil || !bytes.Equal(got, h.has[digest])) {
					t.Errorf("%d: %d bytes, %v", i, len(got), err)
				}
			})
			if i == 0 {
				synctest.Wait()
			}
		}
		all.Wait()
		if saw := h.took(); saw != "GET" {
			t.Errorf("asked %q", saw)
		}
	})
}

// trickle reads slowly.
type trickle struct {
	io.Reader
	each time.Duration
}

func (r *trickle) Read(p []byte) (int, error) {
	time.Sleep(r.each)
	return r.Reader.Read(p)
}

func (*trickle) Close() error { return nil }

// TestWrongOnDisk: whatever is wrong with an answer, nobody gets all of it, nothing is kept,
// and what is right is right at once, though not kept for a minute.
func TestWrongOnDisk(t *testing.T) {
	const size = 2*Window + 100
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b = bytes.Clone(b); b[at] ^= 1; return b }
	}
	for what, c := range map[string]struct {
		change func([]byte) []byte
		header func(Header)
		err    error
		again  string // what the first question after it mended saw
	}{
		"the first byte": {change: flip(0), err: ErrMismatch},
		"the last byte":  {change: flip(size - 1), err: ErrMismatch},
		"short":          {change: func(b []byte) []byte { return b[:size-1] }, err: ErrBroken},
		"a page": {change: func([]byte) []byte { return bytes.Repeat([]byte("<html>"), size/6+1)[:size] },
			header: func(h Header) { h["Content-Type"] = []string{"text/html"} }, err: ErrMismatch},
	} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(size, 1)
				lie := func(q Question, content []byte) (*Answer, error) {
					if q.From > 0 {
						return &Answer{Status: 416, Header: Header{}}, nil
					}
					a := whole(q, content)
					a.Body = io.NopCloser(bytes.NewReader(c.change(content)))
					if c.header != nil {
						c.header(a.Header)
					}
					return a, nil
				}
				h.body = lie
				for range 2 {
					if outcome, got, err := h.pull(t.Context(), "a", digest); !errors.Is(err, c.err) || len(got) > 2*Window {
						t.Errorf("%s, %d bytes, %v", outcome, len(got), err)
					}
					synctest.Wait()
					if list := h.files(); len(list) > 0 {
						t.Errorf("kept: %q", list)
					}
				}
				h.body = nil
				h.took()
				if c.err == ErrMismatch {
					h.wants("mended", "a", digest, Pass, "GET")
					h.wants("mended still", "a", digest, Pass, "GET")
					time.Sleep(suspicion)
				}
				h.wants("a minute later", "a", digest, Miss, "GET")
				h.wants("a hit", "a", digest, Hit, "")
			})
		})
	}
}

// breaking reads so much, and breaks.
func breaking(content []byte, at int) io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewReader(content[:at]), brokenReader{}))
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestResume: an answer that breaks goes on once, at the same byte, or is cut.
func TestResume(t *testing.T) {
	const size, at = 3*Window + 9, Window + 12345
	for what, c := range map[string]struct {
		rest func(q Question, content []byte) (*Answer, error)
		err  error
	}{
		"the rest":  {func(q Question, content []byte) (*Answer, error) { return whole(q, content), nil }, nil},
		"all of it": {func(q Question, content []byte) (*Answer, error) { q.From = 0; return whole(q, content), nil }, ErrBroken},
		"another range": {func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Header["Content-Range"] = []string{fmt.Sprintf("bytes 0-%d/%d", size-1, size)}
			return a, nil
		}, ErrBroken},
		"encoded": {func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Header["Content-Encoding"] = []string{"gzip"}
			return a, nil
		}, ErrBroken},
		"no part": {func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Status = 200
			return a, nil
		}, ErrBroken},
		"of another name": {func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Header["Docker-Content-Digest"] = []string{digestOf("sha256", nil)}
			return a, nil
		}, ErrBroken},
		"another rest": {func(q Question, content []byte) (*Answer, error) {
			content = bytes.Clone(content)
			content[size-1] ^= 1
			return whole(q, content), nil
		}, ErrMismatch},
		"broken again": {func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Body = breaking(content[q.From:], Window)
			return a, nil
		}, ErrBroken},
		"gone":   {func(Question, []byte) (*Answer, error) { return &Answer{Status: 404, Header: Header{}}, nil }, ErrBroken},
		"silent": {func(Question, []byte) (*Answer, error) { return nil, errors.New("no route") }, ErrBroken},
	} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(size, 1)
				h.body = func(q Question, content []byte) (*Answer, error) {
					if q.From > 0 {
						return c.rest(q, content)
					}
					a := whole(q, content)
					a.Body = breaking(content, at)
					return a, nil
				}
				_, got, err := h.pull(t.Context(), "a", digest)
				if !errors.Is(err, c.err) || (err == nil) != bytes.Equal(got, h.has[digest]) || !bytes.HasPrefix(h.has[digest], got) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				once := fmt.Sprint("GET, from ", at) // twice where it failed before anybody read
				if saw := h.took(); saw != once && saw != once+", "+once {
					t.Errorf("asked %q", saw)
				}
				if kept := len(h.files()) == 1; kept != (c.err == nil) {
					t.Errorf("kept %v", kept)
				}
			})
		})
	}
}

// TestReadersGone: a download that nobody reads ends after a while where much is missing,
// and goes on where little is, or somebody came.
func TestReadersGone(t *testing.T) {
	for what, c := range map[string]struct {
		size int
		back bool
		kept bool
	}{"much is missing": {nearEnd + 2*Window, false, false}, "little is": {nearEnd - Window, false, true}, "somebody comes": {nearEnd + 2*Window, true, true}} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(c.size, 1)
				h.body = func(q Question, content []byte) (*Answer, error) {
					a := whole(q, content)
					a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(time.Minute), ctx: h.ctx}
					return a, nil
				}
				ctx, leave := context.WithCancel(t.Context())
				r := h.Get(ctx, h.request("a", digest))
				leave()
				r.Entry.File.Close()
				if c.back {
					time.Sleep(patience - time.Second)
					go h.pull(t.Context(), "a", digest)
				}
				time.Sleep(2 * patience)
				if ended := h.Status().Questions == 0; ended == c.kept {
					t.Errorf("ended %v", ended)
				}
				time.Sleep(time.Hour)
				if kept := len(h.files()) == 1; kept != c.kept {
					t.Errorf("kept %v", kept)
				}
			})
		})
	}
}

// stalling reads at first, and then nothing until its time, or its end.
type stalling struct {
	io.Reader
	first int
	until <-chan time.Time
	ctx   context.Context
}

func (s *stalling) Read(p []byte) (int, error) {
	if s.first <= 0 && s.until != nil {
		select {
		case <-s.until:
			s.until = nil
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	n, err := s.Reader.Read(p)
	s.first -= n
	return n, err
}

func (s *stalling) Close() error { return nil }

// TestSlowDownload: who comes when the registry's yes is old has it asked for by HEAD, and
// follows the same download; who comes after a DELETE does not.
func TestSlowDownload(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(3*Window, 1)
		content := h.has[digest]
		h.body = func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			if !q.Head {
				a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(10 * time.Minute), ctx: context.Background()}
			}
			return a, nil
		}
		var all sync.WaitGroup
		for _, saw := range []string{"GET", "", "HEAD"} {
			all.Go(func() {
				if _, got, err := h.pull(t.Context(), "a", digest); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
			if got := h.took(); got != saw {
				t.Errorf("asked %q, want %q", got, saw)
			}
			time.Sleep(40 * time.Second)
		}
		h.Watch(Forwarded{Subject: Subject{"up", "a", Blob}, Act: Delete, Reference: digest}).Answered(202, nil)
		h.change(func() { delete(h.has, digest) })
		if outcome, _, err := h.pull(t.Context(), "a", digest); err == nil {
			t.Errorf("after DELETE: %s", outcome)
		}
		h.change(func() { h.has[digest] = content })
		all.Wait()
		h.took()
		h.body = nil
		h.wants("afterwards", "a", digest, Hit, "GET")
	})
}

// TestBudget: what is kept stays within disk; what is above a quarter of it streams through;
// what was used twice stays when somebody reads everything once.
func TestBudget(t *testing.T) {
	inDiskHouse(t, func(c *Config) { c.Disk = 1 << 20 }, func(t *testing.T, h *diskHouse) {
		const size = 64 << 10
		loved := h.put(size, 1)
		h.wants("the first", "a", loved, Miss, "GET")
		h.wants("the second", "a", loved, Hit, "")
		for i := range 40 {
			h.wants("another", "a", h.put(size, byte(i+2)), Miss, "GET")
			if bytes := h.disk.bytes() + h.disk.reserved; bytes > 1<<20 || len(h.files()) > 16 {
				t.Errorf("%d bytes, %d files", bytes, len(h.files()))
			}
		}
		h.wants("what was used twice", "a", loved, Hit, "")
		h.wants("too large", "a", h.put(256<<10+1, 100), Miss, "GET")
		h.wants("the largest", "a", h.put(256<<10, 101), Miss, "GET")
		h.wants("the largest again", "a", h.put(256<<10, 101), Hit, "")
		small := h.cfg
		small.Disk = 512 << 10
		h.Take(small, "up")
		if len(h.files()) > 8 || h.disk.bytes() > 512<<10 {
			t.Errorf("after a reload %d files, %d bytes", len(h.files()), h.disk.bytes())
		}
	})
}

// TestBudgetUnderLoad: with many downloads at once, of which some break, what lies in the folder, whole
// or not, is at no moment more than disk allows and one more.
func TestBudgetUnderLoad(t *testing.T) {
	const disk, largest = 1 << 20, 200 << 10
	inDiskHouse(t, func(c *Config) { c.Disk = disk }, func(t *testing.T, h *diskHouse) {
		var most atomic.Int64
		look := func() {
			var n int64
			for _, path := range h.files() {
				if info, err := os.Stat(path); err == nil {
					n += info.Size()
				}
			}
			for before := most.Load(); n > before && !most.CompareAndSwap(before, n); before = most.Load() {
			}
		}
		h.body = func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			end := len(content)
			if content[0]%5 == 0 {
				end /= 2
			}
			a.Body = &looking{Reader: &trickle{Reader: bytes.NewReader(content[min(end, int(q.From)):end]), each: time.Millisecond}, look: look}
			return a, nil
		}
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range 25 {
					digest := h.put(largest/10*(1+(worker+i)%10), byte(worker*25+i))
					h.pull(t.Context(), "a", digest)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		look()
		if n := most.Load(); n > disk+largest || n < disk/2 {
			t.Errorf("at most %d bytes", n)
		}
		if n := h.disk.bytes(); h.disk.reserved != 0 || n > disk || h.Status().Questions != 0 {
			t.Errorf("%d bytes, %d reserved, %+v", n, h.disk.reserved, h.Status())
		}
	})
}

// looking looks at the folder at each read.
type looking struct {
	io.Reader
	look func()
}

func (l *looking) Read(p []byte) (int, error) {
	l.look()
	return l.Reader.Read(p)
}

func (*looking) Close() error { return nil }

// TestFree: where too little of the file system is free nothing is kept, and what there is
// goes.
func TestFree(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(100_000, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		free, all, err := h.disk.folder.space()
		if err != nil {
			t.Fatal(err)
		}
		h.cfg.Free = Percent(100*free/all) + 5
		h.Take(h.cfg, "up")
		time.Sleep(freePeriod + time.Second)
		synctest.Wait()
		if list := h.files(); len(list) > 0 {
			t.Errorf("kept: %q", list)
		}
		h.wants("streams", "a", digest, Miss, "GET")
		h.wants("streams again", "a", digest, Miss, "GET")
	})
}

// TestStart: after an end in order what is there is believed, once the registry said so;
// otherwise it is a miss until it was hashed. What never became whole goes.
func TestStart(t *testing.T) {
	for what, inOrder := range map[string]bool{"in order": true, "not in order": false} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				h := newDiskHouse(t, dir, nil)
				good, bad := h.put(Window+1, 1), h.put(Window+2, 2)
				h.wants("good", "a", good, Miss, "GET")
				h.wants("bad", "a", bad, Miss, "GET")
				h.end()
				if !inOrder {
					os.Remove(filepath.Join(dir, "v1", "clean"))
				}
				write := func(path, text string) {
					os.MkdirAll(filepath.Dir(path), 0o700)
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				write(h.path(bad), strings.Repeat("x", Window+2))
				write(filepath.Join(dir, "v1", "tmp", "half"), "half")
				write(filepath.Join(dir, "v1", "zz", "theirs"), "not ours")
				link := h.path(digestOf("sha256", []byte("link")))
				os.MkdirAll(filepath.Dir(link), 0o700)
				if err := os.Symlink("/etc/passwd", link); err != nil {
					t.Fatal(err)
				}
				next := newDiskHouse(t, dir, nil)
				next.has = h.has
				if list := next.files(); len(list) != 3 {
					t.Errorf("files: %q", list)
				}
				if _, err := os.Lstat(filepath.Join(dir, "v1", "clean")); err == nil {
					t.Error("the mark is there still")
				}
				if inOrder {
					next.wants("believed, as the registry shows it", "a", good, Hit, "GET")
					time.Sleep(time.Second) // bad is hashed on its first use
					return
				}
				next.body = func(q Question, content []byte) (*Answer, error) {
					time.Sleep(time.Second) // it would be hashed by then
					return whole(q, content), nil
				}
				next.wants("suspect", "a", good, Miss, "GET")
				next.wants("suspect, and wrong", "b", bad, Miss, "GET")
				next.wants("known now", "a", good, Hit, "")
				next.wants("known now, too", "b", bad, Hit, "")
			})
		})
	}
}

// TestAdopted: a suspect file that was hashed is believed, and one that is wrong is gone.
func TestAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newDiskHouse(t, dir, nil)
		good, bad := h.put(Window+1, 1), h.put(Window+2, 2)
		h.wants("good", "a", good, Miss, "GET")
		h.wants("bad", "a", bad, Miss, "GET")
		h.end()
		os.Remove(filepath.Join(dir, "v1", "clean"))
		os.WriteFile(h.path(bad), bytes.Repeat([]byte("x"), Window+2), 0o600)
		next := newDiskHouse(t, dir, nil)
		next.has = h.has
		next.body = func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Body = io.NopCloser(strings.NewReader("half"))
			return a, nil
		}
		for _, digest := range []string{good, bad} { // the first request, of which the answer breaks
			if _, _, err := next.pull(t.Context(), "a", digest); err == nil {
				t.Error("served")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if i := next.disk.peek(good); i == nil || i.suspect {
			t.Errorf("good: %+v", i)
		}
		if _, err := os.Lstat(next.path(bad)); next.disk.peek(bad) != nil || err == nil {
			t.Error("bad is there still")
		}
	})
}

// TestDamage: whatever becomes of a file, nobody gets a whole wrong answer that is not found
// out, and the next is right.
func TestDamage(t *testing.T) {
	const size = Window + 1000
	for what, damage := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, size/2) },
		"grown":     func(path string) error { return os.Truncate(path, size+1) },
		"unlinked":  os.Remove,
		"touched":   func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
		"rewritten": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600), later(path))
		},
		"unreadable": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		},
		"the folder is gone": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(size, 1)
				h.wants("the first", "a", digest, Miss, "GET")
				open := h.Get(t.Context(), h.request("a", digest))
				if err := damage(h.path(digest)); err != nil {
					t.Fatal(err)
				}
				h.wants("damaged", "a", digest, Miss, "GET")
				if got, err := follow(t.Context(), open.Entry.File, nil); err == nil && what != "grown" && !bytes.Equal(got, h.has[digest]) {
					t.Errorf("who had it open read %d other bytes", len(got))
				}
				open.Entry.File.Close()
				if what != "unreadable" {
					h.wants("mended", "a", digest, Hit, "")
				}
			})
		})
	}
}

// rot changes the first byte of a file as a disk does: from outside it looks as before.
func rot(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path)
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// overwrite changes the first byte of a file, at another time.
func overwrite(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	first := make([]byte, 1)
	_, err = file.ReadAt(first, 0)
	first[0] ^= 1
	if _, werr := file.WriteAt(first, 0); err != nil || werr != nil {
		t.Fatal(err, werr)
	}
	if err := later(path); err != nil {
		t.Fatal(err)
	}
}

// later is what a file's time would be, were the file system's clock not as coarse as it is on some.
func later(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	t := info.ModTime().Add(timeStep)
	return os.Chtimes(path, t, t)
}

// TestRot: a file whose bytes changed under their size is found on its first use after a
// start, and then weekly.
func TestRot(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		rot(t, h.path(digest))
		time.Sleep(rotPeriod - time.Hour)
		h.pull(t.Context(), "a", digest)
		time.Sleep(time.Minute)
		if h.disk.peek(digest) == nil {
			t.Error("found before its time")
		}
		time.Sleep(time.Hour)
		h.pull(t.Context(), "a", digest)
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := os.Stat(h.path(digest)); h.disk.peek(digest) != nil || err == nil {
			t.Error("it is there still")
		}
		h.took()
		h.wants("afterwards", "a", digest, Miss, "GET")
	})
}

// TestFolderIsTaken: a second owner is refused, by the folder's name.
func TestFolderIsTaken(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(dir); err == nil || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
	if err := f.Close(nil); err != nil {
		t.Fatal(err)
	}
	f, err = OpenFolder(dir)
	if err != nil || f.clean == nil {
		t.Fatal(err)
	}
	f.Close(nil)
	if err := os.Chmod(filepath.Join(dir, "v1"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(dir); err == nil || !strings.Contains(err.Error(), "written by others") {
		t.Error(err)
	}
	if _, err := OpenFolder(filepath.Join(dir, "not", "there")); err == nil {
		t.Error("its parent is not there")
	}
}

// FuzzDigestAt: only the place of a digest is one.
func FuzzDigestAt(f *testing.F) {
	f.Add("ab", "sha256-ab"+strings.Repeat("0", 62))
	f.Add("ab", "sha512-ab"+strings.Repeat("0", 126))
	f.Add("..", "sha256-../../etc/passwd")
	f.Fuzz(func(t *testing.T, dir, name string) {
		digest := digestAt(dir, name)
		if digest == "" {
			return
		}
		folder := &Folder{path: "/cache"}
		if _, path := folder.place(digest); !Known(digest) || path != "/cache/v1/"+dir+"/"+name {
			t.Errorf("%q is %q, which lies at %q", dir+"/"+name, digest, path)
		}
	})
}

// TestPurges: what is forgotten while it is being downloaded goes on to those who read it, and
// is shown to nobody else without a new question.
func TestPurges(t *testing.T) {
	for what, c := range map[string]struct {
		purge Purge
		files int
		saw   string
	}{
		"all":                     {Purge{All: true}, 1, "GET"},
		"the digest":              {Purge{}, 1, "GET"}, // filled in below
		"the repository":          {Purge{Repository: "a"}, 1, "GET"},
		"another repository":      {Purge{Repository: "elsewhere"}, 1, ""},
		"both":                    {Purge{Repository: "a"}, 1, "GET"},
		"both, of another digest": {Purge{Repository: "a", Digest: digestOf("sha256", nil)}, 1, ""},
	} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(2*Window, 1)
				if what == "the digest" || what == "both" {
					c.purge.Digest = digest
				}
				h.body = func(q Question, content []byte) (*Answer, error) {
					a := whole(q, content)
					a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(time.Second), ctx: h.ctx}
					return a, nil
				}
				r := h.Get(t.Context(), h.request("a", digest))
				synctest.Wait()
				h.Purge(c.purge)
				if got, err := follow(t.Context(), r.Entry.File, nil); err != nil || !bytes.Equal(got, h.has[digest]) {
					t.Errorf("who reads it: %d bytes, %v", len(got), err)
				}
				r.Entry.File.Close()
				h.took()
				h.body = nil
				h.wants("afterwards", "a", digest, Hit, c.saw) // the bytes are here, the standing is not
				if list := h.files(); len(list) != c.files {
					t.Errorf("files: %q", list)
				}
				before := h.Status()
				if removed := h.Purge(Purge{Digest: digest}); removed != 1 || before.Disk.Entries != 1 || h.Status().Disk.Bytes != 0 || len(h.files()) != 0 {
					t.Errorf("removed %d; %+v, %+v", removed, before.Disk, h.Status().Disk)
				}
				h.wants("purged", "a", digest, Miss, "GET")
			})
		})
	}
}

// TestHerdIsCut: where the registry cuts what many read, all of them have the whole by one question for
// the rest, or all are cut: nobody has a complete answer that is not right.
func TestHerdIsCut(t *testing.T) {
	const size, at = 3*Window + 9, Window + 12345
	for what, comes := range map[string]bool{"the rest comes": true, "it does not": false} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest, gate := h.put(size, 1), make(chan struct{})
				h.body = func(q Question, content []byte) (*Answer, error) {
					a := whole(q, content)
					switch {
					case q.From == 0:
						a.Body = &gated{Reader: breaking(content, at), gate: gate}
					case !comes:
						return &Answer{Status: 503, Header: Header{}}, nil
					}
					return a, nil
				}
				var all sync.WaitGroup
				for i := range 100 {
					ctx, leave := context.WithCancel(t.Context())
					all.Go(func() {
						defer leave()
						_, got, err := h.pull(ctx, "a", digest)
						switch {
						case i%3 == 0: // they left
						case comes && (err != nil || !bytes.Equal(got, h.has[digest])), !comes && (err == nil || len(got) > at):
							t.Errorf("%d: %d bytes, %v", i, len(got), err)
						}
					})
					if i == 0 {
						synctest.Wait()
					}
					if i%3 == 0 {
						leave()
					}
				}
				synctest.Wait()
				close(gate)
				all.Wait()
				if saw := h.took(); saw != fmt.Sprint("GET, from ", at) {
					t.Errorf("asked %q", saw)
				}
				if kept := len(h.files()) == 1; kept != comes {
					t.Errorf("kept %v", kept)
				}
			})
		})
	}
}

// TestDamageIsTold: what is found of damage on the disk is in the metrics, and in the log once.
func TestDamageIsTold(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"truncated":          func(path string) error { return os.Truncate(path, 10) },
		"unlinked":           os.Remove,
		"a link":             func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"its folder is gone": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		"all are":            func(path string) error { return os.RemoveAll(filepath.Dir(filepath.Dir(path))) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				h := newDiskHouse(t, t.TempDir(), nil)
				m := metrics.New(metrics.BuildInfo{})
				h.change(func() { h.metrics, h.disk.metrics, h.logger = m, m, slog.New(slog.NewTextHandler(&log, nil)) })
				digest := h.put(Window, 1)
				h.wants("the first", "a", digest, Miss, "GET")
				if err := damage(h.path(digest)); err != nil {
					t.Fatal(err)
				}
				h.wants("damaged", "a", digest, Miss, "GET")
				w := httptest.NewRecorder()
				if m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil)); !strings.Contains(w.Body.String(), `gatehouse_content_evictions_total{reason="rot",store="disk"} 1`+"\n") {
					t.Error("no metric tells")
				}
				if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d lines:\n%s", n, log.String())
				}
			})
		})
	}
}
