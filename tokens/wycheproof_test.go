package tokens

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// publicOnly is a key of a vector: it has no private half, and verifies only.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }

func (p publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no private key")
}

// vectors is the part of a Wycheproof file that is needed here; msg and sig are hex.
type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKeyDer string
		Tests        []struct {
			TCID    int
			Comment string
			Msg     string
			Sig     string
			Result  string
		}
	}
}

func readVectors(t *testing.T, name string) (v vectors) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "wycheproof", name))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verifySignature takes the way of Keyring.verify from the header to the
// signature: the key by its id, the algorithm held against the key, the library's
// check, and the canonical form. The vectors sign raw bytes, which are no tokens,
// so the shape before it and the claims behind it are left out.
func verifySignature(k *Keyring, alg, kid, message string, signature []byte) error {
	token := &jwt.Token{Method: jwt.GetSigningMethod(alg), Header: map[string]any{"alg": alg, "kid": kid}, Signature: signature}
	key, err := k.keyFor(token)
	if err != nil {
		return err
	}
	if err := token.Method.Verify(message, signature, key); err != nil {
		return err
	}
	return canonical(token)
}

// TestWycheproof: every signature that is said to be invalid is refused, every
// valid one taken, but for the twins of ECDSA signatures, which we refuse too.
func TestWycheproof(t *testing.T) {
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	for _, c := range []struct {
		alg, file     string
		taken, refuse int
	}{
		{"EdDSA", "ed25519_test.json", 88, 63},
		{"ES256", "ecdsa_secp256r1_sha256_p1363_test.json", 103, 159},
		{"RS256", "rsa_signature_2048_sha256_test.json", 9, 250},
	} {
		v, taken, refused := readVectors(t, c.file), 0, 0
		for _, g := range v.TestGroups {
			public, err := x509.ParsePKIXPublicKey(unhex(t, g.PublicKeyDer))
			if err != nil {
				t.Fatal(err)
			}
			k := &Keyring{keys: map[string]*signingKey{"k": {id: "k", method: jwt.GetSigningMethod(c.alg), private: publicOnly{public}}}}
			for _, one := range g.Tests {
				signature := unhex(t, one.Sig)
				want := one.Result == "valid"
				if c.alg == "ES256" && want {
					want = new(big.Int).SetBytes(signature[32:]).Cmp(half) <= 0
				}
				err := verifySignature(k, c.alg, "k", string(unhex(t, one.Msg)), signature)
				if (err == nil) != want {
					t.Errorf("%s %d (%s): %v, the vector is %s", c.file, one.TCID, one.Comment, err, one.Result)
				}
				if err == nil {
					taken++
				} else {
					refused++
				}
			}
		}
		if taken != c.taken || refused != c.refuse || taken+refused != v.NumberOfTests {
			t.Errorf("%s: %d taken, %d refused of %d; want %d and %d", c.file, taken, refused, v.NumberOfTests, c.taken, c.refuse)
		}
	}
}
