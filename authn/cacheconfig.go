package authn

import (
	"fmt"
	"log/slog"
	"time"

	"gatehouse/metrics"
)

// CacheConfig is the `cache` section of an LDAP directory; zero durations mean
// what the config file says of 0s, so package cmd fills in the defaults.
type CacheConfig struct {
	// FreshFor is how long an identity is served without asking. Default 60s.
	FreshFor time.Duration `yaml:"fresh_for"`
	// StaleFor is how long after the last good lookup an identity is served while the
	// directory is at fault. Default 10m; 0s: never.
	StaleFor time.Duration `yaml:"stale_for"`
	// NegativeFor is how long "unknown" is remembered. Default 15s.
	NegativeFor time.Duration `yaml:"negative_for"`
	// PasswordFor is how long a good password is not asked again, at most FreshFor.
	// Default 30s; 0s: always asked.
	PasswordFor time.Duration `yaml:"password_for"`
	// WrongPasswordFor is how long the same wrong password is refused without a bind.
	// Default 60s; 0s: always asked.
	WrongPasswordFor time.Duration `yaml:"wrong_password_for"`
	// MaxPeople is how many people are remembered, at most 1,000,000. With more who
	// come in turn nobody is found in the cache, and nobody is served stale. Default
	// 10,000, which 0 means too.
	MaxPeople int `yaml:"max_people" min:"1"`

	// Metrics counts; nil: nothing does.
	Metrics *metrics.Metrics `yaml:"-" json:"-"`
	// Logger gets the alarms; nil discards.
	Logger *slog.Logger `yaml:"-" json:"-"`
}

const (
	defaultPasswordFor = 30 * time.Second
	defaultMaxPeople   = 10_000
	mostPeople         = 1_000_000
)

// Defaults are what the config file may leave out.
func (c *CacheConfig) Defaults() {
	c.FreshFor, c.StaleFor, c.NegativeFor = time.Minute, 10*time.Minute, 15*time.Second
	c.PasswordFor, c.WrongPasswordFor = defaultPasswordFor, time.Minute
	c.MaxPeople = defaultMaxPeople
}

// Check warns of what does not count as it is written, and of times so long that
// hardly anybody means them.
func (c *CacheConfig) Check() error {
	var faults Faults
	if c.PasswordFor > c.FreshFor && c.PasswordFor != defaultPasswordFor {
		faults.Warn("password_for", fmt.Errorf("%s is longer than fresh_for; %s counts", c.PasswordFor, c.FreshFor))
	}
	for _, long := range []struct {
		key        string
		time, most time.Duration
		means      string
	}{
		{"fresh_for", c.FreshFor, time.Hour, "whoever is deleted, disabled or leaves a group keeps access so long"},
		{"stale_for", c.StaleFor, 24 * time.Hour, "whoever is deleted, disabled or leaves a group keeps access so long while the directory is at fault"},
		{"negative_for", c.NegativeFor, time.Hour, "whoever is new stays unknown so long"},
		{"wrong_password_for", c.WrongPasswordFor, time.Hour, "a password that was wrong once is refused so long"},
	} {
		if long.time > long.most {
			faults.Warn(long.key, fmt.Errorf("%s is long: %s", long.time, long.means))
		}
	}
	return faults.Err()
}

// faults are what no cache can be made of.
func (c *CacheConfig) faults() error {
	var faults Faults
	for _, f := range []struct {
		key   string
		value time.Duration
	}{
		{"fresh_for", c.FreshFor}, {"stale_for", c.StaleFor}, {"negative_for", c.NegativeFor},
		{"password_for", c.PasswordFor}, {"wrong_password_for", c.WrongPasswordFor},
	} {
		if f.value < 0 {
			faults.Add(f.key, fmt.Errorf("%s is below zero", f.value))
		}
	}
	if c.MaxPeople < 0 || c.MaxPeople > mostPeople {
		faults.Add("max_people", fmt.Errorf("must be 1 to %d", mostPeople))
	}
	return faults.Err()
}
