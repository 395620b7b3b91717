package personal

import (
	"errors"
	"fmt"
	"time"

	"gatehouse/authn"
)

// Config is the section `personal_tokens`: tokens that people make for their programs.
type Config struct {
	// Enabled switches them on; a store is needed then. Default false.
	Enabled bool `yaml:"enabled"`
	// To are the people who may make them, in the words of a rule's `to`. Default [people].
	To []string `yaml:"to"`
	// DefaultLifetime is how long a token lives whose maker did not say, max_lifetime where
	// that is shorter. Default 720h.
	DefaultLifetime time.Duration `yaml:"default_lifetime" min:"0s"`
	// MaxLifetime is the longest that may be chosen; 0s: tokens without end too. It never
	// shortens what exists. Default 8760h.
	MaxLifetime time.Duration `yaml:"max_lifetime" min:"0s"`
	// UnusedFor ends a token that was of no use for so long; 0s: none. Default 0s.
	UnusedFor time.Duration `yaml:"unused_for" min:"0s"`
	// PerUser is how many a person may have at a time. Default 25.
	PerUser int `yaml:"per_user" min:"1" max:"10000"`
	// RequiredOf are people whose passwords are good for /ui/ and for making tokens alone,
	// in the words of a rule's `to`. Default nobody.
	RequiredOf []string `yaml:"required_of"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.To, c.DefaultLifetime, c.MaxLifetime, c.PerUser = []string{"people"}, 720*time.Hour, 8760*time.Hour, 25
}

// Check finds lifetimes that do not fit together, and people who could not log in. Its
// error joins *authn.KeyError values with keys relative to `personal_tokens`.
func (c *Config) Check() error {
	var faults authn.Faults
	if c.DefaultLifetime < time.Second && (c.MaxLifetime > 0 || c.DefaultLifetime > 0) {
		faults.Add("default_lifetime", fmt.Errorf("must be at least 1s, not %s; 0s, without end, goes with max_lifetime: 0s", c.DefaultLifetime))
	}
	if c.MaxLifetime > 0 && c.MaxLifetime < time.Second {
		faults.Add("max_lifetime", fmt.Errorf("must be 0s or at least 1s, not %s", c.MaxLifetime))
	}
	if c.UnusedFor > 0 && c.UnusedFor < time.Minute {
		faults.Add("unused_for", fmt.Errorf("must be 0s or at least 1m, not %s: uses are written each minute", c.UnusedFor))
	}
	if len(c.RequiredOf) > 0 && !c.Enabled {
		faults.Add("required_of", errors.New("needs enabled: true, or they could not log in at all"))
	}
	if c.Enabled && len(c.To) == 0 {
		faults.Warn("to", errors.New("is empty: nobody may make a token"))
	}
	return faults.Err()
}
