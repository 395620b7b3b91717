package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/tokens/store"
)

const (
	leaseTerm    = 30 * time.Second // after which a tag is free whose gateway has died
	leaseRenewal = 10 * time.Second
	leaseLook    = 50 * time.Millisecond // how often it is seen whether a tag is free
	leaseLimit   = 5 * time.Second       // to give one back
)

// sharedHolds keep tags to one push at a time, of this process and, where gateways share a
// store, of all of them.
type sharedHolds struct {
	local  *localHolds
	shared atomic.Pointer[store.Store] // nil: of this process alone
}

// hold is of tagHolds. Where the store is away its error is store.ErrUnavailable.
func (h *sharedHolds) hold(ctx context.Context, repository string, tags []string) (release func(), err error) {
	leave, err := h.local.hold(ctx, repository, tags)
	shared := h.shared.Load()
	if err != nil || shared == nil {
		return leave, err
	}
	l := &lease{store: shared, owner: rand.Text()}
	for _, tag := range tags {
		if err = l.take(ctx, leaseTable(repository, tag)); err != nil {
			l.give()
			leave()
			return nil, err
		}
	}
	stop := l.renewing()
	return func() { stop(); l.give(); leave() }, nil
}

// leaseTable is where the lease of a tag is: a table of its own, so that pushes of other
// tags change nothing there.
func leaseTable(repository, tag string) string {
	sum := sha256.Sum256([]byte(repository + ":" + tag))
	return "held:" + hex.EncodeToString(sum[:16])
}

const leaseKey = "lease"

// leaseRecord is who holds a tag.
type leaseRecord struct {
	Owner string    `json:"owner"`
	Fence int64     `json:"fence"` // grows with each holder
	Until time.Time `json:"until"`
}

var errHeld = errors.New("another gateway holds the tag")

// lease is what one push holds in the store.
type lease struct {
	store  *store.Store
	owner  string
	tables []string
}

// take waits until the tag is free.
func (l *lease) take(ctx context.Context, table string) error {
	look := time.NewTicker(leaseLook)
	defer look.Stop()
	for {
		err := l.update(ctx, table, true)
		switch {
		case err == nil:
			l.tables = append(l.tables, table)
			return nil
		case !errors.Is(err, errHeld):
			l.tables = append(l.tables, table) // it may be held all the same
			return cmp.Or(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// update writes a new end of the lease, or errHeld. A fresh one may take the place of a
// lease that is over.
func (l *lease) update(ctx context.Context, table string, fresh bool) error {
	return l.store.Update(ctx, table, func(kept map[string][]byte) ([]store.Write, error) {
		var r leaseRecord
		now := time.Now()
		if text, ok := kept[leaseKey]; ok {
			if err := json.Unmarshal(text, &r); err != nil {
				return nil, err
			}
		}
		if r.Owner != l.owner && (!fresh || now.Before(r.Until)) {
			return nil, errHeld
		}
		if r.Owner != l.owner {
			r.Owner, r.Fence = l.owner, max(r.Fence+1, now.UnixNano())
		}
		r.Until = now.Add(leaseTerm)
		text, err := json.Marshal(r)
		return []store.Write{{Table: table, Key: leaseKey, Value: text}}, err
	})
}

// renewing goes on until stop returns.
func (l *lease) renewing() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		renewal := time.NewTicker(leaseRenewal)
		defer renewal.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-renewal.C:
				for _, table := range l.tables {
					_ = l.update(ctx, table, false) // the store tells what is wrong with it
				}
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// give lets go of what is still held; what cannot be given back ends by itself.
func (l *lease) give() {
	ctx, cancel := context.WithTimeout(context.Background(), leaseLimit)
	defer cancel()
	for _, table := range l.tables {
		_ = l.store.Update(ctx, table, func(kept map[string][]byte) ([]store.Write, error) {
			var r leaseRecord
			if err := json.Unmarshal(kept[leaseKey], &r); err != nil || r.Owner != l.owner {
				return nil, nil
			}
			return []store.Write{{Table: table, Key: leaseKey}}, nil
		})
	}
}
