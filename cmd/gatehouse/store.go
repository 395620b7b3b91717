package main

import (
	"context"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/tokens/store"
)

const (
	// followPeriod is how often it is seen what other gateways have revoked; it has to
	// count everywhere within a second.
	followPeriod = 250 * time.Millisecond
	rereadPeriod = 30 * time.Second
	sweepPeriod  = time.Minute
)

// openStore opens the store of a config that is good otherwise, once: a reload does not
// move it. That a file cannot be used is a fault of the config; Redis may be away.
func (s *server) openStore(l *config.Loaded) {
	cfg := l.Config.Store
	if len(l.Faults()) > 0 || !cfg.Configured() || s.store != nil {
		return
	}
	var backend store.Backend
	var err error
	key, name := "store.file", cfg.File
	if cfg.File != "" {
		backend, err = store.OpenFile(l.StoreFile())
	} else {
		key, name = "store.redis.url", cfg.Redis.URL
		backend, err = store.NewShared(cfg.Redis)
	}
	if err != nil {
		l.Fault(key, "%s cannot be used: %v", name, err)
		return
	}
	opened := store.Watched(backend, cfg, s.shared.Metrics, s.log)
	err = s.shared.Revoker.Use(context.Background(), opened)
	switch {
	case err != nil && !backend.Remote():
		l.Fault(key, "%s cannot be read: %v", name, err)
		_ = backend.Close()
		return
	case err != nil:
		s.log.Warn("started without the store: personal tokens, machines' tokens and what was issued before are refused until it answers", "store", name)
	}
	s.store = opened
}

// closeStore lets go of the store, at the very end.
func (s *server) closeStore() {
	if s.store == nil {
		return
	}
	if err := s.store.Close(); err != nil {
		s.log.Error("the store could not be closed", "error", err.Error())
	}
}

// followStore takes in what is revoked elsewhere, and forgets what has ended, until ctx
// ends. What goes wrong the store tells.
func (s *server) followStore(ctx context.Context) error {
	if s.store == nil {
		return nil
	}
	reread, sweep := time.Now().Add(rereadPeriod), time.Now().Add(sweepPeriod)
	return every(ctx, followPeriod, func() {
		now, follow := time.Now(), s.shared.Revoker.Follow
		if now.After(reread) {
			reread, follow = now.Add(rereadPeriod), s.shared.Revoker.Reread
		}
		if follow(ctx) == nil && now.After(sweep) {
			sweep = now.Add(sweepPeriod)
			_ = s.shared.Revoker.Sweep(ctx)
		}
	})
}

// storeUp is for the metric.
func (s *server) storeUp() (up, there bool) {
	if s.store == nil {
		return false, false
	}
	return s.store.Up(), true
}

// storeHealth is the check of the store, for information: pulls and pushes go on without it.
func (s *server) storeHealth() []health {
	up, there := s.storeUp()
	switch {
	case !there:
		return nil
	case !up:
		return []health{{name: "store", problem: "at fault", information: true}}
	}
	return []health{{name: "store", information: true}}
}
