// Command bench measures what Gatehouse costs: the real binary before a real
// distribution v3 registry, beside the same registry bare and behind an nginx that
// is nothing but a proxy, and the Go benchmarks of the steps that each request pays
// for; and the logins of people in a real slapd.
//
//	go run ./cmd/bench                        # about two minutes
//	go run ./cmd/bench -rounds 15 -sample 3s  # quieter figures
//	go run ./cmd/bench -strict                # status 1 where a target is missed
//
// Every figure is a median over interleaved rounds: each round takes one sample of
// each measure by each way, in an order that turns, so that a slow moment of the
// machine hits all ways alike. Ratios are the medians of each round's own ratio.
// Client, proxies and registry share this machine's processors, so absolute figures
// say little; the ratios say what a request gains or loses by its way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	if o.bare != nil {
		fmt.Fprintln(os.Stderr, "bench:", serveBare(o.bare))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures and prints; it leaves no process and no file but the registry's binary
// in the user's cache, and the page.
func run(ctx context.Context, out io.Writer, o options) error {
	var tables strings.Builder
	both := io.MultiWriter(out, &tables)
	fmt.Fprintf(both, "%s, %d processors, %s/%s; %d rounds of %s, blobs of %d MiB; load before: %s\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, o.sample, o.blobSize>>20, machineLoad())
	drawings, missed, err := benchProxies(ctx, out, both, o)
	if err != nil {
		return err
	}
	steps, err := benchSteps(ctx, both, o)
	if err != nil {
		return err
	}
	directory, err := benchDirectory(ctx, both, o)
	if err != nil {
		return err
	}
	missed += steps + directory
	fmt.Fprintf(both, "\n%d targets missed\n", missed)
	if o.page != "" {
		if err := writePage(o.page, tables.String(), drawings); err != nil {
			return err
		}
	}
	if o.strict && missed > 0 {
		return errors.New("targets were missed")
	}
	return nil
}

// machineLoad is the load average of the last minute, which tells whether the machine was idle.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// benchProxies starts everything, measures, and prints the tables; notes of what is not at
// hand go to the first writer.
func benchProxies(ctx context.Context, notes, out io.Writer, o options) (drawings map[string]chart, missed int, err error) {
	h, err := startHouse(ctx, notes, o)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	l, err := prepare(ctx, h, o)
	if err != nil {
		return nil, 0, err
	}
	all := slices.DeleteFunc(measures(l), func(m *measure) bool { return !strings.HasPrefix(m.line(), o.only) })
	if len(all) == 0 && o.only != memoryOnly {
		return nil, 0, fmt.Errorf("no measure's line begins with %q", o.only)
	}
	if err := rounds(ctx, all, h.endpoints, o); err != nil {
		return nil, 0, errors.Join(err, h.tails())
	}
	if len(all) > 0 {
		printTable(out, all)
		missed = printTargets(out, all)
		printOthers(out, all)
	}
	if o.only != "" && o.only != memoryOnly {
		return nil, missed, nil
	}
	f, err := benchMemory(ctx, h)
	if err != nil {
		return nil, missed, errors.Join(err, h.tails())
	}
	missed += f.print(out)
	if o.page == "" {
		return nil, missed, nil
	}
	c, err := benchCurves(ctx, l, o)
	return charts(c, f), missed, err
}
