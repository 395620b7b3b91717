package listener

import (
	"errors"
	"testing"

	"gatehouse/authn"
)

// TestHealthPathIsChecked: row H11. It is a path that no endpoint of ours has.
func TestHealthPathIsChecked(t *testing.T) {
	for path, good := range map[string]bool{"": true, "/healthz": true, "/": true, "/a/b-c_d.e": true, "/authz": true, "/v2x": true,
		"healthz": false, "/healthz/": false, "//x": false, "/a/../b": false, "/a b": false, "/a%20b": false, "/a?b": false, "/a#b": false, "/a;b": false, "/ä": false, "/a\nb": false,
		"/v2": false, "/v2/": false, "/v2/health": false, "/auth": false, "/auth/x": false, "/ui": false, "/ui/": false, "/ui/x": false} {
		err := (&Config{HealthPath: path, Address: "127.0.0.1:1"}).Check()
		key := new(authn.KeyError)
		if (err == nil) != good || err != nil && (!errors.As(err, &key) || key.Key != "health_path" || key.Warning) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
