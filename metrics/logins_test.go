package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestUILogins: each result is there from the start, and counts.
func TestUILogins(t *testing.T) {
	m := New(BuildInfo{})
	m.UILogin("refused")
	(*Metrics)(nil).UILogin("ok")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`gatehouse_ui_logins_total{result="refused"} 1`, `gatehouse_ui_logins_total{result="ok"} 0`, `{result="throttled"} 0`, `{result="unavailable"} 0`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}
