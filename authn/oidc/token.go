package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/workload"
)

// maxToken bounds a token's text, in bytes.
const maxToken = 16 << 10

// leeway is how far the issuer's clock may be from ours.
const leeway = 30 * time.Second

// token is an ID token as it reads. That its signature is good is another question.
type token struct {
	header       map[string]any
	claims       map[string]any
	alg, kid     string
	exp, iat     time.Time
	jti, subject string
}

// base64url are the letters of RFC 4648 section 5.
const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// parse reads a token's text: its shape and size, and that no name stands twice. Its
// error wraps authn.ErrMalformedToken.
func parse(text string) (*token, error) {
	if len(text) > maxToken {
		return nil, malformed("over 16 KiB")
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, malformed("not three parts")
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, base64url) != "" {
			return nil, malformed("a part is not base64url")
		}
	}
	t := &token{}
	var err error
	if t.header, err = object(parts[0]); err != nil {
		return nil, malformed("header: %w", err)
	}
	if t.claims, err = object(parts[1]); err != nil {
		return nil, malformed("claims: %w", err)
	}
	if _, err = base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil { // or one token could be written in several ways
		return nil, malformed("signature: not base64url")
	}
	t.alg, _ = t.header["alg"].(string)
	t.kid, _ = t.header["kid"].(string)
	t.jti, t.subject = word(t.claims["jti"]), word(t.claims["sub"])
	return t, nil
}

// malformed is an authn.ErrMalformedToken with its reason.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", authn.ErrMalformedToken, fmt.Errorf(format, args...))
}

// mismatched is an authn.ErrMismatchedToken with its reason.
func mismatched(format string, args ...any) error {
	return fmt.Errorf("%w: %w", authn.ErrMismatchedToken, fmt.Errorf(format, args...))
}

// word is a claim that is a text, or a number by its JSON text, for the log.
func word(value any) string {
	if n, ok := value.(json.Number); ok {
		return n.String()
	}
	text, _ := value.(string)
	return text
}

// object decodes a part that is one JSON object in which no name stands twice, at any
// depth.
func object(part string) (map[string]any, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	value, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	if d.More() || d.InputOffset() != int64(len(strings.TrimRight(string(text), " \t\r\n"))) {
		return nil, errors.New("something follows the object")
	}
	claims, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	return claims, nil
}

// maxDepth is how deep values may stand in others.
const maxDepth = 32

// decode reads one value, as json.Unmarshal would if it refused names that stand twice.
func decode(d *json.Decoder, depth int) (any, error) {
	next, err := d.Token()
	if err != nil {
		return nil, errors.New("not JSON")
	}
	delim, open := next.(json.Delim)
	switch {
	case !open:
		return next, nil
	case depth >= maxDepth:
		return nil, errors.New("too deep")
	case delim == '[':
		return decodeList(d, depth)
	}
	members := map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("not JSON")
		}
		text, _ := name.(string)
		if _, twice := members[text]; twice {
			return nil, fmt.Errorf("%.50q stands twice", text)
		}
		if members[text], err = decode(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return members, err
}

func decodeList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		value, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := d.Token()
	return list, err
}

// check holds the token against the config, before anything is asked of anybody.
func (d *Directory) check(t *token) error {
	if !slices.Contains(d.algorithms, t.alg) {
		return malformed("alg %.20q is none of %s", t.alg, strings.Join(d.algorithms, ", "))
	}
	if iss, _ := t.claims["iss"].(string); iss != d.issuer {
		return fmt.Errorf("%w: iss is another issuer's", authn.ErrUnknownToken)
	}
	if err := d.checkAudience(t.claims["aud"]); err != nil {
		return err
	}
	if err := d.checkTimes(t); err != nil {
		return err
	}
	for _, name := range []string{"crit", "jku", "jwk", "x5u"} {
		if _, there := t.header[name]; there {
			return malformed("the header has %s", name)
		}
	}
	if kid, there := t.header["kid"]; there && t.kid == "" {
		return malformed("kid is %T", kid)
	}
	return nil
}

// checkAudience wants that every aud is ours: one that is somebody else's could log in
// here with a token that it was shown.
func (d *Directory) checkAudience(aud any) error {
	list, isList := aud.([]any)
	if !isList {
		list = []any{aud}
	}
	if aud == nil || len(list) == 0 {
		return mismatched("no aud")
	}
	for _, a := range list {
		text, ok := a.(string)
		if !ok {
			return malformed("aud is no text")
		}
		if !slices.Contains(d.audiences, text) {
			return mismatched("aud %.200q is none of ours: %s", text, strings.Join(d.audiences, ", "))
		}
	}
	return nil
}

// checkTimes looks at exp, nbf and iat, and fills the token's own.
func (d *Directory) checkTimes(t *token) (err error) {
	now := d.now()
	if t.exp, err = moment(t.claims, "exp"); err != nil {
		return err
	}
	if !now.Before(t.exp.Add(leeway)) {
		return fmt.Errorf("%w at %s", authn.ErrExpiredToken, t.exp.UTC().Format(time.RFC3339))
	}
	if _, there := t.claims["nbf"]; there {
		nbf, err := moment(t.claims, "nbf")
		if err != nil {
			return err
		}
		if nbf.After(now.Add(leeway)) {
			return mismatched("not good before %s (nbf)", nbf.UTC().Format(time.RFC3339))
		}
	}
	if t.iat, err = moment(t.claims, "iat"); err != nil {
		return err
	}
	switch life := t.exp.Sub(t.iat); {
	case t.iat.After(now.Add(leeway)):
		return mismatched("issued in the future (iat %s)", t.iat.UTC().Format(time.RFC3339))
	case life <= 0:
		return malformed("exp is not after iat")
	case life > d.maxLifetime:
		return mismatched("it lasts %s, over max_lifetime (%s)", life, d.maxLifetime)
	}
	return nil
}

// moment reads a NumericDate (RFC 7519 section 2).
func moment(claims map[string]any, name string) (time.Time, error) {
	n, ok := claims[name].(json.Number)
	seconds, err := n.Float64()
	if !ok || err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, malformed("no %s that is a number of seconds", name)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// ends is when all that is issued for a token ends.
func (d *Directory) ends(exp, iat time.Time) time.Time {
	if session := iat.Add(d.session); session.After(exp) {
		return session
	}
	return exp
}

// carried is what our tokens carry of an ID token.
type carried struct {
	Claims  workload.Claims `json:"claims"`
	Subject string          `json:"sub,omitempty"`
	Issued  int64           `json:"iat"` // in seconds since 1970
	Expires int64           `json:"exp"`
}
