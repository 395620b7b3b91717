package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// otherKey is a key of an issuer besides its own.
type otherKey struct {
	kid     string
	private crypto.PrivateKey
}

// otherKeys makes the issuer show a key for each algorithm, and gives them.
func otherKeys(t testing.TB, issuer *authntest.Issuer) map[string]otherKey {
	t.Helper()
	keys := map[string]otherKey{}
	for _, a := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		keys[a] = otherKey{issuer.KeyID() + "-" + a, issuer.Key()}
		n, e := issuer.Key().N, big.NewInt(int64(issuer.Key().E))
		issuer.Show(map[string]string{"kty": "RSA", "kid": keys[a].kid, "alg": a, "n": encoded(n.Bytes()), "e": encoded(e.Bytes())})
	}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		keys["ES"+name[2:]] = otherKey{name, private}
		issuer.Show(map[string]string{"kty": "EC", "crv": name, "kid": name, "x": encoded(point[1 : half+1]), "y": encoded(point[half+1:])})
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["EdDSA"] = otherKey{"ed", private}
	issuer.Show(map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encoded(public)})
	return keys
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// TestBrokenTokens: each is refused with its reason, and what can be judged without a key
// never makes us ask for one.
func TestBrokenTokens(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	now := time.Now().Truncate(time.Second)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	d := directory(t, testConfig(issuer.URL))
	claims := func(change map[string]any) map[string]any { return issuer.Claims(now, ours, octo(change)) }
	with := func(change map[string]any) string { return issuer.Sign(t, claims(change)) }
	header := func(h map[string]any) string { return authntest.SignAs(t, claims(nil), h, issuer.Key()) }
	good := with(nil)
	parts := strings.Split(good, ".")
	raw := func(header, payload string) string {
		return encoded([]byte(header)) + "." + encoded([]byte(payload)) + "." + parts[2]
	}
	plain := `{"alg":"RS256","kid":"` + issuer.KeyID() + `"}`
	payload, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	malformed, unknown, expired, mismatch := authn.ErrMalformedToken, authn.ErrUnknownToken, authn.ErrExpiredToken, authn.ErrMismatchedToken
	broken := []struct {
		name, text string
		kind       error
		reason     string
	}{
		{"empty", "", malformed, "not three parts"},
		{"two parts", parts[0] + "." + parts[1], malformed, "not three parts"},
		{"four parts", good + ".x", malformed, "not three parts"},
		{"no signature", parts[0] + "." + parts[1] + ".", malformed, "not base64url"},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], malformed, "not base64url"},
		{"other letters", parts[0] + "." + parts[1] + "." + parts[2] + "+", malformed, "not base64url"},
		{"unused bits of the signature", parts[0] + "." + parts[1] + "." + unused(parts[2]), malformed, "signature: not base64url"},
		{"a letter too many", good + "AAA", malformed, "signature: not base64url"},
		{"too long", with(map[string]any{"more": strings.Repeat("x", 16<<10)}), malformed, "over 16 KiB"},
		{"a header that is no object", raw(`["alg"]`, string(payload)), malformed, "header: not an object"},
		{"a header that is no JSON", raw(`{"alg":`, string(payload)), malformed, "header: not JSON"},
		{"something behind the header", raw(plain+"{}", string(payload)), malformed, "header: something follows"},
		{"alg twice", raw(`{"alg":"RS256","alg":"none"}`, string(payload)), malformed, `header: "alg" stands twice`},
		{"iss twice", raw(plain, `{"iss":"`+issuer.URL+`","iss":"x"}`), malformed, `claims: "iss" stands twice`},
		{"a claim in a claim twice", raw(plain, `{"a":{"b":1,"b":2}}`), malformed, `claims: "b" stands twice`},
		{"too deep", raw(plain, strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)), malformed, "claims: too deep"},
		{"claims that are no object", raw(plain, `"x"`), malformed, "claims: not an object"},
		{"no alg", raw(`{"kid":"x"}`, string(payload)), malformed, `alg "" is none of`},
		{"alg none", raw(`{"alg":"none"}`, string(payload)), malformed, `alg "none" is none of`},
		{"a symmetric alg", authntest.SignAs(t, claims(nil), map[string]any{"alg": "HS256", "kid": issuer.KeyID()}, issuer.KeySet()), malformed, `alg "HS256" is none of`},
		{"an alg that is not in the list", authntest.SignAs(t, claims(nil), map[string]any{"alg": "RS512", "kid": issuer.KeyID()}, issuer.Key()), malformed, `alg "RS512" is none of`},
		{"alg in lower case", raw(`{"alg":"rs256"}`, string(payload)), malformed, `alg "rs256" is none of`},
		{"another issuer", with(map[string]any{"iss": "https://other.example.com"}), unknown, "iss is another"},
		{"the issuer with a slash", with(map[string]any{"iss": issuer.URL + "/"}), unknown, "iss is another"},
		{"no iss", with(map[string]any{"iss": nil}), unknown, "iss is another"},
		{"iss in a list", with(map[string]any{"iss": []string{issuer.URL}}), unknown, "iss is another"},
		{"no aud", with(map[string]any{"aud": nil}), mismatch, "no aud"},
		{"an empty aud", with(map[string]any{"aud": []string{}}), mismatch, "no aud"},
		{"another aud", with(map[string]any{"aud": "https://other.example.com"}), mismatch, "is none of ours"},
		{"one aud ours, one not", with(map[string]any{"aud": []string{ours, "sts.example.com"}}), mismatch, `aud "sts.example.com" is none of ours`},
		{"an aud that is a number", with(map[string]any{"aud": 5}), malformed, "aud is no text"},
		{"aud with a slash", with(map[string]any{"aud": ours + "/"}), mismatch, "is none of ours"},
		{"no exp", with(map[string]any{"exp": nil}), malformed, "no exp"},
		{"exp in quotes", with(map[string]any{"exp": fmt.Sprint(at(time.Minute))}), malformed, "no exp"},
		{"exp out of range", with(map[string]any{"exp": 1e300}), malformed, "no exp"},
		{"expired", with(map[string]any{"iat": at(-2 * time.Minute), "nbf": nil, "exp": at(-31 * time.Second)}), expired, "expired at"},
		{"not yet", with(map[string]any{"nbf": at(40 * time.Second)}), mismatch, "not good before"},
		{"nbf that is no time", with(map[string]any{"nbf": "soon"}), malformed, "no nbf"},
		{"no iat", with(map[string]any{"iat": nil}), malformed, "no iat"},
		{"issued in the future", with(map[string]any{"iat": at(40 * time.Second)}), mismatch, "issued in the future"},
		{"exp before iat", with(map[string]any{"iat": at(20 * time.Second), "exp": at(10 * time.Second)}), malformed, "exp is not after iat"},
		{"lasts too long", with(map[string]any{"exp": at(time.Hour + time.Second)}), mismatch, "over max_lifetime"},
		{"crit", header(map[string]any{"alg": "RS256", "kid": issuer.KeyID(), "crit": []string{"exp"}}), malformed, "the header has crit"},
		{"jku", header(map[string]any{"alg": "RS256", "kid": issuer.KeyID(), "jku": issuer.URL + "/evil"}), malformed, "the header has jku"},
		{"jwk", header(map[string]any{"alg": "RS256", "kid": issuer.KeyID(), "jwk": map[string]any{}}), malformed, "the header has jwk"},
		{"x5u", header(map[string]any{"alg": "RS256", "kid": issuer.KeyID(), "x5u": "https://evil.example"}), malformed, "the header has x5u"},
		{"a kid that is no text", header(map[string]any{"alg": "RS256", "kid": 5}), malformed, "kid is"},
	}
	for _, c := range broken {
		refused(t, d, c.name, c.text, c.kind, c.reason)
	}
	if _, all := issuer.Asked(); all > 0 {
		t.Errorf("the issuer was asked %d times", all)
	}
	for _, c := range []struct {
		name, text string
		kind       error
		reason     string
	}{
		{"another key's", authntest.SignAs(t, claims(nil), map[string]any{"alg": "RS256", "kid": issuer.KeyID()}, stranger), unknown, "the signature is not by"},
		{"other claims under the signature", raw(plain, string(payload)), unknown, "the signature is not by"},
		{"a key that is not there", authntest.SignAs(t, claims(nil), map[string]any{"alg": "RS256", "kid": "other"}, stranger), unknown, "the issuer shows no key"},
		{"an alg that is not the key's", raw(`{"alg":"ES256","kid":"`+issuer.KeyID()+`"}`, string(payload)), malformed, "is not one for ES256"},
		{"no workload", with(map[string]any{"repository_owner_id": "1"}), mismatch, `repository_owner_id is "1"`},
		{"claims without end", with(map[string]any{"run_id": strings.Repeat("x", 2100)}), mismatch, "over 2048"},
	} {
		refused(t, d, c.name, c.text, c.kind, c.reason)
	}
	if keys, _ := issuer.Asked(); keys != 1 {
		t.Errorf("the issuer was asked %d times for its keys", keys)
	}
	if id, err := d.Prove(t.Context(), authn.Secret(good)); err != nil {
		t.Errorf("%+v, %v", id, err)
	}
}

// unused is a part with another last letter, whose bits that count are the same.
func unused(part string) string {
	last := len(part) - 1
	return part[:last] + string(base64url[strings.IndexByte(base64url, part[last])^1])
}

func refused(t *testing.T, d *Directory, name, text string, kind error, reason string) {
	t.Helper()
	id, err := d.Prove(t.Context(), authn.Secret(text))
	if !errors.Is(err, kind) || !errors.Is(err, authn.ErrBadToken) || !strings.Contains(err.Error(), reason) || id.Username != "" {
		t.Errorf("%s: %+v, %v; want %v: %s", name, id, err, kind, reason)
	}
}

// TestLeeway: the issuer's clock may be 30 seconds from ours, and no more.
func TestLeeway(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	now := time.Now().Truncate(time.Second)
	cfg := testConfig(issuer.URL)
	cfg.Now = func() time.Time { return now }
	d := directory(t, cfg)
	cfg.Session = 0
	bare := directory(t, cfg)
	for _, c := range []struct {
		iat, nbf, exp time.Duration
		ok, without   bool // with a session, and without
	}{
		{-5 * time.Minute, 0, time.Second, true, true}, {-5 * time.Minute, 0, 0, true, false}, {-5 * time.Minute, 0, -29 * time.Second, true, false},
		{-5 * time.Minute, 0, -30 * time.Second, false, false}, {0, 30 * time.Second, time.Minute, true, true}, {0, 31 * time.Second, time.Minute, false, false},
		{30 * time.Second, 0, time.Minute, true, true}, {31 * time.Second, 0, time.Minute, false, false}, {-59 * time.Minute, 0, time.Minute, true, true},
	} {
		token := authn.Secret(issuer.Sign(t, issuer.Claims(now, ours, octo(map[string]any{
			"iat": now.Add(c.iat).Unix(), "nbf": now.Add(c.nbf).Unix(), "exp": now.Add(c.exp).Unix()}))))
		if _, err := d.Prove(t.Context(), token); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := bare.Prove(t.Context(), token); (err == nil) != c.without || err != nil && !errors.Is(err, authn.ErrBadToken) {
			t.Errorf("%+v without a session: %v", c, err)
		}
	}
}

// FuzzParse: nothing that is shown makes it panic, and what it takes a library takes too.
func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA")
	f.Add("e30.e30.AA")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parse(text)
		if (parsed == nil) != (err != nil) || err != nil && !errors.Is(err, authn.ErrMalformedToken) {
			t.Fatalf("%v, %v", parsed, err)
		}
		if parsed == nil {
			return
		}
		var same map[string]any
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
		if err != nil || json.Unmarshal(payload, &same) != nil || len(same) != len(parsed.claims) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
