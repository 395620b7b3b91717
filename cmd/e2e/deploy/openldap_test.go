package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// TestOpenLDAP starts what the Compose file's directory container starts, with the
// LDIF of the musicians, and asks it what the example config will ask.
func TestOpenLDAP(t *testing.T) {
	authntest.Need(t, "slapd", "ldapsearch")
	search := authntest.Program("ldapsearch")
	url := startOpenLDAP(t)
	password, err := os.ReadFile("ldap_password.txt")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(base, filter, attribute string) string {
		out, err := authntest.Run(exec.Command(search, "-x", "-LLL", "-H", url, "-D", "uid=serviceaccount,ou=it,dc=example,dc=com",
			"-w", strings.TrimSpace(string(password)), "-b", base, filter, attribute))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const musicians = "ou=musicians,dc=example,dc=com"
	if out := ask(musicians, "(&(|(uid=bach@example.com)(mail=bach@example.com))(objectClass=person))", "uid"); !strings.Contains(out, "uid: bach\n") {
		t.Errorf("bach by mail: %q", out)
	}
	if out := ask(musicians, "(&(|(uid=kant)(mail=kant))(objectClass=person))", "uid"); strings.Contains(out, "dn:") {
		t.Errorf("kant is among the musicians: %q", out)
	}
	if out := ask("ou=groups,dc=example,dc=com", "(member=uid=bach,ou=musicians,dc=example,dc=com)", "cn"); !strings.Contains(out, "cn: release\n") || !strings.Contains(out, "cn: composers\n") {
		t.Errorf("bach's groups: %q", out)
	}
	bind := func(uid, password string) error {
		_, err := authntest.Run(exec.Command(search, "-x", "-H", url, "-D", uid, "-w", password, "-s", "base", "-b", uid, "1.1"))
		return err
	}
	if err := bind("uid=mozart,"+musicians, "password"); err != nil {
		t.Errorf("mozart: %v", err)
	}
	if err := bind("uid=mozart,"+musicians, "wrong"); exitCode(err) != 49 {
		t.Errorf("mozart with a wrong password: %v, want LDAP's 49", err)
	}
	if out, _ := exec.Command(search, "-x", "-LLL", "-H", url, "-b", "dc=example,dc=com").CombinedOutput(); strings.Contains(string(out), "mozart") {
		t.Errorf("who has not bound sees: %s", out)
	}
}

// startOpenLDAP runs openldap/start with a folder and a port of its own.
func startOpenLDAP(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("openldap/slapd.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "slapd.conf")
	write(t, conf, []byte(strings.Replace(string(text), "/var/lib/ldap", dir, 1)))
	address := authntest.FreeAddress(t)
	start := exec.Command("openldap/start")
	start.Env = append(os.Environ(), "PATH=/usr/sbin:"+os.Getenv("PATH"), "SLAPD_CONF="+conf, "SLAPD_DATA="+dir,
		"SLAPD_LDIF=musicians.ldif", "SLAPD_URL=ldap://"+address)
	if err := authntest.Start(t, start).Await(20*time.Second, func() bool { return authntest.Listening(address) }); err != nil {
		t.Fatal(err)
	}
	return "ldap://" + address
}
