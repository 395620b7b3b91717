package ui

import (
	"time"

	"gatehouse/authn"
)

// Inside is what the pages of administration show of the gateway itself.
type Inside struct {
	// Config is the one that is served.
	Config Served
	// Directories are those of the config, in its order.
	Directories []Directory
}

// Directory is how one of the config's directories is.
type Directory struct {
	// Name is the one in the config.
	Name string
	// Kind is ldap, static, machines, certificates or oidc.
	Kind string
	// Servers are those of ldap, in the order of the config.
	Servers []authn.ServerState
	// Cache is the one before ldap.
	Cache authn.CacheState
	// CanaryUser says that the config names one.
	CanaryUser bool
	// KeysAge is how old the keys of an issuer are; below 0: none were read yet.
	KeysAge time.Duration
}

// down are the servers that are down.
func (d Directory) down() (n int) {
	for _, s := range d.Servers {
		if !s.Up {
			n++
		}
	}
	return n
}

// Served is a config that is served: nothing of what it says, but what it is.
type Served struct {
	// File is its path, as the gateway was told.
	File string
	// SHA256 is of the file's bytes, in hex.
	SHA256 string
	// Loaded is when it was read.
	Loaded time.Time
	// Warnings are what `gatehouse check` says of it.
	Warnings []string
	// KeyIDs are those of the keys of tokens; the first one signs.
	KeyIDs []string
	// Certificates are those that are served; none: plain HTTP.
	Certificates []Certificate
}

// Certificate is one of the listener's.
type Certificate struct {
	// Name is its first.
	Name string
	// Ends is its last moment.
	Ends time.Time
	// Soon says that this is less than two weeks off, or over.
	Soon bool
}
