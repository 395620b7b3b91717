package tokens

import (
	"context"
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
}

// Granter answers requests for tokens. It is immutable.
type Granter struct{ cfg GranterConfig }

// NewGranter returns a granter.
func NewGranter(cfg GranterConfig) *Granter { return &Granter{cfg} }

// GrantRequest is a request for a token. Attempt nil and RefreshToken empty is the
// anonymous caller.
type GrantRequest struct {
	// Attempt is a name with a password.
	Attempt *authn.Attempt
	// RefreshToken is the text of one; it goes before Attempt.
	RefreshToken authn.Secret
	// Service is the audience of the token; empty: ours.
	Service string
	// Scopes are the values of the request's scope parameters, as ParseScope takes them.
	Scopes []string
	// Offline asks for a refresh token.
	Offline bool
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
	id, refreshID, err := g.identify(ctx, r)
	reply := Reply{Identity: id, RefreshID: refreshID, ExpiresIn: g.cfg.Keyring.cfg.Lifetime}
	if err != nil {
		return reply, err
	}
	reply.Token, reply.Granted, err = g.cfg.Keyring.Issue(tokenFor(Access, id, g.cfg.Policy.Grant(id, asked, r.Source)))
	if err != nil || !r.Offline || id.Anonymous() || r.RefreshToken != "" {
		return reply, err
	}
	return reply, g.refresh(id, &reply)
}

// identify checks what the client brought along.
func (g *Granter) identify(ctx context.Context, r GrantRequest) (id authn.Identity, refreshID string, err error) {
	switch {
	case r.RefreshToken != "":
		return g.redeem(ctx, string(r.RefreshToken))
	case r.Attempt != nil:
		attempt := *r.Attempt
		attempt.Admit = g.cfg.Keyring.Admit
		id, err = g.cfg.Chain.Authenticate(ctx, attempt)
	}
	return id, "", err
}

func tokenFor(kind Kind, id authn.Identity, scope authz.Scope) Token {
	return Token{Kind: kind, Subject: authn.Ref{Directory: id.Directory, Username: id.Username, ID: id.ID},
		PasswordStamp: id.PasswordStamp, Scope: scope}
}
