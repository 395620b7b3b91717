package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/proxy/listener"
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

// TestDeadlinesOfConnection: of answers that follow each other on a connection of HTTP/1.1,
// one sets a deadline only where that of the one before is another, whatever that was for;
// answers of HTTP/2 know nothing of each other.
func TestDeadlinesOfConnection(t *testing.T) {
	type answer struct {
		after time.Duration // the one before
		lasts time.Duration
	}
	const minute, short = time.Minute, refusalLimit
	for what, c := range map[string]struct {
		alone   bool
		answers []answer
		want    []time.Duration
	}{
		"at once":              {false, []answer{{0, minute}, {time.Second, minute}, {0, minute}}, []time.Duration{minute}},
		"later":                {false, []answer{{0, minute}, {3 * time.Second, minute}, {time.Second, minute}}, []time.Duration{minute, minute}},
		"little by little":     {false, []answer{{0, minute}, {1500 * time.Millisecond, minute}, {1500 * time.Millisecond, minute}}, []time.Duration{minute, minute}},
		"behind a refusal":     {false, []answer{{0, minute}, {0, short}, {time.Second, minute}}, []time.Duration{minute, short, minute}},
		"behind a large one":   {false, []answer{{0, 90 * time.Second}, {time.Second, minute}}, []time.Duration{90 * time.Second, minute}},
		"after it has run out": {false, []answer{{0, short}, {minute, short}}, []time.Duration{short, short}},
		"on streams":           {true, []answer{{0, minute}, {0, minute}}, []time.Duration{minute, minute}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to, conn := &timed{ResponseWriter: httptest.NewRecorder()}, &listener.Conn{}
				if c.alone {
					conn = nil
				}
				for _, a := range c.answers {
					time.Sleep(a.after)
					w := &recorder{ResponseWriter: to, body: &source{}}
					w.on(conn)
					w.deadline(a.lasts)
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
