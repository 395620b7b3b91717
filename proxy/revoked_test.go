package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/tokens"
)

// revokingHouse takes passwords under /v2/ and has the entry on its list. old is a
// token of root's that is two minutes old.
func revokingHouse(t *testing.T, entry tokens.Revocation) (h *house, old string) {
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	ring := func(revoked []tokens.Revocation, age time.Duration) *tokens.Keyring {
		k, err := tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, KeyFiles: []authn.SecretFile{key},
			Revoked: revoked, Now: func() time.Time { return time.Now().Add(-age) }})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	h = newHouse(t, func(cfg *Config) {
		before := tokens.NewGranter(tokens.GranterConfig{Keyring: ring(nil, 2*time.Minute), Chain: cfg.Chain, Policy: cfg.Policy})
		reply, err := before.Grant(t.Context(), tokens.GrantRequest{Attempt: &authn.Attempt{Login: "root", Password: "root-secret"}})
		if err != nil {
			t.Fatal(err)
		}
		old, cfg.Listen.Basic, cfg.Keyring = reply.Token, true, ring([]tokens.Revocation{entry}, 0)
		cfg.Granter = tokens.NewGranter(tokens.GranterConfig{Keyring: cfg.Keyring, Chain: cfg.Chain, Policy: cfg.Policy})
	})
	return h, old
}

// TestRevokedPerson (row A17): who is on tokens.revoked without a moment gets in by
// no way, and is told what a wrong password is told; with a moment their tokens end
// and a new login is good.
func TestRevokedPerson(t *testing.T) {
	for _, c := range []struct {
		entry      tokens.Revocation
		login, old int
	}{
		{tokens.Revocation{User: "bob"}, http.StatusOK, http.StatusOK},
		{tokens.Revocation{User: "local/ Root"}, http.StatusUnauthorized, http.StatusUnauthorized},
		{tokens.Revocation{User: "root", Before: time.Now().Add(-time.Minute)}, http.StatusOK, http.StatusUnauthorized},
	} {
		h, old := revokingHouse(t, c.entry)
		for _, way := range []struct {
			name    string
			request *http.Request
			want    int
			says    string // of a 401
		}{
			{"realm", h.basic("/auth", "root", "root-secret"), c.login, "Basic realm="},
			{"realm's form", h.form("grant_type", "password", "username", "root", "password", "root-secret", "client_id", "x"), c.login, "Basic realm="},
			{"Basic", h.basic("/v2/", "root", "root-secret"), c.login, "Bearer realm="},
			{"Basic on content", h.basic("/v2/team/app/tags/list", "root", "root-secret"), c.login, "Bearer realm="},
			{"Bearer", h.request("GET", "/v2/", old, nil), c.old, `,error="invalid_token"`},
			{"another person's Basic", h.basic("/v2/", "alice", "alice-secret"), http.StatusOK, ""},
		} {
			resp, body := h.do(way.request)
			challenge := resp.Header.Get("WWW-Authenticate")
			if resp.StatusCode != way.want || !strings.Contains(challenge, way.says) && resp.StatusCode != http.StatusOK {
				t.Errorf("%+v, %s: %d %q %s", c.entry, way.name, resp.StatusCode, challenge, body)
			}
			if way.name != "Bearer" && (strings.Contains(challenge, "error=") || strings.Contains(body, "revoked")) {
				t.Errorf("%+v, %s: tells that the password is right: %q %s", c.entry, way.name, challenge, body)
			}
		}
		if c.login == http.StatusOK {
			h.expect(h.request("GET", "/v2/", h.reply(h.basic("/auth", "root", "root-secret")).Token, nil), http.StatusOK, "")
		}
	}
}
