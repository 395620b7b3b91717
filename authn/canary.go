package authn

import (
	"context"
	"errors"
	"fmt"
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

// canary says whether what the directory does not show is to be believed.
type canary struct {
	turn  chan struct{} // who asks holds it; guards the rest
	asked time.Time
	err   error
}

// confirmed returns refusal, or a fault in its place where the canary is not shown
// either: asked for where a person who was known is suddenly absent, or somebody's
// entry shows no name.
func (c *Cache) confirmed(ctx context.Context, refusal error, known func() bool) error {
	doubtful := errors.Is(refusal, ErrNameless)
	if errors.Is(refusal, ErrAbsent) {
		c.mu.Lock()
		doubtful = known()
		c.mu.Unlock()
	}
	if !doubtful {
		return refusal
	}
	if err := c.askCanary(ctx, time.Now()); err != nil {
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errCanary, err)
	}
	return refusal
}

// askCanary asks for the canary, or repeats an answer: a bad one for a while, a
// good one only if it was asked for after somebody was found absent, since a right
// may go missing between the two.
func (c *Cache) askCanary(ctx context.Context, absent time.Time) error {
	select {
	case c.canary.turn <- struct{}{}:
		defer func() { <-c.canary.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	recent := c.canary.err != nil && time.Since(c.canary.asked) < canaryEvery
	if recent || !c.canary.asked.Before(absent) {
		return c.canary.err
	}
	c.canary.asked = time.Now()
	c.canary.err = c.src.Canary(ctx)
	if c.canary.err != nil {
		c.cfg.Metrics.LDAPEvent(c.Name(), metrics.LDAPCanaryFailure)
		c.cfg.Logger.Error(errCanary.Error(), "directory", c.Name(), "error", c.canary.err)
	}
	return c.canary.err
}

// lost counts a known person who is absent, and raises the alarm where it is many.
func (c *Cache) lost() {
	c.cfg.Metrics.LDAPEvent(c.Name(), metrics.LDAPAbsent)
	now := time.Now()
	c.losses = append(c.losses, now)
	if len(c.losses) <= massAbsence {
		return
	}
	if now.Sub(c.losses[0]) < massWindow {
		c.cfg.Metrics.LDAPEvent(c.Name(), metrics.LDAPMassAbsence)
		c.cfg.Logger.Error("many known people are gone: was something deleted or hidden by mistake?",
			"directory", c.Name(), "people", len(c.losses), "within", massWindow)
		c.losses = nil
		return
	}
	c.losses = c.losses[1:]
}
