package metrics

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func openMetrics(m *Metrics) string {
	rec, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	m.Handler().ServeHTTP(rec, r)
	return rec.Body.String()
}

// TestExemplars: each bucket names the last request that fell into it, where OpenMetrics
// is asked for and nowhere else.
func TestExemplars(t *testing.T) {
	m := New(BuildInfo{})
	for i, took := range []time.Duration{time.Millisecond, 2 * time.Millisecond, 2 * time.Millisecond, 2 * time.Hour} {
		m.RequestDone(fmt.Sprintf("request-%d", i), "blob", "GET", 200, took)
	}
	m.RequestDone("other-1", "base", "GET", 401, time.Millisecond)
	got := openMetrics(m)
	for _, want := range []string{
		`gatehouse_http_request_duration_seconds_bucket{route="blob",le="0.001"} 1 # {request_id="request-0"} 0.001 `,
		`gatehouse_http_request_duration_seconds_bucket{route="blob",le="0.0025"} 3 # {request_id="request-2"} 0.002 `,
		`gatehouse_http_request_duration_seconds_bucket{route="blob",le="0.005"} 3` + "\n",
		`gatehouse_http_request_duration_seconds_bucket{route="blob",le="+Inf"} 4 # {request_id="request-3"} 7200.0 `,
		`gatehouse_http_request_duration_seconds_bucket{route="base",le="0.001"} 1 # {request_id="other-1"} 0.001 `,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line with %s in\n%s", want, regexp.MustCompile(`(?m)^gatehouse_http_request_d.*`).FindAllString(got, -1))
		}
	}
	if strings.Contains(exposition(m), "request_id") {
		t.Error("the plain format has an id")
	}
	if !strings.HasSuffix(got, "# EOF\n") {
		t.Error("the answer has no end")
	}
}

// TestExemplarsOddIDs: without an id, or with one that no exemplar can hold, the durations
// are shown all the same.
func TestExemplarsOddIDs(t *testing.T) {
	for _, id := range []string{"", strings.Repeat("x", 200), "\xff"} {
		m := New(BuildInfo{})
		m.RequestDone(id, "blob", "GET", 200, time.Millisecond)
		if want := `gatehouse_http_request_duration_seconds_count{route="blob"} 1` + "\n"; !strings.Contains(openMetrics(m), want) {
			t.Errorf("with the id %q there is no line %s", id, want)
		}
	}
}

// TestExemplarsAtOnce: scrapes while many count are whole.
func TestExemplarsAtOnce(t *testing.T) {
	m := New(BuildInfo{})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 500 {
				m.RequestDone("id-1", []string{"blob", "base"}[i%2], "GET", 200, time.Duration(n)*time.Millisecond)
			}
		})
	}
	for range 20 {
		if got := openMetrics(m); !strings.HasSuffix(got, "# EOF\n") {
			t.Error("a scrape is cut")
		}
	}
	all.Wait()
}

func BenchmarkRequestDone(b *testing.B) {
	m := New(BuildInfo{})
	for b.Loop() {
		m.RequestDone("id-1", "blob", "GET", 200, time.Millisecond)
	}
	b.ReportAllocs()
}
