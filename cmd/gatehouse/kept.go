package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/proxy/freeze"
	"gatehouse/tokens/store"
)

// What the store keeps of a policy: the freeze, and how many requests each rule decided.
const (
	freezeTable, freezeKey = "freeze", "order"
	rulesTable             = "rules"

	freezePeriod = time.Second // after which other gateways know of a freeze
	countsPeriod = time.Minute
	keptLimit    = 10 * time.Second    // for one look
	forgotten    = 90 * 24 * time.Hour // after which counts of rules that are gone go too
)

// keepFreeze keeps an order where there is a store. Of none it keeps `null`, so that a
// store that has lost it is told from a thaw.
func (s *server) keepFreeze(ctx context.Context, o *freeze.Order) error {
	if s.store == nil {
		return nil
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := s.store.Put(ctx, store.Write{Table: freezeTable, Key: freezeKey, Value: text}); err != nil {
		return &admin.Fault{Status: http.StatusServiceUnavailable, Message: "nothing was changed, as it cannot be kept: " + err.Error()}
	}
	return nil
}

// followFreeze takes in what other gateways, or this one before a restart, froze. While the
// store is at fault it stays as last seen; known is false then.
func (s *server) followFreeze(ctx context.Context) (known bool) {
	state := s.shared.Load.Freeze()
	before := state.Seen()
	text, err := s.store.Get(ctx, freezeTable, freezeKey)
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
	err = s.store.Update(ctx, freezeTable, func(now map[string][]byte) ([]store.Write, error) {
		if lost = now[freezeKey] == nil; !lost {
			return nil, nil
		}
		return []store.Write{{Table: freezeTable, Key: freezeKey, Value: text}}, nil
	})
	if err == nil && lost {
		s.log.Warn("the store has lost the freeze; it goes on and is written again", "freeze", o.String())
	}
	return err == nil
}

// keepCounts adds what was counted to what the store has, which becomes what is known.
func (s *server) keepCounts(ctx context.Context) {
	counts := s.shared.Load.Counts()
	fresh := counts.Fresh()
	var known map[string]authz.Tally
	err := s.store.Update(ctx, rulesTable, func(now map[string][]byte) (changes []store.Write, err error) {
		known, changes, err = merged(now, fresh, time.Now())
		return changes, err
	})
	if err != nil { // the store tells it
		counts.Back(fresh)
		return
	}
	counts.Know(known)
}

// merged adds counts to those that are kept.
func merged(kept map[string][]byte, fresh map[string]authz.Tally, now time.Time) (known map[string]authz.Tally, changes []store.Write, err error) {
	known = map[string]authz.Tally{}
	for key, text := range kept {
		var t authz.Tally
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, nil, err
		}
		if _, used := fresh[key]; !used && now.Sub(t.Since) > forgotten && now.Sub(t.Last) > forgotten {
			changes = append(changes, store.Write{Table: rulesTable, Key: key})
			continue
		}
		known[key] = t
	}
	for key, t := range fresh {
		before, there := known[key]
		if there && t.Allowed == 0 && t.Denied == 0 {
			continue
		}
		known[key] = before.Plus(t)
		text, err := json.Marshal(known[key])
		if err != nil {
			return nil, nil, err
		}
		changes = append(changes, store.Write{Table: rulesTable, Key: key, Value: text})
	}
	return known, changes, nil
}

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
