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
	"time"
)

// options are the flags.
type options struct {
	rounds   int
	sample   time.Duration // at least, of one measure by one way
	blobSize int           // bytes
	workers  int           // of the manifest load
	gobench  time.Duration // -benchtime of the Go benchmarks; 0: none
	tuned    bool
	strict   bool
	only     string
}

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

func parse(arguments []string, messages io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(messages)
	set.IntVar(&o.rounds, "rounds", 5, "samples of each measure by each way")
	set.DurationVar(&o.sample, "sample", time.Second, "least `time` of one sample")
	mebibytes := set.Int("blob", 128, "size of the blob in `MiB`")
	set.IntVar(&o.workers, "workers", 8, "clients that ask for manifests at once")
	set.DurationVar(&o.gobench, "gobench", time.Second, "`time` of each Go benchmark; 0: none")
	set.BoolVar(&o.tuned, "tuned", false, "give nginx buffers of 256 KiB")
	set.StringVar(&o.only, "only", "", "take only measures whose line begins with this `text` (\"blob push MB/s TLS\")")
	set.BoolVar(&o.strict, "strict", false, "status 1 where a target is missed")
	if err := set.Parse(arguments); err != nil {
		return o, err
	}
	o.blobSize = *mebibytes << 20
	if set.NArg() > 0 || o.rounds < 1 || *mebibytes < 1 || o.workers < 1 || o.sample < 0 {
		fmt.Fprintln(messages, "Example: go run ./cmd/bench -rounds 9 -blob 256")
		set.Usage()
		return o, errors.New("usage")
	}
	return o, nil
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
	if err := rounds(ctx, load, all, h.ways, o); err != nil {
		return 0, errors.Join(err, h.tails())
	}
	return printTable(out, all), nil
}
