package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gatehouse/metrics"
)

// audit is the stream of audit records: JSON, a line each, to a file of its own or
// to stdout. It outlives reloads. Records that a stranger can cause in any number
// (logins, denials, throttles) are sampled, each kind for itself, and the next
// record of the kind says how many were left out; what was changed is always
// written. A record that cannot be written is counted and told, and stops nothing.
type audit struct {
	stdout  io.Writer
	log     *slog.Logger
	metrics *metrics.Metrics

	on atomic.Bool // out is there; asked by every request

	mu      sync.Mutex
	name    string
	out     io.WriteCloser // nil: off
	torn    bool           // the last line was written in part
	failing bool           // told once, until it works again
	rate    rate.Limit
	kinds   map[string]*sampled // by event and result
}

// sampled is one kind of record.
type sampled struct {
	limit   *rate.Limiter
	leftOut int
}

const leftOutPeriod = 10 * time.Second // after which what was left out is told, come what may

// logger is where events go: the message is the event, the attribute result says how it ended.
func (a *audit) logger() *slog.Logger {
	shape := &slog.HandlerOptions{ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		switch attr.Key {
		case slog.MessageKey:
			attr.Key = "event"
		case slog.LevelKey:
			return slog.Attr{}
		}
		return clipAttr(groups, attr)
	}}
	return slog.New(&auditHandler{Handler: slog.NewJSONHandler(a, shape), audit: a})
}

// auditHandler leaves out what is too much.
type auditHandler struct {
	slog.Handler
	audit *audit
}

// Enabled says whether there is a stream at all.
func (h *auditHandler) Enabled(context.Context, slog.Level) bool { return h.audit.on.Load() }

// Handle writes a record, or counts it as left out.
func (h *auditHandler) Handle(ctx context.Context, r slog.Record) error {
	leftOut, ok := h.audit.take(r)
	if !ok {
		h.audit.metrics.AuditRecord("left_out")
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

// take says whether a record is to be written, and how many of its kind were not.
func (a *audit) take(r slog.Record) (leftOut int, ok bool) {
	switch r.Message {
	case "login", "token", "throttle", "denied":
	default:
		return 0, true
	}
	kind := r.Message
	r.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "result" {
			kind += "/" + attr.Value.String()
		}
		return attr.Key != "result"
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.kinds[kind]
	if s == nil {
		s = &sampled{limit: rate.NewLimiter(a.rate, burstOf(a.rate))}
		a.kinds[kind] = s
	}
	if !s.limit.Allow() {
		s.leftOut++
		return 0, false
	}
	leftOut, s.leftOut = s.leftOut, 0
	return leftOut, true
}

func burstOf(r rate.Limit) int { return max(int(10*r), 1) }

// Write writes one line. Its error is for nobody: the gateway serves on.
func (a *audit) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.out == nil {
		return len(line), nil
	}
	if a.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := a.out.Write(line)
	a.torn = err != nil && (n > 0 || a.torn)
	a.told(err)
	return len(line), nil
}

// told counts, and logs the first failure and the end of failures.
func (a *audit) told(err error) {
	switch {
	case err != nil:
		a.metrics.AuditRecord("failed")
		if !a.failing {
			a.log.Error("audit records cannot be written; the gateway serves on without them", "file", a.name, "error", reason(err).Error())
		}
	default:
		a.metrics.AuditRecord("written")
		if a.failing {
			a.log.Info("audit records are written again", "file", a.name)
		}
	}
	a.failing = err != nil
}

// open opens the stream that a config names; nil: off. Nothing changes until use.
func (a *audit) open(name string) (io.WriteCloser, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return unclosed{a.stdout}, nil
	}
	if err := auditable(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, reason(err)
	}
	return f, nil
}

// unclosed is stdout, which is not ours to close.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// auditable says what is wrong with an audit file that is there already.
func auditable(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return reason(err)
	case !info.Mode().IsRegular():
		return errors.New("it is no ordinary file")
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("it can be written by others (mode %04o); chmod go-w it", info.Mode().Perm())
	}
	return nil
}

// use takes a stream that was opened, and closes the old one.
func (a *audit) use(name string, out io.WriteCloser, perSecond int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.out != nil {
		a.close(a.out)
	}
	if r := rate.Limit(perSecond); r != a.rate || a.kinds == nil {
		a.rate, a.kinds = r, map[string]*sampled{}
	}
	a.name, a.out, a.torn, a.failing = name, out, false, false
	a.on.Store(out != nil)
}

func (a *audit) close(out io.WriteCloser) {
	if err := out.Close(); err != nil {
		a.log.Error("the audit file could not be closed", "file", a.name, "error", reason(err).Error())
	}
}

// reopen is for USR1: the file was moved away, and a new one shall begin.
func (a *audit) reopen() {
	a.mu.Lock()
	name, per := a.name, a.rate
	a.mu.Unlock()
	if name == "" || name == "-" {
		return
	}
	out, err := a.open(name)
	if err != nil {
		a.log.Error("the audit file cannot be opened anew; the old one goes on", "file", name, "error", err.Error())
		return
	}
	a.use(name, out, int(per))
	a.log.Info("audit file opened anew", "file", name)
}

// run tells from time to time what was left out, until ctx ends.
func (a *audit) run(ctx context.Context, to *slog.Logger) error {
	ticker := time.NewTicker(leftOutPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			a.flush(to)
			return nil
		case <-ticker.C:
			a.flush(to)
		}
	}
}

// flush writes a record for each kind of which some were left out.
func (a *audit) flush(to *slog.Logger) {
	a.mu.Lock()
	left := map[string]int{}
	for kind, s := range a.kinds {
		if s.leftOut > 0 {
			left[kind], s.leftOut = s.leftOut, 0
		}
	}
	a.mu.Unlock()
	for kind, n := range left {
		to.Info("left_out", "of", kind, "count", n)
	}
}

// reason is an error without the path that the message names already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
