package tokens

import "gatehouse/authz"

// refresh issues a refresh token: signed like any token, so it survives restarts
// and works on every replica that has the keys, and bound to the password stamp,
// so it dies with the password. Without a stamp it would outlive a password
// change for weeks, and none is issued. That of an ID token, which ends in minutes,
// lasts as long as the session of its directory, whatever tokens.refresh_lifetime is.
func (g *Granter) refresh(l Login, reply *Reply) error {
	switch proof := l.Identity.Proof; {
	case proof != nil && proof.Session.IsZero(), proof == nil && g.cfg.Keyring.cfg.RefreshLifetime <= 0:
		return nil
	case l.Identity.PasswordStamp == "" && l.Origin.Kind != FromPersonal:
		reply.NoRefresh = "no refresh token: the directory shows no password stamp"
		return nil
	}
	text, t, err := g.cfg.Keyring.Issue(tokenFor(Refresh, l, authz.Scope{}))
	reply.RefreshToken, reply.RefreshID = text, t.ID
	return err
}
