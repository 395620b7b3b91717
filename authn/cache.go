package authn

import (
	"context"
	"time"

	"gatehouse/metrics"
)

// CacheConfig is the `cache` section of an LDAP directory; zero durations mean
// what the config file says of 0s, so package cmd fills in the defaults.
type CacheConfig struct {
	FreshFor         time.Duration // served without asking
	StaleFor         time.Duration // from the last good lookup, and only on a fault
	NegativeFor      time.Duration // how long "unknown" is remembered
	PasswordFor      time.Duration // a good password is not asked again; at most FreshFor
	WrongPasswordFor time.Duration // the same wrong password is refused without a bind
	Metrics          *metrics.Metrics
}

// Cache is a Directory before an LDAP.
type Cache struct{}

// source is what a Cache stands before: an *LDAP, or a test's fake.
type source interface {
	Directory
	// Available says that the source is not known to be at fault, without asking it.
	Available() bool
	// Close lets go of idle connections and stops background work.
	Close()
}

// NewCache returns a cache before src.
func NewCache(src source, cfg CacheConfig) (*Cache, error) { panic("being built") }

// Expire marks every remembered identity as due for a lookup (a reload does):
// it is still good as a stale answer on a fault. Passwords and negatives go.
func (c *Cache) Expire() { panic("being built") }

// Close stops refreshes in the background and closes the source. Calls that
// still run end normally.
func (c *Cache) Close() { panic("being built") }

func (c *Cache) Name() string { panic("being built") }
func (c *Cache) Find(ctx context.Context, login string) (Identity, error) {
	panic("being built")
}
func (c *Cache) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	panic("being built")
}
func (c *Cache) Lookup(ctx context.Context, ref Ref) (Identity, error) { panic("being built") }
