// Package memory sets the pace of the garbage collector by what lives.
package memory

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A small heap is collected all the time, as Go's own rule lets it double and no more:
// a tenth of the processor goes there. So the heap may grow by gcRoom whatever lives, up
// to gcMost percent, and doubles above that, as ever.
const (
	gcRoom = 32 << 20
	gcMost = 800
	gcOwn  = 100 // Go's own
)

// Pace keeps the pace of the garbage collector fit for what lives, from now on and
// after each collection. Where GOGC is set, that counts.
func Pace() {
	if os.Getenv("GOGC") == "" {
		(&pace{gcOwn, []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}).set()
	}
}

// pace is seen by nobody, so that each collection finds it and runs set.
type pace struct {
	percent int
	live    []metrics.Sample
}

func (p *pace) set() {
	metrics.Read(p.live)
	want := gcOwn
	if p.live[0].Value.Kind() == metrics.KindUint64 {
		want = percentFor(p.live[0].Value.Uint64())
	}
	if want != p.percent { // it stops the world
		p.percent = want
		debug.SetGCPercent(want)
	}
	runtime.SetFinalizer(p, (*pace).set)
}

// percentFor is how much the heap may grow, in steps of 50 percent.
func percentFor(live uint64) int {
	percent := gcRoom * 100 / max(live, 1)
	return int(min(max(percent-percent%50, gcOwn), gcMost))
}
