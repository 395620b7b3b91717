package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"gatehouse/authn"
)

// Redeem is Login with a refresh token that is said to be one.
func (k *Keyring) Redeem(ctx context.Context, chain *authn.Chain, text authn.Secret, source netip.Addr) (Login, error) {
	l, err := k.redeem(ctx, chain, string(text), source)
	err = badToken(err)
	k.cfg.Metrics.Credential(string(FromRefresh), credentialResult(err))
	return l, err
}

// redeem checks a refresh token and its person, without a stale answer. source is
// where it comes from. The token's id is returned where it was one of ours.
func (k *Keyring) redeem(ctx context.Context, chain *authn.Chain, text string, source netip.Addr) (Login, error) {
	l := Login{Shown: Credential{Kind: FromRefresh}}
	t, err := k.Verify(text, Refresh, 0)
	l.Shown.ID, l.Origin = t.ID, t.Credential
	if err != nil {
		return l, err
	}
	if l.Origin == (Credential{}) { // of a password: what is issued now ends with the refresh token
		l.Origin = l.Shown
	} else {
		l.Via, l.Ends = t.ID, earlier(t.Ends, t.Expires)
	}
	if t.Subject.Proof == "" { // of others the directory knows how long their session is
		err = k.checkAge(t)
	}
	if err != nil {
		return l, err
	}
	t.Subject.Source = source
	if l.Identity, err = k.redeemed(ctx, chain, t); l.Identity.Username == t.Subject.Username {
		l.After = t.Survived()
	} else {
		l.After = t.IssuedAt // of another name the token knows no end
	}
	if err == nil {
		err = k.required(l)
	}
	return l, err
}

// checkAge holds a refresh token against the lifetime that the config has now.
func (k *Keyring) checkAge(t Token) error {
	switch age := k.cfg.Now().Sub(t.IssuedAt); {
	case k.cfg.RefreshLifetime <= 0:
		return fmt.Errorf("%w: refresh tokens are off", ErrInvalidToken)
	case age > k.cfg.RefreshLifetime: // made shorter since
		return fmt.Errorf("%w: older than refresh tokens may be now", ErrExpired)
	}
	return nil
}

// badToken says of a token of ours that is not good that it was shown for a password.
func badToken(err error) error {
	kind := authn.ErrUnknownToken
	switch {
	case err == nil, !errors.Is(err, ErrInvalidToken):
		return err
	case errors.Is(err, ErrExpired):
		kind = authn.ErrExpiredToken
	case errors.Is(err, ErrRevoked):
		kind = authn.ErrRevokedToken
	case errors.Is(err, authn.ErrUnknownUser), errors.Is(err, errChanged):
		kind = authn.ErrOwnerlessToken
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// results are what a refusal counts as, the closest first.
var results = []struct {
	err    error
	result string
}{
	{authn.ErrMalformedToken, "malformed"}, {authn.ErrUnknownToken, "unknown"}, {authn.ErrExpiredToken, "expired"}, {authn.ErrRevokedToken, "revoked"},
	{authn.ErrOwnerlessToken, "owner"}, {authn.ErrMismatchedToken, "mismatch"}, {errListed, "revoked"}, {authn.ErrUnknownUser, "unknown"}, {authn.ErrInvalidCredentials, "mismatch"},
	{ErrTokenRequired, "mismatch"},
}

// credentialResult is the metric's word for how a login ended.
func credentialResult(err error) string {
	if err == nil {
		return "ok"
	}
	if throttled := new(authn.ThrottledError); errors.As(err, &throttled) {
		return "throttled"
	}
	for _, r := range results {
		if errors.Is(err, r.err) {
			return r.result
		}
	}
	return "unavailable"
}
