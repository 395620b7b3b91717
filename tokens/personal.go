package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
)

// Password is Login for what takes a person's password alone: tokens are refused there.
func (k *Keyring) Password(ctx context.Context, chain *authn.Chain, a authn.Attempt) (l Login, err error) {
	if l.Shown.Kind = k.KindOf(a.Password); l.Shown.Kind != FromPerson {
		return l, chain.Refused(ctx, a, fmt.Errorf("%w: a password is needed here", authn.ErrBadToken))
	}
	a.Admit = k.Admit
	seen := k.cfg.Revoker.list()
	l.Identity, err = chain.Authenticate(ctx, a)
	l.since(seen)
	k.cfg.Metrics.Credential(string(l.Shown.Kind), credentialResult(err))
	return l, err
}

// ErrTokenRequired: the password is right, and good for making a token alone.
var ErrTokenRequired = errors.New("a token is required in the place of the password")

// required refuses what a password brought to a person who needs a token.
func (k *Keyring) required(l Login) error {
	if k.cfg.Personal != nil && (l.Origin.Kind == "" || l.Origin.Kind == FromRefresh) && k.cfg.Personal.Required(l.Identity) {
		return ErrTokenRequired
	}
	return nil
}

// showPersonal takes a person's token.
func (k *Keyring) showPersonal(ctx context.Context, chain *authn.Chain, shown apitoken.Token, from netip.Addr) (Login, error) {
	l := Login{Shown: Credential{FromPersonal, shown.ID}}
	held, id, err := k.ExaminePersonal(ctx, chain, shown)
	if err != nil {
		l.Identity = authn.Identity{Directory: held.Owner.Directory, Username: held.Owner.Username}
		return l, err
	}
	l.Identity, l.Origin, l.Ends = id, l.Shown, held.Ends
	k.cfg.Personal.Used(held.ID, from)
	return l, nil
}

// ExaminePersonal is a person's token and its owner, as a login with it finds them, without
// noting a use. Beside an error it is as much as is known.
func (k *Keyring) ExaminePersonal(ctx context.Context, chain *authn.Chain, shown apitoken.Token) (held Held, owner authn.Identity, err error) {
	switch {
	case k.cfg.Personal == nil:
		return held, owner, fmt.Errorf("%w: personal tokens are off", authn.ErrUnknownToken)
	case k.revoked.ids[shown.ID], k.cfg.Revoker.list().ids[shown.ID]:
		return held, owner, authn.ErrRevokedToken
	}
	held, err = k.cfg.Personal.Find(ctx, shown)
	if err == nil {
		err = k.cfg.Revoker.sees(time.Time{})
	}
	if err == nil {
		owner, err = k.owner(ctx, chain, held)
	}
	return held, owner, err
}

// owner is the person of a token as behind an access token: live, or stale while their
// directory is at fault. A new password, or a lock after wrong ones, ends nothing.
func (k *Keyring) owner(ctx context.Context, chain *authn.Chain, held Held) (authn.Identity, error) {
	id, err := chain.Lookup(ctx, held.Owner)
	switch {
	case errors.Is(err, authn.ErrUnknownUser):
		return id, fmt.Errorf("%w: %w", authn.ErrOwnerlessToken, err)
	case err != nil:
		return id, err
	case k.Admit(id) != nil, k.ended(id, held.Owner, held.Made, held.After):
		return id, authn.ErrRevokedToken
	}
	id.Ceiling = held.Ceiling
	return id, nil
}

// endPersonal ends a person's token for its holder.
func (k *Keyring) endPersonal(ctx context.Context, a authn.Attempt, l *Login) error {
	shown, err := apitoken.Parse(a.Password)
	if err != nil {
		return fmt.Errorf("%w: %w", authn.ErrMalformedToken, err)
	}
	l.Shown.ID = shown.ID
	if k.cfg.Personal == nil {
		return authn.ErrUnknownToken
	}
	held, err := k.cfg.Personal.End(ctx, shown)
	l.Identity = authn.Identity{Directory: held.Owner.Directory, Username: held.Owner.Username}
	return err
}

// redeemed finds out whose a refresh token is that was issued for a personal token.
func (k *Keyring) redeemed(ctx context.Context, chain *authn.Chain, t Token) (authn.Identity, error) {
	if t.Credential.Kind != FromPersonal {
		id, err := k.Identify(ctx, chain, t, true)
		if err == nil && id.NoLogin != "" {
			err = fmt.Errorf("%w: %s", ErrInvalidToken, id.NoLogin)
		}
		return id, err
	}
	return k.Identify(ctx, chain, t, false)
}

// Note notes a request with a token that was issued for a personal token.
func (k *Keyring) Note(t Token, from netip.Addr) {
	if t.Credential.Kind == FromPersonal && k.cfg.Personal != nil {
		k.cfg.Personal.Used(t.Credential.ID, from)
	}
}
