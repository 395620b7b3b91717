package proxy

import (
	"errors"
	"io"
	"os"
	"syscall"

	"gatehouse/proxy/content"
)

// errShortFile is that of a file that ends before its end.
var errShortFile = errors.New("a file of the cache is shorter than it was")

// file sends content as it becomes ready, by the kernel where it goes out in clear text.
func (f *forwarder) file(x *exchange, from *content.File) error {
	f.cut(x, f.follow(x, from))
	return nil
}

// follow sends windows of a file, which may still grow.
func (f *forwarder) follow(x *exchange, from *content.File) error {
	for sent, size := int64(0), from.Size(); sent < size; {
		ready, err := from.Ready(x.r.Context(), sent)
		if err != nil {
			return err
		}
		n, err := f.window(x.w, from.File, min(ready-sent, content.Window))
		sent += n
		if errors.Is(err, errShortFile) || errors.Is(err, syscall.EIO) {
			from.Broken()
		}
		if err != nil {
			return err
		}
	}
	x.w.deadline(progressWindow) // for what is still in the server's buffer
	return nil
}

// window sends the next n bytes of a file.
func (f *forwarder) window(w *recorder, from *os.File, n int64) (int64, error) {
	if to := w.byKernel(); to != nil {
		return f.sendFile(w, to, from, n)
	}
	buffer := f.buffers.rest.Get().(*[]byte)
	defer f.buffers.rest.Put(buffer)
	sent := int64(0)
	for sent < n {
		piece := (*buffer)[:min(n-sent, copyBuffer)]
		if _, err := io.ReadFull(from, piece); err != nil {
			return sent, short(err)
		}
		w.deadline(writeAllowance(len(piece), f.caps.limits.progressNeeded()))
		wrote, err := w.Write(piece)
		if sent += int64(wrote); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// short names the end of a file that comes too early.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShortFile
	}
	return err
}

// sendFile has the kernel send the next n bytes. Each progress window moves what the limits
// want, or the client is cut.
func (f *forwarder) sendFile(w *recorder, to io.ReaderFrom, from *os.File, n int64) (int64, error) {
	sent := int64(0)
	for sent < n {
		part := &io.LimitedReader{R: from, N: n - sent}
		w.deadline(progressWindow)
		moved, err := to.ReadFrom(part)
		sent += moved
		switch {
		case timedOut(err) && moved > 0 && moved >= int64(min(f.caps.limits.progressNeeded(), int(n-sent+moved))):
			continue // it is slow, and moves
		case err != nil:
			return sent, err
		case moved == 0:
			return sent, errShortFile
		}
	}
	return sent, nil
}
