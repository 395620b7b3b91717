package authntest

import (
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"
)

// Where a Samba keeps its people and groups, and the account that searches.
const (
	SambaBaseDN    = "DC=ad,DC=test"
	SambaUsersDN   = "CN=Users,DC=ad,DC=test"
	SambaServiceDN = "CN=gatehouse,CN=Users,DC=ad,DC=test"
)

// sambaAdminPassword is complex, as a domain wants until it is told otherwise.
const sambaAdminPassword = "Passw0rd-of-Salieri"

// sambaLockout is how many wrong passwords lock an account.
const sambaLockout = 5

// sambaPorts cannot be changed: LDAP, LDAPS, and the global catalog's two.
var sambaPorts = []int{389, 636, 3268, 3269}

// Samba is a running Active Directory domain controller (domain ADTEST, ad.test)
// on loopback. Every person's password is Password. Its people:
//
//	mozart      good; in Composers, which is in Artists; the primary group is Musicians
//	bach        good; in nothing but the primary group that everybody has
//	disabled    by userAccountControl
//	expired     by accountExpires
//	locked      by wrong passwords
//	mustchange  the password at the next login
type Samba struct {
	t       testing.TB
	dir     string
	roots   *x509.CertPool
	process *Process
}

// StartSamba provisions a domain in a folder of its own and starts its server,
// which takes about ten seconds. It needs root (for extended attributes), the
// programs, and the ports that the protocol fixes; without them the test is
// skipped, or fails if GATEHOUSE_NO_SKIP is set.
func StartSamba(t testing.TB) *Samba {
	t.Helper()
	requirePrograms(t, "samba, samba-ad-dc, samba-ad-provision, samba-dsdb-modules, winbind", "samba", "samba-tool")
	if os.Getuid() != 0 {
		Skip(t, "a Samba domain controller must be started by root")
	}
	requirePorts(t, sambaPorts)
	dir, err := os.MkdirTemp("", "samba")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Samba{t: t, dir: dir, roots: WriteCertificates(t, dir)}
	s.provision()
	s.process = Start(t, exec.Command(Program("samba"), "-i", "-M", "single", "--no-process-group", "-s", s.path("etc/smb.conf")))
	must(t, s.process.Await(30*time.Second, func() bool { return answers(s.dial) }))
	s.populate()
	return s
}

// URL is the ldap:// address, on which StartTLS works too.
func (s *Samba) URL() string { return "ldap://127.0.0.1" }

// TLSURL is the ldaps:// address; its certificate is from the CA of Config's Roots.
func (s *Samba) TLSURL() string { return "ldaps://127.0.0.1" }

// CAFile is the file (PEM) with the CA that signed the server's certificate.
func (s *Samba) CAFile() string { return s.path("ca.crt") }

// DN is where a person or group of that name stands.
func (s *Samba) DN(name string) string { return "CN=" + name + "," + SambaUsersDN }

// AddUser adds a person with Password; more replaces attributes, or leaves out one
// that has no values there.
func (s *Samba) AddUser(name string, more map[string][]string) {
	s.t.Helper()
	attributes := map[string][]string{
		"objectClass": {"user"}, "sAMAccountName": {name}, "userPrincipalName": {name + "@ad.test"},
		"userAccountControl": {"512"}, "unicodePwd": {windowsPassword(Password)},
	}
	for attribute, values := range more {
		if attributes[attribute] = values; len(values) == 0 {
			delete(attributes, attribute)
		}
	}
	s.Do(func(c *ldap.Conn) error { return c.Add(addRequest(s.DN(name), attributes)) })
}

// Delete deletes a person or a group.
func (s *Samba) Delete(name string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(s.DN(name), nil)) })
}

// AddGroup adds a global security group.
func (s *Samba) AddGroup(name string, members ...string) {
	s.t.Helper()
	attributes := map[string][]string{"objectClass": {"group"}, "sAMAccountName": {name}}
	for _, member := range members {
		attributes["member"] = append(attributes["member"], s.DN(member))
	}
	s.Do(func(c *ldap.Conn) error { return c.Add(addRequest(s.DN(name), attributes)) })
}

// Replace sets an attribute of an entry to values, or removes it where none are given.
func (s *Samba) Replace(dn, attribute string, values ...string) {
	s.t.Helper()
	request := ldap.NewModifyRequest(dn, nil)
	request.Replace(attribute, values)
	s.Do(func(c *ldap.Conn) error { return c.Modify(request) })
}

// SetPassword is an administrator's reset of a person's password.
func (s *Samba) SetPassword(name, password string) {
	s.t.Helper()
	s.Replace(s.DN(name), "unicodePwd", windowsPassword(password))
}

// Do runs f on a connection that is bound as the domain's administrator.
func (s *Samba) Do(f func(*ldap.Conn) error) {
	s.t.Helper()
	doBound(s.t, s.dial, f)
}

// provision makes the domain's files and completes its smb.conf: nothing but
// LDAP, our certificate, and all that is written below the folder.
func (s *Samba) provision() {
	s.t.Helper()
	out, err := exec.Command(Program("samba-tool"), "domain", "provision", "--targetdir="+s.dir, "--realm=AD.TEST", "--domain=ADTEST",
		"--server-role=dc", "--dns-backend=NONE", "--adminpass="+sambaAdminPassword, "--host-name=dc1", "--host-ip=127.0.0.1",
		"--option=interfaces=127.0.0.1/8", "--option=bind interfaces only=yes", "--option=server services=ldap").CombinedOutput()
	if err != nil {
		s.t.Fatalf("samba-tool domain provision: %v\n%s", err, out)
	}
	const key = "[global]\n"
	text, err := os.ReadFile(s.path("etc/smb.conf"))
	must(s.t, err)
	more := strings.NewReplacer("{dir}", s.dir).Replace(`	ldap server require strong auth = no
	pid directory = {dir}/run
	ncalrpc dir = {dir}/ncalrpc
	log file = {dir}/log.%m
	tls keyfile = {dir}/server.key
	tls certfile = {dir}/server.crt
	tls cafile = {dir}/ca.crt
`)
	must(s.t, os.WriteFile(s.path("etc/smb.conf"), []byte(strings.Replace(string(text), key, key+more, 1)), 0o600))
	for _, folder := range []string{"run", "ncalrpc"} {
		must(s.t, os.Mkdir(s.path(folder), 0o755))
	}
}

// populate makes the people and groups.
func (s *Samba) populate() {
	s.t.Helper()
	for attribute, value := range map[string]string{
		"minPwdLength": "1", "pwdProperties": "0", "pwdHistoryLength": "0", "minPwdAge": "0", "lockoutThreshold": fmt.Sprint(sambaLockout),
	} {
		s.Replace(SambaBaseDN, attribute, value)
	}
	for name, more := range map[string]map[string][]string{
		"gatehouse": nil, "mozart": nil, "bach": nil, "locked": nil,
		"disabled":   {"userAccountControl": {"514"}},
		"expired":    {"accountExpires": {"130000000000000000"}}, // 2012
		"mustchange": {"pwdLastSet": {"0"}},
	} {
		s.AddUser(name, more)
	}
	s.AddGroup("Composers", "mozart")
	s.AddGroup("Artists", "Composers")
	s.AddGroup("Musicians", "mozart")
	s.makePrimary("mozart", "Musicians")
	for range sambaLockout + 1 {
		if conn, err := s.dialAs(s.DN("locked"), "wrong"); err == nil {
			conn.Close()
			s.t.Fatal("a wrong password is good")
		}
	}
	// Nobody else is to be locked by the tests' wrong passwords.
	s.Replace(SambaBaseDN, "lockoutThreshold", "0")
}

// makePrimary makes a group of which the person is a member the primary one;
// then they are none by the `member` attribute.
func (s *Samba) makePrimary(name, group string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error {
		result, err := c.Search(ldap.NewSearchRequest(s.DN(group), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 5, false,
			"(objectClass=*)", []string{"primaryGroupToken"}, nil))
		if err != nil {
			return err
		}
		request := ldap.NewModifyRequest(s.DN(name), nil)
		request.Replace("primaryGroupID", result.Entries[0].GetAttributeValues("primaryGroupToken"))
		return c.Modify(request)
	})
}

func (s *Samba) dial() (*ldap.Conn, error) {
	return s.dialAs("Administrator@ad.test", sambaAdminPassword)
}

func (s *Samba) dialAs(name, password string) (*ldap.Conn, error) {
	return dialBound(s.TLSURL(), name, password, 10*time.Second, ldap.DialWithTLSConfig(clientTLS(s.roots)))
}

func (s *Samba) path(name string) string { return filepath.Join(s.dir, name) }

// windowsPassword is a password as unicodePwd takes it: in quotes, UTF-16.
func windowsPassword(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// requirePrograms skips the test where a program of packages is missing.
func requirePrograms(t testing.TB, packages string, names ...string) {
	t.Helper()
	if slices.ContainsFunc(names, func(name string) bool { return Program(name) == "" }) {
		Skip(t, fmt.Sprintf("%s not installed (Debian: %s)", strings.Join(names, " or "), packages))
	}
}

// requirePorts skips the test where somebody listens already.
func requirePorts(t testing.TB, ports []int) {
	t.Helper()
	for _, port := range ports {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			Skip(t, fmt.Sprintf("port %d is needed: %v", port, err))
		}
		listener.Close()
	}
}
