package ldap_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// TestReloadServesNobodyStale (audit, plausible): after a reload everybody's lookup
// is due at once; more of them than run and wait at other times are all asked.
func TestReloadServesNobodyStale(t *testing.T) {
	f := authntest.StartFake(t)
	cfg := faultConfig(f)
	cfg.Timeout = 20 * time.Second
	cache, err := authn.NewCache(open(t, cfg), authn.CacheConfig{FreshFor: time.Hour, StaleFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	const all = 2500
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			// Each is another question, and each finds the one person.
			if _, err := cache.Lookup(t.Context(), authn.Ref{Directory: "fake", Username: "mozart", ID: fmt.Sprint(i)}); err == nil {
				t.Errorf("%d: found under another id", i)
			} else if got := err.Error(); ldap.Busy(err) {
				t.Errorf("%d: %s", i, got)
			}
		})
	}
	wg.Wait()
	if got := f.Count("search"); got < all {
		t.Errorf("%d of %d were asked", got, all)
	}
}
