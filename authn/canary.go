package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"gatehouse/metrics"
)

const (
	// canaryEvery is how long a canary that is not shown counts.
	canaryEvery = 10 * time.Second
	// massAbsence is how many known people may be gone within massWindow before
	// that is an alarm.
	massAbsence = 5
	massWindow  = time.Minute
)

// errCanary is the fault where the directory does not show what must be there.
var errCanary = errors.New("a known person is not shown, and the canary is not either: a right of the service account or the config is at fault")

// canary tells whether what a directory does not show is to be believed.
type canary struct {
	directory string
	ask       func(context.Context) error // the source's Canary
	metrics   *metrics.Metrics
	log       *slog.Logger

	seen  atomic.Pointer[CanaryState] // nil: it was never asked for
	turn  chan struct{}               // who asks holds it; guards the rest
	asked time.Time
	err   error
}

func newCanary(src Source, cfg CacheConfig) *canary {
	return &canary{directory: src.Name(), ask: src.Canary, metrics: cfg.Metrics, log: cfg.Logger, turn: make(chan struct{}, 1)}
}

// confirmed returns refusal, or a fault in its place where the canary is not shown
// either: asked for where a person who was known is suddenly absent, or somebody's
// entry shows no name.
func (c *canary) confirmed(ctx context.Context, refusal error, known func() bool) error {
	if doubtful := errors.Is(refusal, ErrNameless) || errors.Is(refusal, ErrAbsent) && known(); !doubtful {
		return refusal
	}
	if err := c.shown(ctx, time.Now()); err != nil {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errCanary, err)
	}
	return refusal
}

// shown asks for the canary, or repeats an answer: a bad one for a while, a good
// one only if it was asked for after somebody was found absent, since a right may
// go missing between the two.
func (c *canary) shown(ctx context.Context, absent time.Time) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	recent := c.err != nil && time.Since(c.asked) < canaryEvery
	if recent || !c.asked.Before(absent) {
		return c.err
	}
	c.asked = time.Now()
	c.err = c.ask(ctx)
	c.seen.Store(&CanaryState{Asked: c.asked, Shown: c.err == nil})
	if c.err != nil {
		c.metrics.LDAPEvent(c.directory, metrics.LDAPCanaryFailure)
		c.log.Error(errCanary.Error(), "directory", c.directory, "error", c.err)
	}
	return c.err
}

// last is what was seen of it; it waits for nobody.
func (c *canary) last() CanaryState {
	if seen := c.seen.Load(); seen != nil {
		return *seen
	}
	return CanaryState{}
}

// losses are when known people were found absent, the last few times.
type losses []time.Time

// add takes in one more, and returns how many there were lately where that is an
// alarm, else 0. After an alarm it starts over.
func (l *losses) add(now time.Time) (alarm int) {
	*l = append(*l, now)
	switch n := len(*l); {
	case n <= massAbsence:
	case now.Sub((*l)[0]) < massWindow:
		*l = nil
		return n
	default:
		*l = (*l)[1:]
	}
	return 0
}
