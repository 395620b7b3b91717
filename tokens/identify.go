package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/authn"
)

// Identify asks the directory for the person of a verified token and checks that
// they are still the same, with the same password. ErrInvalidToken: they are not;
// ErrRevoked: the name that the directory has for them now is on the list of what is
// revoked, for the token may bear another one of theirs; ErrUnavailable passes. strict
// refuses a stale answer, as the realm must.
func (k *Keyring) Identify(ctx context.Context, chain *authn.Chain, t Token, strict bool) (authn.Identity, error) {
	if t.Subject.Directory == "" {
		return authn.Identity{}, nil
	}
	ref := t.Subject
	ref.Strict, ref.Stamp = strict, t.PasswordStamp
	id, err := chain.Lookup(ctx, ref)
	switch {
	case errors.Is(err, authn.ErrUnknownUser):
		return authn.Identity{}, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	case err != nil:
		return authn.Identity{}, err
	case t.Credential.Kind == FromPersonal && k.cfg.Personal == nil:
		return authn.Identity{}, fmt.Errorf("%w: personal tokens are off", ErrInvalidToken)
	case t.Credential.Kind != FromPersonal && id.PasswordStamp != t.PasswordStamp:
		return authn.Identity{}, errChanged
	case k.ended(id, t.Subject, t.given(), t.After):
		return authn.Identity{}, ErrRevoked
	}
	if t.Ceiling != nil {
		id.Ceiling = t.Ceiling
	}
	return id, nil
}

// ended reports whether what the person was given at that moment is revoked. after is of
// the name that they had then: where they have another it tells nothing.
func (k *Keyring) ended(id authn.Identity, was authn.Ref, issued, after time.Time) bool {
	if id.Username != was.Username {
		after = time.Time{}
	}
	return k.revoked.ends(id.Directory, id.Username, issued, after) || k.cfg.Revoker.list().ends(id.Directory, id.Username, issued, after)
}

var errChanged = fmt.Errorf("%w: the password was changed", ErrInvalidToken)

// Admit refuses a login of a person who is on the list without a moment: their
// password is no better than their tokens, and what the realm gave them meanwhile
// would be good again once they are off the list. The error is an
// authn.ErrInvalidCredentials, so they are told what a wrong password is told.
func (k *Keyring) Admit(id authn.Identity) error {
	if k.revoked.ends(id.Directory, id.Username, endOfTime, time.Time{}) {
		return errListed
	}
	return nil
}

var errListed = fmt.Errorf("%w: the person is on tokens.revoked", authn.ErrInvalidCredentials)

// endOfTime is after every moment that an entry can name (RFC 3339 has four digits
// for the year).
var endOfTime = time.Date(10_000, 1, 2, 0, 0, 0, 0, time.UTC)
