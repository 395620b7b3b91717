// Package tokens makes and checks the tokens that the realm hands out, and
// decides what goes into them. It knows no HTTP.
package tokens

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
)

// The ways a token or a request for one can be wrong.
var (
	// ErrInvalidToken: malformed, forged, foreign, of another kind, or of a
	// person who is no longer who he was.
	ErrInvalidToken = errors.New("invalid token")
	// ErrExpired: good but too old. It wraps ErrInvalidToken.
	ErrExpired = errors.New("expired")
	// ErrInvalidRequest: another service, too many scopes, a token over 16 KiB.
	ErrInvalidRequest = errors.New("invalid request")
)

// Kind keeps the kinds of tokens apart.
type Kind string

const (
	Access  Kind = "access"
	Refresh Kind = "refresh"
)

// Token is the content of a verified token, or of one to be issued.
type Token struct {
	Kind Kind
	// ID is the jti, 128 random bits; Issue fills it in.
	ID string
	// Subject is the person; zero for the anonymous caller.
	Subject authn.Ref
	// PasswordStamp is the person's at the login.
	PasswordStamp string
	Scope         authz.Scope
	IssuedAt      time.Time
	Expires       time.Time // IssuedAt plus the advertised lifetime
}

// Key is one PEM file of key_files: Name is for messages.
type Key struct {
	Name string
	PEM  []byte
}

// KeyringConfig says how tokens are made.
type KeyringConfig struct {
	Issuer, Service string
	Lifetime        time.Duration
	RefreshLifetime time.Duration
	// Keys: the first signs, all verify.
	Keys    []Key
	Metrics *metrics.Metrics
	Now     func() time.Time // nil: time.Now
}

// GenerateKey returns a new Ed25519 key for a gateway that was given none.
func GenerateKey() (Key, error) { panic("being built") }

// Keyring signs and verifies. It is immutable but for its cache of verified tokens.
type Keyring struct{}

// NewKeyring checks the keys. Its error joins *authn.KeyError values with keys
// relative to `tokens` (`key_files[1]`).
func NewKeyring(cfg KeyringConfig) (*Keyring, error) { panic("being built") }

// Issue signs the token; it fills in ID, IssuedAt and Expires of what it returns.
// A text over 16 KiB is ErrInvalidRequest.
func (k *Keyring) Issue(t Token) (string, Token, error) { panic("being built") }

// Verify checks a token's text (RFC 7515, RFC 7519, RFC 8725). It is good until
// grace after its Expires.
func (k *Keyring) Verify(raw string, kind Kind, grace time.Duration) (Token, error) {
	panic("being built")
}

// GranterConfig says what a Granter works with.
type GranterConfig struct {
	Keyring *Keyring
	Chain   *authn.Chain
	Policy  *authz.Policy
}

// Granter answers requests for tokens.
type Granter struct{}

// NewGranter returns a granter.
func NewGranter(cfg GranterConfig) *Granter { panic("being built") }

// GrantRequest is a request for a token. Attempt nil and RefreshToken empty is the
// anonymous caller.
type GrantRequest struct {
	Attempt      *authn.Attempt
	RefreshToken authn.Secret
	Service      string // empty: ours
	Scopes       []string
	Offline      bool // a refresh token is asked for
	Source       netip.Addr
}

// Reply is a granted token.
type Reply struct {
	Token        string
	Granted      Token // its content; Scope is what was granted
	ExpiresIn    time.Duration
	RefreshToken string // empty: none
	// NoRefresh says why no refresh token was issued although one was asked for; for the log.
	NoRefresh string
	Identity  authn.Identity
}

// Grant checks the credentials and issues a token with that part of the asked
// scope that the policy allows, which may be nothing. The reply's Identity is
// set beside an error too where it is known. Errors wrap this package's
// sentinels or package authn's.
func (g *Granter) Grant(ctx context.Context, r GrantRequest) (Reply, error) {
	panic("being built")
}

// Identify asks the directory for the person of a verified token and checks that
// he is still the same, with the same password. ErrInvalidToken: he is not;
// ErrUnavailable passes.
func Identify(ctx context.Context, chain *authn.Chain, t Token, strict bool) (authn.Identity, error) {
	panic("being built")
}
