package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// ErrTarget: the request names an audience that is not ours. It wraps ErrInvalidRequest.
var ErrTarget = fmt.Errorf("%w: the audience is not ours", ErrInvalidRequest)

// Exchange is a GrantRequest for one token of ours in the place of an ID token (RFC 8693),
// which is the Attempt's password.
type Exchange struct {
	// Refresh asks for a refresh token, which has no scope, in the place of an access token.
	Refresh bool
	// Audience is who the token shall be for; empty: us.
	Audience string
	// Most shortens the token's life; 0: it does not.
	Most time.Duration
}

// exchange is Grant for an Exchange. Reply.Token is the token that was asked for.
func (g *Granter) exchange(ctx context.Context, r GrantRequest, asked authz.Scope) (Reply, error) {
	k := g.cfg.Keyring
	if a := r.Exchange.Audience; a != "" && a != k.cfg.Service && !g.cfg.Chain.Takes(a) && !slices.ContainsFunc(g.cfg.Addresses, sameAddress(a)) {
		return Reply{}, ErrTarget
	}
	seen := k.cfg.Revoker.list()
	l, err := k.loginByIDToken(ctx, g.cfg.Chain, *r.Attempt)
	l.since(seen)
	reply := Reply{Identity: l.Identity, Credential: l.Shown}
	if err != nil {
		return reply, err
	}
	var t Token
	switch {
	case !r.Exchange.Refresh:
		t = tokenFor(Access, l, g.cfg.Policy.Grant(l.Identity, asked, r.Source))
	case l.Identity.Proof.Session.IsZero():
		return reply, fmt.Errorf("%w: no refresh tokens are issued to these machines (session: 0s)", ErrInvalidRequest)
	default:
		t = tokenFor(Refresh, l, authz.Scope{})
	}
	t.Life = r.Exchange.Most
	reply.Token, reply.Granted, err = k.Issue(t)
	reply.ExpiresIn = reply.Granted.Expires.Sub(reply.Granted.IssuedAt)
	if r.Exchange.Refresh {
		reply.RefreshID = reply.Granted.ID
	}
	return reply, err
}

// sameAddress reports whether two URLs are one but for a slash at the end.
func sameAddress(a string) func(string) bool {
	return func(b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }
}

var errNoIDToken = errors.New("no ID token")

// loginByIDToken is Login with an ID token: nothing else is taken.
func (k *Keyring) loginByIDToken(ctx context.Context, chain *authn.Chain, a authn.Attempt) (Login, error) {
	l, err := Login{Shown: Credential{Kind: FromOIDC}}, fmt.Errorf("%w: %w", authn.ErrMalformedToken, errNoIDToken)
	if k.KindOf(a.Password) == FromOIDC {
		l, err = k.showIDToken(ctx, chain, a)
	}
	err = chain.Refused(ctx, a, err)
	k.cfg.Metrics.Credential(string(FromOIDC), credentialResult(err))
	return l, err
}
