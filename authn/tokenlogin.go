package authn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Machine returns the machine whose token has this SHA-256, for a login of a: no
// directory of people is asked. The error wraps ErrBadToken.
func (c *Chain) Machine(hash [sha256.Size]byte, a Attempt) (Identity, error) {
	for _, m := range c.machines {
		if id, err := m.Owner(hash, a.Source); !errors.Is(err, ErrUnknownToken) {
			return id, err
		}
	}
	return Identity{}, ErrUnknownToken
}

// Proven returns the machine that an ID token of this issuer is of, for a login of a: no
// directory of people is asked. The error wraps ErrBadToken or ErrUnavailable; what the
// log may show of the token is returned beside it.
func (c *Chain) Proven(ctx context.Context, issuer string, a Attempt) (Identity, error) {
	for _, i := range c.issuers {
		if i.Issuer() == issuer {
			id, err := i.Prove(ctx, Secret(strings.TrimSpace(string(a.Password))))
			if err != nil && !errors.Is(err, ErrBadToken) {
				err = classified(err)
			}
			return id, err
		}
	}
	if issuer == "" {
		return Identity{}, fmt.Errorf("%w: no claims with an iss that can be read", ErrMalformedToken)
	}
	return Identity{}, fmt.Errorf("%w: no directory has its issuer", ErrUnknownToken)
}

// TakesCertificates reports whether clients' certificates say who somebody is.
func (c *Chain) TakesCertificates() bool { return c != nil && c.certified != nil }

// Certified returns the machine of a client's certificate, see Certificates.
func (c *Chain) Certified(sent []*x509.Certificate) (Identity, error) {
	if !c.TakesCertificates() {
		return Identity{}, fmt.Errorf("%w: no directory takes certificates", ErrUnknownToken)
	}
	id, err := c.certified.Certify(sent)
	if err != nil && !errors.Is(err, ErrBadToken) {
		err = classified(err)
	}
	return id, err
}

// Audience is who ID tokens should be for; empty: none are taken.
func (c *Chain) Audience() string {
	if len(c.issuers) == 0 {
		return ""
	}
	return c.issuers[0].Audiences()[0]
}

// Takes reports whether ID tokens for that audience are taken by any directory.
func (c *Chain) Takes(audience string) bool {
	return slices.ContainsFunc(c.issuers, func(i Issuer) bool { return slices.Contains(i.Audiences(), audience) })
}

// Refused takes in what became of a token that was shown in the place of a password:
// a bad one counts against its client's network, and where that has shown too many it
// comes back as *ThrottledError. Any other outcome is returned as it is.
func (c *Chain) Refused(ctx context.Context, a Attempt, err error) error {
	if ctx.Err() != nil || !errors.Is(err, ErrBadToken) {
		return err
	}
	if held := c.throttle.token(a); held != nil {
		return held
	}
	if held := c.throttle.claimToken(ctx, a); held != nil {
		return held
	}
	return err
}

// token counts a bad token, unless its network has shown so many that it is throttled.
func (t *Throttle) token(a Attempt) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	most, window, now := t.cfg.TokensPerSource, t.cfg.Window, time.Now()
	if most <= 0 {
		return nil
	}
	shown := t.tokens.lasting(a.network(), window, now)
	if over := len(shown) - most; over >= 0 {
		return &ThrottledError{RetryAfter: max(oldest(shown)[over].Add(window).Sub(now), time.Second), Limit: "tokens_per_source"}
	}
	t.tokens.add(pair{t.seal.digest("token", string(a.Password)), a.network()}, most, window)
	return nil
}
