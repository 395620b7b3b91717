//go:build cache

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestObjectStorePages: what distribution keeps in an S3 is read behind its redirect where the
// config lists that host; where it does not, pages say that the configuration is not known,
// and show all else.
func TestObjectStorePages(t *testing.T) {
	store, r := startObjectStore(t)
	_, port, err := net.SplitHostPort(store)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		hosts string
		known bool
	}{"listed": {store, true}, "another port": {"127.0.0.1:1", false}, "another name": {"localhost:" + port, false}} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, setup{Upstream: r.url(), UpstreamKeys: fmt.Sprintf("redirect_hosts: [%q]", test.hosts), Sections: "ui: {enabled: true}"})
			image := g.push(t, "team/app:v1", "admin", adminPassword)
			config, err := image.RawConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			v := g.visit(t, "admin", adminPassword)
			page := v.get("/ui/r/team/app:v1")
			if unknown := strings.Contains(page.body, "What its configuration says is not known"); unknown == test.known || len(page.all("data-layer")) == 0 {
				t.Errorf("the page: %s", page.body)
			}
			raw := v.do(v.request(http.MethodGet, "/ui/r/team/app:v1?raw=config", nil))
			if test.known && raw.body != string(config) || !test.known && raw.status != http.StatusBadGateway {
				t.Errorf("the configuration: %d %s", raw.status, raw.body)
			}
			if rows := v.get("/ui/r/team/app").all("data-size"); len(rows) != 1 || rows[0] == "-1" {
				t.Errorf("rows %q", rows)
			}
			if p := v.post("/ui/delete?ref=team/app:v1", url.Values{"what": {"image"}, "confirm": {"team/app"}}); !strings.Contains(p.body, `data-status="deleted"`) {
				t.Errorf("a deletion: %d %s", p.status, p.body)
			}
		})
	}
}
