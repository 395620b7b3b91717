package audit

import (
	"log/slog"
	"testing"
	"time"
)

// TestSamplerKeepsCountOverReload: a reload that changes per_second forgets nothing of
// what was left out before it.
func TestSamplerKeepsCountOverReload(t *testing.T) {
	var s sampler
	s.configure(1)
	record := slog.NewRecord(time.Now(), slog.LevelInfo, string(Denied), 0)
	record.AddAttrs(slog.String("result", string(Refused)))
	for range 25 {
		s.admit(record)
	}
	s.configure(2)
	if left := s.leftOut()["denied/refused"]; left != 15 {
		t.Errorf("%d records are known to be left out; want 15", left)
	}
}
