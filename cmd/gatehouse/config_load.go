package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/authn"
)

// customSuffix names the file that is loaded instead of the config it stands beside.
const customSuffix = ".custom"

// loaded is a config as it was read, with everything that is wrong with it.
type loaded struct {
	report
	folder string // relative names start here
	custom bool   // the .custom file was read
	cfg    config
}

// loadConfig reads and checks a config. It touches nothing but files, and what
// it finds stands in the report.
func loadConfig(path string) *loaded {
	l := &loaded{report: report{file: path}, folder: filepath.Dir(path)}
	text, err := readRegular(path + customSuffix)
	if l.custom = !errors.Is(err, fs.ErrNotExist); l.custom {
		l.file += customSuffix
	} else {
		text, err = readRegular(path)
	}
	if err != nil {
		l.at(place{}, "", "cannot be read: %v; name the config with -c or $GATEHOUSE_CONFIG", reason(err))
		return l
	}
	l.places = decodeConfig(bytes.TrimPrefix(text, []byte("\ufeff")), &l.cfg, &l.report)
	if l.decoded() {
		l.check()
	}
	return l
}

// decoded says that the file could be read as YAML; which keys are missing is
// only known then.
func (l *loaded) decoded() bool {
	return !slices.ContainsFunc(l.findings, func(f finding) bool { return f.key == "" && !strings.HasPrefix(f.text, "unknown key") })
}

// reason is an error without the path that the message names already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readRegular reads a file, but no pipe or device that might never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a folder")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no ordinary file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
}

// path is a file name of the config, from the config's own folder.
func (l *loaded) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.folder, name)
}

// read returns what the file of a key holds; nil and a fault where it cannot.
func (l *loaded) read(key, name string) []byte {
	text, err := readRegular(l.path(name))
	if err != nil {
		l.content(key, "%s cannot be read: %v", name, reason(err))
		return nil
	}
	if len(text) > maxConfigBytes {
		l.content(key, "%s is larger than %d MiB", name, maxConfigBytes>>20)
		return nil
	}
	return text
}

// secret reads a file that must be kept from others, without the CR and LF at
// its end, which an editor adds.
func (l *loaded) secret(key, name string) []byte {
	text := l.read(key, name)
	if text == nil {
		return nil
	}
	l.checkMode(key, name)
	if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
		l.content(key, "%s is empty; write the secret into it", name)
		return nil
	}
	return text
}

// secretAgain returns a function that reads a secret's file once more, for a
// directory whose server refuses what the file held. It is held to the same rules.
func (l *loaded) secretAgain(key, name string) func() (authn.Secret, error) {
	folder := l.folder
	return func() (authn.Secret, error) {
		again := loaded{folder: folder}
		text := again.secret(key, name)
		for _, f := range again.faults() {
			return "", errors.New(f.text)
		}
		return authn.Secret(text), nil
	}
}

func (l *loaded) checkMode(key, name string) {
	info, err := os.Stat(l.path(name))
	if err != nil {
		return
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		l.content(key, "%s can be written by others (mode %04o); chmod go-w it", name, mode)
	case mode&0o044 != 0:
		l.warn(key, "%s can be read by others (mode %04o); chmod go-r it", name, mode)
	}
}

// check holds the values against what the contract says of them. What only the
// packages know (filters, patterns, hashes, URLs) they check themselves.
func (l *loaded) check() {
	c := &l.cfg
	l.checkAddress("listen.address", c.Listen.Address)
	if c.Admin.Address != "" {
		l.checkAddress("admin.address", c.Admin.Address)
	}
	if c.Listen.TLS != nil {
		l.need("listen.tls.cert_file", c.Listen.TLS.CertFile)
		l.need("listen.tls.key_file", c.Listen.TLS.KeyFile)
		if v := c.Listen.TLS.MinVersion; v != "1.2" && v != "1.3" {
			l.fault("listen.tls.min_version", `must be "1.2" or "1.3", not %q`, clip(string(v)))
		}
	}
	l.checkPlaintext(&c.Listen)
	l.checkUpstream(&c.Upstream)
	l.checkTokens(&c.Tokens)
	l.checkThrottle(&c.Throttle)
	l.checkLimits(&c.Limits)
	l.checkStreams(c)
	l.checkDirectories()
}

// need is a fault where a required text is missing.
func (l *loaded) need(key, value string) bool {
	if strings.TrimSpace(value) == "" {
		if !l.faulty(key) {
			l.fault(key, "is required")
		}
		return false
	}
	return true
}

// pair is a fault where one of two keys stands without the other.
func (l *loaded) pair(first, a, second, b string) {
	if (a == "") != (b == "") {
		if a == "" {
			first, second = second, first
		}
		l.fault(first, "needs %s beside it", second)
	}
}

func (l *loaded) checkAddress(key, address string) {
	host, port, err := net.SplitHostPort(address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
		l.fault(key, "%q is no address; write host:port or :port, such as 127.0.0.1:5000", clip(address))
	} else if strings.ContainsAny(host, " /@") {
		l.fault(key, "%q is no host name or address", clip(host))
	}
}

// checkPlaintext warns of a listener that serves less, or shows more, than its
// owner may think.
func (l *loaded) checkPlaintext(c *listenConfig) {
	host, _, err := net.SplitHostPort(c.Address)
	addr, aerr := netip.ParseAddr(host)
	local := host == "localhost" || aerr == nil && addr.IsLoopback()
	switch {
	case c.TLS != nil || err != nil || local:
	case c.AllowPlaintext:
		l.warn("listen.allow_plaintext", "without tls, passwords and tokens cross the network in the clear")
	case len(c.TrustedProxies) == 0:
		l.warn("listen.address", "without tls, only clients on loopback are served; give listen.tls, or listen.trusted_proxies where a proxy ends TLS")
	}
}

func (l *loaded) checkUpstream(u *upstreamConfig) {
	l.need("upstream.url", u.URL)
	l.pair("upstream.cert_file", u.CertFile, "upstream.key_file", u.KeyFile)
	l.pair("upstream.username", u.Username, "upstream.password_file", u.PasswordFile)
	l.positive("upstream.timeout", u.Timeout)
	if u.CAFile+u.CertFile != "" && strings.HasPrefix(strings.ToLower(u.URL), "http:") {
		l.fault("upstream.url", "is http, where ca_file and cert_file mean nothing; write https or remove them")
	}
}

func (l *loaded) positive(key string, t time.Duration) {
	if t <= 0 && !l.faulty(key) {
		l.fault(key, "must be above 0s")
	}
}

func (l *loaded) checkTokens(t *tokensConfig) {
	for key, value := range map[string]string{"tokens.service": t.Service, "tokens.issuer": t.Issuer} {
		if l.need(key, value) && strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c > '~' }) {
			l.fault(key, "may hold printable ASCII without \" and \\ only, because it stands in a header")
		}
	}
	for _, word := range []string{"basic", "bearer"} {
		if strings.Contains(strings.ToLower(t.Service), word) {
			l.warn("tokens.service", "has the word %q: some clients look for it anywhere in the challenge, and take it for the scheme", word)
		}
	}
	if t.Lifetime < time.Minute || t.Lifetime > time.Hour {
		l.fault("tokens.lifetime", "must be from 60s to 1h, not %s", t.Lifetime)
	}
	if t.RefreshLifetime > 0 && t.RefreshLifetime < t.Lifetime {
		l.fault("tokens.refresh_lifetime", "must be 0s (off) or longer than tokens.lifetime (%s)", t.Lifetime)
	}
	for i := range t.Revoked {
		l.checkRevoked(fmt.Sprintf("tokens.revoked[%d]", i), &t.Revoked[i])
	}
}

// checkRevoked wants a list that does what its author thinks: in an emergency
// nobody looks twice.
func (l *loaded) checkRevoked(key string, r *revokedConfig) {
	given := func(name string) bool { _, ok := l.places[key+"."+name]; return ok }
	token, user, before := given("token"), given("user"), given("issued_before")
	if token == (user || before) {
		l.fault(key, "needs token alone, or user, or issued_before, or user and issued_before")
	}
	if token && !tokenID.MatchString(r.Token) && !l.faulty(key+".token") {
		l.fault(key+".token", "is no token id; the log's token_id is one")
	}
	if user && !l.faulty(key+".user") {
		l.checkPerson(key+".user", r.User)
	}
	if r.IssuedBefore.After(time.Now()) {
		l.warn(key+".issued_before", "%s is still to come: until then new tokens are refused too", r.IssuedBefore.Format(time.RFC3339))
	}
}

// checkPerson wants NAME or DIRECTORY/NAME.
func (l *loaded) checkPerson(key, person string) {
	directory, name := splitPerson(person)
	known := slices.ContainsFunc(l.cfg.Directories, func(d directoryConfig) bool { return d.Name == directory })
	switch {
	case name == "" || strings.TrimSpace(person) != person || strings.Contains(person, "*"):
		l.fault(key, "%q is no person; write NAME or DIRECTORY/NAME", clip(person))
	case strings.Contains(person, "/") && !known:
		l.fault(key, "there is no directory %q", clip(directory))
	}
}

// splitPerson gives the parts in lower case; no directory: any.
func splitPerson(person string) (directory, name string) {
	person = strings.ToLower(person)
	if directory, name, bound := strings.Cut(person, "/"); bound {
		return directory, name
	}
	return "", person
}

// tokenID is what a jti looks like. A whole token does not: a secret must not
// stand in a config, and would match nothing.
var tokenID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (l *loaded) checkThrottle(t *throttleConfig) {
	if t.Failures < 0 {
		l.fault("throttle.failures", "must be 0 (off) or more")
	}
	if t.UsersPerSource < 0 {
		l.fault("throttle.users_per_source", "must be 0 (off) or more")
	}
	if t.Failures+t.UsersPerSource > 0 {
		l.positive("throttle.window", t.Window)
	}
}

// checkStreams checks the log, the audit and what the admin listener shows. It
// creates no file: serve does.
func (l *loaded) checkStreams(c *config) {
	if err := new(slog.Level).UnmarshalText([]byte(c.Log.Level)); (err != nil || strings.ContainsAny(c.Log.Level, "+-")) && !l.faulty("log.level") {
		l.fault("log.level", "must be debug, info, warn or error, not %q", clip(c.Log.Level))
	}
	if (c.Audit.PerSecond < 1 || c.Audit.PerSecond > 1_000_000) && !l.faulty("audit.per_second") {
		l.fault("audit.per_second", "must be from 1 to 1000000, not %d", c.Audit.PerSecond)
	}
	if name := c.Audit.File; name != "" && name != "-" {
		if err := auditable(l.path(name)); err != nil {
			l.content("audit.file", "%s cannot be used: %v", name, err)
		} else if !isDir(filepath.Dir(l.path(name))) {
			l.content("audit.file", "%s cannot be used: its folder does not exist", name)
		}
	}
	host, _, _ := net.SplitHostPort(c.Admin.Address)
	if addr, err := netip.ParseAddr(host); c.Admin.Pprof && host != "localhost" && (err != nil || !addr.IsLoopback()) {
		l.warn("admin.pprof", "admin.address is not on loopback: whoever reaches it can read the process' memory")
	}
}

// auditFile is the audit stream's name, with its path.
func (l *loaded) auditFile() string {
	if name := l.cfg.Audit.File; name == "" || name == "-" {
		return name
	}
	return l.path(l.cfg.Audit.File)
}

// checkLimits keeps limits in a range in which the gateway works. Caps may be 0: off.
func (l *loaded) checkLimits(c *limitsConfig) {
	const many = 1 << 24
	if c.HeaderTimeout < time.Second || c.HeaderTimeout > 5*time.Minute {
		l.fault("limits.header_timeout", "must be from 1s to 5m, not %s", c.HeaderTimeout)
	}
	for _, v := range []struct {
		key             string
		value, from, to int
	}{
		{"header_fields", c.HeaderFields, 20, 10_000}, {"header_bytes", c.HeaderBytes, 20 << 10, 1 << 20}, // a token may have 16 KiB
		{"http2_streams", c.HTTP2Streams, 0, 100}, {"form_bytes", c.FormBytes, 20 << 10, 128 << 10}, {"scopes", c.Scopes, 1, 1000},
		{"min_rate", c.MinRate, 0, many}, {"connections", c.Connections, 0, many}, {"connections_per_address", c.ConnectionsPerAddress, 0, many},
		{"logins_per_user", c.LoginsPerUser, 0, many}, {"uploads_per_user", c.UploadsPerUser, 0, many},
		{"requests_per_user", c.RequestsPerUser, 0, many}, {"passwords_waiting", c.PasswordsWaiting, 1, many},
	} {
		if v.value < v.from || v.value > v.to {
			l.fault("limits."+v.key, "must be from %d to %d, not %d", v.from, v.to, v.value)
		}
	}
}

var directoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func (l *loaded) checkDirectories() {
	seen := map[string]int{}
	for i := range l.cfg.Directories {
		d, key := &l.cfg.Directories[i], fmt.Sprintf("directories[%d]", i)
		if l.need(key+".name", d.Name) && !directoryName.MatchString(d.Name) {
			l.fault(key+".name", "%q is no directory name; use lower-case letters, digits, . _ and -", clip(d.Name))
		}
		if first, ok := seen[d.Name]; ok && d.Name != "" {
			l.fault(key+".name", "%q is the name of directories[%d] too; names must differ", clip(d.Name), first)
		}
		seen[d.Name] = i
		_, static := l.places[key+".static"]
		switch {
		case static && d.LDAP != nil:
			l.fault(key, "has static and ldap; make two directories of it")
		case !static && d.LDAP == nil && !l.faulty(key+".ldap") && !l.faulty(key):
			l.fault(key, "needs either static or ldap")
		case d.LDAP != nil:
			l.checkLDAP(key+".ldap", d.LDAP)
		case static && len(d.Static) == 0 && !l.faulty(key+".static"):
			l.warn(key+".static", "has no users")
		}
	}
}

func (l *loaded) checkLDAP(key string, c *ldapConfig) {
	completeLDAP(c)
	l.pair(key+".bind_dn", c.BindDN, key+".bind_password_file", c.BindPasswordFile)
	l.pair(key+".cert_file", c.CertFile, key+".key_file", c.KeyFile)
	l.positive(key+".timeout", c.Timeout)
	if g := c.Groups; g != nil && g.Base+g.MemberOfBase == "" && !g.Nested {
		l.fault(key+".groups", "needs base, where groups are searched, or member_of_base, below which the entry's memberOf counts; without the section all of memberOf counts")
	}
	cache := &c.Cache
	if cache.PasswordFor > cache.FreshFor {
		if _, explicit := l.places[key+".cache.password_for"]; explicit {
			l.warn(key+".cache.password_for", "%s is longer than fresh_for; %s counts", cache.PasswordFor, cache.FreshFor)
		}
		cache.PasswordFor = cache.FreshFor
	}
}
