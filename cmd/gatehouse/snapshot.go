package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"

	"gatehouse/authn"
	"gatehouse/authn/ldap"
	"gatehouse/authn/machine"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy"
	"gatehouse/proxy/listener"
	"gatehouse/tokens"
)

// snapshot is all that a config made, immutable. A request acquires the current
// one and keeps it to its end, so that no request sees two configs at once. When a
// replaced snapshot's last request is done, what only it had is let go.
type snapshot struct {
	loaded       *config.Loaded
	cfg          *config.Config // of loaded
	gateway      *proxy.Gateway
	chain        *authn.Chain
	policy       *authz.Policy
	keyring      *tokens.Keyring
	certificates *listener.Certificates // nil: plain HTTP
	tls          *tls.Config            // one for all connections, so that sessions resume
	directories  []*directory
	refs         atomic.Int64
}

// acquire fails where the snapshot is gone already; the caller takes the new one.
func (s *snapshot) acquire() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *snapshot) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	if s.gateway != nil {
		s.gateway.Close()
	}
	for _, d := range s.directories {
		d.release()
	}
}

// directory is one of the config's directories. Snapshots share it as long as its
// config and its files stay the same.
type directory struct {
	name        string
	fingerprint [sha256.Size]byte
	lookup      authn.Directory    // what the chain asks
	ldap        *ldap.Directory    // nil for another kind
	cache       *authn.Cache       // nil for another kind
	machines    *machine.Directory // nil for another kind
	snapshots   atomic.Int64       // that hold it
}

func (d *directory) release() {
	if d.snapshots.Add(-1) == 0 && d.cache != nil {
		d.cache.Close()
	}
}

// listenerTLS is old's where nothing of it has changed.
func (s *snapshot) listenerTLS(old *snapshot) *tls.Config {
	t := s.cfg.Listen.TLS
	switch {
	case s.certificates == nil:
		return nil
	case old != nil && old.certificates == s.certificates && t.SameHandshakes(old.cfg.Listen.TLS):
		return old.tls
	}
	return t.Server(s.certificates, s.cfg.Limits.HTTP2Streams > 0)
}

func (s *snapshot) fronts() []authn.Directory {
	list := make([]authn.Directory, len(s.directories))
	for i, d := range s.directories {
		list[i] = d.lookup
	}
	return list
}

// machines are the directories of machines.
func (s *snapshot) machines() []*machine.Directory {
	var list []*machine.Directory
	for _, d := range s.directories {
		if d.machines != nil {
			list = append(list, d.machines)
		}
	}
	return list
}

// findMachine is the machine DIRECTORY/NAME as the config has it.
func (s *snapshot) findMachine(ctx context.Context, text string) (authn.Identity, error) {
	directory, name, _ := strings.Cut(text, "/")
	for _, d := range s.machines() {
		if d.Name() == directory {
			return d.Find(ctx, name)
		}
	}
	return authn.Identity{}, fmt.Errorf("%w: the config has no directory of machines %q", authn.ErrUnknownUser, config.Clip(directory))
}

// find is the directory of that name if it was made of the same config and files.
func (s *snapshot) find(name string, print [sha256.Size]byte) *directory {
	if d := s.named(name); d != nil && d.fingerprint == print {
		return d
	}
	return nil
}

// named returns the LDAP directory of that name, or nil.
func (s *snapshot) named(name string) *directory {
	if s == nil {
		return nil
	}
	for _, d := range s.directories {
		if d.cache != nil && d.name == name {
			return d
		}
	}
	return nil
}

// expire makes every identity due for a question in the directories that were taken
// over from old.
func (s *snapshot) expire(old *snapshot) {
	s.gateway.Take()
	for _, d := range s.directories {
		if d.cache != nil && old.find(d.name, d.fingerprint) == d {
			d.cache.Expire()
		}
	}
}
