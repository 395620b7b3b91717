package ui

import (
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
)

// TestDirectoriesPage: each server up or down, since when, with its last fault and how long
// it takes; the cache and the canary.
func TestDirectoriesPage(t *testing.T) {
	s := newSite(t, nil)
	s.login("root")
	want(t, "none", s.get("/ui/admin/directories"), 200, "", `data-page="admin-directories"`, "no directories")
	list := []Directory{
		{Name: "corp", Kind: "ldap", Servers: []authn.ServerState{
			{URL: "ldaps://a.example.com:636", Up: true, Active: true, Since: s.now.Add(-50 * time.Hour), Recent: metrics.Latency{Count: 1234, P50: 4300 * time.Microsecond, P99: 75 * time.Millisecond}},
			{URL: "ldaps://<b>.example.com", Since: s.now.Add(-3 * time.Minute), Fault: "no answer in time", FaultAt: s.now.Add(-2 * time.Minute)}},
			Cache: authn.CacheState{Entries: map[string]int{"identity": 1, "negative": 2, "password": 3, "wrong_password": 4000}}},
		{Name: "local", Kind: "static"}, {Name: "robots", Kind: "machines"}, {Name: "nodes", Kind: "certificates"},
		{Name: "github", Kind: "oidc", KeysAge: -1}, {Name: "cluster", Kind: "oidc", KeysAge: 90 * time.Second}}
	s.ui.o.Inside = func() Inside { return Inside{Directories: list} }
	want(t, "all", s.get("/ui/admin/directories"), 200, "", `data-directory="corp" data-kind="ldap"`, `data-directory="local" data-kind="static"`,
		`<tr data-server="ldaps://a.example.com:636" data-state="up">`, "in use</span>", "2 days ago", `data-p50="4.3ms">4.3 ms<`, `data-p99="75ms">75 ms<`, ">1,234<",
		`data-state="down"`, "ldaps://&lt;b&gt;.example.com", "no answer in time<br>", "2 minutes ago", "3 minutes ago", "!<b>",
		"1 person<", "2 unknown names", "3 good passwords", "4,000 wrong ones", `data-canary="unasked"`, "no canary_user is named", "!stale",
		"People of the config", "Machines of the config", "Machines by their certificates", "were not read yet", "were read 90.0 s ago")
	want(t, "the overview", s.get("/ui/admin/"), 200, "", `<span class="badge soon">1 of 2 servers down</span>`)
	list[0].Servers[1].Up = true
	list[0].CanaryUser, list[0].Cache.OldestStale, list[0].Cache.Canary = true, 40*time.Second, authn.CanaryState{Asked: s.now.Add(-time.Hour)}
	want(t, "a hidden canary", s.get("/ui/admin/directories"), 200, "", `data-canary="hidden"`, "not shown</span>", "users.base and canary_user", "1 hour ago", "stale</span> people are served")
	list[0].Cache.Canary.Shown = true
	want(t, "a canary", s.get("/ui/admin/directories"), 200, "", `data-canary="shown"`)
	want(t, "the overview of all that is up", s.get("/ui/admin/"), 200, "", `<span class="badge">2 servers up</span>`)
}
