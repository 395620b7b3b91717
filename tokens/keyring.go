package tokens

import (
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"gatehouse/authn"
	"gatehouse/authz"
)

// The cache of verified tokens holds at most maxVerified of them, and none with a
// text over maxCached, so that whoever may log in cannot fill the memory with
// tokens for a thousand repositories each.
const (
	maxVerified = 10_000
	maxCached   = 4 << 10
)

// Keyring signs and verifies. It is immutable but for its cache of verified
// tokens, and safe for concurrent use.
type Keyring struct {
	cfg      Config
	signer   *signingKey
	keys     map[string]*signingKey
	ids      []string // of keys, in the order of the config
	revoked  revocations
	seed     maphash.Seed
	verified *lru.Cache[uint64, *verified] // by the hash of the text
}

// verified is a token that was verified. A hash is quick to find it by, and its text is
// compared, as two may have one hash.
type verified struct {
	text  string
	token Token
}

// NewKeyring checks the keys. Its error joins *authn.KeyError values with keys
// relative to `tokens` (`key_files[1]`, `revoked[0]`).
func NewKeyring(cfg Config) (*Keyring, error) {
	k := &Keyring{cfg: cfg, keys: map[string]*signingKey{}, seed: maphash.MakeSeed()}
	if k.cfg.Now == nil {
		k.cfg.Now = time.Now
	}
	faults := k.addKeys()
	var more []error
	k.revoked, more = compileRevocations(cfg.Revoked)
	if faults = append(faults, more...); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	var err error
	k.verified, err = lru.New[uint64, *verified](maxVerified)
	return k, err
}

// KeyIDs are those of the keys, in the order of the config: the first one signs.
func (k *Keyring) KeyIDs() []string { return slices.Clone(k.ids) }

// addKeys reads the keys, and returns what is wrong with them.
func (k *Keyring) addKeys() (faults []error) {
	if len(k.cfg.KeyFiles) == 0 {
		faults = append(faults, &authn.KeyError{Key: "key_files", Err: errors.New("there is no key")})
	}
	for i, file := range k.cfg.KeyFiles {
		key, err := parseKey([]byte(file.Secret))
		if err == nil && k.keys[key.id] != nil {
			err = errors.New("is a key that was named before")
		}
		if err != nil {
			faults = append(faults, &authn.KeyError{Key: fmt.Sprintf("key_files[%d]", i), Err: fmt.Errorf("%s: %w", file.Name, err)})
			continue
		}
		k.ids = append(k.ids, key.id)
		if k.keys[key.id] = key; i == 0 {
			k.signer = key
		}
	}
	return faults
}

// maxToken bounds a token's text, issued or presented.
const maxToken = 16 << 10

// Issue signs the token; it fills in ID, IssuedAt and Expires of what it returns.
// A text over 16 KiB is ErrInvalidRequest.
func (k *Keyring) Issue(t Token) (string, Token, error) {
	t.ID = rand.Text()
	t.IssuedAt = k.cfg.Now().Truncate(time.Second)
	if t.Credential.Kind != FromRefresh && !t.IssuedAt.Before(t.After) {
		t.After = time.Time{}
	}
	t.Expires = t.IssuedAt.Add(k.lifetime(t))
	if !t.Ends.IsZero() && t.Ends.Before(t.Expires) {
		t.Expires = later(t.Ends.Truncate(time.Second), t.IssuedAt.Add(time.Second))
	}
	return k.write(t)
}

// write signs a token that is filled in.
func (k *Keyring) write(t Token) (string, Token, error) {
	token := jwt.NewWithClaims(k.signer.method, k.claims(t))
	token.Header = map[string]any{"alg": k.signer.method.Alg(), "kid": k.signer.id, "typ": typ(t.Kind)}
	text, err := k.sign(token)
	if err != nil {
		return "", Token{}, err
	}
	if len(text) > maxToken {
		return "", Token{}, fmt.Errorf("%w: a token with all of these scopes would be over 16 KiB", ErrInvalidRequest)
	}
	return text, t, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the first of two moments, of which either may not be there.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// claims are the token's on the wire.
func (k *Keyring) claims(t Token) *claims {
	c := &claims{Issuer: k.cfg.Issuer, Audience: k.cfg.Service, Subject: t.Subject.Username, ID: t.ID,
		IssuedAt: t.IssuedAt.Unix(), Expires: t.Expires.Unix(), Directory: t.Subject.Directory, LastingID: t.Subject.ID,
		PasswordStamp: t.PasswordStamp, Scope: t.Scope.Strings(), Credential: string(t.Credential.Kind), CredentialID: t.Credential.ID, Via: t.Via}
	if t.Ceiling != nil {
		c.Repositories, c.Actions = t.Ceiling.Repositories(), t.Ceiling.Actions()
	}
	if !t.Ends.IsZero() && (t.Ceiling != nil || t.Kind == Access) {
		c.Ends = t.Ends.Unix()
	}
	if !t.After.IsZero() {
		c.After = t.After.UnixNano()
	}
	if c.Directory == "" {
		c.Subject = anonymous
	}
	if t.Subject.Proof != "" {
		c.Proof = json.RawMessage(t.Subject.Proof)
	}
	return c
}

// sign writes the token; of an ECDSA signature the canonical twin (see lowS).
func (k *Keyring) sign(token *jwt.Token) (string, error) {
	signed, err := token.SigningString()
	if err != nil {
		return "", err
	}
	signature, err := token.Method.Sign(signed, k.signer.private)
	if err != nil {
		return "", err
	}
	if token.Method.Alg() == "ES256" && !lowS(signature) {
		n := elliptic.P256().Params().N
		new(big.Int).Sub(n, new(big.Int).SetBytes(signature[32:])).FillBytes(signature[32:])
	}
	return signed + "." + b64(signature), nil
}

func (k *Keyring) lifetime(t Token) time.Duration {
	life := k.cfg.Lifetime
	switch {
	case t.Kind == Refresh && t.Session:
		life = t.Ends.Sub(t.IssuedAt)
	case t.Kind == Refresh:
		life = k.cfg.RefreshLifetime
	case t.Kind == Session:
		life = MaxSession
	}
	if t.Life > 0 {
		life = min(life, t.Life)
	}
	return life
}

// typ is the JWT's media type: explicit typing keeps the kinds apart (RFC 8725
// section 3.11).
func typ(kind Kind) string {
	if kind == Access {
		return "at+jwt" // RFC 9068
	}
	return string(kind) + "+jwt"
}

// Verify checks a token's text (RFC 7515, RFC 7519, RFC 8725). It is good until
// grace after its Expires; beyond that it is ErrExpired, on the list of revoked
// tokens ErrRevoked (then the ID and Subject are returned for the log), and all
// else that is wrong with it ErrInvalidToken. What can change while a token lives
// is checked behind the cache, each time.
func (k *Keyring) Verify(raw string, kind Kind, grace time.Duration) (Token, error) {
	t, err := k.Read(raw)
	if err != nil {
		return t, err
	}
	if t.Kind != kind {
		return Token{}, fmt.Errorf("%w: a token of the kind %s", ErrInvalidToken, t.Kind)
	}
	if now := k.cfg.Now(); now.After(t.Expires.Add(grace)) || !t.Ends.IsZero() && !now.Before(t.Ends) {
		return Token{}, ErrExpired
	}
	return k.current(t)
}

// Read is what stands in a token that we signed, whatever became of it since.
func (k *Keyring) Read(text string) (Token, error) {
	if len(text) > maxToken {
		return Token{}, fmt.Errorf("%w: over 16 KiB", ErrInvalidToken)
	}
	t, err := k.recall(text)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	return t, nil
}

// current holds a token that is good against what is revoked.
func (k *Keyring) current(t Token) (Token, error) {
	known := Token{ID: t.ID, Subject: t.Subject, Via: t.Via, Credential: t.Credential, IssuedAt: t.IssuedAt}
	if k.revoked.revoked(&t) || k.cfg.Revoker.list().revoked(&t) {
		return known, ErrRevoked
	}
	err := k.cfg.Revoker.sees(t.IssuedAt)
	if err != nil && t.Kind == Access && t.Credential == (Credential{}) {
		err = errOld
	}
	if err != nil {
		return known, err
	}
	return t, nil
}

// errOld is errBlind of a token that its person can get again by the password.
var errOld = fmt.Errorf("%w: issued before the start, since which the store could not be asked what is revoked", ErrInvalidToken)

// recall takes a verified token from the cache, or verifies it.
func (k *Keyring) recall(raw string) (Token, error) {
	key := maphash.String(k.seed, raw)
	if v, ok := k.verified.Get(key); ok && v.text == raw {
		k.cfg.Metrics.CacheRequest("token", "hit")
		return v.token, nil
	}
	k.cfg.Metrics.CacheRequest("token", "miss")
	t, err := k.verify(raw)
	if err == nil && len(raw) <= maxCached {
		k.verified.Add(key, &verified{strings.Clone(raw), t})
	}
	return t, err
}

// verify does the work of Verify, but for the kind and the end, which depend on
// the request.
func (k *Keyring) verify(raw string) (Token, error) {
	if err := checkShape(raw); err != nil {
		return Token{}, err
	}
	var c claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA", "ES256", "RS256"}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	token, err := parser.ParseWithClaims(raw, &c, k.keyFor)
	if err != nil {
		return Token{}, err
	}
	if err := canonical(token); err != nil {
		return Token{}, err
	}
	return k.content(token.Header["typ"], c)
}

// keyFor finds the key by its id, and holds the header's algorithm against it.
func (k *Keyring) keyFor(token *jwt.Token) (any, error) {
	id, _ := token.Header["kid"].(string)
	key := k.keys[id]
	if key == nil {
		return nil, errors.New("unknown key id")
	}
	if token.Method.Alg() != key.method.Alg() {
		return nil, errors.New("the algorithm is not the key's")
	}
	return key.private.Public(), nil
}

// canonical refuses a signature that verifies and is not the one we would write.
func canonical(token *jwt.Token) error {
	if token.Method.Alg() == "ES256" && !lowS(token.Signature) {
		return errors.New("the signature is not canonical")
	}
	return nil
}

// maxSkew is how far ahead a replica's clock may be.
const maxSkew = 30 * time.Second

// maxLife is the longest lifetime that the config takes for access tokens.
const maxLife = time.Hour

// content checks the claims and gives them as a Token.
func (k *Keyring) content(typ any, c claims) (Token, error) {
	t := Token{ID: c.ID, Subject: authn.Ref{Directory: c.Directory, Username: c.Subject, ID: c.LastingID, Proof: string(c.Proof)}, PasswordStamp: c.PasswordStamp,
		Credential: Credential{CredentialKind(c.Credential), c.CredentialID}, Via: c.Via, IssuedAt: time.Unix(c.IssuedAt, 0), Expires: time.Unix(c.Expires, 0)}
	switch typ {
	case "at+jwt":
		t.Kind = Access
	case "refresh+jwt":
		t.Kind = Refresh
	case "ui+jwt":
		t.Kind = Session
	default:
		return t, errors.New("unknown typ")
	}
	if err := k.checkClaims(t.Kind, &c); err != nil {
		return t, err
	}
	if c.Directory == "" {
		t.Subject = authn.Ref{}
	}
	var err error
	if t.Credential.Kind == FromPersonal {
		if t.Ceiling, err = authz.NewCeiling(c.Repositories, c.Actions); err != nil {
			return t, err
		}
	}
	if c.Ends != 0 {
		t.Ends = time.Unix(c.Ends, 0)
	}
	if c.After != 0 {
		t.After = time.Unix(0, c.After)
	}
	t.Scope, err = authz.ParseScope(c.Scope)
	return t, err
}

// checkClaims wants claims as Issue writes them.
func (k *Keyring) checkClaims(kind Kind, c *claims) error {
	switch {
	case c.Issuer != k.cfg.Issuer:
		return errors.New("another issuer")
	case c.Audience != k.cfg.Service:
		return errors.New("another audience")
	case c.ID == "" || c.Subject == "" || c.IssuedAt <= 0 || c.Expires <= c.IssuedAt || c.Expires > 1<<40 || c.Ends < 0 || c.Ends > 1<<40 || c.After < 0:
		return errors.New("a claim is missing or out of range")
	case time.Unix(c.IssuedAt, 0).After(k.cfg.Now().Add(maxSkew)):
		return errors.New("issued in the future")
	case kind == Access && c.Expires-c.IssuedAt > int64(maxLife/time.Second):
		return errors.New("lives too long")
	case c.Directory == "" && (c.Subject != anonymous || c.LastingID != "" || c.PasswordStamp != "" || c.Credential != "" || c.Proof != nil || c.After != 0):
		return errors.New("a person without a directory")
	case c.Credential == "" && c.CredentialID != "":
		return errors.New("half a credential")
	case (c.Credential == string(FromPersonal)) != (len(c.Actions) > 0):
		return errors.New("a personal token without a ceiling, or a ceiling without one")
	case kind == Refresh && c.PasswordStamp == "" && c.Credential != string(FromPersonal):
		return errors.New("a refresh token that hangs on no password")
	case kind == Session:
		return checkSession(c)
	}
	return nil
}
