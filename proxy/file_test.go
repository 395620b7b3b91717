package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/metrics"
	"gatehouse/proxy/content"
)

// newDiskGateway is a gateway with a cache on disk before a registry of one blob, over real
// sockets.
func newDiskGateway(t *testing.T, blob []byte) (h *house, path, file string) {
	t.Helper()
	dir := t.TempDir()
	folder, err := content.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	load := NewLoad()
	load.UseFolder(folder)
	h = newHouse(t, func(c *Config) {
		c.Load, c.Metrics = load, metrics.New(metrics.BuildInfo{})
		c.Cache = &content.Config{Memory: 1 << 20, Dir: dir, Disk: 1 << 30, FreshFor: time.Hour}
	})
	h.gateway.Take()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() { load.Tend(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	})
	digest := sha(string(blob))
	return h, "/v2/team/app/blobs/" + digest, filepath.Join(dir, "v1", digest[7:9], "sha256-"+digest[7:])
}

// fetch reads an answer, whose end may not come.
func (h *house) fetch(path, token string, header ...string) (*http.Response, []byte, error) {
	h.t.Helper()
	r := h.request("GET", path, token, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return &http.Response{}, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// awaitHit pulls until the answer is a hit.
func (h *house) awaitHit(path, token string) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if resp, _, _ := h.fetch(path, token); resp.Header.Get("Cache-Status") != "" {
			return
		}
	}
	h.t.Fatal("no hit")
}

// awaitFile waits until a file is there, or gone.
func awaitFile(t *testing.T, path string, there bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); (err == nil) == there {
			return
		}
	}
	t.Fatalf("%s: there %v", path, !there)
}

// TestRangeOnDisk: the ranges of RFC 9110 section 14 on a file of the cache are those of the
// bytes, and the registry is not asked for them.
func TestRangeOnDisk(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789"), 500_000)
	h, path, file := newDiskGateway(t, blob)
	token := h.token("root", "repository:team/app:pull")
	if resp, body, err := h.fetch(path, token, "Range", "bytes=0-9"); resp.StatusCode != 206 || len(body) != 10 || err != nil {
		t.Errorf("of what is not here: %d, %d bytes, %v", resp.StatusCode, len(body), err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a range has filled the cache")
	}
	h.awaitHit(path, token)
	h.upstream.take()
	size := len(blob)
	for asked, want := range map[string]struct {
		status int
		from   string
		body   []byte
	}{
		"bytes=0-0":           {206, fmt.Sprintf("bytes 0-0/%d", size), blob[:1]},
		"bytes=5-":            {206, fmt.Sprintf("bytes 5-%d/%d", size-1, size), blob[5:]},
		"bytes=-5":            {206, fmt.Sprintf("bytes %d-%d/%d", size-5, size-1, size), blob[size-5:]},
		"bytes=4200000-9e9":   {416, "", nil},
		"bytes=0-9999999":     {206, fmt.Sprintf("bytes 0-%d/%d", size-1, size), blob},
		"bytes=9999999-":      {416, fmt.Sprintf("bytes */%d", size), nil},
		"bytes=4-3":           {416, "", nil},
		"bytes=a-b":           {416, "", nil},
		"lines=1-2":           {416, "", nil},
		"bytes=0-1,4-5":       {206, "", nil},
		"bytes=0-1,0-1,0-999": {206, "", nil},
	} {
		resp, body, err := h.fetch(path, token, "Range", asked)
		if resp.StatusCode != want.status || err != nil || want.from != "" && resp.Header.Get("Content-Range") != want.from || want.body != nil && !bytes.Equal(body, want.body) {
			t.Errorf("%s: %d %q, %d bytes, %v", asked, resp.StatusCode, resp.Header.Get("Content-Range"), len(body), err)
		}
	}
	if resp, body, _ := h.fetch(path, token, "Range", "bytes=0-1", "If-Range", `"another"`); resp.StatusCode != 200 || !bytes.Equal(body, blob) {
		t.Errorf("If-Range of another: %d", resp.StatusCode)
	}
	if asked := h.upstream.take(); len(asked) != 0 {
		t.Errorf("asked %d times", len(asked))
	}
}

// TestFileShrinks: a file that becomes shorter while it is sent is a cut, is removed, and the
// next answer is right.
func TestFileShrinks(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789"), 6_000_000) // more than sockets hold
	h, path, file := newDiskGateway(t, blob)
	token := h.token("root", "repository:team/app:pull")
	h.awaitHit(path, token)
	resp, err := http.DefaultTransport.RoundTrip(h.request("GET", path, token, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1000); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil || len(got) == len(blob) { // of the page that was cut zeros may be on their way
		t.Errorf("%d bytes, %v", len(got), err)
	}
	awaitFile(t, file, false)
	resp, got, err = h.fetch(path, token)
	if resp.StatusCode != 200 || err != nil || !bytes.Equal(got, blob) || resp.Header.Get("Cache-Status") != "" {
		t.Errorf("the next: %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
}

// TestWrongBlob: of a blob with another digest nobody gets the end, and where it is small
// nobody gets anything: who waited gets a right answer of their own.
func TestWrongBlob(t *testing.T) {
	for what, size := range map[string]int{"one window": content.Window / 2, "more": 3 * content.Window} {
		t.Run(what, func(t *testing.T) {
			blob := bytes.Repeat([]byte{1}, size)
			h, path, _ := newDiskGateway(t, blob)
			token := h.token("root", "repository:team/app:pull")
			wrong := bytes.Clone(blob)
			wrong[size-1] = 2
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				w.Write(wrong)
			})
			for range 2 {
				resp, got, err := h.fetch(path, token)
				if resp.StatusCode == 200 && (err == nil || len(got) > size-content.Window/2) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if size < content.Window && resp.StatusCode != 502 && len(got) > 0 {
					t.Errorf("%d %.100q", resp.StatusCode, got)
				}
			}
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				w.Write(blob)
			})
			if resp, got, err := h.fetch(path, token); resp.StatusCode != 200 || err != nil || !bytes.Equal(got, blob) {
				t.Errorf("mended: %d, %d bytes, %v", resp.StatusCode, len(got), err)
			}
		})
	}
}

// TestBrokenBlob: an answer that breaks is asked for its rest, from the very byte on; where that
// does not come either, its readers are cut, or ask once more where nothing was said yet.
func TestBrokenBlob(t *testing.T) {
	const size = 2*content.Window + 100
	blob := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
	for what, c := range map[string]struct {
		size, at int
		rest     func(w http.ResponseWriter, r *http.Request) // nil: as it is
		whole    bool
		asked    []string // the field Range of each question
	}{
		"the rest":      {size, content.Window + 12345, nil, true, []string{"", "bytes=%d-"}},
		"broken twice":  {size, content.Window + 12345, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, []string{"", "bytes=%d-"}},
		"not there":     {size, content.Window + 12345, http.NotFound, false, []string{"", "bytes=%d-"}},
		"nothing said":  {content.Window / 2, 100_000, http.NotFound, false, []string{"", "bytes=%d-", ""}},
		"little, whole": {content.Window / 2, 100_000, nil, true, []string{"", "bytes=%d-"}},
	} {
		t.Run(what, func(t *testing.T) {
			blob := blob[:c.size]
			h, path, _ := newDiskGateway(t, blob)
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/octet-stream")
				switch {
				case r.Header.Get("Range") == "":
					w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
					w.Write(blob[:c.at])
					panic(http.ErrAbortHandler)
				case c.rest != nil:
					c.rest(w, r)
				default:
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
				}
			})
			resp, got, err := h.fetch(path, h.token("root", "repository:team/app:pull"))
			refused := resp.StatusCode == 502 && err == nil // nothing was said before
			switch {
			case refused != (what == "nothing said"):
				t.Errorf("%d, %d bytes, %v", resp.StatusCode, len(got), err)
			case !refused && (resp.StatusCode != 200 || (err == nil) != c.whole || c.whole != bytes.Equal(got, blob) || !bytes.HasPrefix(blob, got)):
				t.Errorf("%d, %d bytes, %v", resp.StatusCode, len(got), err)
			}
			var ranges []string
			for _, r := range h.upstream.take() {
				ranges = append(ranges, r.Header.Get("Range"))
			}
			for i, want := range c.asked {
				if want != "" { // from where it broke, or before, as what was on its way may be lost
					from := -1
					if i >= len(ranges) {
						break
					}
					if _, err := fmt.Sscanf(ranges[i], want, &from); err != nil || from < 0 || from > c.at {
						t.Errorf("asked for %q", ranges[i])
					}
				}
			}
			// Where it failed before the client was there to read, all is asked for once more.
			if extra := len(ranges) - len(c.asked); extra < 0 || extra > 0 && c.whole || extra > 3 {
				t.Errorf("asked for %q", ranges)
			}
		})
	}
}

// TestNoLength: an answer without a length passes as it comes, to one or to several, and a
// wrong one has no end.
func TestNoLength(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789"), 500_000)
	wrong := bytes.Clone(blob)
	wrong[len(wrong)-1]++
	for what, c := range map[string]struct {
		sent  []byte
		right bool
	}{"right": {blob, true}, "wrong": {wrong, false}, "a page": {[]byte("<html>log in</html>"), false}} {
		t.Run(what, func(t *testing.T) {
			h, path, file := newDiskGateway(t, blob)
			h.upstream.answers(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				w.Write(c.sent)
			})
			token := h.token("root", "repository:team/app:pull")
			for range 3 {
				resp, got, err := h.fetch(path, token)
				if c.right && (resp.StatusCode != 200 || resp.ContentLength != -1 || !bytes.Equal(got, blob)) || (err == nil) != c.right {
					t.Errorf("%d, %d bytes, %v", resp.StatusCode, len(got), err)
				}
			}
			if n := len(h.upstream.take()); n < 3 { // a client may ask again that had not even a status
				t.Errorf("asked %d times", n)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("it is kept")
			}
		})
	}
}

// TestNoDigest: where it is not known what an answer is, only `*` is it.
func TestNoDigest(t *testing.T) {
	for _, c := range []struct {
		name, value, digest string
		want                int
	}{
		{"If-None-Match", "", "", 0}, {"If-None-Match", `""`, "", 0}, {"If-None-Match", "*", "", 304}, {"If-None-Match", `"x"`, "", 0},
		{"If-Match", "", "", 412}, {"If-Match", `""`, "", 412}, {"If-Match", "*", "", 0}, {"If-Match", "x,*", "", 0},
		{"If-None-Match", "", "sha256:0", 0}, {"If-None-Match", `W/"sha256:0"`, "sha256:0", 304}, {"If-Match", `W/"sha256:0"`, "sha256:0", 412}, {"If-Match", ` "a" , "sha256:0"`, "sha256:0", 0},
	} {
		r := &http.Request{Header: http.Header{c.name: {c.value}}}
		if got := precondition(r, c.digest); got != c.want {
			t.Errorf("%s: %q of %q: %d, want %d", c.name, c.value, c.digest, got, c.want)
		}
	}
}

// TestPace: who takes nothing is too slow a minute after what they took last, and a little; who takes
// what the limit wants is not, in whatever lumps; nor is who takes less for longer than that.
func TestPace(t *testing.T) {
	const needed = 60 << 10
	seconds := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	for what, c := range map[string]struct {
		needed int
		each   float64 // seconds between two lumps
		lump   int64
		over   float64 // when it is cut, in seconds; 0: not within half an hour
	}{
		"nothing":                       {needed, 4000, 1, 68},
		"nothing, and no limit":         {0, 4000, 1, 68},
		"1 KiB each second":             {needed, 1, 1 << 10, 0},
		"64 KiB each 64 s":              {needed, 64, 64 << 10, 0},
		"64 KiB each 72 s":              {needed, 72, 64 << 10, 68},
		"a MiB at once, each 80 s":      {needed, 80, 1 << 20, 68},
		"half of what is needed":        {needed, 1, 512, 136},
		"a byte a minute, and no limit": {0, 59, 1, 0},
		"a byte a second":               {needed, 1, 1, 72},
	} {
		start := time.Now()
		p, next := newPace(c.needed, start), c.each
		var over float64
		for at := 4.0; at <= 1800 && over == 0; at += 4 {
			var taken int64
			for ; next <= at; next += c.each {
				taken += c.lump
			}
			if p.over(taken, start.Add(seconds(at))) {
				over = at
			}
		}
		if over != c.over {
			t.Errorf("%s: cut after %v s, want %v", what, over, c.over)
		}
	}
	p, start := newPace(needed, time.Now()), time.Now()
	if p.over(4<<20, start.Add(paceStep)); p.over(0, start.Add(70*time.Second)) || !p.over(0, start.Add(73*time.Second)) {
		t.Errorf("who took much at once, and then nothing, is cut after %s", p.until.Sub(start))
	}
}

// TestLateHeader: a client may take a while before it reads the header of a file, which goes out
// before any of the file does.
func TestLateHeader(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		const size = 5000
		name, body := filepath.Join(t.TempDir(), "file"), bytes.Repeat([]byte("12345"), size/5)
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
		pipes, sent := newPipes(), make(chan error, 1)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			file, err := os.Open(name)
			if err != nil {
				t.Error(err)
			}
			defer file.Close()
			answer := &recorder{ResponseWriter: w, body: &source{}}
			answer.body.watch(r)
			w.Header().Set("Content-Length", fmt.Sprint(size))
			answer.WriteHeader(200)
			_, err = b.gateway.forwarder.sendFile(answer, answer.byKernel(), file, size)
			sent <- err
		})}
		defer server.Close()
		go server.Serve(&accepting{pipes, b.gateway, nil})
		for _, late := range []time.Duration{0, 2 * paceStep, progressWindow + time.Second} {
			c := pipes.dial(client)
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(late)
			answer, _ := io.ReadAll(io.LimitReader(c, size))
			c.Close()
			err := <-sent
			if begins := bytes.HasPrefix(answer, []byte("HTTP/1.1 200 OK\r\n")); begins != (late < progressWindow) || timedOut(err) == begins {
				t.Errorf("after %s: %.20q, %v", late, answer, err)
			}
		}
	})
}
