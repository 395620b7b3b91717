package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"gatehouse/cmd/gatehouse/kept"
	"gatehouse/proxy/freeze"
	"gatehouse/tokens/store"
)

const (
	freezePeriod = time.Second // after which other gateways know of a freeze
	countsPeriod = time.Minute
	keptLimit    = 10 * time.Second // for one look
)

// followFreeze takes in what other gateways, or this one before a restart, froze. While the
// store is at fault it stays as last seen; known is false then.
func (s *server) followFreeze(ctx context.Context) (known bool) {
	state := s.shared.Load.Freeze()
	before := state.Seen()
	text, err := s.store.Get(ctx, kept.FreezeTable, kept.FreezeKey)
	var order *freeze.Order
	switch {
	case errors.Is(err, store.ErrNone) && before.Held(time.Now()):
		return s.restoreFreeze(ctx, before)
	case errors.Is(err, store.ErrNone):
	case err != nil:
		return false
	default:
		if order, err = freeze.Read(text); err != nil {
			s.log.Error("the freeze in the store cannot be read; it stays as it was", "error", err.Error())
			return false
		}
	}
	if state.Follow(before, order) {
		s.log.Warn("the freeze is as the store has it now", "freeze", state.Now().String())
	}
	return true
}

// restoreFreeze writes an order again that the store has lost, a Redis that came back empty
// say, unless somebody was quicker.
func (s *server) restoreFreeze(ctx context.Context, o *freeze.Order) (done bool) {
	text, err := json.Marshal(o)
	if err != nil {
		return false
	}
	var lost bool
	err = s.store.Update(ctx, kept.FreezeTable, func(now map[string][]byte) ([]store.Write, error) {
		if lost = now[kept.FreezeKey] == nil; !lost {
			return nil, nil
		}
		return []store.Write{{Table: kept.FreezeTable, Key: kept.FreezeKey, Value: text}}, nil
	})
	if err == nil && lost {
		s.log.Warn("the store has lost the freeze; it goes on and is written again", "freeze", o.String())
	}
	return err == nil
}

// keepCounts adds what was counted to what the store has.
func (s *server) keepCounts(ctx context.Context) { kept.Counts(ctx, s.store, s.shared.Load.Counts()) }

// keep follows the freeze and keeps the counts, until ctx ends, and then once more.
func (s *server) keep(ctx context.Context) error {
	if s.store == nil {
		return nil
	}
	var next time.Time
	err := every(ctx, freezePeriod, func() {
		s.followFreeze(ctx)
		if now := time.Now(); now.After(next) {
			next = now.Add(countsPeriod)
			s.keepCounts(ctx)
		}
	})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keptLimit)
	defer cancel()
	s.keepCounts(last)
	return err
}

// recall takes in a freeze, and what was counted, before the first request comes. What
// cannot be known is taken for a freeze.
func (s *server) recall(ctx context.Context) {
	if s.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keptLimit)
	defer cancel()
	if !s.followFreeze(ctx) {
		s.shared.Load.Freeze().Set(freeze.Unsure(time.Now()))
		s.log.Warn("pushes and deletes are refused until the store tells of a freeze or none")
	}
	s.keepCounts(ctx)
}
