package personal

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
	"gatehouse/tokens"
	"gatehouse/tokens/store"
)

// Desk is what a config lets be done with a Book. It is immutable and safe for
// concurrent use.
type Desk struct {
	// Config is the section.
	Config
	// Book has the tokens.
	Book *Book
	// Makers may make tokens, and Bound people need them, see Config.To and RequiredOf.
	Makers, Bound *authz.Audience
	// Keep is how long what was issued for a token lives at most after it: as long it
	// stays on the list of what is revoked.
	Keep time.Duration
}

var _ tokens.PersonalTokens = (*Desk)(nil)

// Required is of tokens.PersonalTokens.
func (d *Desk) Required(id authn.Identity) bool { return !id.Machine && d.Bound.Has(id) }

// Open reports whether the person may make tokens.
func (d *Desk) Open(id authn.Identity) bool {
	return !id.Anonymous() && !id.Machine && d.Makers.Has(id)
}

// Used is of tokens.PersonalTokens.
func (d *Desk) Used(id string, from netip.Addr) { d.Book.Used(id, from) }

// Find is of tokens.PersonalTokens.
func (d *Desk) Find(ctx context.Context, shown apitoken.Token) (tokens.Held, error) {
	r, err := d.Book.find(ctx, shown.ID)
	switch {
	case errors.Is(err, ErrNone), err == nil && !r.is(shown):
		return tokens.Held{}, authn.ErrUnknownToken
	case err != nil:
		return tokens.Held{}, err
	}
	h, err := r.held()
	if err != nil {
		return h, errors.Join(store.ErrUnavailable, err)
	}
	if r.ended(d.Book.now()) {
		return h, authn.ErrExpiredToken
	}
	return h, d.unused(ctx, r)
}

// unused refuses a token that was of no use for so long that it has ended.
func (d *Desk) unused(ctx context.Context, r record) error {
	if d.UnusedFor <= 0 {
		return nil
	}
	due := func(stored []byte) bool {
		return !d.Book.now().Before(*idle(r, d.Book.lastUse(r.ID, stored), d.UnusedFor))
	}
	if !due(nil) { // what is known here is enough
		return nil
	}
	s, err := d.Book.in()
	if err != nil {
		return err
	}
	stored, err := s.Get(ctx, allUses, r.ID)
	switch {
	case err != nil && !errors.Is(err, store.ErrNone):
		return err
	case due(stored):
		return fmt.Errorf("%w: unused for %s", authn.ErrExpiredToken, d.UnusedFor)
	}
	return nil
}

// End is of tokens.PersonalTokens.
func (d *Desk) End(ctx context.Context, shown apitoken.Token) (tokens.Held, error) {
	s, err := d.Book.in()
	if err != nil {
		return tokens.Held{}, err
	}
	r, err := d.Book.ask(ctx, s, shown.ID)
	if errors.Is(err, ErrNone) || err == nil && !r.is(shown) {
		return tokens.Held{}, authn.ErrUnknownToken
	}
	if err == nil {
		err = d.take(ctx, s, r)
	}
	if errors.Is(err, ErrNone) {
		err = authn.ErrUnknownToken
	}
	return tokens.Held{ID: r.ID, Owner: r.owner()}, err
}

// Order is a token that somebody wants.
type Order struct {
	// Name is 1 to 64 characters.
	Name string
	// Lifetime is at least 1s, and at most max_lifetime; nil: default_lifetime. Where
	// max_lifetime is 0s it may be 0s: without end.
	Lifetime *time.Duration
	// Repositories are the ceiling's patterns, none for all; Actions its actions, none
	// for pull.
	Repositories, Actions []string
	// After is that of the login, or of the session, in which it is asked for, see
	// tokens.Login and tokens.Token: what ends that ends the token too.
	After time.Time
}

// Make makes a token of a person who has shown their password, or has a session. The
// secret is nowhere else. Errors wrap those of this package, or store.ErrUnavailable.
func (d *Desk) Make(ctx context.Context, owner authn.Identity, o Order) (authn.Secret, Token, error) {
	r, secret, err := d.record(owner, o)
	if err != nil {
		return "", Token{}, err
	}
	err = d.add(ctx, r, func(now map[string][]byte) ([]store.Write, error) {
		return written(r), d.room(now, r.Name)
	})
	if err == nil {
		err = d.last(ctx, r)
	}
	if err != nil {
		return "", Token{}, err
	}
	return secret, r.shown(use{}), nil
}

// last looks, after a token was brought to the store, whether all of its owner's ended in the
// meantime: RevokeAll has either seen the token, or is seen here.
func (d *Desk) last(ctx context.Context, r record) error {
	if err := d.Book.revoker.Follow(ctx); err != nil || !d.Book.revoker.Ended(r.Directory, r.User, r.Made, r.After) {
		return err
	}
	s, err := d.Book.in()
	if err == nil {
		err = d.take(ctx, s, r)
	}
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	return errMeanwhile
}

var errMeanwhile = fmt.Errorf("%w any more: all that it had was ended in the meantime", ErrForbidden)

// add brings a new record to the store.
func (d *Desk) add(ctx context.Context, r record, change func(map[string][]byte) ([]store.Write, error)) error {
	s, err := d.Book.in()
	if err != nil {
		return err
	}
	if err = s.Update(ctx, tableOf(r.owner()), change); err == nil {
		d.Book.note(r.ID, r.Ends, false)
	}
	return err
}

// record checks an order and makes what is kept of it.
func (d *Desk) record(owner authn.Identity, o Order) (record, authn.Secret, error) {
	if !d.Open(owner) {
		return record{}, "", ErrForbidden
	}
	if err := checkName(o.Name); err != nil {
		return record{}, "", err
	}
	ceiling, err := authz.NewCeiling(o.Repositories, o.Actions)
	if err != nil {
		return record{}, "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if never := ceiling.Impossible(); len(never) > 0 {
		return record{}, "", fmt.Errorf("%w: pattern %q can never match: no repository is called so", ErrInvalid, never[0])
	}
	r := record{After: o.After, Name: o.Name, Directory: owner.Directory, User: owner.Username, LastingID: owner.ID, Made: d.Book.now().UTC().Truncate(time.Second),
		Repositories: ceiling.Repositories(), Actions: ceiling.Actions()}
	if r.Ends, err = d.end(r.Made, o.Lifetime); err != nil {
		return record{}, "", err
	}
	secret := r.key()
	return r, secret, nil
}

// checkName wants text that lists, logs and pages show as it was meant: nothing that turns
// what follows around, or is not seen, and nothing that a decoder has put for what it could
// not read.
func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 64 || strings.TrimSpace(name) == "" {
		return fmt.Errorf("%w: the name has to be of 1 to 64 characters", ErrInvalid)
	}
	for _, r := range name {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return fmt.Errorf("%w: the name may have no characters that are not seen, and none that cannot be read", ErrInvalid)
		}
	}
	return nil
}

// key gives the record a new token.
func (r *record) key() authn.Secret {
	secret := apitoken.Personal.New()
	shown, _ := apitoken.Parse(secret) // it was just made
	r.ID, r.Hash = shown.ID, shown.Hash.String()
	return secret
}

// end is when a token ends that is made now.
func (d *Desk) end(made time.Time, lifetime *time.Duration) (*time.Time, error) {
	life := d.DefaultLifetime
	if d.MaxLifetime > 0 {
		life = min(life, d.MaxLifetime)
	}
	if lifetime != nil {
		life = *lifetime
	}
	switch {
	case life == 0 && d.MaxLifetime == 0:
		return nil, nil
	case life < time.Second:
		return nil, fmt.Errorf("%w: a lifetime is at least 1s", ErrInvalid)
	case d.MaxLifetime > 0 && life > d.MaxLifetime:
		return nil, fmt.Errorf("%w: the lifetime is at most %s", ErrInvalid, d.MaxLifetime)
	}
	at := made.Add(life).Truncate(time.Second)
	if at.Year() > 9999 {
		return nil, fmt.Errorf("%w: the lifetime is too long", ErrInvalid)
	}
	return &at, nil
}

// room reports why somebody who has these tokens may not make another of that name.
func (d *Desk) room(now map[string][]byte, name string) error {
	living := 0
	for _, text := range now {
		r, err := readRecord(text)
		if err != nil || r.ended(d.Book.now()) {
			continue
		}
		if r.Name == name {
			return ErrTaken
		}
		living++
	}
	if living >= d.PerUser {
		return ErrTooMany
	}
	return nil
}

// List are the tokens of a person, in the order of their making; those that have ended
// not long ago too.
func (d *Desk) List(ctx context.Context, owner authn.Identity) ([]Token, error) {
	s, err := d.Book.in()
	if err != nil {
		return nil, err
	}
	all, err := s.List(ctx, tableOf(authn.Ref{Directory: owner.Directory, ID: owner.ID}))
	if err != nil {
		return nil, err
	}
	list := []Token{}
	for id, text := range all {
		r, err := readRecord(text)
		if err != nil {
			continue // of a later version
		}
		stored, err := s.Get(ctx, allUses, id)
		if err != nil && !errors.Is(err, store.ErrNone) {
			return nil, err
		}
		list = append(list, r.shown(d.Book.lastUse(id, stored)))
	}
	return sorted(list), nil
}

// All are the tokens of everybody whose name fits: NAME, or DIRECTORY/NAME; "" is everybody.
func (d *Desk) All(ctx context.Context, user string) ([]Token, error) { return d.Book.All(ctx, user) }

// Revoke ends a token of a person, and all that was issued for it: at once here, within a
// second elsewhere. ErrNone: it is none of theirs.
func (d *Desk) Revoke(ctx context.Context, owner authn.Identity, id string) (Token, error) {
	return d.revoke(ctx, id, func(r record) bool { return r.Directory == owner.Directory && r.LastingID == owner.ID })
}

// RevokeAny is Revoke for an admin, who may end everybody's.
func (d *Desk) RevokeAny(ctx context.Context, id string) (Token, error) {
	return d.revoke(ctx, id, func(record) bool { return true })
}

func (d *Desk) revoke(ctx context.Context, id string, may func(record) bool) (Token, error) {
	s, err := d.Book.in()
	if err != nil {
		return Token{}, err
	}
	r, err := d.Book.ask(ctx, s, id)
	if err == nil && !may(r) {
		err = ErrNone
	}
	if err == nil {
		err = d.take(ctx, s, r)
	}
	if err != nil {
		return Token{}, err
	}
	return r.shown(use{}), nil
}

// take takes a token out, and puts it on the list of what is revoked.
func (d *Desk) take(ctx context.Context, s *store.Store, r record) error {
	gone := tokens.Revoked{ID: r.ID, Ends: d.Book.now().UTC().Add(d.Keep).Truncate(time.Second)}
	err := s.Update(ctx, tableOf(r.owner()), func(now map[string][]byte) ([]store.Write, error) {
		if now[r.ID] == nil {
			return nil, ErrNone
		}
		return append(without(r), gone.Write()), nil
	})
	if err != nil {
		return err
	}
	d.Book.revoker.Heard(gone)
	d.Book.cache.Remove(r.ID)
	d.Book.note(r.ID, nil, true)
	return nil
}

// rotation is how long a token goes on in whose place another was made.
const rotation = 24 * time.Hour

// Rotate makes a second token of the same ceiling, lifetime and name, and ends the old one
// in 24 hours, which is told by its name then. after is as Order.After.
func (d *Desk) Rotate(ctx context.Context, owner authn.Identity, id string, after time.Time) (secret authn.Secret, made Token, err error) {
	now := d.Book.now().UTC().Truncate(time.Second)
	var next, old record
	table := record{Directory: owner.Directory, LastingID: owner.ID}
	err = d.add(ctx, table, func(theirs map[string][]byte) ([]store.Write, error) {
		if old, err = readRecord(theirs[id]); err != nil || old.ended(now) || old.RotatedTo != "" {
			return nil, ErrNone
		}
		if next, secret, err = d.record(owner, Order{Name: old.Name, Lifetime: d.lifetime(&old), Repositories: old.Repositories, Actions: old.Actions, After: after}); err != nil {
			return nil, err
		}
		old.Name, old.RotatedTo = next.Name+" (before "+now.Format("2006-01-02 15:04:05")+")", next.ID
		if at := now.Add(rotation); old.Ends == nil || at.Before(*old.Ends) {
			old.Ends = &at
		}
		return append(written(old), written(next)...), nil
	})
	if err != nil {
		return "", Token{}, err
	}
	d.Book.cache.Remove(id)
	d.Book.note(id, old.Ends, false)
	d.Book.note(next.ID, next.Ends, false)
	if err = d.last(ctx, next); err != nil {
		return "", Token{}, err
	}
	return secret, next.shown(use{}), nil
}

// lifetime is that of a token once more, as far as it may be chosen now.
func (d *Desk) lifetime(old *record) *time.Duration {
	life := time.Duration(0)
	if old.Ends != nil {
		life = old.Ends.Sub(old.Made)
	}
	if d.MaxLifetime > 0 && (life == 0 || life > d.MaxLifetime) {
		life = d.MaxLifetime
	}
	return &life
}
