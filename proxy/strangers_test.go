package proxy

import (
	"testing"

	"golang.org/x/net/http2"
)

// TestUnreadRefusals: row A5. Answers that an HTTP/2 client does not read hold no more
// than connections would, whoever asks: further streams are reset.
func TestUnreadRefusals(t *testing.T) {
	a := newArena(t, func(cfg *Config) {
		cfg.Limits = DefaultLimits()
		cfg.Limits.ConnectionsPerAddress = 3
	})
	address, trust := a.serveTLS()
	c := a.dialH2(address, trust)
	if err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	const streams = 8
	for i := range streams {
		more := [][]string{nil, {"authorization", "Bearer " + a.anyone}}[i%2] // which anybody gets
		c.request(pseudo("GET", "/v2/", more...), "")
		c.stream += 2
	}
	headers, resets := 0, 0
	for headers+resets < streams {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("after %d headers and %d resets: %v", headers, resets, err)
		}
		switch frame.(type) {
		case *http2.MetaHeadersFrame:
			headers++
		case *http2.RSTStreamFrame:
			resets++
		}
	}
	if headers != 3 {
		t.Errorf("%d answers wait for a reader, %d streams were reset; want 3 and %d", headers, resets, streams-3)
	}
}
