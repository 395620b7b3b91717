package store

import (
	"context"
	"crypto/rand"
	_ "embed" // the script
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrHeld: somebody else has the lease, or had it since.
var ErrHeld = errors.New("held by another gateway")

//go:embed lease.lua
var leaseText string

var leaseScript = redis.NewScript(leaseText)

// Lease is names that one gateway holds, of all that share a store, until it gives them
// back or its term is over by the server's clock. Each lease has an owner that no other
// ever had, so one that was lost never passes for held.
type Lease struct {
	store  *Store
	shared *Shared
	keys   []string
	owner  string
	term   time.Duration
}

// NewLease holds nothing yet. nil: nobody shares the store.
func (s *Store) NewLease(names []string, term time.Duration) *Lease {
	shared, ok := s.Backend.(*Shared)
	if !ok {
		return nil
	}
	l := &Lease{store: s, shared: shared, owner: rand.Text(), term: term}
	for _, name := range names {
		l.keys = append(l.keys, shared.prefix+"held/"+name)
	}
	return l
}

// Take holds all of the names, or none: ErrHeld. Until is when they are free again, on the
// safe side. Where the store is at fault they may be held all the same.
func (l *Lease) Take(ctx context.Context) (until time.Time, err error) { return l.want(ctx, "take") }

// Renew holds them for another term; ErrHeld where one of them was not held any more, if
// only for a moment.
func (l *Lease) Renew(ctx context.Context) (until time.Time, err error) { return l.want(ctx, "renew") }

// Give lets go of those that are still held.
func (l *Lease) Give(ctx context.Context) error {
	_, err := l.want(ctx, "give")
	return err
}

func (l *Lease) want(ctx context.Context, what string) (until time.Time, err error) {
	until = time.Now().Add(l.term) // which is before the server's
	done, err := leaseScript.Run(ctx, l.shared.client, l.keys, what, l.owner, l.term.Milliseconds()).Int()
	if err = l.store.told("lease", unavailable(err)); err == nil && done == 0 {
		err = ErrHeld
	}
	return until, err
}
