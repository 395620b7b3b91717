package proxy

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/proxy/listener"
)

// timed notes the deadlines that are set for answers, as the time that they leave.
type timed struct {
	http.ResponseWriter
	set []time.Duration
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
