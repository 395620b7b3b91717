package authn

import (
	"fmt"
	"testing"
	"time"
)

// TestUnusableIsNotStale (audit, plausible): whose own entry cannot be used (more
// than 1,000 groups, an unreadable state) does not keep the old identity beyond
// FreshFor, asks the directory once a second at most, and is back when it is mended.
func TestUnusableIsNotStale(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		src.set(func() { src.fault = fmt.Errorf("%w: more than 1000 groups", ErrUnusable) })
		time.Sleep(cacheConfig.FreshFor)
		before := src.lookups
		for range 3 {
			_, err := c.Lookup(t.Context(), bachRef)
			wantErr(t, err, ErrUnusable)
			wantErr(t, err, ErrUnavailable)
		}
		src.wantAsked(t, "lookups", &src.lookups, before+1)
		time.Sleep(faultPause)
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnusable)
		src.wantAsked(t, "lookups", &src.lookups, before+2)
		src.set(func() { src.fault = nil })
		time.Sleep(faultPause)
		lookupBach(t, c)
		if len(c.losses) != 0 {
			t.Error("the person counts as lost")
		}
	})
}

// TestNegativesKeepTheirReason (D8): who is refused from memory is refused for the
// reason of the first time.
func TestNegativesKeepTheirReason(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, first := c.Find(t.Context(), "kant")
		_, second := c.Find(t.Context(), "kant")
		wantErr(t, first, ErrUnknownUser)
		if first.Error() != second.Error() {
			t.Errorf("first %q, then %q", first, second)
		}
		src.wantAsked(t, "finds", &src.finds, 1)
	})
}
