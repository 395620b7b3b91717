// Package authntest is what tests of directories share: a real slapd that holds
// the musicians' directory (StartSlapd), a scripted LDAP server that behaves as
// badly as it is told (StartFake), and one conformance suite that every
// authn.Directory passes (Conformance).
package authntest

import (
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// The musicians' directory. Every person's password is Password; mozart and bach
// are musicians with mail addresses (mozart@example.com), kant and schopenhauer
// philosophs. ou=groups has composers (mozart, bach), artists (the group
// composers) and thinkers (kant, schopenhauer).
const (
	BaseDN    = "dc=example,dc=com"
	AdminDN   = "cn=admin,dc=example,dc=com"
	ServiceDN = "uid=serviceaccount,ou=it,dc=example,dc=com"
	UsersDN   = "ou=musicians,dc=example,dc=com"
	GroupsDN  = "ou=groups,dc=example,dc=com"
	MozartDN  = "uid=mozart,ou=musicians,dc=example,dc=com"
	BachDN    = "uid=bach,ou=musicians,dc=example,dc=com"
	Password  = "password"
)

const defaultACL = `access to attrs=userPassword by anonymous auth by * none
access to * by users read by %s`

//go:embed musicians.ldif
var musicians []byte

// Options change what StartSlapd starts; the zero value is a directory that
// only a bound user may read.
type Options struct {
	// Anonymous lets anonymous searches read everything but passwords.
	Anonymous bool
	// Lockout is how many wrong passwords lock an account; 0: it is never locked.
	Lockout int
	// MustChange makes every password set by Replace one that must be changed first.
	MustChange bool
	// LDIF is loaded besides the musicians. Overlays do not see it: write memberOf in it.
	LDIF string
	// ACL replaces the access directives of slapd.conf.
	ACL string
	// Config is added to the database section of slapd.conf.
	Config string
}

// Slapd is a running OpenLDAP server on loopback with a database of its own.
// It ends with the test, or with the test's process where that dies.
type Slapd struct {
	t       testing.TB
	opts    Options
	dir     string
	port    int
	tlsPort int
	roots   *x509.CertPool

	mu      sync.Mutex
	process *Process // nil: stopped
}

// StartSlapd starts a slapd and waits until it answers. Where slapd is not
// installed the test is skipped, or fails if GATEHOUSE_NO_SKIP is set.
func StartSlapd(t testing.TB, opts Options) *Slapd {
	t.Helper()
	requirePrograms(t, "slapd, ldap-utils", "slapd", "slapadd")
	// Not t.TempDir: its long names make the ldapi socket's path too long.
	dir, err := os.MkdirTemp("", "slapd")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Slapd{t: t, opts: opts, dir: dir, port: freePort(t), tlsPort: freePort(t)}
	s.roots = WriteCertificates(t, dir)
	must(t, os.Mkdir(s.path("db"), 0o700))
	s.write("slapd.conf", s.config())
	policy := fmt.Sprintf(policyLDIF, ldapBool(opts.MustChange), ldapBool(opts.Lockout > 0), opts.Lockout)
	s.write("base.ldif", string(musicians)+policy+opts.LDIF)
	out, err := exec.Command(Program("slapadd"), "-q", "-f", s.path("slapd.conf"), "-l", s.path("base.ldif")).CombinedOutput()
	if err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	t.Cleanup(s.Stop)
	s.Start()
	s.addGroups()
	return s
}

// URL is the ldap:// address, on which StartTLS works too.
func (s *Slapd) URL() string { return fmt.Sprintf("ldap://127.0.0.1:%d", s.port) }

// TLSURL is the ldaps:// address; its certificate is from the CA of CAFile.
func (s *Slapd) TLSURL() string { return fmt.Sprintf("ldaps://127.0.0.1:%d", s.tlsPort) }

// SocketURL is the ldapi:// address.
func (s *Slapd) SocketURL() string { return "ldapi://" + url.PathEscape(s.path("ldapi")) }

// CAFile is the file (PEM) with the CA that signed the server's certificate.
func (s *Slapd) CAFile() string { return s.path("ca.crt") }

// KeyPair are the files (PEM) of the server's certificate, good for a client too,
// and its key.
func (s *Slapd) KeyPair() (cert, key string) { return s.path("server.crt"), s.path("server.key") }

// Start starts a stopped server on the same ports with the same data.
func (s *Slapd) Start() {
	s.t.Helper()
	for attempt := 1; ; attempt++ {
		s.run()
		err := s.process.Await(10*time.Second, func() bool { return answers(s.dial) })
		if err == nil {
			return
		}
		s.Stop()
		if attempt == 3 {
			s.t.Fatal(err)
		}
	}
}

// Stop ends the server at once; its clients see their connections closed.
func (s *Slapd) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Kill()
		s.process = nil
	}
}

// Pause stops the server's process: connections stay open, nothing is answered. That it
// has stopped is no event for anybody but its parent, so /proc is looked at.
func (s *Slapd) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(5 * time.Second); !s.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("slapd does not stop")
		}
	}
}

// stopped reports whether every thread has taken the signal in (proc(5), state T).
func (s *Slapd) stopped() bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Cmd.Process.Pid))
	must(s.t, err)
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil || !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return true
}

// Resume undoes Pause.
func (s *Slapd) Resume() { s.signal(syscall.SIGCONT) }

// SetACL replaces the access directives and restarts the server.
func (s *Slapd) SetACL(acl string) {
	s.Stop()
	s.opts.ACL = acl
	s.write("slapd.conf", s.config())
	s.Start()
}

// Do runs f on a connection that is bound as AdminDN.
func (s *Slapd) Do(f func(*ldap.Conn) error) {
	s.t.Helper()
	doBound(s.t, s.dial, f)
}

// Add adds an entry.
func (s *Slapd) Add(dn string, attributes map[string][]string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error { return c.Add(addRequest(dn, attributes)) })
}

// AddUser adds a person with Password and the given uid to the musicians and
// returns its DN.
func (s *Slapd) AddUser(uid string, more map[string][]string) string {
	s.t.Helper()
	dn := "uid=" + ldap.EscapeDN(uid) + "," + UsersDN
	attributes := map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {uid}, "cn": {uid}, "sn": {uid}, "userPassword": {Password},
	}
	for name, values := range more {
		attributes[name] = values
	}
	s.Add(dn, attributes)
	return dn
}

// AddGroup adds a groupOfNames below GroupsDN and returns its DN.
func (s *Slapd) AddGroup(cn string, members ...string) string {
	s.t.Helper()
	dn := "cn=" + ldap.EscapeDN(cn) + "," + GroupsDN
	s.Add(dn, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {cn}, "member": members})
	return dn
}

// Delete deletes an entry.
func (s *Slapd) Delete(dn string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

// Replace sets an attribute of an entry to values, or removes it where none are
// given. A new userPassword is a password change (pwdChangedTime follows).
func (s *Slapd) Replace(dn, attribute string, values ...string) {
	s.t.Helper()
	request := ldap.NewModifyRequest(dn, nil)
	request.Replace(attribute, values)
	s.Do(func(c *ldap.Conn) error { return c.Modify(request) })
}

func (s *Slapd) addGroups() {
	s.t.Helper()
	s.AddGroup("composers", MozartDN, BachDN)
	s.AddGroup("artists", "cn=composers,"+GroupsDN)
	s.AddGroup("thinkers", "uid=kant,ou=philosophs,"+BaseDN, "uid=schopenhauer,ou=philosophs,"+BaseDN)
}

func (s *Slapd) run() {
	urls := s.URL() + " " + s.TLSURL() + " " + s.SocketURL()
	p := Start(s.t, exec.Command(Program("slapd"), "-d", "0", "-f", s.path("slapd.conf"), "-h", urls))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
}

func (s *Slapd) dial() (*ldap.Conn, error) {
	return dialBound(s.URL(), AdminDN, Password, 5*time.Second)
}

// dialBound returns a connection that is bound as name; limit is an operation's.
func dialBound(url, name, password string, limit time.Duration, options ...ldap.DialOpt) (*ldap.Conn, error) {
	conn, err := ldap.DialURL(url, append(options, ldap.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}))...)
	if err != nil {
		return nil, err
	}
	conn.SetTimeout(limit)
	if err := conn.Bind(name, password); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// answers reports whether a server takes the bind of dial.
func answers(dial func() (*ldap.Conn, error)) bool {
	conn, err := dial()
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// doBound runs f on a connection of dial.
func doBound(t testing.TB, dial func() (*ldap.Conn, error), f func(*ldap.Conn) error) {
	t.Helper()
	conn, err := dial()
	must(t, err)
	defer conn.Close()
	must(t, f(conn))
}

func (s *Slapd) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Cmd.Process.Signal(sig)
	}
}

func (s *Slapd) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Slapd) write(name, content string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.path(name), []byte(content), 0o600))
}

func (s *Slapd) config() string {
	acl := s.opts.ACL
	if acl == "" {
		others := "* none"
		if s.opts.Anonymous {
			others = "* read"
		}
		acl = fmt.Sprintf(defaultACL, others)
	}
	return strings.NewReplacer("{dir}", s.dir, "{acl}", acl, "{more}", s.opts.Config, "{modules}", modulePath()).Replace(slapdConf)
}

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
moduleload refint
moduleload ppolicy
pidfile {dir}/slapd.pid
argsfile {dir}/slapd.args
TLSCACertificateFile {dir}/ca.crt
TLSCertificateFile {dir}/server.crt
TLSCertificateKeyFile {dir}/server.key
TLSProtocolMin 3.3
sizelimit 500
{acl}
database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw password
directory {dir}/db
maxsize 268435456
dbnosync
index objectClass,uid,mail,member,memberUid,memberOf eq
{more}
overlay memberof
memberof-refint true
overlay refint
refint_attributes member memberOf
overlay ppolicy
ppolicy_default "cn=default,ou=policies,dc=example,dc=com"
ppolicy_use_lockout
ppolicy_hash_cleartext
`

const policyLDIF = `
dn: ou=policies,dc=example,dc=com
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,dc=example,dc=com
objectClass: pwdPolicy
objectClass: device
cn: default
pwdAttribute: userPassword
pwdMustChange: %s
pwdLockout: %s
pwdMaxFailure: %d

`

func ldapBool(b bool) string { return strings.ToUpper(fmt.Sprint(b)) }

func addRequest(dn string, attributes map[string][]string) *ldap.AddRequest {
	request := ldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		request.Attribute(name, values)
	}
	return request
}

func modulePath() string {
	const debian = "/usr/lib/ldap"
	if _, err := os.Stat(debian); errors.Is(err, os.ErrNotExist) {
		return "/usr/lib/openldap"
	}
	return debian
}

func freePort(t testing.TB) int {
	t.Helper()
	at, err := netip.ParseAddrPort(FreeAddress(t))
	must(t, err)
	return int(at.Port())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
