package tokens

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// GranterConfig says what a Granter works with.
type GranterConfig struct {
	// Keyring signs what is granted.
	Keyring *Keyring
	// Chain checks passwords, and finds the person of a refresh token.
	Chain *authn.Chain
	// Policy says which part of the asked scope is granted.
	Policy *authz.Policy
	// Addresses are the URLs that clients know us by, each of which means us as the audience
	// of an Exchange.
	Addresses []string
}

// Granter answers requests for tokens. It is immutable.
type Granter struct{ cfg GranterConfig }

// NewGranter returns a granter.
func NewGranter(cfg GranterConfig) *Granter { return &Granter{cfg} }

// GrantRequest is a request for a token. Attempt nil and RefreshToken empty is the
// anonymous caller, unless a certificate says who it is.
type GrantRequest struct {
	// Attempt is a name with a password.
	Attempt *authn.Attempt
	// RefreshToken is the text of one; it goes before Attempt.
	RefreshToken authn.Secret
	// Certificates are the client's and those that signed it, as the connection has them;
	// they count where there is nothing else, and a directory takes them.
	Certificates []*x509.Certificate
	// Service is the audience of the token; empty: ours.
	Service string
	// Scopes are the values of the request's scope parameters, as ParseScope takes them.
	Scopes []string
	// Offline asks for a refresh token.
	Offline bool
	// Exchange is set where the Attempt is to be exchanged; nil: it is a login.
	Exchange *Exchange
	// Source is the client's address, as in authz.Request.
	Source netip.Addr
}

// Reply is a granted token.
type Reply struct {
	// Token is the text of the access token.
	Token string
	// Granted is its content; Scope is what was granted.
	Granted Token
	// ExpiresIn is the advertised lifetime.
	ExpiresIn time.Duration
	// RefreshToken is the text of the refresh token; empty: none.
	RefreshToken string
	// RefreshID is that of the refresh token that was issued or redeemed, for the log.
	RefreshID string
	// Credential is what the caller showed, for the log.
	Credential Credential
	// NoRefresh is why no refresh token was issued although one was asked for; for the log.
	NoRefresh string
	// Identity is the caller, as far as known.
	Identity authn.Identity
}

// Grant checks the credentials and issues a token with that part of the asked
// scope that the policy allows, which may be nothing (distribution's token
// specification: less than asked is no error). The reply's Identity is set beside
// an error too where it is known. Errors wrap this package's sentinels or
// package authn's.
func (g *Granter) Grant(ctx context.Context, r GrantRequest) (Reply, error) {
	if ours := g.cfg.Keyring.cfg.Service; r.Service != "" && r.Service != ours {
		return Reply{}, fmt.Errorf("%w: the service here is %s", ErrInvalidRequest, ours)
	}
	asked, err := authz.ParseScope(r.Scopes)
	if err != nil {
		return Reply{}, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	if r.Exchange != nil {
		return g.exchange(ctx, r, asked)
	}
	seen := g.cfg.Keyring.cfg.Revoker.list()
	l, err := g.identify(ctx, r)
	reply := Reply{Identity: l.Identity, Credential: l.Shown}
	if l.Shown.Kind == FromRefresh {
		reply.RefreshID = l.Shown.ID
	} else {
		l.since(seen)
	}
	if err != nil {
		return reply, err
	}
	if r.Offline && !l.Identity.Anonymous() && l.Shown.Kind != FromRefresh {
		if err = g.refresh(l, &reply); err != nil {
			return reply, err
		}
		l.Via = reply.RefreshID // what is issued beside it ends with it too
	}
	reply.Token, reply.Granted, err = g.cfg.Keyring.Issue(tokenFor(Access, l, g.cfg.Policy.Grant(l.Identity, asked, r.Source)))
	reply.ExpiresIn = reply.Granted.Expires.Sub(reply.Granted.IssuedAt)
	return reply, err
}

// identify checks what the client brought along.
func (g *Granter) identify(ctx context.Context, r GrantRequest) (Login, error) {
	switch {
	case r.RefreshToken != "":
		return g.cfg.Keyring.Redeem(ctx, g.cfg.Chain, r.RefreshToken, r.Source)
	case r.Attempt != nil:
		return g.cfg.Keyring.Login(ctx, g.cfg.Chain, *r.Attempt)
	case len(r.Certificates) > 0 && g.cfg.Chain.TakesCertificates():
		return g.cfg.Keyring.LoginByCertificate(g.cfg.Chain, r.Certificates)
	}
	return Login{}, nil
}

// tokenFor is a token to be issued. What a machine showed ends it at the latest.
func tokenFor(kind Kind, l Login, scope authz.Scope) Token {
	id := l.Identity
	t := Token{Kind: kind, Subject: id.Ref(), PasswordStamp: id.PasswordStamp, Scope: scope, Via: l.Via, Credential: l.Origin, After: l.After}
	t.Subject.Stamp = "" // it stands beside it
	switch {
	case id.Machine:
		t.Ends = earlier(id.ValidUntil, l.Ends)
	case l.Origin.Kind == FromPersonal:
		t.PasswordStamp, t.Ends = "", l.Ends
		t.Ceiling, _ = id.Ceiling.(*authz.Ceiling)
	}
	if id.Proof != nil && kind == Refresh {
		t.Session, t.Ends = true, id.Proof.Session
	}
	return t
}
