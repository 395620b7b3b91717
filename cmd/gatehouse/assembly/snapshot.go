package assembly

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"gatehouse/authn"
	"gatehouse/authn/certificate"
	"gatehouse/authn/ldap"
	"gatehouse/authn/machine"
	"gatehouse/authn/oidc"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/proxy"
	"gatehouse/proxy/acme"
	"gatehouse/proxy/listener"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// Snapshot is all that a config made, immutable. A request acquires the current
// one and keeps it to its end, so that no request sees two configs at once. When a
// replaced snapshot's last request is done, what only it had is let go.
type Snapshot struct {
	Loaded       *config.Loaded         // with all that is wrong with the config
	Config       *config.Config         // of Loaded
	Gateway      *proxy.Gateway         // nil where a fault keeps it from being made, as all below
	Chain        *authn.Chain           // of the directories
	Policy       *authz.Policy          // of the config's rules
	Next         *authz.Policy          // of those that are tried; nil: none are
	Keyring      *tokens.Keyring        // signs and verifies
	Desk         *personal.Desk         // of personal tokens; nil: they are off
	Certificates *listener.Certificates // nil: plain HTTP
	TLS          *tls.Config            // one for all connections, so that sessions resume
	Directories  []*Directory           // in the order of the config
	refs         atomic.Int64
}

// Acquire fails where the snapshot is gone already; the caller takes the new one.
func (s *Snapshot) Acquire() bool {
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

// Release ends the use of a snapshot that was acquired or prepared.
func (s *Snapshot) Release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	if s.Gateway != nil {
		s.Gateway.Close()
	}
	for _, d := range s.Directories {
		d.release()
	}
}

// Directory is one of the config's directories. Snapshots share it as long as its
// config and its files stay the same.
type Directory struct {
	Name        string                 // as in the config
	Lookup      authn.Directory        // what the chain asks
	LDAP        *ldap.Directory        // nil for another kind
	Machines    *machine.Directory     // nil for another kind
	OIDC        *oidc.Directory        // nil for another kind
	Certificate *certificate.Directory // nil for another kind
	fingerprint [sha256.Size]byte
	cache       *authn.Cache // nil for another kind than LDAP
	snapshots   atomic.Int64 // that hold it
}

// Kind is its key in the config: static, ldap, machines, oidc or certificates.
func (d *Directory) Kind() string {
	switch {
	case d.LDAP != nil:
		return "ldap"
	case d.Machines != nil:
		return "machines"
	case d.OIDC != nil:
		return "oidc"
	case d.Certificate != nil:
		return "certificates"
	}
	return "static"
}

// Roll is what tells who is in the directory; nil: nothing can.
func (d *Directory) Roll() authn.Roll {
	if d.LDAP != nil {
		return d.LDAP
	}
	roll, _ := d.Lookup.(authn.Roll)
	return roll
}

func (d *Directory) release() {
	if d.snapshots.Add(-1) == 0 && d.cache != nil {
		d.cache.Close()
	}
}

// listenerTLS is old's where nothing of it has changed.
func (s *Snapshot) listenerTLS(old *Snapshot) *tls.Config {
	t := s.Config.Listen.TLS
	switch {
	case s.Certificates == nil:
		return nil
	case old != nil && old.Certificates == s.Certificates && t.SameHandshakes(old.Config.Listen.TLS):
		return old.TLS
	}
	return t.Server(s.Certificates, s.Config.Limits.HTTP2Streams > 0)
}

func (s *Snapshot) fronts() []authn.Directory {
	list := make([]authn.Directory, len(s.Directories))
	for i, d := range s.Directories {
		list[i] = d.Lookup
	}
	return list
}

// Machines are the directories of machines.
func (s *Snapshot) Machines() []*machine.Directory {
	var list []*machine.Directory
	for _, d := range s.Directories {
		if d.Machines != nil {
			list = append(list, d.Machines)
		}
	}
	return list
}

// issuer is the directory of an issuer's machines of that name, or nil.
func (s *Snapshot) issuer(name string) *oidc.Directory {
	if s == nil {
		return nil
	}
	for _, d := range s.Directories {
		if d.OIDC != nil && d.Name == name {
			return d.OIDC
		}
	}
	return nil
}

// Issuers are the directories of ID tokens.
func (s *Snapshot) Issuers() []*oidc.Directory {
	var list []*oidc.Directory
	for _, d := range s.Directories {
		if d.OIDC != nil {
			list = append(list, d.OIDC)
		}
	}
	return list
}

// ReloadLists looks at the lists of revoked certificates again. Of a file with an error the
// old ones stay.
func (s *Snapshot) ReloadLists() error {
	var faults []error
	for _, d := range s.Directories {
		if d.Certificate != nil {
			faults = append(faults, d.Certificate.Reload())
		}
	}
	return errors.Join(faults...)
}

// FindMachine is the machine DIRECTORY/NAME as the config has it, or as it would be with
// these claims; nobody is asked for a proof. Without it the error is authn.ErrUnknownUser;
// claims that there cannot be are an *authn.KeyError of `claim`.
func (s *Snapshot) FindMachine(ctx context.Context, text string, claims map[string]any) (authn.Identity, error) {
	directory, name, _ := strings.Cut(text, "/")
	for _, d := range s.Directories {
		proven, byClaims := d.Lookup.(interface {
			Describe(name string, claims map[string]any) (authn.Identity, error)
		})
		switch {
		case d.Name != directory:
		case byClaims:
			return proven.Describe(name, claims)
		case d.Machines != nil && len(claims) > 0:
			return authn.Identity{}, &authn.KeyError{Key: "claim", Err: fmt.Errorf("the machines of %s have no claims: the config has all of them", directory)}
		case d.Machines != nil:
			return d.Machines.Find(ctx, name)
		}
	}
	return authn.Identity{}, fmt.Errorf("%w: the config has no directory of machines %q", authn.ErrUnknownUser, config.Clip(directory))
}

// find is the directory of that name if it was made of the same config and files.
func (s *Snapshot) find(name string, print [sha256.Size]byte) *Directory {
	if d := s.named(name); d != nil && d.fingerprint == print {
		return d
	}
	return nil
}

// named returns the LDAP directory of that name, or nil.
func (s *Snapshot) named(name string) *Directory {
	if s == nil {
		return nil
	}
	for _, d := range s.Directories {
		if d.cache != nil && d.Name == name {
			return d
		}
	}
	return nil
}

// Expire makes every identity due for a question in the directories that were taken
// over from old.
func (s *Snapshot) Expire(old *Snapshot) {
	s.Gateway.Take()
	for _, d := range s.Directories {
		if d.cache != nil && old.find(d.Name, d.fingerprint) == d {
			d.cache.Expire()
		}
	}
}

// Restore takes the certificates that were ordered before, from their storage and, where
// the config of the orders changed, from old; nil: there is none.
func (s *Snapshot) Restore(old *Snapshot) {
	var before *acme.Manager
	if old != nil {
		before = old.Certificates.Orders()
	}
	s.Certificates.Restore(before)
}
