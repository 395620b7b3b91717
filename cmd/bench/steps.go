package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/authn/authntest"
)

// stepPackages hold the benchmarks of the steps of a request: classify
// (proxy/route), verify (tokens), and here lookup, decide, the last three in a row, and a
// login.
// A package that gets such a benchmark later shows it too.
var stepPackages = []string{"gatehouse/proxy/route", "gatehouse/tokens", "gatehouse/authn", "gatehouse/authz", "gatehouse/cmd/bench"}

// wholeSteps are the benchmarks that have a target, in ns/op: what a request with a token
// that was seen before pays until it is decided, and the same of what may stand in the
// place of a password.
var wholeSteps = map[string]float64{"VerifyLookupDecide": 1300,
	"VerifyLookupDecideAs/machine": 1200, "VerifyLookupDecideAs/personal": 1200, "VerifyLookupDecideAs/idtoken": 1200}

const wholeAllocations = 1 // of each of them, an operation

// step is one line of `go test -bench -benchmem`.
type step struct {
	name        string
	nanoseconds float64 // an operation
	bytes       int64   // allocated an operation
	allocations int64
}

// benchSteps runs the Go benchmarks and prints them together.
func benchSteps(ctx context.Context, out io.Writer, o options) (missed int, err error) {
	if o.gobench <= 0 {
		return 0, nil
	}
	fmt.Fprintf(out, "\n%-52s %12s %8s %8s   %s\n", "", "ns/op", "B/op", "allocs", "target")
	for _, p := range stepPackages {
		steps, err := runSteps(ctx, p, o.gobench)
		if err != nil {
			return missed, err
		}
		for _, s := range steps {
			verdict, bad := s.verdict()
			if bad {
				missed++
			}
			fmt.Fprintf(out, "%-52s %12.1f %8d %8d   %s\n", strings.TrimPrefix(p, "gatehouse/")+" "+s.name, s.nanoseconds, s.bytes, s.allocations, verdict)
		}
	}
	return missed, nil
}

// runSteps runs one package's benchmarks of these steps and no others, three
// times a third of d each: the best is what the code costs, the rest is what
// else the machine did.
func runSteps(ctx context.Context, pkg string, d time.Duration) ([]step, error) {
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Classify|Verify|Lookup|Decide|Login",
		"-benchmem", "-count", "3", "-benchtime", (d / 3).String(), pkg)
	text, err := authntest.Run(command)
	if err != nil {
		return nil, err
	}
	return parseSteps([]byte(text)), nil
}

// stepLine is `BenchmarkX/y-2  1000  123.4 ns/op  [other units]  8 B/op  1 allocs/op`.
var stepLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op.*?\s(\d+) B/op\s+(\d+) allocs/op`)

// parseSteps keeps the fastest line of each benchmark.
func parseSteps(text []byte) []step {
	var steps []step
	for line := range bytes.Lines(text) {
		m := stepLine.FindSubmatch(line)
		if m == nil {
			continue
		}
		s := step{name: string(m[1])} // the expression lets only numbers through
		s.nanoseconds, _ = strconv.ParseFloat(string(m[2]), 64)
		s.bytes, _ = strconv.ParseInt(string(m[3]), 10, 64)
		s.allocations, _ = strconv.ParseInt(string(m[4]), 10, 64)
		i := slices.IndexFunc(steps, func(other step) bool { return other.name == s.name })
		if i < 0 {
			steps = append(steps, s)
		} else if s.nanoseconds < steps[i].nanoseconds {
			steps[i] = s
		}
	}
	return steps
}

func (s step) verdict() (text string, missed bool) {
	most, ok := wholeSteps[s.name]
	if !ok {
		return "", false
	}
	text = fmt.Sprintf("<= %.0f ns and <= %d allocations", most, wholeAllocations)
	if s.nanoseconds > most || s.allocations > wholeAllocations {
		return text + ": MISSED", true
	}
	return text + ": met", false
}
