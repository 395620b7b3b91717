package main

import (
	"context"
	"time"

	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/held"
	"gatehouse/proxy/audit"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

const (
	// followPeriod is how often it is seen what other gateways have revoked; it has to
	// count everywhere within a second.
	followPeriod = 250 * time.Millisecond
	rereadPeriod = 30 * time.Second
	sweepPeriod  = time.Minute
	// lookThrough is how often all tokens are looked through, and duePeriod those that are
	// known to end.
	lookThrough = 10 * time.Minute
	duePeriod   = 5 * time.Second
	lastWrite   = 3 * time.Second
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
	s.shared.Personal.Use(opened)
	if backend.Remote() {
		s.shared.Load.Share(opened)
	}
}

// closeStore lets go of the store, at the very end.
func (s *server) closeStore() {
	if s.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWrite)
	defer cancel()
	_ = s.shared.Personal.Save(ctx) // what goes wrong the store tells
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
	reread, due := time.Now().Add(rereadPeriod), time.Now()
	return every(ctx, followPeriod, func() {
		now, follow := time.Now(), s.shared.Revoker.Follow
		if now.After(reread) {
			reread, follow = now.Add(rereadPeriod), s.shared.Revoker.Reread
		}
		if follow(ctx) == nil && now.After(due) {
			due = now.Add(duePeriod)
			s.sweepStore(ctx, now)
		}
	})
}

// sweepStore writes the last uses of tokens, and does what is due for those that have ended.
func (s *server) sweepStore(ctx context.Context, now time.Time) {
	if now.Sub(s.saved) >= sweepPeriod {
		s.saved = now
		_ = s.shared.Personal.Save(ctx)
		_ = s.shared.Revoker.Sweep(ctx)
	}
	for _, t := range s.endedTokens(ctx, now) {
		s.audit.Record(audit.Credential, "result", string(audit.Expired), "user", t.Owner.Username, "directory", t.Owner.Directory,
			"credential", string(tokens.FromPersonal), "credential_id", t.ID, "name", t.Name)
	}
}

// office answers for people's tokens on admin.socket.
func (s *server) office() *held.Office {
	return &held.Office{
		Use: func(do func(*assembly.Snapshot) error) error {
			sn := s.acquire()
			defer sn.Release()
			return do(sn)
		},
		Told: func(what ...any) {
			s.audit.Record(audit.Credential, append([]any{"result", string(audit.Revoked)}, what...)...)
		},
	}
}

// endedTokens are those whose end nobody was told of.
func (s *server) endedTokens(ctx context.Context, now time.Time) []personal.Token {
	if now.Sub(s.swept) < lookThrough {
		return s.shared.Personal.Due(ctx)
	}
	s.swept = now
	sn := s.acquire()
	unused := sn.Config.PersonalTokens.UnusedFor
	sn.Release()
	ended, err := s.shared.Personal.Sweep(ctx, unused)
	if err != nil {
		s.swept = time.Time{} // once more
	}
	return ended
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
