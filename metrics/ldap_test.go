package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func exposition(m *Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// TestLDAPExposition reads back the state of a directory and each counter.
func TestLDAPExposition(t *testing.T) {
	m := New(BuildInfo{})
	server := LDAPServer{URL: "ldap://a", Up: true, Active: true, Searches: 2, Binds: 3, InFlight: 4}
	stop := m.WatchLDAPServers("example", func() []LDAPServer { return []LDAPServer{server, server, {URL: "ldap://b"}} })
	m.WatchLDAPCache("example", func() LDAPCache {
		return LDAPCache{Entries: map[string]int{"identity": 7}, OldestStale: time.Minute}
	})
	for _, zero := range []string{`gatehouse_ldap_canary_failures_total{directory="example"} 0`, `gatehouse_directory_requests_total{directory="example",operation="login",result="fault"} 0`} {
		if !strings.Contains(exposition(m), zero) {
			t.Errorf("before the first event the exposition lacks %q", zero)
		}
	}
	for event := range ldapEvents {
		m.LDAPEvent("example", event)
	}
	m.LDAPDial("example", "ok")
	m.LDAPBind("example", "must_change")
	m.LDAPOperation("example", "ldap://a", "search", "ok", time.Millisecond)
	got := exposition(m)
	for _, want := range []string{
		`gatehouse_ldap_up{directory="example",server="ldap://a"} 1`,
		`gatehouse_ldap_up{directory="example",server="ldap://b"} 0`,
		`gatehouse_ldap_active{directory="example",server="ldap://a"} 1`,
		`gatehouse_ldap_connections{directory="example",kind="search",server="ldap://a"} 2`,
		`gatehouse_ldap_connections{directory="example",kind="bind",server="ldap://a"} 3`,
		`gatehouse_ldap_in_flight{directory="example",server="ldap://a"} 4`,
		`gatehouse_ldap_cache_entries{cache="identity",directory="example"} 7`,
		`gatehouse_ldap_cache_oldest_stale_seconds{directory="example"} 60`,
		`gatehouse_ldap_dials_total{directory="example",result="ok"} 1`,
		`gatehouse_ldap_binds_total{directory="example",result="must_change"} 1`,
		`gatehouse_ldap_operation_duration_seconds_count{directory="example",operation="search",result="ok",server="ldap://a"} 1`,
		`gatehouse_ldap_retries_total{directory="example"} 1`,
		`gatehouse_ldap_failovers_total{directory="example"} 1`,
		`gatehouse_ldap_ambiguous_total{directory="example"} 1`,
		`gatehouse_ldap_absent_after_positive_total{directory="example"} 1`,
		`gatehouse_ldap_mass_absence_total{directory="example"} 1`,
		`gatehouse_ldap_canary_failures_total{directory="example"} 1`,
		`gatehouse_ldap_service_bind_failures_total{directory="example"} 1`,
		`gatehouse_ldap_singleflight_shared_total{directory="example"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("exposition lacks %q", want)
		}
	}
	stop()
	if strings.Contains(exposition(m), "gatehouse_ldap_up{") {
		t.Error("a directory that was closed is shown")
	}
}

// TestLDAPReload: while an old directory and its successor of the same name are
// there, the scrape works and shows the younger; without the successor the old.
func TestLDAPReload(t *testing.T) {
	m := New(BuildInfo{})
	watch := func(url string) func() {
		return m.WatchLDAPServers("example", func() []LDAPServer { return []LDAPServer{{URL: url}} })
	}
	defer watch("ldap://old")()
	stop := watch("ldap://new")
	if got := exposition(m); strings.Contains(got, "ldap://old") || !strings.Contains(got, "ldap://new") {
		t.Error("not the younger directory alone is shown")
	}
	if !strings.Contains(exposition(m), `gatehouse_ldap_canary_failures_total{directory="example"} 0`) {
		t.Error("a counter does not begin at 0")
	}
	stop()
	if !strings.Contains(exposition(m), "ldap://old") {
		t.Error("the directory that stayed is not shown")
	}
}

// TestLDAPNil: nothing is counted without metrics, and nothing breaks.
func TestLDAPNil(t *testing.T) {
	var m *Metrics
	m.WatchLDAPServers("d", nil)()
	m.WatchLDAPCache("d", nil)()
	m.LDAPEvent("d", LDAPRetry)
	m.LDAPDial("d", "ok")
	m.LDAPBind("d", "ok")
	m.LDAPOperation("d", "s", "search", "ok", 0)
	if m != nil {
		t.Fatal("a nil *Metrics changed")
	}
}
