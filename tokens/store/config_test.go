package store

import (
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
)

func section(change func(*Config)) *Config {
	c := &Config{}
	c.Defaults()
	change(c)
	return c
}

// TestCheck: what may stand in the section, and what is said of the rest.
func TestCheck(t *testing.T) {
	for text, c := range map[string]*Config{
		"":                                    section(func(c *Config) {}),
		" ":                                   section(func(c *Config) { c.File = "store.db" }),
		"file: stands beside":                 section(func(c *Config) { c.File, c.Redis.URL = "a", "redis://127.0.0.1" }),
		"redis: needs url":                    section(func(c *Config) { c.Redis.Username = "x" }),
		"redis.username: needs password_file": section(func(c *Config) { c.Redis.URL, c.Redis.Username = "redis://127.0.0.1", "x" }),
		"redis.prefix: is empty":              section(func(c *Config) { c.Redis.URL, c.Redis.Prefix = "redis://127.0.0.1", "" }),
		"redis.prefix: \"a b\"":               section(func(c *Config) { c.Redis.URL, c.Redis.Prefix = "redis://127.0.0.1", "a b" }),
		"stale_for: 1s is shorter":            section(func(c *Config) { c.StaleFor = time.Second }),
		"redis.ca_file: is not used": section(func(c *Config) {
			c.Redis.URL, c.Redis.CAFile = "redis://127.0.0.1", authn.File{Name: "ca"}
		}),
		"redis.ca_file: x holds no": section(func(c *Config) {
			c.Redis.URL, c.Redis.CAFile = "rediss://127.0.0.1", authn.File{Name: "x", Data: []byte("x")}
		}),
		"redis.url: is not encrypted": section(func(c *Config) { c.Redis.URL = "redis://redis.example:6379" }),
	} {
		err := c.Check()
		if said := ""; err != nil {
			if said = err.Error(); !strings.HasPrefix(said, text) || text == "" {
				t.Errorf("%q, want %q", said, text)
			}
		} else if strings.TrimSpace(text) != "" {
			t.Errorf("nothing is said, want %q", text)
		}
	}
}

// TestAddress: the ways to write where Redis is.
func TestAddress(t *testing.T) {
	for url, want := range map[string]address{
		"redis://h":                   {hosts: []string{"h:6379"}},
		"redis://h:1/2":               {hosts: []string{"h:1"}, database: 2},
		"rediss://[::1]:7":            {hosts: []string{"[::1]:7"}, tls: true},
		"redis+sentinel://a,b:2/main": {hosts: []string{"a:26379", "b:2"}, master: "main"},
		"redis+cluster://a:1,b:2":     {hosts: []string{"a:1", "b:2"}, cluster: true},
		"redis+cluster://a:1,b:2/":    {hosts: []string{"a:1", "b:2"}, cluster: true},
		"redis://h/":                  {hosts: []string{"h:6379"}},
	} {
		got, err := (&Redis{URL: url}).address()
		if err != nil || strings.Join(got.hosts, " ") != strings.Join(want.hosts, " ") || got.master != want.master ||
			got.cluster != want.cluster || got.tls != want.tls || got.database != want.database {
			t.Errorf("%s: %+v, %v", url, got, err)
		}
	}
	for _, url := range []string{"redis", "http://h", "redis://", "redis://u:p@h", "redis://h,i", "redis://h:0", "redis://h:x", "redis://h:",
		"redis://h/x", "redis://h/-1", "redis://h/+1", "redis+sentinel://h", "redis+sentinel://h/a/b", "redis+cluster://h/1", "redis://h?x=1", "REDIS://h", "redis:// h"} {
		if got, err := (&Redis{URL: url}).address(); err == nil {
			t.Errorf("%s is taken as %+v", url, got)
		}
	}
}

// TestSame: a change of anything that leads elsewhere is seen.
func TestSame(t *testing.T) {
	base := section(func(c *Config) { c.Redis.URL = "redis://a" })
	if !base.Same(section(func(c *Config) { c.Redis.URL = "redis://a" })) || !base.Configured() {
		t.Error("the same is another")
	}
	for i, other := range []*Config{section(func(c *Config) { c.File = "x" }), section(func(c *Config) { c.Redis.URL = "redis://b" }),
		section(func(c *Config) { c.Redis.URL, c.Redis.Prefix = "redis://a", "q:" }), section(func(c *Config) { c.Redis.URL, c.FreshFor = "redis://a", 0 })} {
		if base.Same(other) {
			t.Errorf("%d is the same", i)
		}
	}
}
