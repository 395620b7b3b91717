package authn

import (
	"testing"
	"time"
)

// TestParseSpan: days are whole, and nothing is below 0.
func TestParseSpan(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"14d": 14 * day, "0d": 0, "65535d": 65535 * day, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "0s": 0,
		"": -1, "d": -1, "-1d": -1, "0.5d": -1, "1e2d": -1, "65536d": -1, "14": -1, "-12h": -1, "14 d": -1, "1d12h": -1, "soon": -1} {
		if got, err := ParseSpan(text); (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
}
