package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestExposition walks every method once and reads back each name of the
// contract with the label values that were given.
func TestExposition(t *testing.T) {
	m := New(BuildInfo{Version: "1", Commit: "abc", GoVersion: "go1"})
	m.RequestStarted()
	m.RequestDone("id-1", "blob", "GET", 200, time.Second)
	m.RequestStarted()
	m.RequestDone("id-1", "other", "BREW", 405, time.Second)
	m.TokenRequest("basic", "granted")
	m.TokenValidation("valid")
	m.Decision("pull", "allowed")
	m.DirectoryRequest("example", "lookup", "ok", time.Millisecond)
	m.CacheRequest("identity", "hit")
	m.UpstreamRequest("team-a", 200, time.Millisecond)
	m.UpstreamsHealthy(func(show func(upstream, address string, healthy bool)) {
		show("team-a", "http://10.0.0.5:5000", true)
		show("team-a", "http://10.0.0.6:5000", false)
	})
	m.ConfigReload("ok")
	m.WatchCertificates(func() map[string]time.Time { return map[string]time.Time{"a.example": time.Unix(1700000000, 0)} })
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`gatehouse_http_requests_total{code="200",method="GET",route="blob"} 1`,
		`gatehouse_http_requests_total{code="405",method="other",route="other"} 1`,
		`gatehouse_http_request_duration_seconds_count{route="blob"} 1`,
		`gatehouse_http_requests_in_flight 0`,
		`gatehouse_token_requests_total{grant="basic",result="granted"} 1`,
		`gatehouse_token_validations_total{result="valid"} 1`,
		`gatehouse_decisions_total{action="pull",result="allowed"} 1`,
		`gatehouse_directory_requests_total{directory="example",operation="lookup",result="ok"} 1`,
		`gatehouse_directory_request_duration_seconds_count{directory="example",operation="lookup"} 1`,
		`gatehouse_cache_requests_total{cache="identity",result="hit"} 1`,
		`gatehouse_upstream_healthy{address="http://10.0.0.5:5000",upstream="team-a"} 1`,
		`gatehouse_upstream_healthy{address="http://10.0.0.6:5000",upstream="team-a"} 0`,
		`gatehouse_upstream_requests_total{code="200",upstream="team-a"} 1`,
		`gatehouse_upstream_request_duration_seconds_count{upstream="team-a"} 1`,
		`gatehouse_config_reloads_total{result="ok"} 1`,
		`gatehouse_tls_certificate_not_after_seconds{name="a.example"} 1.7e+09`,
		`gatehouse_build_info{commit="abc",goversion="go1",version="1"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("exposition lacks %q", want)
		}
	}
}

// TestNil shows that a package without metrics may count all the same.
func TestNil(t *testing.T) {
	var m *Metrics
	m.RequestStarted()
	m.RequestDone("id-1", "blob", "GET", 200, 0)
	m.TokenRequest("basic", "granted")
	m.TokenValidation("valid")
	m.Decision("pull", "allowed")
	m.DirectoryRequest("d", "lookup", "ok", 0)
	m.CacheRequest("identity", "hit")
	m.UpstreamRequest("team-a", 200, 0)
	m.UpstreamsHealthy(nil)
	m.ConfigReload("ok")
	m.WatchCertificates(nil)
	if m != nil {
		t.Fatal("a nil *Metrics changed")
	}
}
