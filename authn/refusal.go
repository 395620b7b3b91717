package authn

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// A refusal takes refusalTime at least, and refusalMost at most on behalf of
	// others; it ends at a multiple of refusalStep.
	refusalTime = 100 * time.Millisecond
	refusalMost = 2 * time.Second
	refusalStep = 50 * time.Millisecond

	refusalSamples = 128
)

// RefusalTime is how long refusals take: as long as nearly all recent logins did
// whose password a directory has looked at, so that a quick refusal does not tell
// that a name is unknown. It outlives reloads.
type RefusalTime struct {
	mu          sync.Mutex
	directories map[string]*samples
}

// NewRefusalTime returns one that has seen nothing.
func NewRefusalTime() *RefusalTime { return &RefusalTime{directories: map[string]*samples{}} }

// observe takes in how long a login took that a directory has answered.
func (r *RefusalTime) observe(directory string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.directories[directory]
	if s == nil {
		s = &samples{}
		r.directories[directory] = s
	}
	s.add(took)
}

// samples are the last times of one directory.
type samples struct {
	recent []time.Duration // refusalSamples at most, in a ring
	next   int
	most   time.Duration // the 95th percentile of recent
}

func (s *samples) add(took time.Duration) {
	if len(s.recent) < refusalSamples {
		s.recent = append(s.recent, took)
	} else {
		s.recent[s.next] = took
		s.next = (s.next + 1) % refusalSamples
	}
	sorted := slices.Sorted(slices.Values(s.recent))
	s.most = sorted[(len(sorted)*95-1)/100]
}

// of is how long a refusal takes in all that has taken so long already, where these
// directories are asked: others may be of an earlier config. The steps hide in which
// of several ways one that is later than most came about.
func (r *RefusalTime) of(directories map[string]Directory, taken time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := max(refusalTime, taken)
	for name, s := range r.directories {
		if directories[name] != nil {
			all = max(all, min(s.most, refusalMost))
		}
	}
	return (all + refusalStep - 1) / refusalStep * refusalStep
}

// wait makes a refusal that began then take its time, or as long as ctx lasts.
func (r *RefusalTime) wait(ctx context.Context, directories map[string]Directory, began time.Time) {
	taken := time.Since(began)
	timer := time.NewTimer(r.of(directories, taken) - taken)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
