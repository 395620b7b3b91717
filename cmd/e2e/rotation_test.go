package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// answering is a registry that has nothing.
func answering(t *testing.T) string {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	}))
	t.Cleanup(upstream.Close)
	return upstream.URL
}

// TestServicePasswordRotates (D15): the service account's password is changed in the
// directory and in its file, and the directory restarts: logins go on, and nobody
// has to reload the gateway.
func TestServicePasswordRotates(t *testing.T) {
	ldap := startDirectory(t)
	g := startGateway(t, setup{Upstream: answering(t), LDAP: ldap})
	loggedIn := func() bool { return g.realm("mozart", musicians).status == http.StatusOK }
	if !loggedIn() {
		t.Fatal("mozart cannot log in")
	}
	changePassword(t, ldap, bindDN, bindPassword, newPassword)
	write(t, filepath.Join(filepath.Dir(g.config), "bind_password"), newPassword+"\n")
	ldap.Stop()
	ldap.Start()
	if err := g.Await(30*time.Second, loggedIn); err != nil {
		t.Error(err)
	}
	if log := g.Log(); !strings.Contains(log, "read again from bind_password_file") {
		t.Error("the log does not say that the password was read again")
	}
}

// TestServicePasswordIsRefused (D15): where directory and file disagree, the log and
// `check --online` both say why, and it ends with the file's next change.
func TestServicePasswordIsRefused(t *testing.T) {
	ldap := startDirectory(t)
	g := startGateway(t, setup{Upstream: answering(t), LDAP: ldap})
	changePassword(t, ldap, bindDN, bindPassword, thirdPassword)
	ldap.Stop()
	ldap.Start()
	if err := g.Await(30*time.Second, func() bool {
		g.realm("mozart", musicians)
		return strings.Contains(g.Log(), "bind_password_file still holds the refused password")
	}); err != nil {
		t.Error(err)
	}
	out, err := authntest.Run(exec.Command(binary, "check", "-c", g.config, "--online"))
	if err == nil || !strings.Contains(out+err.Error(), "check bind_dn and bind_password_file") {
		t.Errorf("check --online: %v\n%s", err, out)
	}
}

// TestSprayingOverHTTP2 (A3): one password at many names, on many streams of a few
// connections, is checked for no more of them than the limit.
func TestSprayingOverHTTP2(t *testing.T) {
	pair := newKeyPair(t)
	g := startGateway(t, setup{Upstream: answering(t), TLS: pair, Sections: "throttle: {users_per_source: 5}"})
	var refused, throttled, other atomic.Int64
	var all sync.WaitGroup
	for conn := range 4 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pair.roots}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		for i := range 50 {
			all.Go(func() {
				request, _ := http.NewRequest("GET", "https://"+g.address+"/auth", nil)
				request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "name%d-%d:%s", conn, i, wrongPassword)))
				res, err := client.Do(request)
				if err != nil {
					other.Add(1)
					return
				}
				res.Body.Close()
				switch {
				case res.ProtoMajor != 2:
					other.Add(1)
				case res.StatusCode == http.StatusUnauthorized:
					refused.Add(1)
				case res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") != "":
					throttled.Add(1)
				default:
					other.Add(1)
				}
			})
		}
	}
	all.Wait()
	if refused.Load() != 5 || throttled.Load() != 195 {
		t.Errorf("%d of 200 were checked, want 5; %d throttled, %d something else", refused.Load(), throttled.Load(), other.Load())
	}
}
