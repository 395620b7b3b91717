package oidc

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// at is a clock that tests move.
type at struct{ atomic.Int64 }

func newAt() *at {
	a := &at{}
	a.Store(time.Now().UnixNano())
	return a
}

func (a *at) now() time.Time       { return time.Unix(0, a.Load()) }
func (a *at) pass(d time.Duration) { a.Add(int64(d)) }

// TestKeyLife is the life of an issuer's keys: fetched at first use, rotated, withdrawn,
// out of reach, too old.
func TestKeyLife(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	clock := newAt()
	cfg := testConfig(issuer.URL)
	cfg.Now, cfg.KeysStaleFor = clock.now, time.Hour
	d := directory(t, cfg)
	sign := func() authn.Secret {
		return authn.Secret(issuer.Sign(t, issuer.Claims(clock.now(), ours, octo(map[string]any{"exp": clock.now().Add(time.Hour).Unix()}))))
	}
	show := func(what string, token authn.Secret, want error, keys int) {
		t.Helper()
		before, _ := issuer.Asked()
		_, err := d.Prove(t.Context(), token)
		after, _ := issuer.Asked()
		if want == nil && err != nil || want != nil && !errors.Is(err, want) || after-before != keys {
			t.Errorf("%s: %v, asked %d times; want %v, %d", what, err, after-before, want, keys)
		}
	}
	if _, known := d.KeysAge(); known {
		t.Error("keys are known before anybody asked")
	}
	first := sign()
	show("the first", first, nil, 1)
	show("the second", sign(), nil, 0)
	issuer.Rotate(t, false)
	clock.pass(9 * time.Second)
	second := sign()
	show("a new key a moment after a question", second, authn.ErrUnknownToken, 0)
	clock.pass(2 * time.Second)
	show("a new key", second, nil, 1)
	show("the old one beside it", first, nil, 0)
	issuer.Rotate(t, true)
	clock.pass(11 * time.Second)
	show("withdrawn, and not yet known", second, nil, 0)
	show("a third key", sign(), nil, 1)
	show("withdrawn", second, authn.ErrUnknownToken, 0)
	issuer.Rotate(t, true)
	third := sign()
	clock.pass(keysFresh)
	show("old keys are asked for again", third, nil, 1)
	issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	clock.pass(keysFresh)
	show("at fault, with keys", third, nil, 1)
	show("at fault, a moment later", third, nil, 0)
	issuer.Rotate(t, true)
	show("at fault, an unknown key", sign(), authn.ErrUnavailable, 0)
	if age, known := d.KeysAge(); !known || age != keysFresh {
		t.Errorf("the keys are %s old, %v", age, known)
	}
	clock.pass(time.Hour - keysFresh)
	late := authn.Secret(authntest.SignAs(t, issuer.Claims(clock.now(), ours, octo(nil)), map[string]any{"alg": "RS256", "kid": issuer.KeyID()}, issuer.Key()))
	show("at fault for too long", late, authn.ErrUnavailable, 0) // discovery is asked first, and fails
	clock.pass(11 * time.Second)
	issuer.Instead(nil)
	show("there again", sign(), nil, 1)
}

// TestFirstFault: without keys an issuer at fault is a fault, and never a refusal.
func TestFirstFault(t *testing.T) {
	for name, do := range map[string]http.HandlerFunc{
		"down":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"another's": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"issuer":"https://other.example.com","jwks_uri":"https://x"}`)
		},
		"without end":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"issuer":"`, strings.Repeat("x", 2<<20)) },
		"redirects":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"no place":      nil, // filled in below
		"a plain place": nil,
		"no keys":       nil,
	} {
		issuer := authntest.StartIssuer(t)
		switch name {
		case "no place":
			do = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"issuer":%q}`, issuer.URL) }
		case "a plain place":
			do = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"http://192.0.2.1/keys"}`, issuer.URL)
			}
		case "no keys":
			do = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == authntest.KeysPath {
					fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AAAA"}]}`)
					return
				}
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer.URL, issuer.URL+authntest.KeysPath)
			}
		}
		token := authn.Secret(issuer.Sign(t, issuer.Claims(time.Now(), ours, octo(nil))))
		issuer.Instead(do)
		d := directory(t, testConfig(issuer.URL))
		for range 3 {
			if _, err := d.Prove(t.Context(), token); !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, authn.ErrBadToken) || len(err.Error()) > 600 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, all := issuer.Asked(); all > 2 {
			t.Errorf("%s: asked %d times", name, all)
		}
	}
}

// TestMute: an issuer that does not answer costs one time limit, and who comes meanwhile
// waits for the same question.
func TestMute(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	issuer.Instead(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	cfg := testConfig(issuer.URL)
	cfg.Timeout = 300 * time.Millisecond
	d := directory(t, cfg)
	token := authn.Secret(issuer.Sign(t, issuer.Claims(time.Now(), ours, octo(nil))))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := d.Prove(t.Context(), token); !errors.Is(err, authn.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 300ms") {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	if _, asked := issuer.Asked(); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestManyBadTokens: 10,000 of them, by keys that are not there and by one that is, make
// one question.
func TestManyBadTokens(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	d := directory(t, testConfig(issuer.URL))
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claims := issuer.Claims(time.Now(), ours, octo(nil))
	forged := authntest.SignAs(t, claims, map[string]any{"alg": "RS256", "kid": issuer.KeyID()}, stranger)
	signature := forged[strings.LastIndexByte(forged, '.'):]
	payload := strings.Split(forged, ".")[1]
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 1250 {
				token := forged
				if i%2 == 0 {
					token = encoded(fmt.Appendf(nil, `{"alg":"RS256","kid":"k%d-%d"}`, worker, i)) + "." + payload + signature
				}
				if _, err := d.Prove(t.Context(), authn.Secret(token)); !errors.Is(err, authn.ErrUnknownToken) {
					t.Errorf("%v", err)
					return
				}
			}
		})
	}
	all.Wait()
	if keys, asked := issuer.Asked(); keys != 1 || asked != 2 {
		t.Errorf("asked %d times for keys, %d in all", keys, asked)
	}
	if _, err := d.Prove(t.Context(), authn.Secret(issuer.Sign(t, claims))); err != nil {
		t.Errorf("a good one after them: %v", err)
	}
}

// TestLeavingCaller: who does not wait does not disturb those who do.
func TestLeavingCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		calls := 0
		s := &keySet{timeout: time.Minute, staleFor: time.Hour, now: time.Now, count: func(error) {}, fetch: func(ctx context.Context) ([]key, error) {
			calls++
			<-release
			return nil, ctx.Err()
		}}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := s.find(ctx, "k", "RS256"); left <- err }()
		stayed := make(chan error)
		go func() { _, err := s.find(t.Context(), "k", "RS256"); stayed <- err }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, authn.ErrUnavailable) {
			t.Errorf("who left: %v", err)
		}
		close(release)
		if err := <-stayed; !errors.Is(err, authn.ErrUnknownToken) || calls != 1 {
			t.Errorf("who stayed: %v after %d questions", err, calls)
		}
	})
}

// TestKeyFile: keys of a file are all there are, and nobody is asked.
func TestKeyFile(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	cfg := testConfig(issuer.URL)
	cfg.JWKSFile = authn.File{Name: "jwks.json", Data: issuer.KeySet()}
	d := directory(t, cfg)
	token := func() authn.Secret { return authn.Secret(issuer.Sign(t, issuer.Claims(time.Now(), ours, octo(nil)))) }
	if _, err := d.Prove(t.Context(), token()); err != nil {
		t.Error(err)
	}
	issuer.Rotate(t, false)
	if _, err := d.Prove(t.Context(), token()); !errors.Is(err, authn.ErrUnknownToken) {
		t.Error(err)
	}
	if _, all := issuer.Asked(); all != 0 {
		t.Errorf("the issuer was asked %d times", all)
	}
	if _, known := d.KeysAge(); known {
		t.Error("keys of a file have an age")
	}
}

// TestWithoutKeyIDs: an issuer with one key need not name it; with several it must.
func TestWithoutKeyIDs(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	clock := newAt()
	cfg := testConfig(issuer.URL)
	cfg.Now = clock.now
	d := directory(t, cfg)
	token := func() authn.Secret {
		return authn.Secret(authntest.SignAs(t, issuer.Claims(clock.now(), ours, octo(nil)), map[string]any{"alg": "RS256"}, issuer.Key()))
	}
	if _, err := d.Prove(t.Context(), token()); err != nil {
		t.Error(err)
	}
	issuer.Rotate(t, true)
	if _, err := d.Prove(t.Context(), token()); !errors.Is(err, authn.ErrUnknownToken) {
		t.Errorf("another key, a moment after a question: %v", err)
	}
	clock.pass(11 * time.Second)
	if _, err := d.Prove(t.Context(), token()); err != nil {
		t.Errorf("another key: %v", err)
	}
	issuer.Rotate(t, false)
	clock.pass(11 * time.Second)
	if _, err := d.Prove(t.Context(), token()); !errors.Is(err, authn.ErrUnknownToken) {
		t.Errorf("a second key: %v", err)
	}
	clock.pass(11 * time.Second)
	if _, err := d.Prove(t.Context(), token()); !errors.Is(err, authn.ErrMalformedToken) {
		t.Errorf("two keys: %v", err)
	}
}

// TestBefore: a reload keeps the keys of the same issuer, and of no other.
func TestBefore(t *testing.T) {
	issuer, other := authntest.StartIssuer(t), authntest.StartIssuer(t)
	first := directory(t, testConfig(issuer.URL))
	if _, err := first.Prove(t.Context(), authn.Secret(issuer.Sign(t, issuer.Claims(time.Now(), ours, octo(nil))))); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]bool{issuer.URL: true, other.URL: false} {
		cfg := testConfig(url)
		cfg.Before, cfg.MaxLifetime = first, time.Minute
		if _, known := directory(t, cfg).KeysAge(); known != want {
			t.Errorf("%s: keys are known: %v", url, known)
		}
	}
}

// TestKeySets: keys that may not sign tokens are left out, one by one.
func TestKeySets(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("no small keys are made here")
	}
	weak := fmt.Sprintf(`{"kty":"RSA","e":"AQAB","n":%q}`, encoded(small.N.Bytes()))
	good := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	for text, want := range map[string]string{
		`{"keys":[` + good + `}]}`: "", `{"keys":[{"kty":"oct","k":"AAAA"},5,{},{"kty":"RSA"},` + weak + `,` + good + `}]}`: "",
		`{"keys":[` + weak + `]}`: "no key that may sign", `{"keys":[` + good + `,"use":"enc"}]}`: "no key that may sign", `{"keys":[` + good + `,"alg":"ES256"}]}`: "no key that may sign",
		`{"keys":[` + good + `,"key_ops":["sign"]}]}`: "no key that may sign", `{"keys":[` + good + `,"key_ops":["verify"],"alg":"EdDSA","use":"sig"}]}`: "",
		`{"keys":[` + good + `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`: "no key that may sign", // a private one
		`[]`: "is no key set", `{}`: "no key that may sign", `{"keys":[` + strings.Repeat(`{},`, 200) + `{}]}`: "has 201 keys",
	} {
		keys, err := parseKeys([]byte(text))
		if want == "" && (err != nil || len(keys) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.120s: %d, %v; want %q", text, len(keys), err, want)
		}
	}
}
