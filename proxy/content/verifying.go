package content

import (
	"bytes"
	"hash"
	"io"
	"sync"
)

// verifying reads an answer that nobody keeps, and gives out its last window when the digest
// is right.
type verifying struct {
	io.ReadCloser
	digest  string
	before  int64 // bytes that come before the last window
	last    int64 // bytes of that
	hash    hash.Hash
	held    *bytes.Reader // the last window, once it can be given out
	once    sync.Once
	release func() // gives the room back that the last window needs
}

// verify has the content of an answer verified while it is read; false: there is no room.
func (c *Cache) verify(digest string, a *Answer) bool {
	n := a.Header.length()
	before := lastWindow(n)
	release, ok := c.hold(n - before)
	if ok {
		a.Body = &verifying{ReadCloser: a.Body, digest: digest, before: before, last: n - before, hash: newHash(digest), release: release}
	}
	return ok
}

// Read fails with ErrMismatch before the end of what is wrong.
func (v *verifying) Read(p []byte) (int, error) {
	if v.before > 0 {
		n, err := v.ReadCloser.Read(p[:min(int64(len(p)), v.before)])
		v.hash.Write(p[:n])
		v.before -= int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	if v.held == nil {
		window := make([]byte, v.last)
		if _, err := io.ReadFull(v.ReadCloser, window); err != nil {
			return 0, ErrBroken
		}
		v.hash.Write(window)
		if !matches(v.hash, v.digest) {
			return 0, ErrMismatch
		}
		v.held = bytes.NewReader(window)
	}
	return v.held.Read(p)
}

// Close lets go of the answer.
func (v *verifying) Close() error {
	v.once.Do(v.release)
	return v.ReadCloser.Close()
}
