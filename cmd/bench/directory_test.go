package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"gatehouse/authn/authntest"
)

// The directory that is measured, and how.
const (
	directoryPeople  = 10_000
	directoryGroups  = 200
	groupsOfOne      = 8
	directoryClients = 16
	warmPeople       = 1000 // who have logged in before
	directorySamples = 5    // of sampleLength each; the median counts
	sampleLength     = time.Second
	serverDistance   = 5 * time.Millisecond
)

var directoryConfig = template.Must(template.New("directory").Parse(`listen: {address: "{{.Listen}}"}
admin: {address: ""}
upstream: {url: "http://127.0.0.1:1"}
directories:
  - name: example
    ldap:
      servers: ["{{.Server}}"]
      bind_dn: uid=serviceaccount,ou=it,dc=example,dc=com
      bind_password_file: bind_password
      users: {base: "ou=musicians,dc=example,dc=com", filter: "(&(uid={login})(objectClass=person))"}
      cache: {password_for: {{.PasswordFor}}}
policy:
  - {allow: [pull], repositories: ["**"], to: ["directory:example"]}
`))

// BenchmarkDirectory measures logins at the realm of the real gateway, before a
// slapd that holds 10,000 people. It runs once, for a time of its own.
func BenchmarkDirectory(b *testing.B) {
	slapd := authntest.StartSlapd(b, authntest.Options{LDIF: manyPeople(b)})
	relay := authntest.StartRelay(b, slapd.URL())
	h := &house{folder: b.TempDir()}
	b.Cleanup(func() { fatal(b, h.stop()) })
	gateway := h.path("gatehouse")
	_, err := authntest.Run(exec.Command("go", "build", "-o", gateway, "gatehouse/cmd/gatehouse"))
	fatal(b, err)
	start := func(server, passwordFor string) *realm {
		return startRealm(b, h, gateway, server, passwordFor)
	}
	b.ReportMetric(0, "ns/op")
	for unit, passwordFor := range map[string]string{"logins/s": "0s", "remembered/s": "30s"} {
		b.ReportMetric(start(slapd.URL(), passwordFor).rate(b), unit)
	}
	far := start(relay.URL(), "30s")
	relay.Delay(serverDistance)
	b.ReportMetric(float64(far.repeat(b).Nanoseconds())/1e3, "delayed-µs")
	relay.Delay(0)
	asking := start(relay.URL(), "0s")
	for unit, value := range asking.count(b, relay) {
		b.ReportMetric(value, unit)
	}
}

// realm is a gateway whose logins are measured.
type realm struct {
	base   string
	client *http.Client
}

func startRealm(b *testing.B, h *house, binary, server, passwordFor string) *realm {
	b.Helper()
	address := authntest.FreeAddress(b)
	name := fmt.Sprintf("directory-%d.yaml", len(h.processes))
	var config bytes.Buffer
	fatal(b, directoryConfig.Execute(&config, struct{ Listen, Server, PasswordFor string }{address, server, passwordFor}))
	fatal(b, os.WriteFile(h.path(name), config.Bytes(), 0o600))
	fatal(b, os.WriteFile(h.path("bind_password"), []byte(authntest.Password), 0o600))
	_, err := h.start(address, binary, "serve", "-c", h.path(name))
	fatal(b, err)
	r := &realm{base: "http://" + address, client: newClient(100, nil, false)}
	b.Cleanup(r.client.CloseIdleConnections)
	return r
}

// login asks for a token and returns it with the status.
func (r *realm) login(b *testing.B, who int, password string) (token string, status int) {
	request, err := http.NewRequest(http.MethodGet, r.base+"/auth?service=gatehouse&scope=repository:bench/image:pull", nil)
	fatal(b, err)
	request.SetBasicAuth(personName(who), password)
	response, err := r.client.Do(request)
	fatal(b, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fatal(b, err)
	var reply struct{ Token string }
	if response.StatusCode == http.StatusOK {
		fatal(b, json.Unmarshal(text, &reply))
	}
	return reply.Token, response.StatusCode
}

func (r *realm) good(b *testing.B, who int) string {
	token, status := r.login(b, who, authntest.Password)
	if status != http.StatusOK {
		b.Errorf("login of %s: status %d", personName(who), status)
	}
	return token
}

// rate is the median of logins a second by all clients, of people who logged in before.
func (r *realm) rate(b *testing.B) float64 {
	var next atomic.Int64
	together(func() {
		for n := next.Add(1); n <= warmPeople; n = next.Add(1) {
			r.good(b, int(n))
		}
	})
	var rates []float64
	for range directorySamples {
		var done atomic.Int64
		start := time.Now()
		together(func() {
			for time.Since(start) < sampleLength {
				r.good(b, 1+mathrand.IntN(warmPeople))
				done.Add(1)
			}
		})
		rates = append(rates, float64(done.Load())/time.Since(start).Seconds())
	}
	return median(rates)
}

// repeat is the median time of one person's repeated login.
func (r *realm) repeat(b *testing.B) time.Duration {
	r.good(b, 1)
	var times []time.Duration
	for range 1000 {
		start := time.Now()
		r.good(b, 1)
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// count says what the server is asked for logins and lookups that are no news.
func (r *realm) count(b *testing.B, relay *authntest.Relay) map[string]float64 {
	const times = 100
	token := r.good(b, 1)
	relay.Reset()
	for range times {
		r.good(b, 1)
	}
	logins := relay.Operations()
	relay.Reset()
	for range times {
		r.known(b, token)
	}
	lookups := relay.Operations()
	relay.Reset()
	relay.Delay(serverDistance)
	var all sync.WaitGroup
	for range times {
		all.Go(func() {
			if _, status := r.login(b, 1, "wrong"); status != http.StatusUnauthorized {
				b.Errorf("a wrong password: status %d", status)
			}
		})
	}
	all.Wait()
	return map[string]float64{
		"operations/login": float64(logins) / times, "operations/lookup": float64(lookups) / times, "binds/wrong": float64(relay.Count("bind")),
	}
}

// known shows a token to the gateway.
func (r *realm) known(b *testing.B, token string) {
	request, err := http.NewRequest(http.MethodGet, r.base+"/v2/", nil)
	fatal(b, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := r.client.Do(request)
	fatal(b, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		b.Errorf("/v2/ with a token: status %d", response.StatusCode)
	}
	_, err = io.Copy(io.Discard, response.Body)
	fatal(b, err)
}

// together runs one client's work as often as there are clients.
func together(work func()) {
	var all sync.WaitGroup
	for range directoryClients {
		all.Go(work)
	}
	all.Wait()
}

func personName(n int) string { return fmt.Sprintf("person%05d", n) }

// manyPeople is the LDIF of people, each in some groups, and of the groups, with
// memberOf written out: overlays do not see what slapadd loads.
func manyPeople(b *testing.B) string {
	b.Helper()
	var text strings.Builder
	members := make([][]string, directoryGroups)
	for n := 1; n <= directoryPeople; n++ {
		dn := "uid=" + personName(n) + "," + authntest.UsersDN
		fmt.Fprintf(&text, "\ndn: %s\nobjectClass: inetOrgPerson\nuid: %s\ncn: Person %d\nsn: %d\nuserPassword: %s\n", dn, personName(n), n, n, salted(b, authntest.Password))
		for i := range groupsOfOne {
			group := (n + i*directoryGroups/groupsOfOne) % directoryGroups
			members[group] = append(members[group], dn)
			fmt.Fprintf(&text, "memberOf: %s\n", groupDN(group))
		}
	}
	for group, members := range members {
		fmt.Fprintf(&text, "\ndn: %s\nobjectClass: groupOfNames\ncn: group%03d\n", groupDN(group), group)
		for _, member := range members {
			fmt.Fprintf(&text, "member: %s\n", member)
		}
	}
	return text.String() + "\n"
}

func groupDN(n int) string { return fmt.Sprintf("cn=group%03d,%s", n, authntest.GroupsDN) }

// salted is a password as OpenLDAP keeps it by default, {SSHA}.
func salted(b *testing.B, password string) string {
	b.Helper()
	salt := make([]byte, 8)
	_, err := rand.Read(salt)
	fatal(b, err)
	sum := sha1.Sum(append([]byte(password), salt...))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

func fatal(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// TestDirectoryFigures reads a benchmark's line and judges it.
func TestDirectoryFigures(t *testing.T) {
	const line = "BenchmarkDirectory-2 \t 1\t 0 ns/op\t 1.000 binds/wrong\t %s delayed-µs\t 900.5 logins/s\t 1 operations/login\t 0 operations/lookup\t 1700 remembered/s\nPASS\n"
	for delayed, want := range map[string]int{"700.0": 1, "1200": 2} {
		var out bytes.Buffer
		missed, err := printDirectory(&out, parseMetrics(fmt.Appendf(nil, line, delayed)))
		if err != nil || missed != want || !strings.Contains(out.String(), "900.5   >= 500 /s: met") || !strings.Contains(out.String(), "1700.0   >= 2 x with binds: MISSED") {
			t.Errorf("missed %d, want %d, %v:\n%s", missed, want, err, out.String())
		}
	}
	if _, err := printDirectory(io.Discard, parseMetrics([]byte("PASS\n"))); err == nil {
		t.Error("figures that are missing are no error")
	}
}
