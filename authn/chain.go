package authn

import (
	"context"
	"log/slog"

	"gatehouse/metrics"
)

// ChainConfig says what a Chain is made of.
type ChainConfig struct {
	// Directories are asked in this order. Their names are unique.
	Directories []Directory
	// Throttle limits failed logins; nil: no limit.
	Throttle *Throttle
	Metrics  *metrics.Metrics
	// Logger gets the reasons of refused logins (never a password); nil discards.
	Logger *slog.Logger
}

// Chain is all directories as one. At a login the first directory that knows
// the name decides alone, and its fault never hands the name on; a token's
// person is asked of his own directory only.
type Chain struct{}

// NewChain returns the chain.
func NewChain(cfg ChainConfig) *Chain { panic("being built") }

// Authenticate checks a login. Besides the sentinels it returns *ThrottledError.
// The identity returned beside ErrInvalidCredentials, where one was found, is for
// the log. Every refusal takes about the same time, whatever its cause, so that
// time tells nobody which names exist.
func (c *Chain) Authenticate(ctx context.Context, a Attempt) (Identity, error) {
	panic("being built")
}

// Lookup asks the directory that ref names for the person of a token.
// ErrUnknownUser also where no such directory exists (any more).
func (c *Chain) Lookup(ctx context.Context, ref Ref) (Identity, error) { panic("being built") }

// Find resolves a login without a password, for explain and check: the first
// directory that knows the name, or the error of the first at fault.
func (c *Chain) Find(ctx context.Context, login string) (Identity, error) { panic("being built") }
