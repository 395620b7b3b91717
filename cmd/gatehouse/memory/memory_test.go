package memory

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for counted, want := range map[uint64]int{0: 800, 4 << 20: 800, 8 << 20: 400, 12 << 20: 265, 16 << 20: 200, 32 << 20: 100, 48 << 20: 65, 100 << 20: 30, 128 << 20: 25, 4 << 30: 25} {
		if got := percentFor(counted); got != want {
			t.Errorf("%d bytes: %d, want %d", counted, got, want)
		}
	}
}

// TestPaceFollows: a heap that has grown is collected as ever, and one that shrank is
// left alone again.
func TestPaceFollows(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv("GOGC", "")
	Pace()
	var ballast []byte
	for _, c := range []struct{ size, most, least int }{{0, 800, 150}, {100 << 20, 100, 25}, {0, 800, 150}} {
		ballast = make([]byte, c.size)
		for end := time.Now().Add(10 * time.Second); !within(c.least, c.most); runtime.GC() { // finalizers run some time after a collection
			if time.Now().After(end) {
				t.Fatalf("%d bytes: not from %d to %d", c.size, c.least, c.most)
			}
		}
		runtime.KeepAlive(ballast)
	}
}

func within(least, most int) bool {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	got := int(sample[0].Value.Uint64())
	return got >= least && got <= most
}

// TestPaceOfTheOperator: GOGC counts.
func TestPaceOfTheOperator(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	t.Setenv("GOGC", "77")
	if Pace(); !within(77, 77) {
		t.Error("it was changed")
	}
}
