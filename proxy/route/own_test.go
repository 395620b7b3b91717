package route

import (
	"net/http"
	"strings"
	"testing"
)

// TestOwnRoutes: what stands under /auth/ beside the realm, with its methods; an id of a
// token is 1 to 64 letters and digits.
func TestOwnRoutes(t *testing.T) {
	long := strings.Repeat("aZ09", 16)
	for _, c := range []struct {
		target  string
		kind    Kind
		id      string
		methods string
	}{
		{"/auth/revoke", Revoke, "", "POST"},
		{"/auth/audience", Audience, "", "GET HEAD"},
		{"/auth/tokens", OwnTokens, "", "GET POST"},
		{"/auth/tokens/a", OwnToken, "a", "DELETE"},
		{"/auth/tokens/" + long, OwnToken, long, "DELETE"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			r, err := Parse(method, c.target)
			if allowed := strings.Contains(c.methods, method); (err == nil) != allowed || allowed && (r.Kind != c.kind || r.Reference != c.id || !r.Kind.Auth()) {
				t.Errorf("%s %s: %+v, %v", method, c.target, r, err)
			}
		}
	}
	for _, target := range []string{"/auth/tokens/" + long + "a", "/auth/tokens/a-b", "/auth/tokens/a/b", "/auth/tokens/a.", "/auth/token/a", "/auth/other"} {
		if r, err := Parse(http.MethodDelete, target); err == nil || r.Kind == OwnToken {
			t.Errorf("%s: %+v, %v", target, r, err)
		}
	}
}

// TestClean: a target without its fragment, which none may have.
func TestClean(t *testing.T) {
	if got, err := Clean("/v2/a"); got != "/v2/a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, target := range []string{"/v2/a#b", "/v2/%zz", "/v2/a/../b#"} {
		if got, err := Clean(target); got != "" || err == nil {
			t.Errorf("%s: %q, %v", target, got, err)
		}
	}
}
