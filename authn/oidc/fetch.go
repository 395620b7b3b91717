package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	oidc "github.com/coreos/go-oidc/v3/oidc"
)

// maxAnswer is how much of an issuer's answer is read.
const maxAnswer = 1 << 20

// fetcher asks an issuer for its keys. One question runs at a time.
type fetcher struct {
	issuer string
	client *http.Client
	keys   string // where they are; empty: not known, or the last question failed
}

// newFetcher returns one that trusts these roots; nil: the system's.
func newFetcher(issuer string, roots *x509.CertPool) *fetcher {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxResponseHeaderBytes: 64 << 10}
	return &fetcher{issuer: issuer, client: &http.Client{Transport: bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects, which is not followed") }}}
}

// fetch gives the keys. Where they are is asked at the first time, and after a failure
// (OpenID Connect Discovery 1.0, section 4).
func (f *fetcher) fetch(ctx context.Context) ([]key, error) {
	keys, err := f.try(ctx)
	if err != nil {
		f.keys = ""
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, errors.New(brief(err.Error()))
	}
	return keys, nil
}

func (f *fetcher) try(ctx context.Context) ([]key, error) {
	if f.keys == "" {
		at, err := f.discover(ctx)
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		f.keys = at
	}
	text, err := f.get(ctx, f.keys)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("keys: what stands at %s %w", f.keys, err)
	}
	return keys, nil
}

// discover asks where the keys are. The document must be the issuer's own.
func (f *fetcher) discover(ctx context.Context) (string, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, f.client), f.issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", err
	}
	// A jwks_uri may have a query, which an issuer has not.
	plain, _, _ := strings.Cut(document.Keys, "?")
	if err := checkURL(plain); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	if strings.HasPrefix(f.issuer, "https:") && !strings.HasPrefix(document.Keys, "https:") {
		return "", fmt.Errorf("jwks_uri: %.200q: the issuer is https, and so must be what has its keys", document.Keys)
	}
	return document.Keys, nil
}

func (f *fetcher) get(ctx context.Context, at string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, application/jwk-set+json")
	response, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, response.Status)
	}
	return io.ReadAll(response.Body)
}

// brief keeps what an issuer sent out of the log, but for its beginning.
func brief(text string) string {
	const most = 300
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// bounded ends bodies with an error where they are too long.
type bounded struct{ http.RoundTripper }

// RoundTrip is of http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// fit reports whether a key is one for an algorithm (RFC 7518, RFC 8037).
func fit(public any, algorithm string) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return (algorithm[:2] == "RS" || algorithm[:2] == "PS") && k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return algorithm == map[int]string{256: "ES256", 384: "ES384"}[k.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}
