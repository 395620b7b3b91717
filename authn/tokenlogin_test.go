package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// robots are machines, by their tokens; a name is known too, and must not be asked for.
type robots struct {
	name   string
	tokens map[[sha256.Size]byte]string
	fault  error
}

func (r *robots) Name() string { return r.name }

func (r *robots) Find(_ context.Context, name string) (Identity, error) {
	return Identity{Directory: r.name, Username: name, Machine: true}, nil
}

func (r *robots) Verify(context.Context, Identity, Secret) (Identity, error) {
	return Identity{}, ErrInvalidCredentials
}

func (r *robots) Lookup(_ context.Context, ref Ref) (Identity, error) {
	return Identity{Directory: r.name, Username: ref.Username, ID: ref.ID, PasswordStamp: ref.Stamp, Machine: true}, nil
}

func (r *robots) Owner(hash [sha256.Size]byte, _ netip.Addr) (Identity, error) {
	if name, ok := r.tokens[hash]; ok {
		return Identity{Directory: r.name, Username: name, Machine: true}, r.fault
	}
	return Identity{}, ErrUnknownToken
}

func sum(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// TestChainOfMachines: machines are found by their tokens in any directory of theirs,
// and take no name from people.
func TestChainOfMachines(t *testing.T) {
	first := &robots{name: "robots", tokens: map[[sha256.Size]byte]string{sum("a"): "one"}}
	second := &robots{name: "more", tokens: map[[sha256.Size]byte]string{sum("b"): "two", sum("a"): "shadowed"}}
	static, err := NewStatic(StaticConfig{Name: "local", Users: []StaticUser{{Username: "one", PasswordFile: SecretFile{Secret: "good"}}}})
	if err != nil {
		t.Fatal(err)
	}
	c := NewChain(ChainConfig{Directories: []Directory{first, static, second}})
	for token, want := range map[string]string{"a": "robots/one", "b": "more/two", "c": "/"} {
		id, err := c.Machine(sum(token), Attempt{})
		if got := id.Directory + "/" + id.Username; got != want || (err == nil) != (want != "/") || err != nil && !errors.Is(err, ErrUnknownToken) {
			t.Errorf("%s is %s, %v; want %s", token, got, err, want)
		}
	}
	if id, err := c.Find(t.Context(), "one"); err != nil || id.Directory != "local" {
		t.Errorf("one is %+v, %v", id, err)
	}
	if id, err := c.Authenticate(t.Context(), Attempt{Login: "one", Password: "good"}); err != nil || id.Directory != "local" {
		t.Errorf("one logs in as %+v, %v", id, err)
	}
	if id, err := c.Find(t.Context(), "two"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("two is %+v, %v", id, err)
	}
	if id, err := c.Lookup(t.Context(), Ref{Directory: "more", Username: "two", Stamp: "s"}); err != nil || id.PasswordStamp != "s" {
		t.Errorf("the lookup of a token's machine: %+v, %v", id, err)
	}
	first.fault = ErrExpiredToken
	if id, err := c.Machine(sum("a"), Attempt{}); !errors.Is(err, ErrExpiredToken) {
		t.Errorf("an ended one: %+v, %v", id, err)
	}
}

// TestTokensPerSource: so many different bad tokens of a network are refused, further
// ones have to wait, until the first is a window old.
func TestTokensPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(ThrottleConfig{TokensPerSource: 3, Window: time.Minute})
		c := NewChain(ChainConfig{Throttle: throttle})
		show := func(token, source string, err error) error {
			addr, _ := netip.ParseAddr(source)
			return c.Refused(t.Context(), Attempt{Password: Secret(token), Source: addr}, err)
		}
		for i, s := range []struct {
			token, source string
			err           error
			wait          time.Duration // before
			throttled     time.Duration // RetryAfter; 0: not
		}{
			{token: "a", source: "192.0.2.1", err: ErrUnknownToken},
			{token: "a", source: "192.0.2.2", err: ErrUnknownToken}, // a stuck job
			{token: "b", source: "192.0.2.3", err: ErrMalformedToken, wait: 10 * time.Second},
			{token: "down", source: "192.0.2.3", err: ErrUnavailable},
			{token: "good", source: "192.0.2.3"},
			{token: "c", source: "::ffff:192.0.2.9", err: ErrExpiredToken},
			{token: "d", source: "192.0.2.1", err: ErrUnknownToken, throttled: 50 * time.Second},
			{token: "a", source: "192.0.2.1", err: ErrUnknownToken, throttled: 50 * time.Second},
			{token: "good", source: "192.0.2.1"},
			{token: "d", source: "192.0.3.1", err: ErrUnknownToken}, // the neighbour
			{token: "d", source: "", err: ErrUnknownToken},          // nobody's
			{token: "d", source: "192.0.2.1", err: ErrUnknownToken, wait: 49 * time.Second, throttled: time.Second},
			{token: "d", source: "192.0.2.1", err: ErrUnknownToken, wait: time.Second},
			{token: "e", source: "192.0.2.1", err: ErrUnknownToken, throttled: 10 * time.Second},
		} {
			time.Sleep(s.wait)
			got := show(s.token, s.source, s.err)
			held := new(ThrottledError)
			switch {
			case s.throttled == 0 && got != s.err:
				t.Errorf("%d: %v, want %v", i, got, s.err)
			case s.throttled > 0 && (!errors.As(got, &held) || held.RetryAfter != s.throttled || held.Limit != "tokens_per_source" || held.Message() != "too many failed logins"):
				t.Errorf("%d: %v, want to wait %s", i, got, s.throttled)
			}
		}
		throttle.Configure(ThrottleConfig{Window: time.Minute})
		for i := range 100 {
			if err := show(fmt.Sprint("x", i), "192.0.2.1", ErrUnknownToken); err != ErrUnknownToken {
				t.Fatalf("switched off: %v", err)
			}
		}
		if err := NewChain(ChainConfig{}).Refused(t.Context(), Attempt{}, ErrUnknownToken); err != ErrUnknownToken {
			t.Errorf("without a throttle: %v", err)
		}
	})
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32",
		"fe80::1%eth0": "fe80::1/128", "10.1.0.0/8": "10.0.0.0/8 !", "office": "", "": "", "10.0.0.0/33": "", "10.0.0": "",
	} {
		network, err := ParseNetwork(text)
		got := network.String()
		if errors.Is(err, ErrHostBits) {
			got += " !"
		} else if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
	}
}
