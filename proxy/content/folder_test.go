package content

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// restarted is the next process on a folder, before the same registry.
func (h *diskHouse) restarted(inOrder bool) *diskHouse {
	h.t.Helper()
	h.end()
	if !inOrder {
		os.Remove(filepath.Join(h.dir, "v1", "clean"))
	}
	next := newDiskHouse(h.t, h.dir, nil)
	next.has = h.has
	return next
}

// TestSuspectsStaySo: what a crash left is not believed by the process after the next either,
// where nobody asked for it meanwhile: a good end speaks only of what was looked at.
func TestSuspectsStaySo(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		seen, unseen := h.put(Window+1, 1), h.put(Window+2, 2)
		h.wants("the one", "a", seen, Miss, "GET")
		h.wants("the other", "a", unseen, Miss, "GET")
		crashed := h.restarted(false)
		crashed.wants("suspect", "a", seen, Miss, "GET")
		overwrite(t, h.path(unseen))
		next := crashed.restarted(true)
		next.wants("seen since", "a", seen, Hit, "GET")
		next.wants("not seen since", "a", unseen, Miss, "GET")
		last := next.restarted(true)
		last.wants("believed", "a", unseen, Hit, "GET")
	})
}

// TestChangedMeanwhile: what somebody changed while no process had the folder is not believed,
// whatever size it has, nor is what they put there, nor a mark that is none.
func TestChangedMeanwhile(t *testing.T) {
	for what, c := range map[string]struct {
		change  func(t *testing.T, h *diskHouse, digest string)
		outcome Outcome
	}{
		"nothing":   {func(*testing.T, *diskHouse, string) {}, Hit},
		"its bytes": {func(t *testing.T, h *diskHouse, digest string) { overwrite(t, h.path(digest)) }, Miss},
		"its time": {func(t *testing.T, h *diskHouse, digest string) {
			os.Chtimes(h.path(digest), time.Time{}, time.Unix(1, 0))
		}, Miss},
		"its size":      {func(t *testing.T, h *diskHouse, digest string) { os.Truncate(h.path(digest), 1) }, Miss},
		"an empty mark": {func(t *testing.T, h *diskHouse, _ string) { os.Truncate(h.mark(), 0) }, Miss},
		"half a mark":   {func(t *testing.T, h *diskHouse, _ string) { os.Truncate(h.mark(), 90) }, Miss},
		"a link for a mark": {func(t *testing.T, h *diskHouse, _ string) {
			if err := errors.Join(os.Rename(h.mark(), h.dir+"/moved"), os.Symlink(h.dir+"/moved", h.mark())); err != nil {
				t.Fatal(err)
			}
		}, Miss},
	} {
		t.Run(what, func(t *testing.T) {
			inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
				digest := h.put(Window, 1)
				h.wants("the first", "a", digest, Miss, "GET")
				h.end()
				c.change(t, h, digest)
				next := newDiskHouse(t, h.dir, nil)
				next.has = h.has
				next.wants("then", "a", digest, c.outcome, "GET")
				if _, err := os.Lstat(h.mark()); err == nil {
					t.Error("the mark is there still")
				}
			})
		})
	}
}

func (h *diskHouse) mark() string { return filepath.Join(h.dir, "v1", "clean") }

// TestTouch: a use sets the file's time, at most hourly, and it is as it was left then, also
// over an end.
func TestTouch(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		h.end()
		os.Remove(h.mark())
		begun := time.Now()
		if err := os.Chtimes(h.path(digest), begun, begun); err != nil {
			t.Fatal(err)
		}
		next := newDiskHouse(t, h.dir, nil)
		next.has = h.has
		next.Get(t.Context(), next.request("b", digestOf("sha256", nil))) // asks for nothing that is here
		next.pull(t.Context(), "c", digest)                               // has it hashed, and downloads it again
		next.took()
		set := func() time.Time {
			info, err := os.Stat(h.path(digest))
			if err != nil {
				t.Fatal(err)
			}
			return info.ModTime()
		}
		i := next.disk.peek(digest)
		i.time = begun.UnixNano() // as a file of this time: the test's clock is behind the system's
		if err := os.Chtimes(h.path(digest), begun, begun); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			want  time.Time
		}{{usedPeriod - time.Minute, begun}, {2 * time.Minute, begun.Add(usedPeriod + time.Minute)}, {time.Minute, begun.Add(usedPeriod + time.Minute)}} {
			time.Sleep(c.after)
			if outcome, _, err := next.pull(t.Context(), "c", digest); outcome != Hit || err != nil {
				t.Errorf("after %s: %s %v", c.after, outcome, err)
			}
			if got := set(); got.Sub(c.want).Abs() > 2*timeStep {
				t.Errorf("after %s: %s, want %s", c.after, got, c.want)
			}
		}
		last := next.restarted(true)
		last.wants("over an end", "a", digest, Hit, "GET")
	})
}

// TestRotWhileRead: who is still being sent a file when a check finds that it has rotted does not
// get all of it, and who asks again gets what is right.
func TestRotWhileRead(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(4*Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		rot(t, h.path(digest))
		time.Sleep(rotPeriod)
		file := h.Get(t.Context(), h.request("a", digest)).Entry.File
		defer file.Close()
		if _, err := file.Ready(t.Context(), 0); err != nil {
			t.Errorf("the beginning: %v", err)
		}
		if n, err := io.CopyN(io.Discard, file, 10); n != 10 || err != nil {
			t.Errorf("a part: %d bytes, %v", n, err)
		}
		time.Sleep(time.Second) // 16 MiB are hashed by then
		synctest.Wait()
		if _, err := file.Ready(t.Context(), Window); !errors.Is(err, errRotten) {
			t.Errorf("the rest: %v", err)
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(file, 10)); n != 0 || !errors.Is(err, errRotten) {
			t.Errorf("another part: %d bytes, %v", n, err)
		}
		h.took()
		h.wants("again", "a", digest, Miss, "GET")
	})
}

// TestRotAtTheEnd: what a check found to be wrong just as the process ended is not believed by the next
// one, and what was right is.
func TestRotAtTheEnd(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		wrong, right := h.put(Window, 1), h.put(Window, 2)
		for _, digest := range []string{wrong, right} {
			h.wants("the first", "a", digest, Miss, "GET")
		}
		synctest.Wait()
		rot(t, h.path(wrong))
		h.disk.peek(wrong).rotten.Store(true)
		next := h.restarted(true)
		if !next.disk.peek(wrong).suspect || next.disk.peek(right).suspect {
			t.Errorf("suspect: %v, %v; want the first", next.disk.peek(wrong).suspect, next.disk.peek(right).suspect)
		}
		next.wants("wrong", "a", wrong, Miss, "GET")
		next.wants("right", "a", right, Hit, "GET")
	})
}

// TestBothTimes: who looks at a file while its time is being set sees it as it was left.
func TestBothTimes(t *testing.T) {
	const one, two, three = 1e9, 2e9, 3e9
	i := item{stamp: stamp{5, two}, before: one}
	for s, want := range map[stamp]bool{{5, one}: true, {5, two}: true, {4, two}: false, {5, three}: false, {}: false} {
		if i.is(s) != want {
			t.Errorf("%v: %v", s, !want)
		}
	}
}

// TestTooManyOpen: that no file can be opened says nothing of what is in one.
func TestTooManyOpen(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		for _, err := range []error{syscall.EMFILE, &os.PathError{Err: syscall.ENFILE}} {
			h.drop(digest, nil, err)
		}
		h.wants("a hit", "a", digest, Hit, "")
		h.drop(digest, nil, syscall.EIO)
		h.wants("broken", "a", digest, Miss, "GET")
	})
}

// TestNoRoomForAll: what could not be kept if all else went takes nobody's place.
func TestNoRoomForAll(t *testing.T) {
	d := newDisk(nil, nil, nil)
	d.measure(&Config{Disk: 1000, Free: 10})
	fill := func() {
		d.shrink(d.bytes())
		for _, name := range []string{"a", "b", "c", "d"} {
			d.add(&item{digest: name, stamp: stamp{size: 200}})
		}
	}
	for _, c := range []struct {
		n, free, all, reserved int64
		over, lacking          int
	}{
		{100, 1000, 2000, 0, 0, 0},   // there is room
		{400, 1000, 2000, 0, 1, 0},   // within the budget
		{100, 300, 2000, 0, 0, 0},    // just enough stays free
		{100, 150, 2000, 0, 0, 1},    // within the file system
		{400, 150, 2000, 0, 1, 2},    // both: what goes for the one counts for the other
		{900, 50, 1000, 0, 0, 1},     // never: only what has to stay free
		{5000, 150, 1000, 0, 0, 0},   // never
		{0, 0, 2000, 0, 0, 1},        // what has to stay free
		{0, 0, 20_000, 0, 0, 4},      // more than there is
		{100, 1000, 2000, 400, 2, 0}, // what grows counts
	} {
		fill()
		d.reserved = c.reserved
		over, lacking := d.makeRoom(c.n, c.free, c.all)
		if len(over) != c.over || len(lacking) != c.lacking {
			t.Errorf("%+v: %q and %q", c, over, lacking)
		}
	}
}

// TestBegunBeforeTheScan: what this process downloads before it has looked at the folder stays;
// what the last one did not bring to its end goes.
func TestBegunBeforeTheScan(t *testing.T) {
	dir := t.TempDir()
	tmp := filepath.Join(dir, "v1", "tmp")
	if err := errors.Join(os.MkdirAll(filepath.Join(tmp, "sub"), 0o700), os.WriteFile(filepath.Join(tmp, "left"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(nil)
	file, _, err := f.create(1)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := f.scan(nil); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(tmp); err != nil || len(list) != 1 || filepath.Join(tmp, list[0].Name()) != file.Name() {
		t.Errorf("%v %v", list, err)
	}
}

// TestScanGoesOn: what cannot be read or removed does not hide the rest, which would be above
// the budget otherwise.
func TestScanGoesOn(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		h.end()
		if err := errors.Join(os.Remove(h.mark()), os.MkdirAll(filepath.Join(h.mark(), "sub"), 0o700)); err != nil {
			t.Fatal(err)
		}
		next := newDiskHouse(t, h.dir, nil)
		if s := next.Status(); s.Disk.Entries != 1 || s.Disk.Bytes != Window {
			t.Errorf("%+v", s.Disk)
		}
	})
}

// TestEmptied: where somebody empties the folder it fills again, without a restart.
func TestEmptied(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		one, two := h.put(Window, 1), h.put(Window, 2)
		h.wants("the first", "a", one, Miss, "GET")
		if err := os.RemoveAll(filepath.Join(h.dir, "v1")); err != nil {
			t.Fatal(err)
		}
		h.wants("gone", "a", one, Miss, "GET")
		h.wants("here again", "a", one, Hit, "")
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		h.wants("all of it gone", "a", one, Miss, "GET")
		h.wants("another", "a", two, Miss, "GET")
		if h.disk.ill.IsZero() {
			t.Error("nobody noticed")
		}
		if err := os.MkdirAll(h.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(illPause + time.Second)
		synctest.Wait()
		h.wants("a minute later", "a", one, Miss, "GET")
		h.wants("kept", "a", one, Hit, "")
	})
}

// TestSameTwice: of two downloads of the same content one is kept, and both repositories have it.
func TestSameTwice(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(2*Window, 1)
		h.body = func(q Question, content []byte) (*Answer, error) {
			a := whole(q, content)
			a.Body = &stalling{Reader: a.Body, first: Window, until: time.After(time.Second), ctx: h.ctx}
			return a, nil
		}
		var open []*Entry
		for _, repository := range []string{"a", "b"} {
			open = append(open, h.Get(t.Context(), h.request(repository, digest)).Entry)
		}
		for _, e := range open {
			if got, err := follow(t.Context(), e.File, nil); err != nil || len(got) != 2*Window {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			e.File.Close()
		}
		if saw := h.took(); saw != "GET, GET" {
			t.Errorf("asked %q", saw)
		}
		h.body = nil
		h.wants("a hit", "a", digest, Hit, "")
		h.wants("the other", "b", digest, Hit, "")
		if s := h.Status(); len(h.files()) != 1 || s.Disk.Entries != 1 || h.disk.reserved != 0 || len(h.disk.naming) != 0 {
			t.Errorf("%q, %+v, %d reserved", h.files(), s.Disk, h.disk.reserved)
		}
	})
}

// TestNamedByAnother: where another download has brought the same content meanwhile, its repository has
// it before the file of this one goes: nobody is left between the two.
func TestNamedByAnother(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		g := h.whole("b", digest)
		if i := h.store(g); i != nil {
			t.Errorf("named twice: %+v", i)
		}
		h.wants("the other, whose file is there still", "b", digest, Hit, "")
		h.forget(Purge{Digest: digest})
		g = h.whole("c", digest)
		h.disk.add(&item{digest: digest, stamp: stamp{Window, 1}})
		h.forget(Purge{Repository: "c"})
		h.store(g)
		if f := h.find(&g.q.Subject, digest); f.state != absent {
			t.Error("its repository was to be forgotten, and has it")
		}
	})
}

// whole is a download in a repository that has come to its end, without a name yet.
func (h *diskHouse) whole(repository, digest string) *growth {
	h.t.Helper()
	file, info, err := h.disk.folder.create(Window)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { file.Close() })
	q := Question{Subject: h.request(repository, digest).Subject, Reference: digest}
	g := h.newGrowth(nil, &q, &Entry{Digest: digest, Header: Header{}, Size: Window}, nil, h.ledger.now(), file, info)
	h.growing[q.Subject.key(digest)] = g
	return g
}

// TestNoNameGiven: where a download cannot get its name nothing stays by it that nobody knows of.
func TestNoNameGiven(t *testing.T) {
	inDiskHouse(t, nil, func(t *testing.T, h *diskHouse) {
		digest := h.put(Window, 1)
		h.wants("the first", "a", digest, Miss, "GET")
		h.disk.peek(digest).suspect = true
		g := h.whole("b", digest)
		g.file.Close() // so that it cannot be made to last
		if i := h.store(g); i != nil || h.disk.peek(digest) != nil || len(h.disk.naming) != 0 {
			t.Errorf("kept: %+v", i)
		}
		if _, err := os.Stat(h.path(digest)); err == nil {
			t.Error("a file is there that is not counted")
		}
	})
}

// TestRoomForEach: where the budget is used up each of many downloads that begin at once has room, and
// what one frees for itself no other one takes.
func TestRoomForEach(t *testing.T) {
	const size, many = 64 << 10, 16
	inDiskHouse(t, func(c *Config) { c.Disk = 2 * many * size }, func(t *testing.T, h *diskHouse) {
		for round := range 10 {
			var digests []string
			for i := range many {
				digests = append(digests, h.put(size, byte(round*many+i)))
			}
			var all sync.WaitGroup
			for _, digest := range digests {
				all.Go(func() {
					if outcome, got, err := h.pull(t.Context(), "a", digest); outcome != Miss || err != nil || len(got) != size {
						t.Errorf("%s: %d bytes, %v", outcome, len(got), err)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			for _, digest := range digests {
				if h.disk.peek(digest) == nil {
					t.Errorf("round %d: one is not kept", round)
				}
			}
			if n := h.disk.bytes(); n > 2*many*size || round > 1 && n != 2*many*size {
				t.Errorf("round %d: %d bytes", round, n)
			}
		}
	})
}

// TestOneMakesRoom: who waits to make room takes nothing from others meanwhile, and what is too large,
// or comes while the folder is at fault, does not wait.
func TestOneMakesRoom(t *testing.T) {
	inDiskHouse(t, func(c *Config) { c.Disk = 1 << 20 }, func(t *testing.T, h *diskHouse) {
		one, two := h.put(256<<10, 1), h.put(256<<10, 2)
		h.disk.room <- struct{}{}
		done := make(chan error)
		go func() {
			_, _, err := h.pull(t.Context(), "a", one)
			done <- err
		}()
		if saw := h.took(); saw != "GET" || h.disk.reserved != 0 || len(h.files()) != 0 {
			t.Errorf("%q, %d bytes, %q", saw, h.disk.reserved, h.files())
		}
		h.wants("too large", "a", h.put(256<<10+1, 3), Miss, "GET")
		<-h.disk.room
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		h.wants("kept", "a", one, Hit, "")
		h.faultyDisk(errStorage)
		h.disk.room <- struct{}{}
		h.wants("at fault", "a", two, Miss, "GET")
		<-h.disk.room
	})
}

// TestItemsAreBounded: the memory that files on the disk take is within bounds: 32 MiB where the
// default budget is full of the smallest, and there is a most of them.
func TestItemsAreBounded(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var cfg Config
	cfg.Defaults()
	d, before := newDisk(nil, nil, nil), heap()
	d.measure(&cfg)
	add := func(n int, size int64) {
		for i := range n {
			d.add(&item{digest: fmt.Sprintf("sha256:%064x", i), stamp: stamp{size: size}})
		}
	}
	add(int(cfg.Disk/cfg.Small), int64(cfg.Small)+1)
	if used := heap() - before; used > 32<<20 {
		t.Errorf("%d entries take %d bytes", d.entries(), used)
	}
	d.shrink(d.bytes())
	add(mostItems+3, 1)
	if gone := d.fit(0); len(gone) != 3 || d.entries() != mostItems || d.bytes() != mostItems {
		t.Errorf("%d go, %d entries, %d bytes", len(gone), d.entries(), d.bytes())
	}
	runtime.KeepAlive(d)
}

// TestEarlyPurge: what is to be forgotten before the folder was looked at goes then, but for what
// has come since.
func TestEarlyPurge(t *testing.T) {
	one, two := digestOf("sha256", []byte("one")), digestOf("sha256", []byte("two"))
	for what, c := range map[string]struct {
		purges []string
		since  string
		want   []string
	}{
		"nothing":       {},
		"a digest":      {[]string{one}, "", []string{one}},
		"each":          {[]string{two, one}, "", []string{one, two}},
		"all":           {[]string{""}, "", []string{one, two}},
		"but for one":   {[]string{""}, two, []string{one}},
		"another":       {[]string{digestOf("sha256", nil)}, "", nil},
		"one that came": {[]string{one}, one, nil},
	} {
		d := newDisk(nil, nil, nil)
		for _, p := range c.purges {
			if gone := d.purge(p); gone != nil {
				t.Errorf("%s: %q went", what, gone)
			}
		}
		if c.since != "" {
			d.add(&item{digest: c.since})
		}
		purged := d.know([]*item{{digest: one}, {digest: two}})
		if !slices.Equal(purged, c.want) || d.entries() != 2-len(c.want) {
			t.Errorf("%s: %q, %d stay", what, purged, d.entries())
		}
		if gone := d.purge(two); d.early != nil || (gone == nil) != slices.Contains(c.want, two) {
			t.Errorf("%s: later %q", what, gone)
		}
	}
	var none *disk
	if gone := none.purge(""); gone != nil {
		t.Errorf("%q", gone)
	}
}
