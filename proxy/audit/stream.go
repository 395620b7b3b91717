package audit

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gatehouse/metrics"
)

// Stream writes the records: JSON, a line each, to a file of its own or to stdout. It
// outlives reloads. Records that strangers can cause are sampled, each kind for
// itself, and the next record of the kind says how many were left out. A record that
// cannot be written is counted and told, and stops nothing. It is safe for concurrent
// use.
type Stream struct {
	stdout  io.Writer
	log     *slog.Logger
	metrics *metrics.Metrics
	lines   *Lines
	sampler sampler
	name    atomic.Pointer[string] // of the file; nil: off, and nobody need make a record
	records *slog.Logger
	tell    *rate.Limiter // of the log's lines about records that are lost

	// What follows belongs to whoever works through lines.
	out     io.WriteCloser // nil: off
	torn    bool           // the last line was written in part
	failing bool           // told once, until it works again
}

const leftOutPeriod = 10 * time.Second // after which what was left out is told, come what may

// Options are what a Stream is made of.
type Options struct {
	Stdout  io.Writer        // for the file "-"
	Log     *slog.Logger     // of what goes wrong; it must not block
	Metrics *metrics.Metrics // nil: none
	// Replace is the slog.HandlerOptions.ReplaceAttr of all values; nil: as they are.
	Replace func(groups []string, a slog.Attr) slog.Attr
}

// New returns a stream that is off.
func New(o Options) *Stream {
	s := &Stream{stdout: o.Stdout, log: o.Log, metrics: o.Metrics, tell: rate.NewLimiter(rate.Every(time.Minute), 1)}
	s.lines = NewLines(s.write, s.lost)
	shape := &slog.HandlerOptions{ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		switch {
		case attr.Key == slog.MessageKey:
			attr.Key = "event"
		case attr.Key == slog.LevelKey:
			return slog.Attr{}
		}
		if o.Replace == nil {
			return attr
		}
		return o.Replace(groups, attr)
	}}
	s.records = slog.New(&handler{slog.NewJSONHandler(s.lines, shape), s})
	return s
}

// Records is where events go: the message is an Event, the attribute result, which
// comes first, a Result.
func (s *Stream) Records() *slog.Logger { return s.records }

// Record writes the record of an event that is nobody's request.
func (s *Stream) Record(e Event, attrs ...any) { s.records.Info(string(e), attrs...) }

type always struct{}

// Always is a context of records that are never left out, whoever caused them.
func Always(ctx context.Context) context.Context {
	return context.WithValue(ctx, always{}, true)
}

// handler leaves out what is too much.
type handler struct {
	slog.Handler
	stream *Stream
}

// Enabled reports whether there is a stream at all.
func (h *handler) Enabled(context.Context, slog.Level) bool { return h.stream.name.Load() != nil }

// Handle queues a record, or counts it as left out.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	leftOut, ok := 0, ctx.Value(always{}) != nil
	if !ok {
		leftOut, ok = h.stream.sampler.admit(r)
	}
	if !ok {
		h.stream.metrics.AuditRecord("left_out")
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

// write writes one line.
func (s *Stream) write(line []byte) {
	if s.out == nil {
		return
	}
	if s.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := s.out.Write(line)
	s.torn = err != nil && (n > 0 || s.torn)
	if err != nil {
		s.metrics.AuditRecord("failed")
	} else {
		s.metrics.AuditRecord("written")
	}
	switch {
	case err != nil && !s.failing:
		s.log.Error("audit records cannot be written; the gateway serves on without them", "file", s.current(), "error", reason(err).Error())
	case err == nil && s.failing:
		s.log.Info("audit records are written again", "file", s.current())
	}
	s.failing = err != nil
}

// lost counts a record for which there was no room.
func (s *Stream) lost() {
	s.metrics.AuditRecord("failed")
	if s.tell.Allow() {
		s.log.Error("audit records come faster than they can be written; the gateway serves on without some of them", "file", s.current())
	}
}

// current is the file's name, empty where the stream is off.
func (s *Stream) current() string {
	if name := s.name.Load(); name != nil {
		return *name
	}
	return ""
}

// Use takes a stream that Open opened (nil: off), and closes the old one after what
// waits for it.
func (s *Stream) Use(name string, out io.WriteCloser, perSecond int) {
	s.sampler.configure(perSecond)
	if out == nil {
		s.name.Store(nil)
	} else {
		s.name.Store(&name)
	}
	s.swap(out)
}

func (s *Stream) swap(out io.WriteCloser) {
	s.lines.Do(func() {
		if s.out != nil {
			if err := s.out.Close(); err != nil {
				s.log.Error("the audit file could not be closed", "error", reason(err).Error())
			}
		}
		s.out, s.torn, s.failing = out, false, false
	})
}

// Reopen begins the file again by its name: the old one was moved away.
func (s *Stream) Reopen() {
	name := s.current()
	if name == "" || name == "-" {
		return
	}
	out, err := s.Open(name)
	if err != nil {
		s.log.Error("the audit file cannot be opened again; the old one goes on", "file", name, "error", err.Error())
		return
	}
	s.swap(out)
	s.log.Info("audit file opened again", "file", name)
}

// Run writes, and tells from time to time what was left out, until ctx ends.
func (s *Stream) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.lines.Run(working)
	}()
	ticker := time.NewTicker(leftOutPeriod)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		s.tellLeftOut()
	}
	stop()
	<-ended
	return nil
}

// Close ends the stream after what waits. It comes after Run, or in its place.
func (s *Stream) Close() {
	s.Use("", nil, 0)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.lines.Run(ctx)
}

// tellLeftOut makes a record for each kind of which some were left out.
func (s *Stream) tellLeftOut() {
	for kind, n := range s.sampler.leftOut() {
		s.Record(LeftOut, "of", kind, "count", n)
	}
}
