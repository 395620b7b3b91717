package proxy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/tokens/store"
)

// leaseTimes are those of a lease.
type leaseTimes struct {
	term    time.Duration // after which a tag is free whose gateway has died
	renewal time.Duration // how often it is renewed while a push runs
	look    time.Duration // how often it is seen whether a tag is free, or the store back
	margin  time.Duration // how long before its end one that cannot be renewed counts as lost
}

var usualLease = leaseTimes{30 * time.Second, 10 * time.Second, 50 * time.Millisecond, time.Second}

// leaseLimit is the time to give one back.
const leaseLimit = 5 * time.Second

// sharedHolds keep tags to one push at a time, of this process and, where gateways share a
// store, of all of them: between the question what a tag names and the answer to the push
// nobody else may move it.
type sharedHolds struct {
	local  *localHolds
	shared atomic.Pointer[store.Store] // nil: of this process alone
	times  leaseTimes
}

// hold waits for all of the tags, which are sorted and each there once. The error is ctx'
// where that ended first, and store.ErrUnavailable where the store is away.
func (h *sharedHolds) hold(ctx context.Context, repository string, tags []string) (*lease, error) {
	leave, err := h.local.hold(ctx, repository, tags)
	if err != nil {
		return nil, err
	}
	l := &lease{times: h.times, leave: leave}
	if shared := h.shared.Load(); shared != nil {
		names := make([]string, len(tags))
		for i, tag := range tags {
			names[i] = leaseName(repository, tag)
		}
		l.kept = shared.NewLease(names, h.times.term)
	}
	if l.kept == nil {
		return l, nil
	}
	if err := l.take(ctx); err != nil {
		l.release()
		return nil, err
	}
	l.keep()
	return l, nil
}

// leaseName is what a tag is called in the store.
func leaseName(repository, tag string) string {
	sum := sha256.Sum256([]byte(repository + ":" + tag))
	return hex.EncodeToString(sum[:16])
}

var (
	// errLost is of a push that held its tags no more when it was about to be sent.
	errLost = errors.New("the tag could not be held against pushes through other gateways, so nothing was pushed")
	// errLostSent is of one that was sent by then.
	errLostSent = errors.New("the tag could not be held against pushes through other gateways until the registry had answered, so it is not known what became of the push")
)

// lease is tags that one push holds; nil: none.
type lease struct {
	leave func()       // lets go of them in this process
	kept  *store.Lease // the same in the store; nil: they are held in this process alone
	times leaseTimes
	until atomic.Pointer[time.Time] // the end of the term

	keeping sync.WaitGroup
	stop    context.CancelFunc // of keeping
	gone    context.Context    // done where they are held no more, though the push goes on
}

// take waits until the tags are free in the store.
func (l *lease) take(ctx context.Context) error {
	look := time.NewTicker(l.times.look)
	defer look.Stop()
	for {
		until, err := l.kept.Take(ctx)
		l.until.Store(&until)
		if !errors.Is(err, store.ErrHeld) {
			return cmp.Or(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// keep renews the lease until it is released, or lost.
func (l *lease) keep() {
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	gone, lose := context.WithCancel(context.Background())
	l.gone = gone
	l.keeping.Go(func() {
		wait := l.times.renewal
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			err := l.renew(ctx)
			if ctx.Err() == nil && (errors.Is(err, store.ErrHeld) || err != nil && time.Until(l.safe()) <= 0) {
				lose()
				return
			}
			if wait = l.times.renewal; err != nil {
				wait = l.times.look
			}
		}
	})
}

// safe is until when the tags are surely held.
func (l *lease) safe() time.Time { return l.until.Load().Add(-l.times.margin) }

// renew holds the tags for another term, if that can be done before the end of this one.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, l.safe())
	defer cancel()
	until, err := l.kept.Renew(ctx)
	if err == nil {
		l.until.Store(&until)
	}
	return err
}

// during makes sure, right before the push is sent, that its tags are held, and were ever
// since they were taken. The context that it returns ends where they are not any more.
func (l *lease) during(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if l == nil || l.kept == nil {
		return ctx, func() {}, nil
	}
	if err := cmp.Or(l.gone.Err(), l.renew(ctx)); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errLost, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.gone, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

// outcome is the error of a push that was sent.
func (l *lease) outcome(err error) error {
	if err == nil || l == nil || l.kept == nil || l.gone.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %v", errLostSent, err)
}

// release lets go of what is still held; what cannot be given back ends by itself.
func (l *lease) release() {
	if l == nil {
		return
	}
	if l.kept != nil {
		if l.stop != nil {
			l.stop()
			l.keeping.Wait()
		}
		ctx, cancel := context.WithTimeout(context.Background(), leaseLimit)
		defer cancel()
		_ = l.kept.Give(ctx) // the store tells what is wrong with it
	}
	l.leave()
}
