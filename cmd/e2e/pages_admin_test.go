package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPagesAdmin: what an admin sees of a gateway before a real directory: what `explain`
// says on the socket, the rules as they are used, what was refused with the request id of the
// answer, the config that is served, and the directory's server that goes down.
func TestPagesAdmin(t *testing.T) {
	slapd := startDirectory(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: slapd, Basic: true, Socket: "admin.sock", Policy: `  - {name: unseen, deny: [pull], repositories: ["hidden/**"], to: [authenticated]}
  - {name: stays, deny: [delete], repositories: ["anyuser/**"], to: [authenticated]}`,
		Sections: "ui: {enabled: true, admins: [\"user:local/admin\"]}"})
	v, other := g.visit(t, "admin", adminPassword), g.visit(t, "mozart", musicians)
	for _, path := range []string{"", "explain", "directories", "refusals", "rules", "config"} {
		if p := other.do(other.request(http.MethodGet, "/ui/admin/"+path, nil)); p.status != http.StatusNotFound {
			t.Errorf("%s for somebody else: %d", path, p.status)
		}
		if p := g.visit(t, "", "").do(v.request(http.MethodGet, "/ui/admin/"+path, nil)); p.status != http.StatusSeeOther {
			t.Errorf("%s for a stranger: %d", path, p.status)
		}
	}
	for _, question := range []string{"user=mozart&action=push&ref=anyuser/app", "user=mozart&action=delete&ref=anyuser/app:1&ip=10.0.0.1", "user=-&action=pull&ref=anyuser/app", "user=nobody.at.all&action=pull&ref=anyuser/app"} {
		v.explains(question, g.ask(t, "/explain?"+question))
	}
	q := other.request(http.MethodDelete, "/v2/anyuser/app/manifests/1", nil)
	q.SetBasicAuth("mozart", musicians)
	refused := other.do(q)
	if refused.status != http.StatusForbidden {
		t.Fatalf("%d %s", refused.status, refused.body)
	}
	row := v.get("/ui/admin/refusals?q=" + refused.header.Get("X-Request-Id"))
	if got := row.all("data-refusal"); len(got) != 1 || got[0] != refused.header.Get("X-Request-Id") || !strings.Contains(row.body, "(stays)") || !strings.Contains(row.body, "mozart") {
		t.Errorf("the refusal: %v %s", got, row.body)
	}
	hidden := other.do(other.request(http.MethodGet, "/ui/r/hidden/app:1", nil))
	if row := v.get("/ui/admin/refusals?q=" + hidden.header.Get("X-Request-Id")); hidden.status != http.StatusNotFound || !strings.Contains(row.body, "hidden/app:1") || !strings.Contains(row.body, "(unseen)") || !strings.Contains(row.body, "denies it") || strings.Contains(hidden.body, "denies") {
		t.Errorf("the refused page: %d %s", hidden.status, row.body)
	}
	rules := v.get("/ui/admin/rules")
	if labels, denied := rules.all("data-rule"), rules.all("data-denied"); !strings.HasSuffix(labels[len(labels)-1], "(stays)") || denied[len(denied)-1] != "1" || !strings.Contains(rules.body, "never used since <time") {
		t.Errorf("the rules: %v %v", labels, denied)
	}
	v.uses(other)
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	config := v.get("/ui/admin/config")
	if got := config.all("data-sha256"); !slices.Equal(got, []string{hex.EncodeToString(sum[:])}) || !strings.Contains(config.body, g.config) {
		t.Errorf("the config: %v %s", got, config.body)
	}
	v.watches(slapd.URL(), slapd.Stop)
}

// uses wants each page that another visitor opens to count as one use of the rule by which it is
// theirs, and those that show no repository to count for none.
func (v *visitor) uses(other *visitor) {
	v.t.Helper()
	sum := func() (n int) {
		for _, text := range v.get("/ui/admin/rules").all("data-allowed") {
			one, err := strconv.Atoi(text)
			if err != nil {
				v.t.Fatal(err)
			}
			n += one
		}
		return n
	}
	before := sum()
	for target, want := range map[string]int{"/ui/r/anyuser/app": 1, "/ui/r/anyuser/app:1": 1, "/ui/delete?ref=anyuser/app:1": 1, "/ui/me?action=pull&ref=anyuser/app": 0, "/ui/help": 0} {
		other.do(other.request(http.MethodGet, target, nil))
		after := sum()
		if after-before != want {
			v.t.Errorf("%s counts as %d uses, want %d", target, after-before, want)
		}
		before = after
	}
}

// explains wants the page to say what the socket said, in words and as JSON.
func (v *visitor) explains(question string, said []byte) {
	v.t.Helper()
	answer := v.echoes("/ui/admin/explain?"+question, said)
	want := map[any]string{true: "allowed", false: "denied"}[answer["allowed"]]
	if got := v.get("/ui/admin/explain?" + question).all("data-decision"); len(got) != 1 || got[0] != want {
		v.t.Errorf("%s: %v, want %s", question, got, want)
	}
}

// watches sees a server go down on the page of directories, on which no secret and no DN of
// the service account is.
func (v *visitor) watches(server string, stop func()) {
	v.t.Helper()
	up := v.get("/ui/admin/directories")
	if got, states := up.all("data-server"), up.all("data-state"); !slices.Equal(got, []string{server}) || !slices.Equal(states, []string{"up"}) || strings.Contains(up.body, ">–<") || !strings.Contains(up.body, "1 person<") {
		v.t.Errorf("up: %v %v %s", got, states, up.body)
	}
	stop()
	var down page
	if !await(20*time.Second, func() bool {
		v.do(v.request(http.MethodGet, "/ui/admin/explain?action=pull&ref=a&user=somebody.else", nil)) // asks the directory
		down = v.get("/ui/admin/directories")
		return slices.Equal(down.all("data-state"), []string{"down"})
	}) {
		v.t.Fatalf("it is not down: %s", down.body)
	}
	if !strings.Contains(down.body, "the connection is refused") && !strings.Contains(down.body, "the connection ended") {
		v.t.Errorf("the fault is not on the page: %s", down.body)
	}
	for _, secret := range []string{"uid=gatehouse", "bind_password", "$2a$"} {
		if strings.Contains(up.body+down.body+v.get("/ui/admin/config").body, secret) {
			v.t.Errorf("%s is on a page", secret)
		}
	}
}
