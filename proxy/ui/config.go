package ui

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/authn"
	"gatehouse/proxy/ui/browse"
)

// Config is the section `ui`: the pages for people.
type Config struct {
	browse.Config
	// Enabled answers under /ui/ on listen, and GET / leads there. Default false.
	Enabled bool `yaml:"enabled"`
	// Title stands in the header of each page, as text, 1 to 60 characters. Default Gatehouse.
	Title string `yaml:"title"`
	// Session is how long a login lasts. Default 8h.
	Session time.Duration `yaml:"session" min:"5m" max:"24h"`
	// Idle is how long it lasts without a page view, 1m to session. Default 30m, or session
	// where that is shorter.
	Idle time.Duration `yaml:"idle" min:"1m" below:"session"`
	// Admins are those who see the pages under /ui/admin/, in the words of a rule's `to`,
	// but for everyone, authenticated, people and machines. Default nobody.
	Admins []string `yaml:"admins"`
	// Delete lets people delete what the policy lets them; false: nothing, whatever the
	// policy says. Default true.
	Delete bool `yaml:"delete"`
	// HelpFile is plain text, 64KiB at most, that stands above our own on the page of
	// help. Default empty: none.
	HelpFile authn.File `yaml:"help_file"`
	// PageSize is how many rows a page has. Default 50.
	PageSize int `yaml:"page_size" min:"10" max:"200"`
}

// tooMany are the words that are nobody in particular; a machine has no session.
var tooMany = map[string]bool{"everyone": true, "authenticated": true, "people": true, "machines": true}

const (
	maxTitle = 60       // characters
	maxHelp  = 64 << 10 // bytes
)

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.Config.Defaults()
	c.Title, c.Session, c.Idle, c.Delete, c.PageSize = "Gatehouse", 8*time.Hour, 30*time.Minute, true, 50
}

// Check finds what tags cannot say. Its error joins *authn.KeyError values with keys
// relative to `ui`.
func (c *Config) Check() error {
	var faults authn.Faults
	if n := utf8.RuneCountInString(c.Title); n < 1 || n > maxTitle || !utf8.ValidString(c.Title) || strings.TrimSpace(c.Title) == "" {
		faults.Add("title", fmt.Errorf("must have 1 to %d characters", maxTitle))
	}
	if c.Idle > c.Session {
		faults.Add("idle", fmt.Errorf("must be at most ui.session (%s), not %s", c.Session, c.Idle))
	}
	for i, word := range c.Admins {
		if tooMany[word] {
			faults.Add(fmt.Sprintf("admins[%d]", i), fmt.Errorf("%s is too many; name people or groups", word))
		}
	}
	switch {
	case len(c.HelpFile.Data) > maxHelp:
		faults.Add("help_file", fmt.Errorf("%s is larger than 64 KiB", c.HelpFile.Name))
	case !utf8.Valid(c.HelpFile.Data):
		faults.Add("help_file", errors.New("is no UTF-8 text"))
	}
	return faults.Err()
}
