package authn

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// sourceStore says which names have failed from which network, and when last. Its
// user's lock guards it.
type sourceStore struct {
	networks *simplelru.LRU[netip.Prefix, map[digest]time.Time]
}

func newSourceStore(size int) sourceStore {
	return sourceStore{newLRU[netip.Prefix, map[digest]time.Time](size)}
}

// add counts a name. There are at most limit of a network; those that no longer
// count make room.
func (s sourceStore) add(p pair, limit int, window time.Duration) {
	now := time.Now()
	names, ok := s.networks.Get(p.network)
	if !ok {
		names = map[digest]time.Time{}
		s.networks.Add(p.network, names)
	}
	for who, at := range names {
		if now.Sub(at) >= window {
			delete(names, who)
		}
	}
	if _, again := names[p.who]; again || len(names) < limit {
		names[p.who] = now
	}
}

// lasting returns the names of a network that still count.
func (s sourceStore) lasting(network netip.Prefix, window time.Duration, now time.Time) map[digest]time.Time {
	names, _ := s.networks.Peek(network)
	lasting := make(map[digest]time.Time, len(names))
	for who, at := range names {
		if now.Sub(at) < window {
			lasting[who] = at
		}
	}
	return lasting
}

// oldest sorts the times of names.
func oldest(names map[digest]time.Time) []time.Time {
	times := make([]time.Time, 0, len(names))
	for _, at := range names {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}
