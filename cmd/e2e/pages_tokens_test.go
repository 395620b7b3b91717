package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPagesTokens: a token that was made on the page is good at once for what its ceiling
// leaves, and for nothing once it was revoked there; both are in the audit stream.
func TestPagesTokens(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), Basic: true, Sections: "ui: {enabled: true}\naudit: {file: audit.log}\nstore: {file: store.db}\npersonal_tokens: {enabled: true}"})
	g.push(t, "team/app:v1", "admin", adminPassword)
	g.push(t, "other/app:v1", "admin", adminPassword)
	v := g.visit(t, "test", testPassword)
	made := v.post("/ui/me/tokens", url.Values{"name": {"ci"}, "lifetime": {"168h0m0s"}, "repositories": {"team/**"}, "pull": {"on"}})
	secrets, ids := made.all("value"), made.all("data-token")
	if made.status != http.StatusOK || len(ids) != 1 || !strings.Contains(made.body, "data-secret") {
		t.Fatalf("%d %s", made.status, made.body)
	}
	pull := func(repository string) int {
		q := v.request(http.MethodGet, "/v2/"+repository+"/manifests/v1", nil)
		q.SetBasicAuth("test", secretAmong(secrets))
		return v.do(q).status
	}
	if a, b := pull("team/app"), pull("other/app"); a != http.StatusOK || b == http.StatusOK {
		t.Errorf("below its ceiling %d, above it %d", a, b)
	}
	if p := v.post("/ui/me/tokens/revoke", url.Values{"id": ids}); p.status != http.StatusOK || len(p.all("data-token")) != 0 {
		t.Errorf("revoked: %d %s", p.status, p.body)
	}
	if status := pull("team/app"); status != http.StatusUnauthorized {
		t.Errorf("after that: %d", status)
	}
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(g.config), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(audit), `"credential_id":"`+ids[0]+`"`); n < 2 || strings.Contains(string(audit), secretAmong(secrets)) {
		t.Errorf("%d records of the token: %s", n, audit)
	}
}

// secretAmong is the longest of the values of a page's fields, which the token is.
func secretAmong(values []string) (longest string) {
	for _, value := range values {
		if len(value) > len(longest) && !strings.Contains(value, " ") {
			longest = value
		}
	}
	return longest
}
