package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// leaser is a store that is shared, of a real Redis.
func leaser(t *testing.T) *Store {
	_, section := redisServer(t)
	b, err := NewShared(section)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return Watched(b, Config{}, nil, nil)
}

// TestLease: one owner at a time has names, all of them or none; what ended, or was given
// back, is not renewed.
func TestLease(t *testing.T) {
	s, ctx := leaser(t), t.Context()
	one, two := s.NewLease([]string{"a", "b"}, time.Minute), s.NewLease([]string{"b", "c"}, time.Minute)
	began := time.Now()
	until, err := one.Take(ctx)
	if err != nil || until.Before(began.Add(time.Minute)) || until.After(time.Now().Add(time.Minute)) {
		t.Errorf("%s %v", until, err)
	}
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err = one.Take(ctx)
	want("taken again, for the first answer may have been lost", err, nil)
	_, err = two.Take(ctx)
	want("b is held", err, ErrHeld)
	_, err = two.Renew(ctx)
	want("never taken", err, ErrHeld)
	want("what is another's", two.Give(ctx), nil)
	_, err = one.Renew(ctx)
	want("held", err, nil)
	want("given back", one.Give(ctx), nil)
	_, err = one.Renew(ctx)
	want("held no more", err, ErrHeld)
	_, err = two.Take(ctx)
	want("free", err, nil)

	short := s.NewLease([]string{"d"}, 50*time.Millisecond)
	if _, err := short.Take(ctx); err != nil {
		t.Fatal(err)
	}
	next := s.NewLease([]string{"d"}, time.Minute)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // Redis tells nobody that a term is over
		if _, err = next.Take(ctx); err == nil {
			break
		}
		if !errors.Is(err, ErrHeld) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	_, err = short.Renew(ctx)
	want("its term is over", err, ErrHeld)

	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = next.Renew(gone)
	want("asked by somebody who has gone", err, context.Canceled)
	f, _ := newFile(t)
	if Watched(f, Config{}, nil, nil).NewLease([]string{"a"}, time.Minute) != nil {
		t.Error("a file is shared")
	}
}

// TestLeaseCrowd: of many who take it at once one has it.
func TestLeaseCrowd(t *testing.T) {
	s := leaser(t)
	var inside, most, had atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 10 {
				l := s.NewLease([]string{"x", "y"}, time.Minute)
				if _, err := l.Take(t.Context()); err != nil {
					continue
				}
				had.Add(1)
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				if err := l.Give(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if all.Wait(); most.Load() != 1 || had.Load() == 0 {
		t.Errorf("%d at once, %d in all", most.Load(), had.Load())
	}
}
