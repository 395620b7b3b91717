package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/authn"
)

const (
	// keysFresh is how long keys count without a question: one that the issuer has
	// withdrawn is good no longer than that.
	keysFresh = 5 * time.Minute
	// keysPause is how long nobody asks again, whatever tokens are shown.
	keysPause = 10 * time.Second
)

// key is one of an issuer's.
type key struct {
	jose.JSONWebKey
	algorithms []string // that it is fit for
}

// keySet are an issuer's keys. Unlike those of libraries, one bad token after the other
// makes it ask once in ten seconds at most, and keys outlive a fault of the issuer.
type keySet struct {
	fetch     func(context.Context) ([]key, error) // nil: the keys are all there are
	timeout   time.Duration                        // of one fetch
	staleFor  time.Duration
	now       func() time.Time
	count     func(error) // a fetch ended
	directory string

	mu      sync.Mutex
	keys    []key
	fetched time.Time     // when the question was asked that brought the keys; zero: none did
	asked   time.Time     // when the last question was
	fault   error         // how the last one ended
	running chan struct{} // closed when the question that runs is answered; nil: none runs
}

// find gives the keys that may have signed a token: those of its kid, or the only one
// that is fit for its alg where it names none. The error wraps authn.ErrUnknownToken,
// authn.ErrMalformedToken where the key is not one for that alg, or authn.ErrUnavailable.
func (s *keySet) find(ctx context.Context, kid, alg string) ([]key, error) {
	keys, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	found, err := choose(keys, kid, alg)
	if !errors.Is(err, authn.ErrUnknownToken) || s.fetch == nil {
		return found, err
	}
	if keys, err = s.again(ctx); err != nil {
		return nil, err
	}
	return choose(keys, kid, alg)
}

// choose picks those that may have signed.
func choose(keys []key, kid, alg string) (found []key, err error) {
	known := false
	for _, k := range keys {
		if kid != "" && k.KeyID != kid {
			continue
		}
		known = known || kid != ""
		for _, a := range k.algorithms {
			if a == alg {
				found = append(found, k)
			}
		}
	}
	switch {
	case known && len(found) == 0:
		return nil, malformed("the key %.100q is not one for %s", kid, alg)
	case len(found) == 0:
		return nil, fmt.Errorf("%w: the issuer shows no key %.100q", authn.ErrUnknownToken, kid)
	case kid == "" && len(found) > 1:
		return nil, malformed("no kid, and the issuer has %d keys for %s", len(found), alg)
	}
	return found, nil
}

// current are the keys, fetched where there are none or they are old.
func (s *keySet) current(ctx context.Context) ([]key, error) {
	s.mu.Lock()
	keys, fresh := s.keys, s.fetch == nil || !s.fetched.IsZero() && s.now().Sub(s.fetched) < keysFresh
	s.mu.Unlock()
	if fresh {
		return keys, nil
	}
	err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fetched.IsZero() && s.now().Sub(s.fetched) < max(s.staleFor, keysFresh) {
		return s.keys, nil
	}
	return nil, s.unavailableLocked(err)
}

// again asks for a key that is not there, unless the issuer was asked a moment ago.
func (s *keySet) again(ctx context.Context) ([]key, error) {
	err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return nil, s.unavailableLocked(err)
	}
	return s.keys, nil
}

func (s *keySet) unavailableLocked(err error) error {
	return fmt.Errorf("%w: the issuer of %s: %w", authn.ErrUnavailable, s.directory, err)
}

// ask fetches the keys, or waits for who does, or returns how that ended a moment ago.
func (s *keySet) ask(ctx context.Context) error {
	s.mu.Lock()
	running := s.running
	if running == nil {
		if !s.asked.IsZero() && s.now().Sub(s.asked) < keysPause {
			defer s.mu.Unlock()
			return s.fault
		}
		s.asked = s.now()
		running = make(chan struct{})
		s.running = running
		go s.run(running, s.asked)
	}
	s.mu.Unlock()
	select {
	case <-running:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fault
	case <-ctx.Done():
		return fmt.Errorf("the caller stopped waiting: %w", context.Cause(ctx))
	}
}

// run is one question. It ends within the time limit, whoever waits.
func (s *keySet) run(done chan struct{}, asked time.Time) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.timeout, fmt.Errorf("no answer within %s", s.timeout))
	defer cancel()
	keys, err := s.fetch(ctx)
	s.count(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault = err; err == nil {
		s.keys, s.fetched = keys, asked
	}
	s.running = nil
	close(done)
}

// age is how old the keys are; false: there are none, or they stand in a file.
func (s *keySet) age() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Sub(s.fetched), !s.fetched.IsZero()
}

// minRSA is the least length of an RSA key, in bits.
const minRSA = 2048

// maxKeys is how many keys an issuer may have.
const maxKeys = 200

// parseKeys reads a set (RFC 7517 section 5). Keys that no token may be signed by are left
// out: an issuer may have others for others. None that is left is an error.
func parseKeys(text []byte) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("is no key set (RFC 7517)")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys, over %d", len(set.Keys), maxKeys)
	}
	var keys []key
	for _, raw := range set.Keys {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("has no key that may sign tokens: RSA of %d bits at least, EC P-256 or P-384, or Ed25519", minRSA)
	}
	return keys, nil
}

// parseKey reads one public key; false: none that may sign tokens.
func parseKey(raw json.RawMessage) (key, bool) {
	var k key
	var about struct {
		Ops []string `json:"key_ops"`
	}
	if k.UnmarshalJSON(raw) != nil || json.Unmarshal(raw, &about) != nil || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return k, false
	}
	if len(about.Ops) > 0 && !strings.Contains(" "+strings.Join(about.Ops, " ")+" ", " verify ") {
		return k, false
	}
	for _, a := range algorithms {
		if fit(k.Key, a) && (k.Algorithm == "" || k.Algorithm == a) {
			k.algorithms = append(k.algorithms, a)
		}
	}
	return k, len(k.algorithms) > 0
}
