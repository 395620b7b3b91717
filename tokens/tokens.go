// Package tokens makes and checks the tokens that the realm hands out, and
// decides what goes into them. It knows no HTTP.
//
// A token is a signed JWT (RFC 7519) whose text only this gateway and its
// replicas need to understand. It says who the person was at the login (name,
// directory, lasting id, password stamp) and which scope was granted; who they are
// now is asked of their directory at every request (Identify), so a token is a
// ceiling and never a right.
package tokens

import (
	"errors"
	"fmt"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// The ways a token or a request for one can be wrong.
var (
	// ErrInvalidToken: malformed, forged, foreign, of another kind, or of a
	// person who is no longer who they were.
	ErrInvalidToken = errors.New("invalid token")
	// ErrExpired: good but too old. It wraps ErrInvalidToken.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalidToken)
	// ErrInvalidRequest: another service, too many scopes, a token over 16 KiB.
	ErrInvalidRequest = errors.New("invalid request")
)

// Kind keeps the kinds of tokens apart.
type Kind string

// The kinds: what is presented under /v2/, what a client trades for it, and what a browser
// keeps for the pages of proxy/ui.
const (
	Access  Kind = "access"
	Refresh Kind = "refresh"
	Session Kind = "ui"
)

// Token is the content of a verified token, or of one to be issued.
type Token struct {
	// Kind is what the token may be used as.
	Kind Kind
	// ID is the jti, 128 random bits; Issue fills it in.
	ID string
	// Subject is the person; zero for the anonymous caller.
	Subject authn.Ref
	// PasswordStamp is the person's at the login.
	PasswordStamp string
	// Scope is what was granted; empty in a refresh token.
	Scope authz.Scope
	// IssuedAt is the moment of the login, or of the refresh; Issue fills it in, in
	// whole seconds.
	IssuedAt time.Time
	// After is the latest end of all that the person had (Revoker.EndPerson) which was known
	// when this was asked for: it does not end with that, though its IssuedAt, in whole
	// seconds and by whose clock ever, may be before. Zero: none was known, or IssuedAt tells.
	After time.Time
	// Expires is IssuedAt plus the advertised lifetime, or Ends.
	Expires time.Time
	// Ends is when what it was issued for ends: the latest moment for Expires, beyond which
	// no leeway counts. Zero: none.
	Ends time.Time
	// Life shortens the config's lifetime of a token to be issued; 0: it does not.
	Life time.Duration
	// Session: in a token to be issued, it lasts until Ends, whatever the config has for
	// its kind.
	Session bool
	// Ceiling is that of the personal token which it was issued for; nil: none.
	Ceiling *authz.Ceiling
	// Via is the id of the refresh token that an access token was issued beside, or for, where
	// that was issued for something itself; empty: none. It ends with that.
	Via string
	// Credential is the token of a machine, or of a person's program, that this one was
	// issued for, also by way of a refresh token; zero: a password was shown.
	Credential Credential
}

// CredentialKind is which way what somebody shows goes.
type CredentialKind string

// The kinds. FromPerson is a password; the others are tokens, which no directory of
// people is ever shown.
const (
	FromPerson   CredentialKind = "password"
	FromPersonal CredentialKind = "personal" // of a person's program
	FromMachine  CredentialKind = "machine"  // of a machine of the config
	FromOIDC     CredentialKind = "oidc"     // an issuer's ID token
	FromRefresh  CredentialKind = "refresh"  // a refresh token of ours

	FromCertificate CredentialKind = "certificate" // a client's, of the connection
)

// Credential is what somebody showed, or what a token was issued for. Zero: nothing.
type Credential struct {
	// Kind is what it is.
	Kind CredentialKind
	// ID is the token's, which is no secret, or a certificate's serial number; empty: it has
	// none, or none that can be read.
	ID string
}

// Login is a caller who has shown something.
type Login struct {
	// Identity is who it is, as far as known.
	Identity authn.Identity
	// Shown is what they showed.
	Shown Credential
	// Origin is what the tokens name that are issued now: what was shown, or what a
	// refresh token was issued for; zero: a password.
	Origin Credential
	// Via is the id of the refresh token that was shown, where it was issued for something
	// itself; what is issued now ends with both.
	Via string
	// Ends is when the personal token ends that was shown, or the refresh token of a machine
	// or a personal token; zero: never, or none was.
	Ends time.Time
	// After is that of the tokens that are issued now, see Token.After.
	After time.Time
}
