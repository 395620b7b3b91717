package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
	"gatehouse/authz"
)

// anonymous is the subject of a token for nobody; such a token names no directory.
const anonymous = "anonymous"

// claims are a token's content on the wire (RFC 7519 section 4).
type claims struct {
	Issuer        string   `json:"iss"`
	Audience      string   `json:"aud"`
	Subject       string   `json:"sub"`
	ID            string   `json:"jti"`
	IssuedAt      int64    `json:"iat"`
	Expires       int64    `json:"exp"`
	Directory     string   `json:"dir,omitempty"`
	LastingID     string   `json:"id,omitempty"`
	PasswordStamp string   `json:"pws,omitempty"`
	Scope         []string `json:"scope,omitempty"`
}

// The library's view of the claims. We check them ourselves (content), since it
// takes numbers in odd forms and several audiences.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

func (k *Keyring) claims(t Token) *claims {
	c := &claims{Issuer: k.cfg.Issuer, Audience: k.cfg.Service, Subject: t.Subject.Username, ID: t.ID,
		IssuedAt: t.IssuedAt.Unix(), Expires: t.Expires.Unix(), Directory: t.Subject.Directory, LastingID: t.Subject.ID,
		PasswordStamp: t.PasswordStamp, Scope: t.Scope.Strings()}
	if c.Directory == "" {
		c.Subject = anonymous
	}
	return c
}

// maxSkew is how far ahead a replica's clock may be.
const maxSkew = 30 * time.Second

// maxLife is the longest lifetime that the config takes for access tokens.
const maxLife = time.Hour

// content checks the claims and gives them as a Token.
func (k *Keyring) content(typ any, c claims) (Token, error) {
	t := Token{ID: c.ID, Subject: authn.Ref{Directory: c.Directory, Username: c.Subject, ID: c.LastingID}, PasswordStamp: c.PasswordStamp,
		IssuedAt: time.Unix(c.IssuedAt, 0), Expires: time.Unix(c.Expires, 0)}
	switch typ {
	case "at+jwt":
		t.Kind = Access
	case "refresh+jwt":
		t.Kind = Refresh
	default:
		return t, errors.New("unknown typ")
	}
	switch {
	case c.Issuer != k.cfg.Issuer:
		return t, errors.New("another issuer")
	case c.Audience != k.cfg.Service:
		return t, errors.New("another audience")
	case c.ID == "" || c.Subject == "" || c.IssuedAt <= 0 || c.Expires <= c.IssuedAt || c.Expires > 1<<40:
		return t, errors.New("a claim is missing or out of range")
	case t.IssuedAt.After(k.cfg.Now().Add(maxSkew)):
		return t, errors.New("issued in the future")
	case t.Kind == Access && t.Expires.Sub(t.IssuedAt) > maxLife:
		return t, errors.New("lives too long")
	case c.Directory == "" && (c.Subject != anonymous || c.LastingID != "" || c.PasswordStamp != ""):
		return t, errors.New("a person without a directory")
	case t.Kind == Refresh && c.PasswordStamp == "":
		return t, errors.New("a refresh token that hangs on no password")
	}
	if c.Directory == "" {
		t.Subject = authn.Ref{}
	}
	var err error
	t.Scope, err = authz.ParseScope(c.Scope)
	return t, err
}

// checkShape looks at a token's text before anything is computed with it: three
// parts of plain base64url, a header of alg, kid and typ alone (so no crit, jku,
// jwk or x5c), and no name twice or in another case, which parsers read differently.
func checkShape(raw string) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return errors.New("not three parts")
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("not base64url")
		}
	}
	if err := checkNames(parts[0], "alg", "kid", "typ"); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if err := checkNames(parts[1], "iss", "aud", "sub", "jti", "iat", "exp", "dir", "id", "pws", "scope"); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	return nil
}

// checkNames wants a flat JSON object with these names only, each at most once.
func checkNames(part string, allowed ...string) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return errors.New("no object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		known := false
		for _, a := range allowed {
			known = known || a == name
		}
		if !known || seen[name] {
			return fmt.Errorf("unexpected %.20q", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		if string(value) == "null" { // it would pass for a claim that is absent
			return fmt.Errorf("no value for %s", name)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}
