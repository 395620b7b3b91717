package proxy

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// timed notes the deadlines that are set for answers, as the time that they leave.
type timed struct {
	http.ResponseWriter
	slow time.Duration // how long each write takes
	set  []time.Duration
}

// Write takes its time.
func (d *timed) Write(p []byte) (int, error) {
	time.Sleep(d.slow)
	return d.ResponseWriter.Write(p)
}

// SetWriteDeadline is for http.ResponseController.
func (d *timed) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, time.Until(t))
	return nil
}

// TestUnreadAnswer: the server takes the deadline of an answer off its connection, so each has one of
// its own, however soon it follows another: a client that reads none of it is cut after a minute.
func TestUnreadAnswer(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 3 * time.Second, 2 * time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				c := b.plain(client)
				defer c.Close()
				ask := func() {
					if _, err := io.WriteString(c, "HEAD /v2/a/manifests/v1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+b.token("alice")+"\r\n\r\n"); err != nil {
						t.Fatal(err)
					}
				}
				ask()
				if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
					t.Fatalf("%+v, %v", resp, err)
				}
				time.Sleep(after)
				ask()
				time.Sleep(progressWindow - time.Second)
				if synctest.Wait(); b.gateway.load.open.Open() != 1 {
					t.Error("it was cut early")
				}
				time.Sleep(2 * time.Second)
				if synctest.Wait(); b.gateway.load.open.Open() != 0 {
					t.Error("it was not cut")
				}
			})
		})
	}
}

// TestDeadlinesOfAnswer: within an answer a deadline is set only where it is another than the one
// that is set, whatever that was for.
func TestDeadlinesOfAnswer(t *testing.T) {
	const minute, short = time.Minute, refusalLimit
	for what, c := range map[string]struct {
		after, lasts, want []time.Duration
	}{
		"at once":              {[]time.Duration{0, time.Second, 0}, []time.Duration{minute, minute, minute}, []time.Duration{minute}},
		"later":                {[]time.Duration{0, 3 * time.Second, time.Second}, []time.Duration{minute, minute, minute}, []time.Duration{minute, minute}},
		"little by little":     {[]time.Duration{0, 1500 * time.Millisecond, 1500 * time.Millisecond}, []time.Duration{minute, minute, minute}, []time.Duration{minute, minute}},
		"behind a short one":   {[]time.Duration{0, 0, time.Second}, []time.Duration{minute, short, minute}, []time.Duration{minute, short, minute}},
		"behind a long one":    {[]time.Duration{0, time.Second}, []time.Duration{90 * time.Second, minute}, []time.Duration{90 * time.Second, minute}},
		"after it has run out": {[]time.Duration{0, minute}, []time.Duration{short, short}, []time.Duration{short, short}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := &timed{ResponseWriter: httptest.NewRecorder()}
				w := &recorder{ResponseWriter: to, body: &source{}}
				for i, after := range c.after {
					time.Sleep(after)
					w.deadline(c.lasts[i])
				}
				if !slices.Equal(to.set, c.want) {
					t.Errorf("%v, want %v", to.set, c.want)
				}
			})
		})
	}
}

// TestDeadlinesOfStream: each part of an answer has its time from when it came, and so has
// what the server still holds at the end of several; one that came in one piece has had it.
func TestDeadlinesOfStream(t *testing.T) {
	const minute, soon, late = time.Minute, 0, 3 * time.Second
	for what, c := range map[string]struct {
		slow  time.Duration   // of each write
		parts []time.Duration // how long each is awaited
		want  int             // deadlines
	}{
		"one part":                  {0, []time.Duration{soon}, 1},
		"one part, late":            {0, []time.Duration{late}, 1},
		"one part, slowly taken":    {late, []time.Duration{soon}, 1},
		"parts at once":             {0, []time.Duration{soon, soon, soon}, 1},
		"a late part":               {0, []time.Duration{soon, late, soon}, 2},
		"two parts, slowly taken":   {late, []time.Duration{soon, soon}, 3},
		"nothing, and its end late": {0, nil, 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := httptest.NewRecorder()
				to := &timed{ResponseWriter: got, slow: c.slow}
				w := &recorder{ResponseWriter: to, body: &source{}, wrote: true}
				if err := newBuffers().stream(w, &awaitedParts{c.parts}, 0); err != nil {
					t.Fatal(err)
				}
				if got.Body.String() != strings.Repeat("part", len(c.parts)) || len(to.set) != c.want {
					t.Errorf("%q by deadlines %v, want %d", got.Body, to.set, c.want)
				}
				for _, left := range to.set {
					if left < minute {
						t.Errorf("a deadline after %s", left)
					}
				}
			})
		})
	}
}

// awaitedParts is a body whose parts come after some time each, and whose end comes with the
// last one, as that of one with a length does.
type awaitedParts struct{ waits []time.Duration }

// Read gives the next part.
func (b *awaitedParts) Read(p []byte) (int, error) {
	if len(b.waits) == 0 {
		return 0, io.EOF
	}
	time.Sleep(b.waits[0])
	if b.waits = b.waits[1:]; len(b.waits) == 0 {
		return copy(p, "part"), io.EOF
	}
	return copy(p, "part"), nil
}

// TestDeadlinesOfBody: what is here already has the time of its header where it is as small as that
// allows. A larger one has its time for each part, and where any progress will do a minute for each.
func TestDeadlinesOfBody(t *testing.T) {
	for _, c := range []struct {
		rate, size, want int // bytes a second, bytes, deadlines
	}{
		{1024, 1 << 10, 1}, {1024, 4 << 10, 3}, {1024, 4 * copyBuffer, 6},
		{0, 1 << 10, 1}, {0, copyBuffer, 1}, {0, 4 * copyBuffer, 5},
		{1 << 20, copyBuffer, 1}, {1 << 20, 4 * copyBuffer, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := httptest.NewRecorder()
			to := &timed{ResponseWriter: got, slow: progressWindow - time.Second}
			x := &exchange{w: &recorder{ResponseWriter: to, body: &source{r: &http.Request{}}}, r: &http.Request{}}
			limits := Limits{MinRate: c.rate}
			f := &forwarder{caps: &caps{limits: &limits}}
			x.w.WriteHeader(200)
			if err := f.body(x, make([]byte, c.size)); err != nil || got.Body.Len() != c.size || len(to.set) != c.want {
				t.Errorf("%d bytes at %d a second: %v, %d bytes by deadlines %v, want %d", c.size, c.rate, err, got.Body.Len(), to.set, c.want)
			}
			for _, left := range to.set {
				if left < progressWindow {
					t.Errorf("%d bytes at %d a second: a deadline after %s", c.size, c.rate, left)
				}
			}
		})
	}
}
