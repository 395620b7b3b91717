package content

import (
	"hash"
	"io"
)

// passing reads an answer as it comes, and gives out the last byte when the digest is right.
type passing struct {
	io.ReadCloser
	digest string
	hash   hash.Hash
	wrong  func() // is told where it is not; nil: nobody is
	last   []byte // one byte that is kept back, or none yet
	over   bool   // all was read, and is right
}

// verifies has an answer verified that passes without being read first, as it has no length
// or there is no room for it; false: it is none that can be.
func verifies(q *Question, a *Answer, wrong func()) bool {
	digest := q.Reference
	if q.Tag {
		digest = a.Header.get("Docker-Content-Digest")
	}
	if a.Status != 200 || a.Body == nil || encoded(a.Header) || signed(q.Subject.Kind, a.Header) || !Known(digest) {
		return false
	}
	a.Body = &passing{ReadCloser: a.Body, digest: digest, hash: newHash(digest), wrong: wrong}
	return true
}

// Read fails with ErrMismatch before the end of what is wrong.
func (p *passing) Read(to []byte) (int, error) {
	if p.over || len(to) == 0 {
		n := copy(to, p.last)
		p.last = p.last[n:]
		return n, p.ended()
	}
	n, err := p.ReadCloser.Read(to)
	p.hash.Write(to[:n])
	n = p.keepBack(to[:n])
	if err != io.EOF {
		return n, err
	}
	if p.over = matches(p.hash, p.digest); p.over {
		return n, nil
	}
	if p.wrong != nil {
		p.wrong()
	}
	return n, ErrMismatch
}

// ended is the end, where nothing is left.
func (p *passing) ended() error {
	if p.over && len(p.last) == 0 {
		return io.EOF
	}
	return nil
}

// keepBack puts what was kept back before the new bytes, and keeps the last of them back.
func (p *passing) keepBack(fresh []byte) int {
	if len(fresh) == 0 {
		return 0
	}
	last := fresh[len(fresh)-1]
	copy(fresh[len(p.last):], fresh[:len(fresh)-1])
	n := copy(fresh, p.last) + len(fresh) - 1
	p.last = append(p.last[:0], last)
	return n
}
