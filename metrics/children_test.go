package metrics

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestChildren: what many count at once through bound children is what a scrape shows.
func TestChildren(t *testing.T) {
	m := New(BuildInfo{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 300 {
				m.RequestStarted()
				m.RequestDone("id-1", []string{"blob", "manifest"}[i%2], []string{"GET", "ODD", "PUT"}[i%3], 200+i%5, time.Millisecond)
				m.TokenValidation("valid")
				m.Decision("pull", "allowed")
				m.CacheRequest("token", "hit")
				m.UpstreamRequest("a", 200+i%2, time.Millisecond)
			}
		})
	}
	all.Wait()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`gatehouse_http_requests_total{code="200",method="GET",route="blob"} 80`, `gatehouse_http_requests_total{code="204",method="other",route="manifest"} 80`,
		`gatehouse_http_request_duration_seconds_count{route="manifest"} 1200`, `gatehouse_http_requests_in_flight 0`,
		`gatehouse_token_validations_total{result="valid"} 2400`, `gatehouse_decisions_total{action="pull",result="allowed"} 2400`,
		`gatehouse_cache_requests_total{cache="token",result="hit"} 2400`, `gatehouse_upstream_requests_total{code="201",upstream="a"} 1200`,
		`gatehouse_upstream_requests_total{code="0",upstream="a"} 0`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	for name, count := range map[string]func(){"RequestDone": func() { m.RequestDone("id-1", "blob", "GET", 200, time.Millisecond) }, "Decision": func() { m.Decision("pull", "allowed") },
		"UpstreamRequest": func() { m.UpstreamRequest("a", 200, time.Millisecond) }} {
		if n := testing.AllocsPerRun(100, count); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
