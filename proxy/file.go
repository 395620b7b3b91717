package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

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

// sendFile has the kernel send the next n bytes. What it takes in at once says little of a client
// that reads slowly, so what that has taken is looked at every few seconds. The header goes out first, in
// its own time: the library would go on without it.
func (f *forwarder) sendFile(w *recorder, to io.ReaderFrom, from *os.File, n int64) (int64, error) {
	if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
		return 0, err
	}
	pace, unsent := newPace(f.caps.limits.progressNeeded(), time.Now()), w.unsent()
	for sent := int64(0); ; {
		begun := time.Now()
		w.deadline(paceStep)
		moved, err := to.ReadFrom(&io.LimitedReader{R: from, N: n - sent})
		sent += moved
		now, left := time.Now(), w.unsent()
		taken := moved + unsent - left
		unsent = left
		switch {
		case err == nil && sent == n:
			return sent, nil
		case err == nil && moved == 0:
			return sent, errShortFile
		case err != nil && (!timedOut(err) || now.Sub(begun) < paceStep/4 || pace.over(taken, now)):
			return sent, err
		}
	}
}

const (
	paceStep = 4 * time.Second
	// paceLump is how much later than a progress window the next bytes may be taken: the systems of
	// clients take them in lumps of up to 64 KiB.
	paceLump = 8 * time.Second
)

// pace is until when a client has to take more, by what it took.
type pace struct {
	needed int // bytes in a progress window; 0: any
	until  time.Time
}

func newPace(needed int, now time.Time) pace {
	return pace{needed, now.Add(progressWindow + paceLump)}
}

// over reports whether the client is too slow, now that it has taken so many bytes more.
func (p *pace) over(taken int64, now time.Time) bool {
	if taken > 0 {
		most := now.Add(progressWindow + paceLump)
		p.until = p.until.Add(writeAllowance(int(taken), p.needed) - progressWindow)
		if p.needed <= 0 || p.until.After(most) {
			p.until = most
		}
	}
	return !now.Before(p.until)
}
