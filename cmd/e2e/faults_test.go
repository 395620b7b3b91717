//go:build ldapservers

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// The load: requests with live tokens, and logins, each at its own rate whatever
// becomes of the ones before.
const (
	phaseLength   = 10 * time.Second
	wellLength    = 15 * time.Second // of a phase in which slapd comes back
	recovery      = 10 * time.Second // within which logins work again
	tokenInterval = 5 * time.Millisecond
	loginInterval = 50 * time.Millisecond
	wrongInterval = 500 * time.Millisecond // each refusal costs a hash, on purpose
	faultPeople   = 20
)

// hideAll hides everything, hidePeople all people but not the base that they
// stand below: searches then succeed and find nobody. Binds work with both, as a
// server that refuses good passwords cannot be told from one that refuses wrong ones.
const (
	hideAll = `access to attrs=userPassword by anonymous auth by * none
access to * by * none`
	hidePeople = `access to attrs=userPassword by anonymous auth by * none
access to dn.children="ou=musicians,dc=example,dc=com" by * none
access to * by users read by * none`
)

// phase is what happens to slapd while the load runs.
type phase struct {
	name string
	do   func()
	// well: the directory is well, and after recovery every good login is granted.
	well bool
}

func (p phase) length() time.Duration {
	if p.well {
		return wellLength
	}
	return phaseLength
}

// TestFaultsUnderLoad: whatever happens to slapd, within stale_for no live token
// is refused and no login is granted or refused wrongly; afterwards nothing is left.
func TestFaultsUnderLoad(t *testing.T) {
	ldap := startDirectory(t)
	for i := range faultPeople {
		ldap.AddUser(faultPerson(i), nil)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"name":"anyuser/busybox","tags":[]}`)
	}))
	t.Cleanup(upstream.Close)
	g := startGateway(t, setup{
		Upstream: upstream.URL, LDAP: ldap, FreshFor: "2s", StaleFor: "10m", Timeout: "2s", Keys: "canary_user: mozart",
		// Every login asks slapd, so that each is judged by what happens to it.
		Cache:  ", password_for: 0s, wrong_password_for: 0s, negative_for: 0s",
		Policy: "throttle: {failures: 0, users_per_source: 0}",
	})
	l := newFaultLoad(t, g)
	before := g.figures(t)
	for _, p := range []phase{
		{"well", func() {}, true},
		{"killed", ldap.Stop, false},
		{"restarted", ldap.Start, true},
		{"stopped (SIGSTOP)", ldap.Pause, false},
		{"continued", ldap.Resume, true},
		{"flapping", func() { flap(ldap) }, false},
		{"well again", func() {}, true},
		{"an ACL hides all", func() { ldap.SetACL(hideAll) }, false},
		{"shown", func() { ldap.SetACL(acl) }, true},
		{"an ACL hides people", func() { ldap.SetACL(hidePeople) }, false},
		{"shown again", func() { ldap.SetACL(acl) }, true},
	} {
		l.run(t, p)
	}
	t.Logf("figures:\n%s", strings.Join(l.table, "\n"))
	g.client.CloseIdleConnections()
	// Bind connections are let go after a minute; search connections, at most four
	// a server, are kept.
	after := figures{}
	eventually(t, 90*time.Second, "nothing is left", func() bool {
		after = g.figures(t)
		return after.descriptors <= before.descriptors+3 && after.goroutines <= before.goroutines+3*3
	})
	t.Logf("before %s, after %s", before, after)
}

func faultPerson(i int) string { return fmt.Sprintf("player%02d", i) }

// flap stops and starts slapd, half a second each, until the phase is over.
func flap(ldap *authntest.Slapd) {
	for end := time.Now().Add(phaseLength - 1500*time.Millisecond); time.Now().Before(end); {
		ldap.Stop()
		time.Sleep(500 * time.Millisecond)
		ldap.Start()
		time.Sleep(500 * time.Millisecond)
	}
}

// faultLoad is the clients.
type faultLoad struct {
	g      *gateway
	tokens []string
	table  []string

	mu    sync.Mutex
	kinds map[string]*tally // of the phase that runs
}

// tally is what became of one kind of request in one phase.
type tally struct {
	statuses map[int]int
	times    []time.Duration
	late     map[int]int // statuses after recovery
}

func newFaultLoad(t *testing.T, g *gateway) *faultLoad {
	l := &faultLoad{g: g, table: []string{fmt.Sprintf("%-20s %-13s %6s %8s %8s  %s", "slapd", "", "asked", "p50", "p99", "statuses")}}
	for i := range faultPeople {
		l.tokens = append(l.tokens, g.token(t, faultPerson(i), musicians, pullBusybox))
		g.get(tagsPath, l.tokens[i]).want(t, "a pull before the load", http.StatusOK)
	}
	return l
}

// run loads the gateway while p happens, and judges every answer.
func (l *faultLoad) run(t *testing.T, p phase) {
	l.kinds = map[string]*tally{}
	for _, kind := range []string{"live tokens", "good logins", "wrong logins"} {
		l.kinds[kind] = &tally{statuses: map[int]int{}, late: map[int]int{}}
	}
	start := time.Now()
	var happening, asking sync.WaitGroup
	happening.Go(p.do)
	for n := 0; time.Since(start) < p.length(); n++ {
		who := n % faultPeople
		asking.Go(func() { l.ask("live tokens", start, func() answer { return l.g.get(tagsPath, l.tokens[who]) }) })
		if n%int(loginInterval/tokenInterval) == 0 {
			asking.Go(func() {
				l.ask("good logins", start, func() answer { return l.g.realm(faultPerson(who), musicians, pullBusybox) })
			})
		}
		if n%int(wrongInterval/tokenInterval) == 1 {
			asking.Go(func() {
				l.ask("wrong logins", start, func() answer { return l.g.realm(faultPerson(who), wrongPassword, pullBusybox) })
			})
		}
		time.Sleep(time.Until(start.Add(time.Duration(n+1) * tokenInterval))) // the rate
	}
	happening.Wait()
	asking.Wait()
	l.judge(t, p)
}

func (l *faultLoad) ask(kind string, start time.Time, request func() answer) {
	asked := time.Now()
	a := request()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	k.statuses[a.status]++
	k.times = append(k.times, time.Since(asked))
	if asked.Sub(start) > recovery {
		k.late[a.status]++
	}
}

// judge prints a line for each kind and fails the test on any wrong answer.
func (l *faultLoad) judge(t *testing.T, p phase) {
	for kind, allowed := range map[string][]int{
		"live tokens":  {http.StatusOK},
		"good logins":  {http.StatusOK, http.StatusServiceUnavailable},
		"wrong logins": {http.StatusUnauthorized, http.StatusServiceUnavailable},
	} {
		k := l.kinds[kind]
		for status, n := range k.statuses {
			if !slices.Contains(allowed, status) {
				t.Errorf("%s: %d of the %s got %d", p.name, n, kind, status)
			}
		}
		if p.well && k.late[http.StatusServiceUnavailable] > 0 {
			t.Errorf("%s: %d of the %s got 503 although the directory is well for %s", p.name, k.late[http.StatusServiceUnavailable], kind, recovery)
		}
	}
	for _, kind := range []string{"live tokens", "good logins", "wrong logins"} {
		k := l.kinds[kind]
		slices.Sort(k.times)
		var statuses []string
		for _, status := range slices.Sorted(maps.Keys(k.statuses)) {
			statuses = append(statuses, fmt.Sprintf("%d: %d", status, k.statuses[status]))
		}
		l.table = append(l.table, fmt.Sprintf("%-20s %-13s %6d %8s %8s  %s", p.name, kind, len(k.times),
			k.percentile(50), k.percentile(99), strings.Join(statuses, ", ")))
	}
}

func (k *tally) percentile(p int) time.Duration {
	return k.times[len(k.times)*p/100].Round(100 * time.Microsecond)
}
