package audit

import (
	"log/slog"
	"sync"

	"golang.org/x/time/rate"
)

// sampler holds back what strangers cause, each kind (an event with its result) for
// itself. Its zero value lets nothing of it through.
type sampler struct {
	mu    sync.Mutex
	rate  rate.Limit
	kinds map[string]*sampled
}

// sampled is one kind of record.
type sampled struct {
	limit   *rate.Limiter
	leftOut int
}

// configure changes how many a second there may be. What was left out stays known.
func (s *sampler) configure(perSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate = rate.Limit(perSecond)
	if s.kinds == nil {
		s.kinds = map[string]*sampled{}
	}
	for _, k := range s.kinds {
		k.limit.SetLimit(s.rate)
		k.limit.SetBurst(burstOf(s.rate))
	}
}

// admit reports whether a record is to be written, and how many of its kind were not.
func (s *sampler) admit(r slog.Record) (leftOut int, ok bool) {
	if !Event(r.Message).Strangers() {
		return 0, true
	}
	kind := kindOf(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[kind]
	if k == nil {
		k = &sampled{limit: rate.NewLimiter(s.rate, burstOf(s.rate))}
		s.kinds[kind] = k
	}
	if !k.limit.Allow() {
		k.leftOut++
		return 0, false
	}
	leftOut, k.leftOut = k.leftOut, 0
	return leftOut, true
}

// kindOf is the record's event, with its result.
func kindOf(r slog.Record) string {
	kind := r.Message
	r.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "result" {
			kind += "/" + attr.Value.String()
		}
		return attr.Key != "result"
	})
	return kind
}

func burstOf(r rate.Limit) int { return max(int(10*r), 1) }

// leftOut is what was left out of each kind since it was last told.
func (s *sampler) leftOut() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := map[string]int{}
	for kind, k := range s.kinds {
		if k.leftOut > 0 {
			left[kind], k.leftOut = k.leftOut, 0
		}
	}
	return left
}
