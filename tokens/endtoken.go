package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
)

// EndToken ends a token for whoever holds it (RFC 7009): a personal or a machine's token, or a
// refresh token, whose text is the attempt's Password. l is what was ended, as far as known. An
// error that wraps authn.ErrBadToken says that there was nothing to end; too many such
// from one network are *authn.ThrottledError.
func (k *Keyring) EndToken(ctx context.Context, chain *authn.Chain, a authn.Attempt) (l Login, err error) {
	switch l.Shown.Kind = k.KindOf(a.Password); l.Shown.Kind {
	case FromMachine:
		err = k.endMachine(ctx, chain, a, &l)
	case FromPersonal:
		err = k.endPersonal(ctx, a, &l)
	case FromRefresh:
		err = k.endRefresh(ctx, strings.TrimSpace(string(a.Password)), &l)
	default:
		err = authn.ErrUnknownToken
	}
	return l, chain.Refused(ctx, a, err)
}

// endMachine ends a machine's token, from whatever network.
func (k *Keyring) endMachine(ctx context.Context, chain *authn.Chain, a authn.Attempt, l *Login) error {
	token, err := apitoken.Parse(a.Password)
	if err != nil {
		return fmt.Errorf("%w: %w", authn.ErrMalformedToken, err)
	}
	l.Shown.ID = token.ID
	l.Identity, err = chain.Machine(token.Hash, a)
	if err != nil && !errors.Is(err, authn.ErrMismatchedToken) {
		return err
	}
	return k.cfg.Revoker.End(ctx, Revoked{ID: token.ID, Ends: l.Identity.ValidUntil})
}

func (k *Keyring) endRefresh(ctx context.Context, text string, l *Login) error {
	t, err := k.Verify(text, Refresh, 0)
	l.Shown.ID = t.ID
	if err != nil {
		return badToken(err)
	}
	l.Identity = authn.Identity{Directory: t.Subject.Directory, Username: t.Subject.Username}
	return k.cfg.Revoker.End(ctx, Revoked{ID: t.ID, Ends: t.Expires})
}

// EndPerson ends all that a person was given until now, see Revoker.EndPerson.
func (k *Keyring) EndPerson(ctx context.Context, directory, name string, keep time.Duration) error {
	return k.cfg.Revoker.EndPerson(ctx, directory, name, keep)
}
