package tokens

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
)

// Login finds out whose a password is, or what stands in the place of one: a token is
// known by its form, whatever is wrong with it, and then its user name does not count.
// An error wraps authn.ErrBadToken where a token is refused; else it is one of
// Chain.Authenticate.
func (k *Keyring) Login(ctx context.Context, chain *authn.Chain, a authn.Attempt) (l Login, err error) {
	switch kind := k.KindOf(a.Password); kind {
	case FromPerson:
		a.Admit = k.Admit
		l.Shown.Kind = kind
		if l.Identity, err = chain.Authenticate(ctx, a); err == nil {
			err = k.required(l)
		}
	case FromRefresh:
		l, err = k.redeem(ctx, chain, strings.TrimSpace(string(a.Password)), a.Source)
		err = chain.Refused(ctx, a, badToken(err))
	case FromOIDC:
		l, err = k.showIDToken(ctx, chain, a)
		err = chain.Refused(ctx, a, err)
	default:
		l, err = k.showToken(ctx, chain, kind, a)
		err = chain.Refused(ctx, a, err)
	}
	k.cfg.Metrics.Credential(string(l.Shown.Kind), credentialResult(err))
	return l, err
}

// showToken takes the token of a machine, or of a person's program. One with a wrong
// checksum is looked up nowhere.
func (k *Keyring) showToken(ctx context.Context, chain *authn.Chain, kind CredentialKind, a authn.Attempt) (Login, error) {
	l := Login{Shown: Credential{Kind: kind}}
	token, err := apitoken.Parse(a.Password)
	if err != nil {
		return l, fmt.Errorf("%w: %w", authn.ErrMalformedToken, err)
	}
	l.Shown.ID = token.ID
	if kind == FromPersonal {
		return k.showPersonal(ctx, chain, token, a.Source)
	}
	l.Origin = l.Shown
	if l.Identity, err = chain.Machine(token.Hash, a); err == nil {
		err = k.Standing(l.Identity, l.Shown)
	}
	return l, err
}

// showIDToken takes what an issuer has signed.
func (k *Keyring) showIDToken(ctx context.Context, chain *authn.Chain, a authn.Attempt) (Login, error) {
	_, payload, _ := unverified(strings.TrimSpace(string(a.Password)))
	id, err := chain.Proven(ctx, payload.Issuer, a)
	return k.proven(FromOIDC, id, err)
}

// proven is the login of the machine that a proof came out as, or did not for err.
func (k *Keyring) proven(kind CredentialKind, id authn.Identity, err error) (Login, error) {
	l := Login{Identity: id, Shown: Credential{Kind: kind}}
	if id.Proof != nil {
		l.Shown.ID = id.Proof.ID
	}
	l.Origin = l.Shown
	if err == nil {
		err = k.AdmitToken(id, l.Shown.ID)
	}
	return l, err
}

// LoginByCertificate is Login for who shows nothing but the certificate of the connection.
// Nobody guesses one, so no throttle counts those that are refused.
func (k *Keyring) LoginByCertificate(chain *authn.Chain, sent []*x509.Certificate) (Login, error) {
	id, err := chain.Certified(sent)
	l, err := k.proven(FromCertificate, id, err)
	k.cfg.Metrics.Credential(string(FromCertificate), credentialResult(err))
	return l, err
}

// AdmitToken is Admit for a machine that has shown the token with this id.
func (k *Keyring) AdmitToken(id authn.Identity, tokenID string) error {
	switch {
	case k.revoked.ids[tokenID] || k.Admit(id) != nil:
		return fmt.Errorf("%w: on tokens.revoked", authn.ErrRevokedToken)
	case k.cfg.Revoker.list().ids[tokenID]:
		return authn.ErrRevokedToken
	}
	return nil
}

// Standing reports by an error why a credential is not good whatever its directory says of
// it: it, or whoever it is of, is revoked, or that is not known.
func (k *Keyring) Standing(of authn.Identity, shown Credential) error {
	err := k.AdmitToken(of, shown.ID)
	if err == nil && shown.Kind == FromMachine {
		err = k.cfg.Revoker.sees(time.Time{})
	}
	return err
}

// KindOf tells passwords from what is shown in their place.
func (k *Keyring) KindOf(password authn.Secret) CredentialKind {
	text := strings.TrimSpace(string(password))
	switch {
	case apitoken.Personal.Looks(authn.Secret(text)):
		return FromPersonal
	case apitoken.Machine.Looks(authn.Secret(text)):
		return FromMachine
	}
	header, payload, signed := unverified(text)
	switch {
	case !signed:
		return FromPerson
	case header.Type == typ(Refresh) && payload.Issuer == k.cfg.Issuer:
		return FromRefresh
	}
	return FromOIDC
}

// Signed reports whether a text says that it is a token of ours. Nothing is proven.
func (k *Keyring) Signed(text authn.Secret) bool {
	_, payload, signed := unverified(strings.TrimSpace(string(text)))
	return signed && payload.Issuer == k.cfg.Issuer
}

// base64url are the letters of RFC 4648 section 5.
const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// unverified reads what looks like a JWT (RFC 7519): three parts of base64url, the first
// an object with alg. It forgives what a verifier would not, for what is nearly a token
// must not pass for a password.
func unverified(text string) (header struct {
	Type string `json:"typ"`
}, payload struct {
	Issuer string `json:"iss"`
}, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || strings.Trim(strings.Join(parts, ""), base64url+"=") != "" {
		return header, payload, false
	}
	first := decoded(parts[0])
	var names map[string]json.RawMessage
	object := json.Unmarshal(first, &names) == nil && names["alg"] != nil
	if !object && (!bytes.HasPrefix(bytes.TrimSpace(first), []byte("{")) || !bytes.Contains(first, []byte(`"alg"`))) {
		return header, payload, false
	}
	if json.Unmarshal(first, &header) != nil || json.Unmarshal(decoded(parts[1]), &payload) != nil {
		header.Type = "" // no refresh token of ours
	}
	return header, payload, true
}

// decoded is as much of a part as can be read.
func decoded(part string) []byte {
	part = strings.TrimRight(part, "=")
	text := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
	n, _ := base64.RawURLEncoding.Decode(text, []byte(part)) // what was read before the fault counts
	return text[:n]
}
