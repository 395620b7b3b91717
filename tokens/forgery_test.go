package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authz"
)

// forge signs arbitrary header and claims with the ring's own Ed25519 key.
func forge(k *Keyring, header, claims string) string {
	signing := b64([]byte(header)) + "." + b64([]byte(claims))
	signature, err := k.signer.private.Sign(rand.Reader, []byte(signing), crypto.Hash(0))
	if err != nil {
		panic(err)
	}
	return signing + "." + b64(signature)
}

// edit sets a member of a JSON object, or deletes it where the value is nil.
func edit(text, name string, value any) string {
	m := map[string]any{}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		panic(err)
	}
	if m[name] = value; value == nil {
		delete(m, name)
	}
	out, _ := json.Marshal(m)
	return string(out)
}

// insert writes a member in front of the others, as text and whatever it is.
func insert(text, member string) string { return "{" + member + "," + text[1:] }

// attempts are a good token and its parts, to be spoilt.
type attempts struct {
	k              *Keyring
	good           string
	header, claims string // JSON
	first, second  string // as they stand in the token
	signature      string
}

func newAttempts(t testing.TB) attempts {
	t.Helper()
	k := ring(t, nil, generate(t))
	good, _, err := k.Issue(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	header, _ := base64.RawURLEncoding.DecodeString(parts[0])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	a := attempts{k, good, string(header), string(claims), parts[0], parts[1], parts[2]}
	if _, err := k.Verify(forge(k, a.header, a.claims), Access, 0); err != nil {
		t.Fatalf("the forger's own control: %v", err)
	}
	return a
}

// withHeader and withClaims give a token that is well signed by our own key.
func (a attempts) withHeader(name string, value any) string {
	return forge(a.k, edit(a.header, name, value), a.claims)
}

func (a attempts) withClaim(name string, value any) string {
	return forge(a.k, a.header, edit(a.claims, name, value))
}

func (a attempts) withMember(member string) string {
	return forge(a.k, a.header, insert(a.claims, member))
}

// refused wants each text refused as invalid, without any of its content given
// back, and none kept in the cache.
func (a attempts) refused(t *testing.T, texts map[string]string) {
	t.Helper()
	before := a.k.verified.Len()
	for name, text := range texts {
		for _, kind := range []Kind{Access, Refresh} {
			got, err := a.k.Verify(text, kind, time.Hour)
			if !errors.Is(err, ErrInvalidToken) || errors.Is(err, ErrExpired) {
				t.Errorf("%s as %s: %v", name, kind, err)
			}
			if got.ID != "" || got.Subject.Username != "" || !got.Scope.Empty() {
				t.Errorf("%s as %s: refused, yet it gives %+v", name, kind, got)
			}
		}
	}
	if a.k.verified.Len() != before {
		t.Errorf("%d refused texts are in the cache", a.k.verified.Len()-before)
	}
}

// TestAlgorithms: the header does not choose the algorithm (threats E1, E2).
func TestAlgorithms(t *testing.T) {
	a := newAttempts(t)
	texts := map[string]string{"none signed": a.withHeader("alg", "none"), "no alg": a.withHeader("alg", nil)}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		first := b64([]byte(edit(a.header, "alg", alg)))
		texts[alg+" without a signature"] = first + "." + a.second + "."
		texts[alg+" with the old signature"] = first + "." + a.second + "." + a.signature
	}
	for _, alg := range []any{"ES256", "RS256", "PS256", "ES384", "eddsa", "EDDSA", "EdDSA ", "Ed25519", 1, true, []string{"EdDSA"}} {
		text, _ := json.Marshal(alg)
		texts[string(text)] = a.withHeader("alg", alg)
	}
	public := a.k.signer.private.Public().(ed25519.PublicKey)
	der, _ := x509.MarshalPKIXPublicKey(public)
	secrets := map[string][]byte{"": nil, "raw": public, "DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	for name, secret := range secrets {
		signing := b64([]byte(edit(a.header, "alg", "HS256"))) + "." + a.second
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signing))
		texts["HS256 by the public key, "+name] = signing + "." + b64(mac.Sum(nil))
	}
	a.refused(t, texts)
	// The library would refuse a key of another type; we do before it is asked.
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodHS256, jwt.SigningMethodNone} {
		if key, err := a.k.keyFor(&jwt.Token{Method: method, Header: map[string]any{"kid": a.k.signer.id}}); err == nil || key != nil {
			t.Errorf("%s gets the Ed25519 key", method.Alg())
		}
	}
}

// TestKeyIDs: kid is looked up among our keys and nowhere else (threats E3).
func TestKeyIDs(t *testing.T) {
	a := newAttempts(t)
	id := a.k.signer.id
	texts := map[string]string{"no kid": a.withHeader("kid", nil), "kid twice": forge(a.k, insert(a.header, `"kid":"x"`), a.claims)}
	for _, kid := range []any{"", "x", "../../../../dev/null", "/etc/passwd", "' OR 1=1 --", "http://127.0.0.1/key", id + "\x00", " " + id, id + " ",
		strings.ToUpper(id), id[:42], strings.Repeat("k", 4000), 0, false, []string{id}, map[string]string{"kid": id}} {
		text, _ := json.Marshal(kid)
		texts["kid "+string(text[:min(len(text), 60)])] = a.withHeader("kid", kid)
	}
	a.refused(t, texts)
}

// TestHeaders: a header holds alg, kid and typ and nothing that would have to be
// understood or fetched (threats E4, E5).
func TestHeaders(t *testing.T) {
	a := newAttempts(t)
	texts := map[string]string{}
	for name, value := range map[string]any{
		"jku": "http://127.0.0.1/jwks", "jwk": map[string]string{"kty": "OKP"}, "x5u": "http://127.0.0.1/chain", "x5c": []string{"MII"}, "x5t": "x", "x5t#S256": "x",
		"crit": []string{"exp"}, "b64": false, "cty": "JWT", "zip": "DEF", "enc": "A256GCM", "KID": a.k.signer.id, "Alg": "none", "": "x",
	} {
		texts[name] = a.withHeader(name, value)
	}
	texts["an empty crit"] = a.withHeader("crit", []string{})
	texts["alg twice"] = forge(a.k, insert(a.header, `"alg":"none"`), a.claims)
	for name, header := range map[string]string{"a list": "[]", "a text": `"x"`, "null": "null", "an empty object": "{}", "nothing closed": a.header[:len(a.header)-1], "more behind": a.header + "{}"} {
		texts["the header is "+name] = forge(a.k, header, a.claims)
	}
	a.refused(t, texts)
}

// TestKinds: a token of one kind is good as that kind only, and its kind is
// written in one way (threats E6).
func TestKinds(t *testing.T) {
	a := newAttempts(t)
	for _, kind := range []Kind{Access, Refresh} {
		in := sample(t)
		in.Kind = kind
		text, _, err := a.k.Issue(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, as := range []Kind{Access, Refresh, "", "session"} {
			for range 2 { // fresh, then from the cache
				if _, err := a.k.Verify(text, as, 0); (err == nil) != (as == kind) || err != nil && !errors.Is(err, ErrInvalidToken) {
					t.Errorf("%s as %q: %v", kind, as, err)
				}
			}
		}
	}
	texts := map[string]string{"no typ": a.withHeader("typ", nil)}
	for _, typ := range []any{"", "JWT", "jwt", "AT+JWT", "at+JWT", "application/at+jwt", "at+jwt ", "access+jwt", "at", "session+jwt", 1, []string{"at+jwt"}} {
		text, _ := json.Marshal(typ)
		texts["typ "+string(text)] = a.withHeader("typ", typ)
	}
	a.refused(t, texts)
}

// TestClaims: every claim that a decision hangs on is there, once, under its own
// name, and of its own type and range (threats E7, E8, E10).
func TestClaims(t *testing.T) {
	a := newAttempts(t)
	now := time.Now().Unix()
	texts := map[string]string{}
	for _, name := range []string{"iss", "aud", "sub", "jti", "iat", "exp"} {
		texts["no "+name] = a.withClaim(name, nil)
		texts[name+" is null"] = forge(a.k, a.header, insert(edit(a.claims, name, nil), `"`+name+`":null`))
		texts[name+" is a list"] = a.withClaim(name, []any{"gatehouse"})
		texts[name+" is an object"] = a.withClaim(name, map[string]any{})
		texts[name+" is true"] = a.withClaim(name, true)
	}
	for name, value := range map[string]any{"iss": "gatehouse ", "aud": "Gatehouse", "sub": "", "jti": "", "dir": nil, "scope": "repository:a:pull", "id": 1, "pws": []string{"p1"}} {
		texts["another "+name] = a.withClaim(name, value)
	}
	for _, name := range []string{"iat", "exp"} {
		for _, number := range []string{`"9999999999"`, "1e300", "1.5e9", "1800000000.5", "-1", "0", "-0", "99999999999999999999", "9223372036854775807", "1099511627777", "0x7fffffff", "NaN", "01800000000"} {
			texts[name+" "+number] = forge(a.k, a.header, insert(edit(a.claims, name, nil), `"`+name+`":`+number))
		}
	}
	texts["exp before iat"] = forge(a.k, a.header, edit(edit(a.claims, "iat", now), "exp", now-1))
	texts["exp at iat"] = forge(a.k, a.header, edit(edit(a.claims, "iat", now), "exp", now))
	for _, member := range []string{`"sub":"root"`, `"SUB":"root"`, `"Sub":"root"`, `"ſub":"root"`, `"ſcope":["repository:a:push"]`, `"exp":9999999999`, `"EXP":9999999999`,
		`"\u0073ub":"root"`, `"nbf":1`, `"admin":true`, `"":""`, `"id":"u-2"`, `"Dir":"other"`, `"pws":""`} {
		texts["also "+member] = a.withMember(member)
	}
	for _, name := range []string{"dir", "id", "pws", "scope"} { // null would pass for a claim that is absent
		texts["a null "+name] = forge(a.k, a.header, insert(edit(a.claims, name, nil), `"`+name+`":null`))
	}
	forever := edit(a.header, "typ", "refresh+jwt")
	for _, iat := range []int64{0, -1} {
		texts[fmt.Sprint("a refresh token of ", iat)] = forge(a.k, forever, edit(a.claims, "iat", iat))
	}
	for exp, want := range map[int64]bool{1 << 40: true, 1<<40 + 1: false} {
		if _, err := a.k.Verify(forge(a.k, forever, edit(a.claims, "exp", exp)), Refresh, 0); (err == nil) != want {
			t.Errorf("exp %d: %v", exp, err)
		}
	}
	for name, claims := range map[string]string{"a list": "[]", "a text": `"x"`, "null": "null", "an empty object": "{}", "nothing closed": a.claims[:len(a.claims)-1], "more behind": a.claims + "{}", "a list around": "[" + a.claims + "]"} {
		texts["the claims are "+name] = forge(a.k, a.header, claims)
	}
	a.refused(t, texts)
	// The other way round: what may be absent is, for a person and for nobody.
	for _, claims := range []string{edit(a.claims, "scope", nil), edit(edit(a.claims, "id", nil), "pws", nil)} {
		if _, err := a.k.Verify(forge(a.k, a.header, claims), Access, 0); err != nil {
			t.Errorf("%s: %v", claims, err)
		}
	}
}

// TestNobody: a token names a person of a directory, or nobody at all.
func TestNobody(t *testing.T) {
	a := newAttempts(t)
	text, _, err := a.k.Issue(Token{Kind: Access})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.k.Verify(text, Access, 0); err != nil || got.Subject.Username != "" || got.Subject.Directory != "" {
		t.Errorf("%+v %v", got, err)
	}
	nobody := edit(edit(edit(edit(a.claims, "dir", nil), "id", nil), "pws", nil), "sub", anonymous)
	if _, err := a.k.Verify(forge(a.k, a.header, nobody), Access, 0); err != nil {
		t.Errorf("the forger's own control: %v", err)
	}
	a.refused(t, map[string]string{
		"a person without a directory": forge(a.k, a.header, edit(nobody, "sub", "alice")),
		"nobody with an id":            forge(a.k, a.header, edit(nobody, "id", "u-1")),
		"nobody with a password":       forge(a.k, a.header, edit(nobody, "pws", "p1")),
		"nobody's refresh token":       forge(a.k, edit(a.header, "typ", "refresh+jwt"), nobody),
	})
}

// TestSkew: a token of a replica whose clock is ahead by up to 30 s is taken; the
// end is exact (threats E9).
func TestSkew(t *testing.T) {
	a := newAttempts(t)
	now := time.Now().Truncate(time.Second)
	a.k.cfg.Now = func() time.Time { return now }
	at := func(iat, exp time.Duration) string {
		return forge(a.k, a.header, edit(edit(a.claims, "iat", now.Add(iat).Unix()), "exp", now.Add(exp).Unix()))
	}
	for _, c := range []struct {
		iat, exp time.Duration
		want     error
	}{
		{30 * time.Second, time.Minute, nil}, {31 * time.Second, time.Minute, ErrInvalidToken}, {-time.Minute, 0, nil}, {-time.Minute, -time.Second, ErrExpired},
		{0, time.Hour, nil}, {0, time.Hour + time.Second, ErrInvalidToken}, {-time.Hour, time.Minute, ErrInvalidToken},
	} {
		if _, err := a.k.Verify(at(c.iat, c.exp), Access, 0); !errors.Is(err, c.want) || c.want == nil && err != nil || errors.Is(err, ErrExpired) && c.want != ErrExpired {
			t.Errorf("issued %s from now, to %s: %v, want %v", c.iat, c.exp, err, c.want)
		}
	}
}

// TestEncodings: a token is written in one way; no other text with the same
// content is good, and none gets an entry in the cache (threats E11).
func TestEncodings(t *testing.T) {
	a := newAttempts(t)
	if _, err := a.k.Verify(a.good, Access, 0); err != nil {
		t.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	texts := map[string]string{"a flipped end": a.good[:len(a.good)-5] + "AAAAA", "a fourth part": a.good + ".", "five parts": a.good + "..", "a dot in front": "." + a.good,
		"two parts": a.first + "." + a.second, "no signature": a.first + "." + a.second + ".", "empty": "", "a scheme": "Bearer " + a.good}
	for i, part := range []string{a.first, a.second, a.signature} {
		with := func(text string) string {
			parts := []string{a.first, a.second, a.signature}
			parts[i] = text
			return strings.Join(parts, ".")
		}
		for name, junk := range map[string]string{"LF": "\n", "CR": "\r", "CRLF": "\r\n", "space": " ", "tab": "\t", "NUL": "\x00", "padding": "=", "plus": "+", "slash": "/", "no-break space": "\u00a0"} {
			texts[name+" in the middle"] = with(part[:10] + junk + part[10:])
			texts[name+" in front"] = with(junk + part)
			texts[name+" behind"] = with(part + junk)
			a.refused(t, texts)
			texts = map[string]string{}
		}
		texts["padded"] = with(part + strings.Repeat("=", (4-len(part)%4)%4) + "=")
		// Bits behind the last byte: other last letters that decode to the same bytes.
		last := strings.IndexByte(alphabet, part[len(part)-1])
		if unused := len(part) * 6 % 8; unused > 0 {
			for bits := 1; bits < 1<<unused; bits++ {
				texts["spare bits"] = with(part[:len(part)-1] + alphabet[last^bits:last^bits+1])
				a.refused(t, texts)
			}
		}
	}
	// Spaces in the JSON are another text, which nobody of us signed.
	texts["spaces in the claims"] = a.first + "." + b64([]byte(strings.Replace(a.claims, ":", ": ", 1))) + "." + a.signature
	a.refused(t, texts)
	if n := a.k.verified.Len(); n != 1 {
		t.Errorf("%d entries in the cache for one token", n)
	}
}

// TestMalleable: of the two forms of an ECDSA signature we write one and take
// that one only, in fixed length (threats E11).
func TestMalleable(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k := ring(t, nil, pemOf(t, ec))
	text, _, _ := k.Issue(sample(t))
	cut := strings.LastIndexByte(text, '.') + 1
	signature, _ := base64.RawURLEncoding.DecodeString(text[cut:])
	s := new(big.Int).SetBytes(signature[32:])
	twin := append([]byte(nil), signature...)
	new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(twin[32:])
	digest := sha256.Sum256([]byte(text[:cut-1]))
	der, _ := ec.Sign(rand.Reader, digest[:], crypto.SHA256)
	if !ecdsa.Verify(&ec.PublicKey, digest[:], new(big.Int).SetBytes(twin[:32]), new(big.Int).SetBytes(twin[32:])) {
		t.Fatal("the twin is no signature, so refusing it says nothing")
	}
	for name, other := range map[string][]byte{"the twin": twin, "DER": der, "short": signature[:63], "long": append(signature[:64:64], 0), "zero": make([]byte, 64), "r alone": signature[:32]} {
		if _, err := k.Verify(text[:cut]+b64(other), Access, 0); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !lowS(signature) || lowS(signature[:63]) || lowS(nil) || lowS(twin) {
		t.Error("lowS takes another than the 64 bytes of the lower form")
	}
	if _, err := k.Verify(text, Access, 0); err != nil || k.verified.Len() != 1 {
		t.Errorf("the token itself: %v, %d in the cache", err, k.verified.Len())
	}
}

// TestSizes: a text over 16 KiB is refused before anything is read of it, and
// none such is issued (threats E12).
func TestSizes(t *testing.T) {
	a := newAttempts(t)
	a.refused(t, map[string]string{"dots": strings.Repeat(".", 1<<20), "letters": strings.Repeat("a", 1<<20), "three long parts": strings.Repeat("a", 8000) + "." + strings.Repeat("a", 8000) + "." + strings.Repeat("a", 8000),
		"a long claim": a.withClaim("pws", strings.Repeat("x", 16<<10)), "deep": forge(a.k, a.header, `{"sub":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+"}")})
	huge := strings.Repeat("a.", 8<<20)
	if n := testing.AllocsPerRun(5, func() { a.k.Verify(huge, Access, 0) }); n > 50 { // it has 8 million parts
		t.Errorf("%v allocations for a text that is too long", n)
	}
	in, least, most := sample(t), 0, 16<<10
	for most-least > 1 { // the longest password stamp that fits
		in.PasswordStamp = strings.Repeat("x", (least+most)/2)
		if text, issued, err := a.k.Issue(in); err == nil {
			least = len(in.PasswordStamp)
			if _, err := a.k.Verify(text, Access, 0); err != nil || len(text) > 16<<10 {
				t.Fatalf("%d bytes: %v", len(text), err)
			}
		} else if most = len(in.PasswordStamp); !errors.Is(err, ErrInvalidRequest) || text != "" || issued.ID != "" {
			t.Fatalf("%q %+v %v", text, issued, err)
		}
	}
	in.PasswordStamp = strings.Repeat("x", least)
	if text, _, _ := a.k.Issue(in); len(text) < 16<<10-2 {
		t.Errorf("the longest token has %d bytes only", len(text))
	}
}

// TestIDsAreRandom: the id of a token is drawn from crypto/rand, so with that
// fixed it is fixed, and otherwise no id comes twice (threats E19).
func TestIDsAreRandom(t *testing.T) {
	k, seen := ring(t, nil, generate(t)), map[string]bool{}
	id := func() string {
		_, issued, err := k.Issue(Token{Kind: Access})
		if err != nil || len(issued.ID) < 26 { // base32 letters for 128 bits
			t.Fatalf("%q %v", issued.ID, err)
		}
		return issued.ID
	}
	for range 500 {
		seen[id()] = true
	}
	if len(seen) != 500 {
		t.Errorf("%d ids of 500 tokens", len(seen))
	}
	drawn := map[string]int{}
	for _, seed := range []uint64{1, 1, 2} {
		cryptotest.SetGlobalRandom(t, seed)
		drawn[id()]++
	}
	if len(drawn) != 2 {
		t.Errorf("the ids of seeds 1, 1 and 2: %v", drawn)
	}
}

// TestScopeOfToken: the scope of a token is read by the grammar of requests, so
// what a forger could write there is no more than what they could ask for.
func TestScopeOfToken(t *testing.T) {
	a := newAttempts(t)
	text := a.withClaim("scope", []string{"repository:a:pull", "repository:../b:pull", "repository:A:*", "junk"})
	got, err := a.k.Verify(text, Access, 0)
	if err != nil || got.Scope.String() != "repository:a:pull" || got.Scope.Allows("../b", authz.Pull) {
		t.Errorf("%q %v", got.Scope, err)
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = "x"
	}
	a.refused(t, map[string]string{"1,001 scopes": a.withClaim("scope", many)})
}
