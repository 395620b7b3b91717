package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// Window is how much of a file is sent under one deadline, in bytes. The last one goes out
	// when the digest is right.
	Window = 4 << 20
	// nearEnd is how little may be missing, in bytes, so that a download goes on for nobody.
	nearEnd = 32 << 20
	// patience is how long a download goes on for nobody where more is missing.
	patience = 5 * time.Second
)

var (
	errStorage = errors.New("the cache's folder is at fault")
	errRotten  = errors.New("a file of the cache has rotted")
)

// growth is a download into a file, which its readers follow.
type growth struct {
	q      Question
	ask    func(from int64) (*Answer, error) // once more, for the bytes from there on
	cancel context.CancelFunc                // ends that
	entry  *Entry                            // as it will be
	file   *os.File
	info   os.FileInfo // of file
	last   string      // the name that it gets
	drop   func()      // takes it out of the cache
	first  moment      // when it was sent

	moment moment // the registry's latest yes; guarded by the Cache's lock

	mu       sync.Mutex
	changed  chan struct{} // closed when there is more to read
	written  int64         // bytes
	whole    bool          // and the digest is right
	err      error         // it will never be
	readers  int
	unwanted bool
	answer   *Answer // that is being read
}

// lastWindow is where the last window of so many bytes begins.
func lastWindow(size int64) int64 { return (size - 1) / Window * Window }

// download reads, writes and hashes. An answer that breaks is asked to go on once.
func (g *growth) download() error {
	h, offset := hashes(g.entry.Digest), int64(0)
	err := g.pour(h, &offset)
	if errors.Is(err, ErrBroken) && g.resume(offset) {
		err = g.pour(h, &offset)
	}
	h.end()
	if err == nil && !matches(h.hash, g.entry.Digest) {
		return ErrMismatch
	}
	return err
}

// pour reads from an offset on.
func (g *growth) pour(h *hashing, offset *int64) error {
	for *offset < g.entry.Size {
		piece := <-h.empty
		n, rerr := io.ReadFull(g.answer.Body, piece[:min(pieces, g.entry.Size-*offset)])
		if _, err := g.file.WriteAt(piece[:n], *offset); err != nil {
			h.empty <- piece
			return fmt.Errorf("%w: %w", errStorage, err)
		}
		h.full <- piece[:n]
		*offset += int64(n)
		g.advance(*offset)
		if rerr != nil {
			return fmt.Errorf("%w: %w", ErrBroken, rerr)
		}
	}
	return nil
}

// advance tells those who wait.
func (g *growth) advance(written int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written = written
	close(g.changed)
	g.changed = make(chan struct{})
}

// settle is the last that those who wait are told.
func (g *growth) settle(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole, g.err = err == nil, err
	close(g.changed)
	g.changed = make(chan struct{})
}

// resume asks for the rest, and reports whether it comes.
func (g *growth) resume(offset int64) bool {
	g.mu.Lock()
	unwanted := g.unwanted
	g.mu.Unlock()
	if unwanted {
		return false
	}
	a, err := g.ask(offset)
	rest := fmt.Sprintf("bytes %d-%d/%d", offset, g.entry.Size-1, g.entry.Size)
	if err != nil || a.Status != 206 || a.Body == nil || a.Header.get("Content-Range") != rest || encoded(a.Header) || !names(a.Header, g.entry.Digest) {
		a.Close()
		return false
	}
	g.mu.Lock()
	old := g.answer
	g.answer = a
	unwanted = g.unwanted
	g.mu.Unlock()
	old.Close()
	return !unwanted
}

// leaveAlone ends a download of which much is missing and that nobody reads.
func (g *growth) leaveAlone() {
	g.mu.Lock()
	g.unwanted = g.unwanted || g.readers == 0 && !g.whole && g.err == nil && g.entry.Size-g.written > nearEnd
	answer, cut := g.answer, g.unwanted
	g.mu.Unlock()
	if cut {
		g.cancel()
		answer.Cut()
	}
}

// stop ends it, whoever reads.
func (g *growth) stop() {
	g.mu.Lock()
	g.unwanted = true
	answer := g.answer
	g.mu.Unlock()
	g.cancel()
	answer.Cut()
}

// follow is for one reader more.
func (g *growth) follow() (*File, error) {
	g.mu.Lock()
	err := g.err
	if g.unwanted && !g.whole {
		err = ErrBroken // it ends at any moment
	}
	if err == nil {
		g.readers++
	}
	g.mu.Unlock()
	if err != nil {
		return nil, err
	}
	file, err := g.reopen()
	if err != nil {
		g.leave()
		return nil, err
	}
	return &File{File: file, growth: g, size: g.entry.Size, drop: g.drop}, nil
}

// reopen opens the file once more: under its first name, or its last.
func (g *growth) reopen() (*os.File, error) {
	for _, name := range []string{g.file.Name(), g.last} {
		file, info, err := openFile(name)
		if err != nil {
			continue
		}
		if os.SameFile(g.info, info) {
			return file, nil
		}
		file.Close()
	}
	return nil, fmt.Errorf("%s is gone", g.file.Name())
}

// leave is for one reader less.
func (g *growth) leave() {
	g.mu.Lock()
	g.readers--
	alone := g.readers == 0 && !g.whole && g.err == nil
	g.mu.Unlock()
	if alone {
		time.AfterFunc(patience, g.leaveAlone)
	}
}

// ready waits until there is more than offset to give out, and says how much that is.
func (g *growth) ready(ctx context.Context, offset int64) (int64, error) {
	for {
		g.mu.Lock()
		limit, err, changed := g.written, g.err, g.changed
		if !g.whole {
			limit = min(limit, lastWindow(g.entry.Size))
		}
		g.mu.Unlock()
		if limit > offset || err != nil {
			return limit, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, fmt.Errorf("the asker stopped waiting: %w", context.Cause(ctx))
		}
	}
}

// full reports whether an error is that of a file system without room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// File is content in a file, for one reader. It may still grow. It must be closed.
type File struct {
	*os.File
	growth *growth      // nil: it is whole
	rotten *atomic.Bool // of a whole one: a check found it wrong
	size   int64
	drop   func() // takes it out of the cache
}

// Ready waits until there is more than offset to give out, and says how many bytes there are
// from the beginning on. Its error is ErrMismatch, that of a download that broke, of a file that
// has rotted, or the context's: then the rest never comes.
func (f *File) Ready(ctx context.Context, offset int64) (int64, error) {
	switch {
	case f.growth != nil:
		return f.growth.ready(ctx, offset)
	case f.rotten.Load():
		return 0, errRotten
	}
	return f.size, nil
}

// Read reads on, of what has not rotted.
func (f *File) Read(p []byte) (int, error) {
	if f.rotten != nil && f.rotten.Load() {
		return 0, errRotten
	}
	return f.File.Read(p)
}

// Size is how many bytes it has when it is whole.
func (f *File) Size() int64 { return f.size }

// Broken is told that the file could not be read to its end: nobody gets it again.
func (f *File) Broken() { f.drop() }

// Close lets go of it.
func (f *File) Close() error {
	if f.growth != nil {
		f.growth.leave()
	}
	return f.File.Close()
}
