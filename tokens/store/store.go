// Package store keeps what has to outlive the process or to be known to all replicas:
// records in tables, and logs that only grow. A bbolt file serves one gateway, Redis (or
// Valkey) any number of them; one suite of tests holds both to the same conduct.
//
// What is kept opens nothing: hashes of tokens, names, times.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"gatehouse/metrics"
)

// The outcomes besides an answer.
var (
	// ErrNone: there is no such record.
	ErrNone = errors.New("no such record")
	// ErrUnavailable: the store is at fault. What is not known is never taken for "none",
	// and of what was to be written nothing is certain.
	ErrUnavailable = errors.New("store unavailable")
)

// Write is one change: of a record, or of a log.
type Write struct {
	// Table is where the record is, or the log's name.
	Table string
	// Key is the record's; in a log empty for a new entry, else that of one that goes.
	Key string
	// Value is what is kept from now on; nil: the record, or the entry, goes.
	Value []byte
	// Log: Table is a log, in which an entry never changes.
	Log bool
}

// Entry is one of a log.
type Entry struct {
	// Key grows from entry to entry.
	Key string
	// Value is what was appended.
	Value []byte
}

// Backend is what keeps records: a file or Redis. It is safe for concurrent use. Errors
// wrap ErrNone or ErrUnavailable.
type Backend interface {
	// Get is the value of a record.
	Get(ctx context.Context, table, key string) ([]byte, error)
	// List are all records of a table by their keys, none for one that is not there.
	List(ctx context.Context, table string) (map[string][]byte, error)
	// Put makes the changes, all of them or none. They last when it returns.
	Put(ctx context.Context, changes ...Write) error
	// Update makes changes that hang on what a table holds: nobody else changes it
	// between the look and the changes. An error of change is returned as it is, and
	// nothing is changed then; change may be called again.
	Update(ctx context.Context, table string, change func(now map[string][]byte) ([]Write, error)) error
	// Since are the entries of a log behind the one with the key, oldest first; "": all.
	Since(ctx context.Context, log, after string) ([]Entry, error)
	// Remote reports whether others use it too, and whether asking takes a network.
	Remote() bool
	// Close lets go of it.
	Close() error
}

// Store is a Backend that is watched: its requests are counted, and it is known whether
// it is at fault.
type Store struct {
	Backend
	cfg     Config
	metrics *metrics.Metrics
	log     *slog.Logger
	down    atomic.Bool
}

// Watched is a store on a backend. m and log may be nil.
func Watched(b Backend, cfg Config, m *metrics.Metrics, log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{Backend: b, cfg: cfg, metrics: m, log: log}
}

// Config is the section that it was made of.
func (s *Store) Config() Config { return s.cfg }

// Up reports whether the last request was answered.
func (s *Store) Up() bool { return !s.down.Load() }

// errDown is why nobody asks a store that is not Up, where there is no time to wait for it.
var errDown = unavailable(errors.New("known to be at fault"))

// Get is of Backend.
func (s *Store) Get(ctx context.Context, table, key string) (value []byte, err error) {
	value, err = s.Backend.Get(ctx, table, key)
	return value, s.told("get", err)
}

// List is of Backend.
func (s *Store) List(ctx context.Context, table string) (all map[string][]byte, err error) {
	all, err = s.Backend.List(ctx, table)
	return all, s.told("list", err)
}

// Put is of Backend.
func (s *Store) Put(ctx context.Context, changes ...Write) error {
	return s.told("put", s.Backend.Put(ctx, changes...))
}

// Delete takes one record out; one that is not there is no error.
func (s *Store) Delete(ctx context.Context, table, key string) error {
	return s.told("delete", s.Backend.Put(ctx, Write{Table: table, Key: key}))
}

// Update is of Backend.
func (s *Store) Update(ctx context.Context, table string, change func(now map[string][]byte) ([]Write, error)) error {
	return s.told("update", s.Backend.Update(ctx, table, change))
}

// Since is of Backend.
func (s *Store) Since(ctx context.Context, log, after string) (entries []Entry, err error) {
	entries, err = s.Backend.Since(ctx, log, after)
	return entries, s.told("since", err)
}

// told counts a request, and logs where the store turns out to be at fault, or back.
func (s *Store) told(operation string, err error) error {
	switch result := s.counted(operation, err); {
	case result == "canceled": // which says nothing of the store
	case result == "fault":
		if !s.down.Swap(true) {
			s.log.Error("the store is at fault", "operation", operation, "error", err.Error())
		}
	case s.down.Load() && s.down.Swap(false):
		s.log.Info("the store answers again")
	}
	return err
}

// counted counts a request, and is what its result is called.
func (s *Store) counted(operation string, err error) (result string) {
	switch {
	case errors.Is(err, context.Canceled): // whoever asked has gone
		result = "canceled"
	case errors.Is(err, ErrUnavailable):
		result = "fault"
	case errors.Is(err, ErrNone):
		result = "none"
	default:
		result = "ok"
	}
	s.metrics.StoreRequest(operation, result)
	return result
}

// unavailable marks a fault; nil stays nil.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
