package authntest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is one that signs ID tokens, on loopback, with RSA unless Sign is told otherwise.
type Issuer struct {
	// URL is its name.
	URL string

	mu      sync.Mutex
	signer  *rsa.PrivateKey
	kid     string
	keys    []map[string]string // that it shows
	asked   map[string]int      // by path
	instead http.HandlerFunc    // what it does instead of answering; nil: nothing
}

// issuerPaths are where an Issuer answers.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	KeysPath      = "/keys"
)

// StartIssuer starts one with a key.
func StartIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{asked: map[string]int{}}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.URL = server.URL
	i.Rotate(t, false)
	return i
}

// ServeHTTP answers discovery and the keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked[r.URL.Path]++
	instead, keys := i.instead, i.keys
	i.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case r.URL.Path == DiscoveryPath:
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL, i.URL+KeysPath)
	case r.URL.Path == KeysPath:
		json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

// Rotate makes another key, which signs from now on. The old ones are shown beside it, or
// withdrawn.
func (i *Issuer) Rotate(t testing.TB, withdraw bool) {
	t.Helper()
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if withdraw {
		i.keys = nil
	}
	i.signer, i.kid = signer, rand.Text()
	i.keys = append([]map[string]string{{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.kid, "n": number(signer.N), "e": number(big.NewInt(int64(signer.E)))}}, i.keys...)
}

func number(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

// Show shows another key beside its own: a JWK.
func (i *Issuer) Show(key map[string]string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key)
}

// KeySet is what it shows, for a file.
func (i *Issuer) KeySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	text, _ := json.Marshal(map[string]any{"keys": i.keys}) // texts cannot fail
	return text
}

// Instead makes it do something else with each request; nil: what it should do.
func (i *Issuer) Instead(do http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.instead = do
}

// Asked is how often it was asked for its keys, and for anything.
func (i *Issuer) Asked() (keys, all int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.asked {
		all += n
	}
	return i.asked[KeysPath], all
}

// Claims are those of a good token that lasts five minutes from now, with some changed; a
// nil value takes one out.
func (i *Issuer) Claims(now time.Time, audience string, change map[string]any) map[string]any {
	claims := map[string]any{"iss": i.URL, "aud": audience, "sub": "repo:octo-org/app:ref:refs/heads/main", "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Sign signs claims with the key of the moment.
func (i *Issuer) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	i.mu.Lock()
	kid, key := i.kid, i.signer
	i.mu.Unlock()
	return SignAs(t, claims, map[string]any{"alg": "RS256", "typ": "JWT", "kid": kid}, key)
}

// KeyID is the id of the key of the moment.
func (i *Issuer) KeyID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.kid
}

// Key is the key of the moment.
func (i *Issuer) Key() *rsa.PrivateKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signer
}

// SignAs signs claims, whatever they are, with a key and a header, of which alg says how.
func SignAs(t testing.TB, claims, header map[string]any, key crypto.PrivateKey) string {
	t.Helper()
	alg, _ := header["alg"].(string)
	method := jwt.GetSigningMethod(alg)
	if method == nil {
		t.Fatalf("no algorithm %q", alg)
	}
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	token.Header = header
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
