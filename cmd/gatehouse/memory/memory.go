// Package memory sets the pace of the garbage collector by what lives.
package memory

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Go's own rule lets the heap double before it is collected. For a small heap that is too
// little: it is collected all the time, and a tenth of the processor goes there. For that of
// a full cache, or of ten thousand connections that wait, it is memory for nothing. So the
// heap may grow by gcRoom whatever lives, or by gcLeast percent where that is more.
const (
	gcRoom  = 32 << 20
	gcMost  = 800 // percent
	gcLeast = 25
	gcOwn   = 100 // Go's own
)

// Pace keeps the pace of the garbage collector fit for what lives, from now on and
// after each collection. Where GOGC is set, that counts.
func Pace() {
	if os.Getenv("GOGC") == "" {
		(&pace{gcOwn, []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}}).set()
	}
}

// pace is seen by nobody, so that each collection finds it and runs set.
type pace struct {
	percent int
	counted []metrics.Sample // what the percents are of
}

func (p *pace) set() {
	metrics.Read(p.counted)
	sum := uint64(0)
	for _, s := range p.counted {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	if want := percentFor(sum); want != p.percent { // it stops the world
		p.percent = want
		debug.SetGCPercent(want)
	}
	runtime.SetFinalizer(p, (*pace).set)
}

// percentFor is how much the heap may grow, in steps of 5 percent, of the bytes that Go
// counts as living.
func percentFor(counted uint64) int {
	percent := gcRoom * 100 / max(counted, 1)
	return int(min(max(percent-percent%5, gcLeast), gcMost))
}
