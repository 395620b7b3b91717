package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"gatehouse/authn"
)

// GenerateKey returns a new Ed25519 key for a gateway that was given none.
func GenerateKey() (authn.SecretFile, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return authn.SecretFile{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return authn.SecretFile{}, err
	}
	return authn.SecretFile{Name: "made at start", Secret: authn.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}, nil
}

// signingKey is a key with the one algorithm that it is used for (RFC 8725
// section 3.1), and its RFC 7638 thumbprint as the key id.
type signingKey struct {
	id      string
	method  jwt.SigningMethod
	private crypto.Signer
}

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
	revoked  revocations
	verified *lru.Cache[[sha256.Size]byte, Token]
}

// NewKeyring checks the keys. Its error joins *authn.KeyError values with keys
// relative to `tokens` (`key_files[1]`, `revoked[0]`).
func NewKeyring(cfg Config) (*Keyring, error) {
	k := &Keyring{cfg: cfg, keys: map[string]*signingKey{}}
	if k.cfg.Now == nil {
		k.cfg.Now = time.Now
	}
	var faults []error
	for i, file := range cfg.KeyFiles {
		key, err := parseKey([]byte(file.Secret))
		if err == nil && k.keys[key.id] != nil {
			err = errors.New("is a key that was named before")
		}
		if err != nil {
			faults = append(faults, &authn.KeyError{Key: fmt.Sprintf("key_files[%d]", i), Err: fmt.Errorf("%s: %w", file.Name, err)})
			continue
		}
		if k.keys[key.id] = key; i == 0 {
			k.signer = key
		}
	}
	var more []error
	k.revoked, more = compileRevocations(cfg.Revoked)
	faults = append(faults, more...)
	if len(cfg.KeyFiles) == 0 {
		faults = append(faults, &authn.KeyError{Key: "key_files", Err: errors.New("there is no key")})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	var err error
	k.verified, err = lru.New[[sha256.Size]byte, Token](maxVerified)
	return k, err
}

// parseKey reads one private key: PKCS #8, SEC 1 or PKCS #1 in PEM.
func parseKey(text []byte) (*signingKey, error) {
	block, rest := pem.Decode(text)
	for block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes them in front
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("holds no PEM block; make a key with: openssl genpkey -algorithm ed25519")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("holds more than one PEM block; each key has a file of its own")
	}
	private, err := parseDER(block)
	if err != nil {
		return nil, err
	}
	key, members, err := useOf(private)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(members))
	key.id = b64(sum[:])
	return key, nil
}

// useOf fixes what a key is used for, and refuses weak ones. members are the
// public key's as RFC 7638 section 3 wants them hashed.
func useOf(private any) (key *signingKey, members string, err error) {
	switch p := private.(type) {
	case ed25519.PrivateKey:
		return &signingKey{method: jwt.SigningMethodEdDSA, private: p},
			fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, b64(p.Public().(ed25519.PublicKey))), nil
	case *ecdsa.PrivateKey:
		if p.Curve != elliptic.P256() {
			return nil, "", errors.New("an EC key must be on P-256")
		}
		point, err := p.PublicKey.Bytes()
		if err != nil {
			return nil, "", err
		}
		return &signingKey{method: jwt.SigningMethodES256, private: p},
			fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, b64(point[1:33]), b64(point[33:])), nil
	case *rsa.PrivateKey:
		if p.N.BitLen() < 2048 {
			return nil, "", fmt.Errorf("an RSA key must have 2048 bits at least, this has %d", p.N.BitLen())
		}
		return &signingKey{method: jwt.SigningMethodRS256, private: p},
			fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, b64(big.NewInt(int64(p.E)).Bytes()), b64(p.N.Bytes())), nil
	}
	return nil, "", fmt.Errorf("a %T cannot sign; Ed25519, EC P-256 and RSA can", private)
}

func parseDER(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("holds a %s, not a private key without a passphrase", block.Type)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// maxToken bounds a token's text, issued or presented.
const maxToken = 16 << 10

// Issue signs the token; it fills in ID, IssuedAt and Expires of what it returns.
// A text over 16 KiB is ErrInvalidRequest.
func (k *Keyring) Issue(t Token) (string, Token, error) {
	t.ID = rand.Text()
	t.IssuedAt = k.cfg.Now().Truncate(time.Second)
	t.Expires = t.IssuedAt.Add(k.lifetime(t.Kind))
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

func (k *Keyring) lifetime(kind Kind) time.Duration {
	if kind == Refresh {
		return k.cfg.RefreshLifetime
	}
	return k.cfg.Lifetime
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
	if len(raw) > maxToken {
		return Token{}, fmt.Errorf("%w: over 16 KiB", ErrInvalidToken)
	}
	key := sha256.Sum256([]byte(raw))
	t, ok := k.verified.Get(key)
	if ok {
		k.cfg.Metrics.CacheRequest("token", "hit")
	} else {
		k.cfg.Metrics.CacheRequest("token", "miss")
		var err error
		if t, err = k.verify(raw); err != nil {
			return Token{}, fmt.Errorf("%w: %w", ErrInvalidToken, err)
		}
		if len(raw) <= maxCached {
			k.verified.Add(key, t)
		}
	}
	if t.Kind != kind {
		return Token{}, fmt.Errorf("%w: a token of the kind %s", ErrInvalidToken, t.Kind)
	}
	if k.cfg.Now().After(t.Expires.Add(grace)) {
		return Token{}, ErrExpired
	}
	if k.revoked.revoked(&t) {
		return Token{ID: t.ID, Subject: t.Subject}, ErrRevoked
	}
	return t, nil
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

// lowS: of the two signatures that ECDSA accepts for one message, only the lower
// is taken, so a token's text cannot be changed and stay good.
func lowS(signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	return new(big.Int).SetBytes(signature[32:]).Cmp(half) <= 0
}
