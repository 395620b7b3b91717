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
func (k *Keyring) EndToken(ctx context.Context, chain *authn.Chain, a authn.Attempt) (Login, error) {
	l, err := k.end(ctx, chain, a)
	return l, chain.Refused(ctx, a, err)
}

// EndLeaked is EndToken for an admin, who is not throttled, and who ends what else is ours too.
func (k *Keyring) EndLeaked(ctx context.Context, chain *authn.Chain, text authn.Secret) (Login, error) {
	l, err := k.end(ctx, chain, authn.Attempt{Password: text})
	if err == nil || l.Shown.Kind != FromOIDC {
		return l, err
	}
	trimmed := strings.TrimSpace(string(text))
	t, err := k.Read(trimmed)
	if err != nil {
		return l, badToken(err)
	}
	l.Shown.Kind = CredentialKind(t.Kind)
	return l, k.endIssued(ctx, trimmed, t.Kind, k.cfg.UploadGrace, &l)
}

// end ends a token for who shows it. Out of a file it comes with the end of its line.
func (k *Keyring) end(ctx context.Context, chain *authn.Chain, a authn.Attempt) (l Login, err error) {
	a.Password = authn.Secret(strings.TrimSpace(string(a.Password)))
	switch l.Shown.Kind = k.KindOf(a.Password); l.Shown.Kind {
	case FromMachine:
		err = k.endMachine(ctx, chain, a, &l)
	case FromPersonal:
		err = k.endPersonal(ctx, a, &l)
	case FromRefresh:
		err = k.endIssued(ctx, string(a.Password), Refresh, 0, &l)
	default:
		err = authn.ErrUnknownToken
	}
	return l, err
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

// endIssued ends a token that we signed. Nothing is left of it, nor of what was issued for it,
// when it is forgotten that it was ended.
func (k *Keyring) endIssued(ctx context.Context, text string, kind Kind, grace time.Duration, l *Login) error {
	t, err := k.Verify(text, kind, grace)
	l.Shown.ID = t.ID
	if err != nil {
		return badToken(err)
	}
	l.Identity = authn.Identity{Directory: t.Subject.Directory, Username: t.Subject.Username}
	return k.cfg.Revoker.End(ctx, Revoked{ID: t.ID, Ends: t.Expires.Add(k.cfg.Longest())})
}

// EndPerson ends all that a person was given until now, see Revoker.EndPerson.
func (k *Keyring) EndPerson(ctx context.Context, directory, name string, keep time.Duration) error {
	return k.cfg.Revoker.EndPerson(ctx, directory, name, keep)
}
