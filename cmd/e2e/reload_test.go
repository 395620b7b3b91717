package e2e

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload: HUP takes a whole new config at once, a faulty one changes nothing,
// and a token of before the reload is judged by the policy of after it.
func TestReload(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	token := g.token(t, "test", testPassword, pullBusybox)
	g.get(tagsPath, token).want(t, "pull before", http.StatusOK)
	config, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		write(t, g.config, text)
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	denied := strings.Replace(string(config), "policy:\n", "policy:\n  - {deny: [pull], repositories: [\"**\"], to: [\"user:test\"]}\n", 1)
	reload(denied)
	eventually(t, 5*time.Second, "the new policy rules", func() bool { return g.get(tagsPath, token).status == http.StatusForbidden })
	reload(strings.Replace(string(config), "policy:", "polcy:", 1))
	eventually(t, 5*time.Second, "the log names the fault", func() bool { return strings.Contains(g.log.String(), "polcy") })
	g.get(tagsPath, token).refusal(t, http.StatusForbidden, "DENIED")
	reload(string(config))
	eventually(t, 5*time.Second, "the old policy rules again", func() bool { return g.get(tagsPath, token).status == http.StatusOK })
}
