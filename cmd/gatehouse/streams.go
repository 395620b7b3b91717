package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
	"golang.org/x/time/rate"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy/audit"
)

// streams are where a running gateway writes.
type streams struct {
	stdout io.Writer
	access *slog.Logger // request records, to stdout
	log    *slog.Logger // all else, to stderr
	level  *slog.LevelVar
}

// queuedStreams hold nobody up: who reads our output may stop reading. flush writes
// what waits, at the end.
func queuedStreams(stdout, stderr io.Writer) (out streams, flush func()) {
	level := new(slog.LevelVar)
	tell := rate.NewLimiter(rate.Every(time.Minute), 1)
	second := audit.NewLines(func(line []byte) { _, _ = stderr.Write(line) }, func() {})
	out = streams{level: level, log: newLogger(second, isTerminal(stderr), level)}
	first := audit.NewLines(func(line []byte) { _, _ = stdout.Write(line) }, func() {
		if tell.Allow() {
			out.log.Error("request records are lost: what reads stdout is slower than they come")
		}
	})
	out.stdout, out.access = first, slog.New(audit.NewHandler(first))
	if isTerminal(stdout) {
		out.access = newLogger(first, true, slog.LevelInfo)
	}
	ctx, stop := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	writing.Go(func() { first.Run(ctx) })
	writing.Go(func() { second.Run(ctx) })
	return out, func() { stop(); writing.Wait() }
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newLogger writes text to a terminal and JSON to all else.
func newLogger(w io.Writer, terminal bool, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: audit.Clip}
	if terminal {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// errorLog takes what net/http has to say of broken connections: at most so many
// lines a second, because whoever breaks them decides how many there are.
func errorLog(to *slog.Logger) *log.Logger {
	return log.New(&boundedLog{log: to, limit: rate.NewLimiter(10, 50), panics: rate.NewLimiter(0.2, 5)}, "", 0)
}

// adoptStandardLog sends the same way what libraries write to the standard log: the
// HTTP client quotes there what an upstream sent unasked.
func adoptStandardLog(to *log.Logger) {
	log.SetFlags(0)
	log.SetOutput(to.Writer())
}

type boundedLog struct {
	log     *slog.Logger
	limit   *rate.Limiter // of lines
	panics  *rate.Limiter // of panics, which are faults of ours and come with their stack
	dropped atomic.Int64
}

// Write logs one line, or a panic with its stack.
func (b *boundedLog) Write(text []byte) (int, error) {
	line, stack, _ := strings.Cut(string(text), "\n")
	if (strings.HasPrefix(line, "http: panic serving ") || strings.HasPrefix(line, "http2: panic serving ")) && b.panics.Allow() {
		b.log.Error("a request ended in a panic", "error", config.Clip(line), "stack", stack)
		return len(text), nil
	}
	if !b.limit.Allow() {
		b.dropped.Add(1)
		return len(text), nil
	}
	b.log.Warn("connection", "error", config.Clip(line), "left_out", b.dropped.Swap(0))
	return len(text), nil
}
