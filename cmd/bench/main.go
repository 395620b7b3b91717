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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures and prints; it leaves no process and no file behind but the
// registry's binary in the user's cache.
func run(ctx context.Context, out io.Writer, o options) error {
	fmt.Fprintf(out, "%s, %d processors, %s/%s; %d rounds of %s, blobs of %d MiB, %d manifest clients\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, o.sample, o.blobSize>>20, o.workers)
	proxied, err := benchProxies(ctx, out, o)
	if err != nil {
		return err
	}
	steps, err := benchSteps(ctx, out, o)
	if err != nil {
		return err
	}
	directory, err := benchDirectory(ctx, out, o)
	if err != nil {
		return err
	}
	missed := proxied + steps + directory
	fmt.Fprintf(out, "\n%d targets missed\n", missed)
	if o.strict && missed > 0 {
		return errors.New("targets were missed")
	}
	return nil
}

// benchProxies starts everything, measures, and prints the table.
func benchProxies(ctx context.Context, out io.Writer, o options) (missed int, err error) {
	all := slices.DeleteFunc(measures(), func(m *measure) bool { return !strings.HasPrefix(m.line(), o.only) })
	if len(all) == 0 {
		return 0, fmt.Errorf("no measure's line begins with %q", o.only)
	}
	h, err := startHouse(ctx, out, o.tuned)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	load, err := prepare(ctx, h, o)
	if err != nil {
		return 0, err
	}
	if err := rounds(ctx, load, all, h.endpoints, o); err != nil {
		return 0, errors.Join(err, h.tails())
	}
	return printTable(out, all), nil
}
