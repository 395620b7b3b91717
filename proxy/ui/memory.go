package ui

import (
	"sync"
	"time"

	"gatehouse/metrics"
	"gatehouse/proxy/ui/browse"
)

// Memory is what outlives reloads: which sessions were ended, the last refusals, and what
// was read of the registries. It is safe for concurrent use.
type Memory struct {
	library *browse.Library

	mu       sync.Mutex
	over     map[string]time.Time // ids of ended sessions, until they would have ended anyway
	refusals []Refusal            // a ring
	next     int                  // where the next one goes
}

// maxRefusals is how many are remembered.
const maxRefusals = 1000

// NewMemory returns an empty one. Metrics may be nil.
func NewMemory(cfg Config, m *metrics.Metrics) *Memory {
	return &Memory{library: browse.NewLibrary(cfg.Config, m), over: map[string]time.Time{}}
}

// Take makes a config count.
func (m *Memory) Take(cfg Config) { m.library.Take(cfg.Config) }

// Pushed tells that something was stored in a repository of a place.
func (m *Memory) Pushed(place, repository string) { m.library.Pushed(place, repository) }

// Deleted tells that something was deleted there.
func (m *Memory) Deleted(place, repository string) { m.library.Deleted(place, repository) }

// end notes that a session is over; until is when it could have lasted at most.
func (m *Memory) end(id string, until, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other, last := range m.over {
		if now.After(last) {
			delete(m.over, other)
		}
	}
	m.over[id] = until
}

func (m *Memory) ended(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, over := m.over[id]
	return over
}

// Refusal is a request, to a page or under /v2/, that was refused.
type Refusal struct {
	// At is when.
	At time.Time
	// User, Directory and Address are whose it was; empty where that is not known.
	User, Directory, Address string
	// Action, Repository and Reference are what was asked for.
	Action, Repository, Reference string
	// Rule is the one that denied it, Reason why else it was refused.
	Rule, Reason string
	// RequestID is the one in the log.
	RequestID string
}

// Refuse takes note of a refusal.
func (m *Memory) Refuse(r Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refusals) < maxRefusals {
		m.refusals = append(m.refusals, r)
		return
	}
	m.refusals[m.next] = r
	m.next = (m.next + 1) % maxRefusals
}

// lastRefusals are those that are remembered, the newest first.
func (m *Memory) lastRefusals() []Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.refusals)
	list := make([]Refusal, n)
	for i := range list {
		list[i] = m.refusals[(m.next+n-1-i)%n]
	}
	return list
}
