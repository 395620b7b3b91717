package authntest

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// ds389Manager is the superuser of a DS389.
const ds389Manager = "cn=Directory Manager"

// ds389Lockout is how many wrong passwords lock an account.
const ds389Lockout = 3

// ds389Read lets bound people read everything but passwords.
const ds389Read = `(targetattr != "userPassword || aci")(version 3.0; acl "read"; allow (read, search, compare) (userdn = "ldap:///all");)`

// DS389 is a running 389 Directory Server on loopback, with BaseDN, UsersDN,
// GroupsDN and ServiceDN as in the musicians' directory. Every person's password
// is Password. Its people:
//
//	mozart      good; in composers (groupOfNames), which is in artists, and in
//	            soloists (groupOfUniqueNames)
//	bach        good; in no group
//	disabled    by nsAccountLock
//	locked      by wrong passwords, while Lockout says so
//	mustchange  the password at the next login
//	expired     the password is over
type DS389 struct {
	t       testing.TB
	dir     string
	port    int
	tlsPort int
	roots   *x509.CertPool
	process *Process
}

// StartDS389 makes an instance in a folder of its own and starts it, which takes
// about ten seconds. Without the programs the test is skipped, or fails if
// GATEHOUSE_NO_SKIP is set. It needs no root.
func StartDS389(t testing.TB) *DS389 {
	t.Helper()
	requirePrograms(t, "389-ds-base, python3-lib389", "ns-slapd", "dscreate")
	dir, err := os.MkdirTemp("", "ds389")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &DS389{t: t, dir: dir, port: freePort(t), tlsPort: freePort(t)}
	s.create()
	s.roots = readRoots(t, s.CAFile())
	t.Cleanup(s.stop)
	s.start()
	s.configure()
	s.populate()
	return s
}

// URL is the ldap:// address, on which StartTLS works too.
func (s *DS389) URL() string { return fmt.Sprintf("ldap://localhost:%d", s.port) }

// TLSURL is the ldaps:// address; its certificate is from the CA of Config's Roots.
func (s *DS389) TLSURL() string { return fmt.Sprintf("ldaps://localhost:%d", s.tlsPort) }

// CAFile is the file (PEM) with the CA that signed the server's certificate.
func (s *DS389) CAFile() string { return s.path("etc/dirsrv/slapd-test/ca.crt") }

// DN is where a person of that name stands.
func (s *DS389) DN(uid string) string { return "uid=" + uid + "," + UsersDN }

// Hide takes away the right to read, as a forgotten ACI does: searches then
// succeed and find nobody.
func (s *DS389) Hide() { s.Replace(BaseDN, "aci") }

// Show gives it back.
func (s *DS389) Show() { s.Replace(BaseDN, "aci", ds389Read) }

// Lockout sets whether three wrong passwords lock an account; at first they do.
func (s *DS389) Lockout(on bool) {
	s.t.Helper()
	s.Replace("cn=config", "passwordLockout", map[bool]string{true: "on", false: "off"}[on])
}

// AddUser adds a person with Password.
func (s *DS389) AddUser(uid string) {
	s.t.Helper()
	s.addPerson(s.DN(uid), nil)
}

// Delete deletes a person.
func (s *DS389) Delete(uid string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(s.DN(uid), nil)) })
}

// SetPassword is an administrator's reset of a person's password, which need not
// be changed at the next login.
func (s *DS389) SetPassword(uid, password string) {
	s.t.Helper()
	s.Replace("cn=config", "passwordMustChange", "off")
	s.Replace(s.DN(uid), "userPassword", password)
}

// Replace sets an attribute of an entry to values, or removes it where none are given.
func (s *DS389) Replace(dn, attribute string, values ...string) {
	s.t.Helper()
	request := ldap.NewModifyRequest(dn, nil)
	request.Replace(attribute, values)
	s.Do(func(c *ldap.Conn) error { return c.Modify(request) })
}

// Do runs f on a connection that is bound as the superuser.
func (s *DS389) Do(f func(*ldap.Conn) error) {
	s.t.Helper()
	doBound(s.t, s.dial, f)
}

// create makes the instance with the package's own tool, for which the folder
// looks like the root of a system without systemd.
func (s *DS389) create() {
	s.t.Helper()
	must(s.t, os.CopyFS(s.path("share/dirsrv"), os.DirFS("/usr/share/dirsrv")))
	must(s.t, os.CopyFS(s.path("etc/dirsrv"), os.DirFS("/etc/dirsrv")))
	for _, folder := range []string{"etc/default", "etc/tmpfiles.d", "run", "var", "shm", "inst", "tmp"} {
		must(s.t, os.MkdirAll(s.path(folder), 0o755))
	}
	s.rewrite("share/dirsrv/inf/defaults.inf", s.relocate())
	// From its first start on the server is on loopback alone.
	s.rewrite("share/dirsrv/data/template-dse.ldif", strings.NewReplacer("nsslapd-port: %ds_port%",
		"nsslapd-listenhost: 127.0.0.1\nnsslapd-securelistenhost: 127.0.0.1\nnsslapd-port: %ds_port%"))
	file := s.path("test.inf")
	must(s.t, os.WriteFile(file, fmt.Appendf(nil, ds389Instance, s.port, s.tlsPort, Password, BaseDN), 0o600))
	cmd := exec.Command(Program("dscreate"), "from-file", file)
	cmd.Env = append(os.Environ(), "PREFIX="+s.dir, "HOME="+s.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.endTool()
		s.t.Fatalf("dscreate: %v\n%s", err, out)
	}
}

const ds389Instance = `[general]
config_version = 2
full_machine_name = localhost
start = False
strict_host_checking = False
systemd = False
selinux = False
[slapd]
instance_name = test
port = %d
secure_port = %d
root_password = %s
self_sign_cert = True
[backend-userroot]
suffix = %s
sample_entries = no
create_suffix_entry = True
`

// relocate puts every folder of the package's defaults below our own.
func (s *DS389) relocate() *strings.Replacer {
	me, err := user.Current()
	must(s.t, err)
	group, err := user.LookupGroupId(me.Gid)
	must(s.t, err)
	return strings.NewReplacer("with_systemd = 1", "with_systemd = 0", "user = dirsrv", "user = "+me.Username, "group = dirsrv", "group = "+group.Name,
		"data_dir = /usr/share", "data_dir = "+s.path("share"), "tmp_dir = /tmp", "tmp_dir = "+s.path("tmp"),
		"inst_dir = /usr/lib", "inst_dir = "+s.path("inst"), "= /dev/shm", "= "+s.path("shm"),
		"= /etc", "= "+s.path("etc"), "= /run", "= "+s.path("run"), "= /var", "= "+s.path("var"))
}

func (s *DS389) rewrite(name string, change *strings.Replacer) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	must(s.t, err)
	must(s.t, os.WriteFile(s.path(name), []byte(change.Replace(string(text))), 0o600))
}

// endTool ends the server that a failed dscreate may have left.
func (s *DS389) endTool() {
	text, err := os.ReadFile(s.path("run/dirsrv/slapd-test.pid"))
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (s *DS389) start() {
	s.t.Helper()
	s.process = Start(s.t, exec.Command(Program("ns-slapd"), "-D", s.path("etc/dirsrv/slapd-test"), "-i", s.path("pid"), "-d", "0"))
	must(s.t, s.process.Await(30*time.Second, func() bool { return answers(s.dial) }))
}

func (s *DS389) stop() {
	if s.process != nil {
		s.process.Kill()
	}
}

// configure switches on memberOf, the password policy, and the time of the last
// password change (pwdUpdateTime).
func (s *DS389) configure() {
	s.t.Helper()
	const memberOf = "cn=MemberOf Plugin,cn=plugins,cn=config"
	s.Replace("cn=config", "nsslapd-dynamic-plugins", "on")
	s.Replace(memberOf, "memberOfGroupAttr", "member", "uniqueMember")
	s.Replace(memberOf, "nsslapd-pluginEnabled", "on")
	s.Lockout(true)
	s.Replace("cn=config", "passwordMaxFailure", fmt.Sprint(ds389Lockout))
	s.Replace("cn=config", "passwordExp", "on")
	s.Replace("cn=config", "passwordTrackUpdateTime", "on")
}

// populate makes the tree, the people and the groups.
func (s *DS389) populate() {
	s.t.Helper()
	s.Show()
	for _, ou := range []string{"it", "musicians", "groups"} {
		s.add("ou="+ou+","+BaseDN, map[string][]string{"objectClass": {"organizationalUnit"}})
	}
	s.addPerson(ServiceDN, nil)
	for _, uid := range []string{"mozart", "bach", "locked", "mustchange", "expired"} {
		s.AddUser(uid)
	}
	s.addPerson(s.DN("disabled"), map[string][]string{"nsAccountLock": {"true"}})
	group := func(cn, class, attribute, member string) {
		s.add("cn="+cn+","+GroupsDN, map[string][]string{"objectClass": {class}, attribute: {member}})
	}
	group("composers", "groupOfNames", "member", s.DN("mozart"))
	group("artists", "groupOfNames", "member", "cn=composers,"+GroupsDN)
	group("soloists", "groupOfUniqueNames", "uniqueMember", s.DN("mozart"))
	s.spoil()
}

// spoil brings the people who may not log in into that state.
func (s *DS389) spoil() {
	s.t.Helper()
	s.Replace("cn=config", "passwordMustChange", "on")
	s.Replace(s.DN("mustchange"), "userPassword", Password) // by an administrator
	s.Replace(s.DN("expired"), "passwordExpirationTime", "20200101000000Z")
	for range ds389Lockout + 1 {
		conn, err := ldap.DialURL(s.URL())
		must(s.t, err)
		if err := conn.Bind(s.DN("locked"), "wrong"); err == nil {
			s.t.Fatal("a wrong password is good")
		}
		conn.Close()
	}
}

func (s *DS389) addPerson(dn string, more map[string][]string) {
	s.t.Helper()
	attributes := map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {"a person"}, "sn": {"person"}, "userPassword": {Password}}
	for name, values := range more {
		attributes[name] = values
	}
	s.add(dn, attributes)
}

func (s *DS389) add(dn string, attributes map[string][]string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error { return c.Add(addRequest(dn, attributes)) })
}

func (s *DS389) dial() (*ldap.Conn, error) {
	return dialBound(s.URL(), ds389Manager, Password, 10*time.Second)
}

func (s *DS389) path(name string) string { return filepath.Join(s.dir, name) }

// readRoots trusts the certificates of a PEM file.
func readRoots(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s has no certificate", file)
	}
	return roots
}
