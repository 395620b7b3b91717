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

	"github.com/golang-jwt/jwt/v5"

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

// lowS: of the two signatures that ECDSA accepts for one message, only the lower
// is taken, so a token's text cannot be changed and stay good.
func lowS(signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	return new(big.Int).SetBytes(signature[32:]).Cmp(half) <= 0
}
