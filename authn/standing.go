package authn

import (
	"time"

	"gatehouse/metrics"
)

// ServerState is how one of a directory's servers is, for those who look after it. Nothing
// of people is in it.
type ServerState struct {
	// URL is its address in the config.
	URL string
	// Up says that it is in use or could be, Active that new questions go there.
	Up, Active bool
	// Since is since when it is up, or down.
	Since time.Time
	// Fault is what kind of fault was its last; empty: there was none.
	Fault string
	// FaultAt is when that was.
	FaultAt time.Time
	// Recent is how long its answers took in the last five minutes.
	Recent metrics.Latency
}

// CacheState is what a cache holds, for those who look after it.
type CacheState struct {
	// Entries are how many, by cache: identity, negative, password, wrong_password.
	Entries map[string]int
	// OldestStale is the age of the oldest identity that is served although it is no longer
	// fresh; 0: none is.
	OldestStale time.Duration
	// Canary is what was seen of the canary.
	Canary CanaryState
}

// CanaryState is what was seen of a canary when it was last asked for.
type CanaryState struct {
	// Asked is when; zero: never yet.
	Asked time.Time
	// Shown says that it was there.
	Shown bool
}

// State is what the cache holds now.
func (c *Cache) State() CacheState {
	s := c.state()
	return CacheState{Entries: s.Entries, OldestStale: s.OldestStale, Canary: c.canary.last()}
}
