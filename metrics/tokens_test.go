package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestTokens: each scrape asks how many tokens there are by now.
func TestTokens(t *testing.T) {
	m, n := New(BuildInfo{}), TokenCount{Kind: "machine", Active: 3}
	m.WatchTokens(func() []TokenCount { return []TokenCount{n} })
	m.Credential("machine", "ok")
	for _, want := range [][]string{
		{`gatehouse_tokens{kind="machine",state="active"} 3`, `gatehouse_tokens{kind="machine",state="expiring"} 0`, `gatehouse_tokens{kind="machine",state="expired"} 0`},
		{`gatehouse_tokens{kind="machine",state="active"} 1`, `gatehouse_tokens{kind="machine",state="expiring"} 1`, `gatehouse_tokens{kind="machine",state="expired"} 1`},
		{`gatehouse_credentials_total{kind="machine",result="ok"} 1`},
	} {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for _, line := range want {
			if !strings.Contains(w.Body.String(), line+"\n") {
				t.Errorf("no %s in:\n%s", line, w.Body)
			}
		}
		n = TokenCount{Kind: "machine", Active: 1, Expiring: 1, Expired: 1}
	}
	var none *Metrics
	none.WatchTokens(nil)
	none.Credential("machine", "ok")
}

// TestKeys: questions for keys, and how old these are.
func TestKeys(t *testing.T) {
	m := New(BuildInfo{})
	m.WatchKeys(func() map[string]time.Duration { return map[string]time.Duration{"github": 90 * time.Second} })
	m.OIDCKeyFetch("github", true)
	m.OIDCKeyFetch("github", false)
	m.OIDCKeyFetch("github", false)
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`gatehouse_oidc_keys_age_seconds{directory="github"} 90`, `gatehouse_oidc_key_fetches_total{directory="github",result="failed"} 2`,
		`gatehouse_oidc_key_fetches_total{directory="github",result="ok"} 1`} {
		if !strings.Contains(recorder.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	var none *Metrics
	none.OIDCKeyFetch("github", true)
	none.WatchKeys(nil)
}
