package authn

import "time"

// ThrottleConfig is the `throttle` section of the config.
type ThrottleConfig struct {
	// Failures is how many different wrong passwords one person may have from
	// one client network (/24, IPv6 /64) in Window; 0: no limit.
	Failures int
	// Window is how long a failure counts.
	Window time.Duration
	// UsersPerSource is how many different names may fail from one client
	// network in Window; 0: no limit.
	UsersPerSource int
}

// Throttle counts failed logins. It outlives reloads (see Configure), and its
// memory is bounded however many names and networks appear.
type Throttle struct{}

// NewThrottle returns a throttle that has seen nothing.
func NewThrottle(cfg ThrottleConfig) *Throttle { panic("being built") }

// Configure changes the limits and keeps what was counted.
func (t *Throttle) Configure(cfg ThrottleConfig) { panic("being built") }
