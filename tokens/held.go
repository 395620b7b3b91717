package tokens

import (
	"context"
	"net/netip"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
)

// PersonalTokens are those that people made for their programs. Errors wrap
// authn.ErrBadToken, or store.ErrUnavailable where nothing is known. Implementations are
// safe for concurrent use.
type PersonalTokens interface {
	// Find is the token with this id and hash, where it has not ended; beside an error it
	// is as much of it as is known, for the log.
	Find(ctx context.Context, shown apitoken.Token) (Held, error)
	// End ends the token for whoever holds it.
	End(ctx context.Context, shown apitoken.Token) (Held, error)
	// Used notes that the token with this id was of use, for a client at that address.
	Used(id string, from netip.Addr)
	// Required reports whether the person gets nothing here by a password, but for making
	// tokens.
	Required(id authn.Identity) bool
}

// Held is what is known of a personal token.
type Held struct {
	// ID is its id, which is no secret.
	ID string
	// Owner is the person who made it.
	Owner authn.Ref
	// Made and Ends are its times; a zero Ends is never.
	Made, Ends time.Time
	// After is as Token.After.
	After time.Time
	// Ceiling is what it lets its owner do at most; never nil.
	Ceiling *authz.Ceiling
}
