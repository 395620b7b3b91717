package tokens

import (
	"context"
	"fmt"

	"gatehouse/authn"
	"gatehouse/authz"
)

// refresh issues a refresh token: signed like any token, so it survives restarts
// and works on every replica that has the keys, and bound to the password stamp,
// so it dies with the password. Without a stamp it would outlive a password
// change for weeks, and none is issued.
func (g *Granter) refresh(id authn.Identity, reply *Reply) error {
	switch {
	case g.cfg.Keyring.cfg.RefreshLifetime <= 0:
		return nil
	case id.PasswordStamp == "":
		reply.NoRefresh = "no refresh token: the directory shows no password stamp"
		return nil
	}
	text, t, err := g.cfg.Keyring.Issue(tokenFor(Refresh, id, authz.Scope{}))
	reply.RefreshToken, reply.RefreshID = text, t.ID
	return err
}

// redeem checks a refresh token and its person, without a stale answer. The
// token's id is returned where it was one of ours.
func (g *Granter) redeem(ctx context.Context, text string) (authn.Identity, string, error) {
	if g.cfg.Keyring.cfg.RefreshLifetime <= 0 {
		return authn.Identity{}, "", fmt.Errorf("%w: refresh tokens are off", ErrInvalidToken)
	}
	t, err := g.cfg.Keyring.Verify(text, Refresh, 0)
	if err != nil {
		return authn.Identity{}, t.ID, err
	}
	if age := g.cfg.Keyring.cfg.Now().Sub(t.IssuedAt); age > g.cfg.Keyring.cfg.RefreshLifetime { // made shorter since
		return authn.Identity{}, t.ID, fmt.Errorf("%w: older than refresh tokens may be now", ErrExpired)
	}
	id, err := g.cfg.Keyring.Identify(ctx, g.cfg.Chain, t, true)
	if err == nil && id.NoLogin != "" {
		return id, t.ID, fmt.Errorf("%w: %s", ErrInvalidToken, id.NoLogin)
	}
	return id, t.ID, err
}
