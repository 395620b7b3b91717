package tokens

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// Config says how tokens are made and how long they last: the section `tokens`.
type Config struct {
	// Service is the challenge's service and the tokens' audience: printable ASCII
	// without " and \. Default gatehouse.
	Service string `yaml:"service,required"`
	// Issuer is who signs, in the same letters. Default gatehouse.
	Issuer string `yaml:"issuer,required"`
	// Lifetime is how long an access token lasts. Default 15m.
	Lifetime time.Duration `yaml:"lifetime" min:"60s" max:"1h"`
	// UploadGrace is how long after its end a token still continues an upload that it
	// began. Default 6h.
	UploadGrace time.Duration `yaml:"upload_grace"`
	// RefreshLifetime is how long a refresh token lasts, no shorter than an access token; 0s: none is
	// issued or taken. Default 0s.
	RefreshLifetime time.Duration `yaml:"refresh_lifetime"`
	// KeyFiles are private keys in PEM: Ed25519, EC P-256 or RSA of 2048 bits at least.
	// The first signs, all verify. Default empty: one is made at start.
	KeyFiles []authn.SecretFile `yaml:"key_files"`
	// Revoked ends tokens before their time.
	Revoked []Revocation `yaml:"revoked"`

	Personal PersonalTokens   `yaml:"-"` // nil: there are none
	Revoker  *Revoker         `yaml:"-"` // of what is ended while the gateway runs; nil: nothing is
	Metrics  *metrics.Metrics `yaml:"-"` // nil: none
	Now      func() time.Time `yaml:"-"` // nil: time.Now
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.Service, c.Issuer, c.Lifetime, c.UploadGrace = "gatehouse", "gatehouse", 15*time.Minute, 6*time.Hour
}

// Check finds what cannot stand in a challenge, and times that do not fit together.
// Its error joins *authn.KeyError values with keys relative to `tokens`.
func (c *Config) Check() error {
	var faults authn.Faults
	faults.Add("service", checkLetters(c.Service))
	faults.Add("issuer", checkLetters(c.Issuer))
	for _, word := range []string{"basic", "bearer"} {
		if strings.Contains(strings.ToLower(c.Service), word) {
			faults.Warn("service", fmt.Errorf("has the word %q: some clients look for it anywhere in the challenge, and take it for the scheme", word))
		}
	}
	if c.RefreshLifetime > 0 && c.RefreshLifetime < c.Lifetime {
		faults.Add("refresh_lifetime", fmt.Errorf("must be 0s (off) or longer than tokens.lifetime (%s)", c.Lifetime))
	}
	if c.UploadGrace > longGrace {
		faults.Warn("upload_grace", fmt.Errorf("%s is long: a token that leaks can write to upload sessions until then", c.UploadGrace))
	}
	if c.RefreshLifetime > longRefresh {
		faults.Warn("refresh_lifetime", fmt.Errorf("%s is long: a refresh token that leaks is a login until then, unless the password changes", c.RefreshLifetime))
	}
	return faults.Err()
}

// Longest is how long what is issued now may be taken at most: an access token that
// continues an upload, or a refresh token.
func (c *Config) Longest() time.Duration {
	return max(maxLife+c.UploadGrace, c.RefreshLifetime) + time.Hour
}

// Lasting is how long what a password gives now lasts at most: that, or a session of the pages.
func (c *Config) Lasting() time.Duration { return max(c.Longest(), MaxSession) }

// Longer times than these hardly anybody means.
const (
	longGrace   = 48 * time.Hour
	longRefresh = 90 * 24 * time.Hour
)

// checkLetters keeps to what may stand in a quoted string of a header as it is.
func checkLetters(value string) error {
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c > '~' }) {
		return errors.New("may hold printable ASCII without \" and \\ only, because it stands in a header")
	}
	return nil
}

// Revocation ends tokens before their time, access and refresh tokens alike: one
// token, or all of a person, or those issued before a moment. Where several of
// its conditions are set, a token must meet all of them.
type Revocation struct {
	// ID is the id of one token, as the log shows it in token_id or credential_id; it
	// stands alone. Of a machine's token, what was issued for it ends too.
	ID string `yaml:"token,nonempty"`
	// User is a person: NAME, or DIRECTORY/NAME, in any letter case. Without
	// issued_before no login of theirs is taken either.
	User string `yaml:"user,nonempty"`
	// Before takes the tokens issued before it (RFC 3339). Default: whenever they were.
	Before time.Time `yaml:"issued_before"`
}

// Person gives the parts of User as identities have them; no directory: any.
func (r *Revocation) Person() (directory, name string) {
	first, rest, bound := strings.Cut(r.User, "/")
	if bound {
		return authn.NormalizeName(first), authn.NormalizeName(rest)
	}
	return "", authn.NormalizeName(first)
}

// tokenID is what a jti looks like. A whole token does not: a secret must not
// stand in a config, and would match nothing.
var tokenID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Check wants an entry that does what its author thinks: in an emergency nobody
// looks twice.
func (r *Revocation) Check() error {
	var faults authn.Faults
	faults.Add("", r.shape())
	if r.ID != "" && !tokenID.MatchString(r.ID) {
		faults.Add("token", errors.New("is no token id; the log's token_id is one"))
	}
	if _, name := r.Person(); r.User != "" && (name == "" || strings.TrimSpace(r.User) != r.User || strings.Contains(r.User, "*")) {
		faults.Add("user", fmt.Errorf("%.100q is no person; write NAME or DIRECTORY/NAME", r.User))
	}
	if r.Before.After(time.Now()) {
		faults.Warn("issued_before", fmt.Errorf("%s is still to come: until then new tokens are refused too", r.Before.Format(time.RFC3339)))
	}
	return faults.Err()
}

var errShape = errors.New("needs token alone, or user, or issued_before, or user and issued_before")

// shape reports an entry whose keys do not go together.
func (r *Revocation) shape() error {
	if (r.ID != "") == (r.User != "" || !r.Before.IsZero()) {
		return errShape
	}
	return nil
}
