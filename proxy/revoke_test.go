package proxy

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/authn/apitoken"
)

// TestRevokeForm (RFC 7009 section 2): what is no form with one token is told, whatever
// else is 200 with nothing in it, and too many bad ones from a network are 429.
func TestRevokeForm(t *testing.T) {
	y := newYard(t)
	y.must(y.request("GET", "/auth/revoke", "", nil), http.StatusMethodNotAllowed, "UNSUPPORTED")
	at := func(r *http.Request) *http.Request {
		r.URL.Path = "/auth/revoke"
		return r
	}
	for _, nothing := range [][]string{{"token", ""}, {"token_type_hint", "x"}, nil} {
		if body := y.must(at(y.form(nothing...)), http.StatusOK, ""); body != "" || !strings.Contains(y.log.String(), "nothing to end") {
			t.Errorf("%v: %q %s", nothing, body, y.log.String())
		}
		y.log.Reset()
	}
	y.must(at(y.form("token", "x", "token", "y")), http.StatusBadRequest, "UNSUPPORTED")
	json := at(y.form("token", "x"))
	json.Header.Set("Content-Type", "application/json")
	y.must(json, http.StatusUnsupportedMediaType, "UNSUPPORTED")
	y.must(at(y.form("token", strings.Repeat("x", 200<<10))), http.StatusRequestEntityTooLarge, "SIZE_INVALID")
	for _, shown := range []string{"carol-secret", string(apitoken.Machine.New()), string(apitoken.Personal.New())[:30], "a.b.c"} {
		resp, body := y.ask(at(y.form("token", shown)))
		if resp.StatusCode != 200 || body != "" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
		if strings.Contains(y.audit.String(), `"msg":"credential"`) || strings.Contains(y.log.String(), shown[2:]) && len(shown) > 10 {
			t.Errorf("an event of what was not ended, or a secret: %s %s", y.audit.String(), y.log.String())
		}
	}
	for range 9 {
		y.ask(at(y.form("token", string(apitoken.Machine.New()))))
	}
	resp, body := y.ask(at(y.form("token", string(apitoken.Machine.New()))))
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	y.must(at(y.form("token", string(y.token))), http.StatusOK, "")
}
