package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
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
	Credential    string   `json:"crd,omitempty"` // the kind
	CredentialID  string   `json:"cid,omitempty"`
	Repositories  []string `json:"rep,omitempty"` // of a ceiling
	Actions       []string `json:"act,omitempty"`
	Ends          int64    `json:"end,omitempty"` // of what it was issued for
	Via           string   `json:"via,omitempty"` // a refresh token
	After         int64    `json:"aft,omitempty"` // nanoseconds since 1970, see Token.After

	Proof json.RawMessage `json:"prf,omitempty"` // see authn.Proof.Carried
}

// The library's view of the claims. We check them ourselves (content), since it
// takes numbers in odd forms and several audiences.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

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
	if err := checkNames(parts[1], "iss", "aud", "sub", "jti", "iat", "exp", "dir", "id", "pws", "scope", "crd", "cid", "prf", "rep", "act", "end", "via", "aft"); err != nil {
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
		name, err := readMember(decoder)
		if err != nil {
			return err
		}
		if !slices.Contains(allowed, name) || seen[name] {
			return fmt.Errorf("unexpected %.20q", name)
		}
		seen[name] = true
	}
	return readEnd(decoder)
}

// readMember reads a name and its value. null would pass for a claim that is absent.
func readMember(decoder *json.Decoder) (name string, err error) {
	token, err := decoder.Token()
	if err != nil {
		return "", err
	}
	name, _ = token.(string)
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		return name, err
	}
	if string(value) == "null" {
		return name, fmt.Errorf("no value for %.20q", name)
	}
	return name, nil
}

// readEnd wants the object's end, and nothing behind it.
func readEnd(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}
