package tokens

import (
	"crypto/ecdh"
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
	"hash/maphash"
	"math/big"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
)

// TestKeyFiles reads the forms in which openssl writes a private key, and
// refuses what only looks like one.
func TestKeyFiles(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	exchange, _ := ecdh.X25519().GenerateKey(rand.Reader)
	sec1, _ := x509.MarshalECPrivateKey(ec)
	public, _ := x509.MarshalPKIXPublicKey(rs.Public())
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ecText, parameters := block("EC PRIVATE KEY", sec1), block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	for name, c := range map[string]struct{ text, want string }{
		"SEC 1":                       {ecText, ""},
		"SEC 1 behind its parameters": {parameters + ecText, ""},
		"a comment in front":          {"# the signing key\n" + ecText, ""},
		"CRLF":                        {strings.ReplaceAll(ecText, "\n", "\r\n"), ""},
		"PKCS #1":                     {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs)), ""},
		"PKCS #8":                     {string(pemOf(t, rs).Secret), ""},
		"parameters alone":            {parameters, "no PEM block"},
		"empty":                       {"", "no PEM block"},
		"a public key":                {block("PUBLIC KEY", public), "not a private key"},
		"encrypted":                   {block("ENCRYPTED PRIVATE KEY", sec1), "passphrase"},
		"a certificate":               {block("CERTIFICATE", sec1), "not a private key"},
		"X25519":                      {string(pemOf(t, exchange).Secret), "cannot sign"},
		"two keys":                    {ecText + ecText, "more than one"},
		"junk in a block":             {block("PRIVATE KEY", []byte("junk")), "asn1"},
	} {
		k, err := NewKeyring(Config{Service: "s", Issuer: "i", Lifetime: time.Minute, KeyFiles: []authn.SecretFile{{Name: "a.pem", Secret: authn.Secret(c.text)}}})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if text, _, err := k.Issue(Token{Kind: Access}); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if _, err := k.Verify(text, Access, 0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var fault *authn.KeyError
		if !errors.As(err, &fault) || fault.Key != "key_files[0]" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "a.pem") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestThumbprint holds key ids against the examples of RFC 7638 3.1 and RFC 8037 A.3.
func TestThumbprint(t *testing.T) {
	n, _ := base64.RawURLEncoding.DecodeString("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw")
	seed, _ := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	for want, key := range map[string]any{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": ed25519.NewKeyFromSeed(seed),
	} {
		_, members, err := useOf(key)
		sum := sha256.Sum256([]byte(members))
		if err != nil || b64(sum[:]) != want {
			t.Errorf("%s, %v; want %s", b64(sum[:]), err, want)
		}
	}
}

// TestRotation walks a new key in and the old one out over two replicas that are
// never changed at the same time: each takes what the other issues.
func TestRotation(t *testing.T) {
	a, b := generate(t), generate(t)
	for i, step := range [][2][]authn.SecretFile{{{a}, {a, b}}, {{a, b}, {b, a}}, {{b, a}, {b}}} {
		before, after := ring(t, nil, step[0]...), ring(t, nil, step[1]...)
		for from, to := range map[*Keyring]*Keyring{before: after, after: before} {
			text, _, err := from.Issue(sample(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = to.Verify(text, Access, 0); err != nil {
				t.Errorf("step %d: %v", i, err)
			}
		}
	}
	text, _, _ := ring(t, nil, a).Issue(sample(t))
	if _, err := ring(t, nil, b).Verify(text, Access, 0); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a retired key: %v", err)
	}
}

// TestKeyMixing: a key id fixes the key and its algorithm, so no key of a ring
// can stand in for another.
func TestKeyMixing(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	keys := []authn.SecretFile{generate(t), pemOf(t, ec), pemOf(t, rs)}
	verifier := ring(t, nil, keys...)
	for i := range keys {
		signing := ring(t, nil, keys[i])
		for j := range keys {
			for k := range keys {
				signing.signer = &signingKey{id: ring(t, nil, keys[j]).signer.id, method: ring(t, nil, keys[k]).signer.method, private: ring(t, nil, keys[i]).signer.private}
				text, _, err := signing.Issue(sample(t))
				if err != nil {
					continue // the algorithm does not take the key
				}
				if _, err := verifier.Verify(text, Access, 0); (err == nil) != (i == j && j == k) {
					t.Errorf("key %d as %d by %d: %v", i, j, k, err)
				}
			}
		}
	}
}

// TestServices: a token for another service or of another issuer is foreign,
// whoever holds the same key.
func TestServices(t *testing.T) {
	key := generate(t)
	text, _, err := ring(t, nil, key).Issue(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{{Issuer: "x", Service: "gatehouse"}, {Issuer: "gatehouse", Service: "x"}, {Issuer: "gatehouse", Service: "Gatehouse"}} {
		cfg.KeyFiles = []authn.SecretFile{key}
		k, err := NewKeyring(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Verify(text, Access, 0); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s, %s: %v", cfg.Issuer, cfg.Service, err)
		}
	}
}

// TestCache: a text is verified once, large ones and bad ones are not kept.
func TestCache(t *testing.T) {
	m := metrics.New(metrics.BuildInfo{})
	k, err := NewKeyring(Config{Issuer: "i", Service: "s", Lifetime: time.Minute, KeyFiles: []authn.SecretFile{generate(t)}, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	small, _, _ := k.Issue(sample(t))
	wide := sample(t)
	wide.Scope, _ = authz.ParseScope([]string{"repository:" + strings.Repeat("a", 250) + ":pull", strings.Join(manyScopes(60), " ")})
	large, _, _ := k.Issue(wide)
	if len(large) <= maxCached {
		t.Fatalf("the large token has %d bytes", len(large))
	}
	for range 3 {
		for _, text := range []string{small, large} {
			if _, err := k.Verify(text, Access, 0); err != nil {
				t.Fatal(err)
			}
		}
		k.Verify(small+"x", Access, 0)
	}
	if k.verified.Len() != 1 {
		t.Errorf("%d tokens are kept", k.verified.Len())
	}
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`{cache="token",result="hit"} 2`, `{cache="token",result="miss"} 7`} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	// A text with the hash of another is not taken for it, and takes its place.
	other, issued, _ := k.Issue(sample(t))
	known, _ := k.verified.Get(k.verified.Keys()[0])
	k.verified.Add(maphash.String(k.seed, other), known)
	for range 2 {
		if got, err := k.Verify(other, Access, 0); err != nil || got.ID != issued.ID {
			t.Errorf("%s for %s: %v", got.ID, issued.ID, err)
		}
	}
	k.verified.Add(maphash.String(k.seed, small+"x"), known)
	if got, err := k.Verify(small+"x", Access, 0); !errors.Is(err, ErrInvalidToken) || got.ID != "" {
		t.Errorf("a bad text with the hash of a good one: %+v, %v", got, err)
	}
	// The kind is asked of a cached token too.
	if _, err := k.Verify(small, Refresh, 0); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a cached access token as a refresh token: %v", err)
	}
}

func manyScopes(n int) (list []string) {
	for i := range n {
		list = append(list, "repository:team/"+strings.Repeat("x", 40)+"-"+string(rune('a'+i%26))+string(rune('a'+i/26))+":pull")
	}
	return list
}

// TestRoundTrip: what is issued is what is read, for any person and scope.
func TestRoundTrip(t *testing.T) {
	k := ring(t, nil, generate(t))
	text := rapid.StringN(1, 20, 60)
	rapid.Check(t, func(t *rapid.T) {
		in := Token{Kind: rapid.SampledFrom([]Kind{Access, Refresh}).Draw(t, "kind"), PasswordStamp: text.Draw(t, "stamp"),
			Subject: authn.Ref{Directory: text.Draw(t, "directory"), Username: text.Draw(t, "name"), ID: text.Draw(t, "id")}}
		in.Scope, _ = authz.ParseScope(rapid.SliceOfN(rapid.SampledFrom(manyScopes(40)), 0, 20).Draw(t, "scope"))
		raw, issued, err := k.Issue(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Verify(raw, in.Kind, 0)
		if err != nil || got.Kind != in.Kind || got.ID != issued.ID || got.Subject != in.Subject || got.PasswordStamp != in.PasswordStamp ||
			!slices.Equal(got.Scope.Strings(), in.Scope.Strings()) || !got.IssuedAt.Equal(issued.IssuedAt) || !got.Expires.Equal(issued.Expires) {
			t.Fatalf("issued %+v, read %+v, %v", issued, got, err)
		}
	})
}

// TestDerive: the same key gives the same secret, another key or purpose another one.
func TestDerive(t *testing.T) {
	ring := func(key authn.SecretFile) *Keyring {
		k, err := NewKeyring(Config{Service: "s", Issuer: "i", Lifetime: time.Minute, KeyFiles: []authn.SecretFile{key}})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	seen := map[[32]byte]string{{}: "nothing"}
	for _, private := range []any{ec, rs, ed} {
		key := pemOf(t, private)
		for _, purpose := range []string{"throttle", "other"} {
			secret, name := ring(key).Derive(purpose), fmt.Sprintf("%T %s", private, purpose)
			if before, double := seen[secret]; double {
				t.Errorf("%s is the secret of %s", name, before)
			}
			if seen[secret] = name; ring(key).Derive(purpose) != secret {
				t.Errorf("%s: another secret the second time", name)
			}
		}
	}
}
