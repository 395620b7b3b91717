// Package machine is a kind of directory: the machines of the config, each with the
// hashes of its tokens. It needs no store, so it works on every replica and changes by a
// reload.
//
// A machine logs in by its token alone, whatever user name stands beside it. Each later
// request asks again whether that token is still in the config and has not ended, so
// what was issued for it ends with it.
package machine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
)

// Config is what a Directory is made of.
type Config struct {
	// Name is the directory's name in the config.
	Name string
	// Machines are its machines, each name once.
	Machines []Machine
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Directory is an authn.Directory of machines. It is immutable, and never at fault.
type Directory struct {
	name     string
	machines map[string]*member // by name
	tokens   map[head][]*token
	now      func() time.Time
}

// head is the beginning of a hash: tokens are found by it, and compared as a whole in
// constant time.
type head [8]byte

// member is one machine.
type member struct {
	id       authn.Identity
	networks []netip.Prefix // that it may log in from; none: anywhere
	tokens   []*token
}

// token is one token of a machine, with the machine as those see it who showed it.
type token struct {
	machine *member
	hash    apitoken.Hash
	ends    Expiry
	note    string
	id      authn.Identity
}

var _ authn.Machines = (*Directory)(nil)

// New checks the config. Its error joins *authn.KeyError values whose keys are relative
// to the directory (`machines[0].tokens[1].hash`), warnings among them; where all of
// them are warnings the *Directory is returned as well.
func New(cfg Config) (*Directory, error) {
	d := &Directory{name: cfg.Name, machines: map[string]*member{}, tokens: map[head][]*token{}, now: cfg.Now}
	if d.now == nil {
		d.now = time.Now
	}
	b := builder{directory: d, now: d.now()}
	if len(cfg.Machines) == 0 {
		b.Warn("machines", errors.New("has no machines"))
	}
	for i, m := range cfg.Machines {
		b.add(fmt.Sprintf("machines[%d]", i), m)
	}
	if b.Fatal() {
		return nil, b.Err()
	}
	return d, b.Err()
}

func newToken(m *member, hash apitoken.Hash, t Token) *token {
	made := &token{machine: m, hash: hash, ends: t.Expires, note: t.Note, id: m.id}
	made.id.PasswordStamp, made.id.ValidUntil = hex.EncodeToString(hash[:16]), t.Expires.Time
	return made
}

// hold takes a token in.
func (d *Directory) hold(t *token) {
	at := head(t.hash[:])
	d.tokens[at] = append(d.tokens[at], t)
	t.machine.tokens = append(t.machine.tokens, t)
}

// held is the token with this hash, or nil.
func (d *Directory) held(hash apitoken.Hash) *token {
	for _, t := range d.tokens[head(hash[:])] {
		if t.hash.Equal(hash) {
			return t
		}
	}
	return nil
}

// Name is the directory's name in the config.
func (d *Directory) Name() string { return d.name }

// Owner returns the machine that the token with this SHA-256 is of, for a login from
// source: one whose address is not known is in no network.
func (d *Directory) Owner(hash [32]byte, source netip.Addr) (authn.Identity, error) {
	t := d.held(hash)
	switch {
	case t == nil:
		return authn.Identity{}, authn.ErrUnknownToken
	case t.ends.Ended(d.now()):
		return t.id, fmt.Errorf("%w at %s", authn.ErrExpiredToken, t.ends)
	case !t.machine.admits(source):
		return t.id, fmt.Errorf("%w: not from its networks", authn.ErrMismatchedToken)
	}
	return t.id, nil
}

func (m *member) admits(source netip.Addr) bool {
	source = source.Unmap().WithZone("")
	return len(m.networks) == 0 || slices.ContainsFunc(m.networks, func(n netip.Prefix) bool { return n.Contains(source) })
}

// Find resolves the name of a machine, upper and lower case alike, for whoever asks
// about it: no login comes here.
func (d *Directory) Find(_ context.Context, name string) (authn.Identity, error) {
	if m, ok := d.machines[strings.ToLower(name)]; ok {
		return m.id, nil
	}
	return authn.Identity{}, authn.ErrUnknownUser
}

// Verify checks a token of that machine, which may come from anywhere: the client is
// not known here.
func (d *Directory) Verify(_ context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	shown, err := apitoken.Parse(password)
	if err != nil {
		return authn.Identity{}, fmt.Errorf("%w: %w", authn.ErrInvalidCredentials, err)
	}
	got, err := d.Owner(shown.Hash, netip.Addr{})
	switch {
	case err != nil:
		return authn.Identity{}, fmt.Errorf("%w: %w", authn.ErrInvalidCredentials, err)
	case got.Username != id.Username || got.ID != id.ID:
		return authn.Identity{}, fmt.Errorf("%w: another machine's token", authn.ErrInvalidCredentials)
	}
	return got, nil
}

// Lookup asks whether the machine and the token of ref.Stamp are still in the config,
// and the token has not ended.
func (d *Directory) Lookup(_ context.Context, ref authn.Ref) (authn.Identity, error) {
	m, ok := d.machines[ref.Username]
	if !ok || m.id.ID != ref.ID {
		return authn.Identity{}, fmt.Errorf("%w in directory %s", authn.ErrUnknownUser, d.name)
	}
	for _, t := range m.tokens {
		switch {
		case t.id.PasswordStamp != ref.Stamp:
		case t.ends.Ended(d.now()):
			return authn.Identity{}, fmt.Errorf("%w: its token ended at %s", authn.ErrUnknownUser, t.ends)
		case ref.Strict && !m.admits(ref.Source):
			return authn.Identity{}, fmt.Errorf("%w: a login from outside its networks", authn.ErrUnknownUser)
		default:
			return t.id, nil
		}
	}
	return authn.Identity{}, fmt.Errorf("%w: the config has its token no more", authn.ErrUnknownUser)
}

// Held is what the config says of a token.
type Held struct {
	// Identity is the machine as the token shows it.
	Identity authn.Identity
	// Ends is when the token ends.
	Ends Expiry
	// Ended: it has.
	Ended bool
	// Note is the config's.
	Note string
	// Networks are those that the machine may log in from; none: anywhere.
	Networks []netip.Prefix
}

// Held shows the token with this hash, whatever its state. false: there is none.
func (d *Directory) Held(hash apitoken.Hash) (Held, bool) {
	t := d.held(hash)
	if t == nil {
		return Held{}, false
	}
	return Held{t.id, t.ends, t.ends.Ended(d.now()), t.note, t.machine.networks}, true
}

// Count says how many of the tokens go on, end within 14 days, and have ended.
func (d *Directory) Count() (active, expiring, expired int) {
	now := d.now()
	for _, m := range d.machines {
		for _, t := range m.tokens {
			switch {
			case t.ends.Ended(now):
				expired++
			case t.ends.Ended(now.Add(soon)):
				expiring++
			default:
				active++
			}
		}
	}
	return active, expiring, expired
}
