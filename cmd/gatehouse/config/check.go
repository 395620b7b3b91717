package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/proxy/audit"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/tokens/store"
)

// settle brings what is left out to what stands beside it.
func (l *Loaded) settle() {
	l.walk(func(section field) {
		if section.value.Kind() != reflect.Struct || scalar(section.value.Type()) {
			return
		}
		for f := range fields(section.value) {
			other, ok := fieldOf(section.value, f.tag.below)
			if ok && !l.given(join(section.key, f.key)) && f.value.Int() > other.value.Int() {
				f.value.SetInt(other.value.Int())
			}
		}
	})
}

// given reports whether the file has the key.
func (l *Loaded) given(key string) bool {
	_, there := l.places[key]
	return there
}

// checkTags holds every value against what its tags say.
func (l *Loaded) checkTags() {
	l.walk(func(f field) {
		if f.option("required") && strings.TrimSpace(textOfField(f.value)) == "" && !l.Faulty(f.key) {
			l.Fault(f.key, "is required")
		}
		if problem := outside(f); problem != "" && l.given(f.key) && !l.Faulty(f.key) {
			l.Fault(f.key, "%s", problem)
		}
		if f.value.Kind() == reflect.Struct && !scalar(f.value.Type()) {
			l.checkPairs(f)
		}
	})
}

// outside is what a number or a time in no range of its tags is told.
func outside(f field) string {
	from, to := f.tag.min, f.tag.max
	if from == "" && to == "" {
		return ""
	}
	low, shown := bound(f.value, from)
	high, _ := bound(f.value, to)
	n := f.value.Int()
	switch {
	case to != "" && (n > high || n < low):
		return fmt.Sprintf("must be from %s to %s, not %s", from, to, shown)
	case n < low:
		return fmt.Sprintf("must be at least %s, not %s", from, shown)
	}
	return ""
}

// bound reads a number or a time of a tag, and returns how the value is written too.
func bound(v reflect.Value, text string) (n int64, shown string) {
	if v.Type() == durationType {
		d, _ := time.ParseDuration(text)
		return int64(d), time.Duration(v.Int()).String()
	}
	if v.Type() == sizeType {
		var limit content.Size
		_ = limit.UnmarshalText([]byte(text)) // of a tag, which a test reads
		return int64(limit), content.Size(v.Int()).String()
	}
	n, _ = strconv.ParseInt(text, 10, 64)
	return n, strconv.FormatInt(v.Int(), 10)
}

// checkPairs wants the keys that only mean something together.
func (l *Loaded) checkPairs(section field) {
	for f := range fields(section.value) {
		other, ok := fieldOf(section.value, f.tag.with)
		if ok && textOfField(f.value) != "" && textOfField(other.value) == "" {
			l.Fault(join(section.key, f.key), "needs %s beside it", join(section.key, other.key))
		}
	}
}

// checkSections asks each section what its tags cannot say.
func (l *Loaded) checkSections() {
	l.walk(func(f field) {
		if s, ok := f.value.Addr().Interface().(checker); ok {
			l.Errors(f.key, s.Check())
		}
	})
	c := &l.Config
	l.checkAddress("listen.address", c.Listen.Address)
	for key, address := range map[string]string{"listen.http_address": c.Listen.HTTPAddress, "admin.address": c.Admin.Address} {
		if address != "" {
			l.checkAddress(key, address)
		}
	}
	l.checkApart()
	l.checkUpstreams()
	l.checkRevoked()
	l.checkStreams(c)
	l.checkAudit()
	l.checkStore()
	l.checkACME()
	l.checkCache()
	l.checkUI(&c.Listen)
	l.checkDirectories()
}

func (l *Loaded) checkAddress(key, address string) {
	host, port, err := net.SplitHostPort(address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
		l.Fault(key, "%q is no address; write host:port or :port, such as 127.0.0.1:5000", Clip(address))
	} else if strings.ContainsAny(host, " /@") {
		l.Fault(key, "%q is no host name or address", Clip(host))
	}
}

// checkApart wants listeners at addresses of their own: where reuse_port shares them the
// kernel would open two at one address, and give each some of the connections.
func (l *Loaded) checkApart() {
	c := &l.Config
	all := []struct{ key, address string }{{"listen.address", c.Listen.Address}, {"listen.http_address", c.Listen.HTTPAddress}, {"admin.address", c.Admin.Address}}
	for i, later := range all {
		for _, first := range all[:i] {
			if sameAddress(first.address, later.address) {
				l.Fault(later.key, "is where %s listens already; choose another port", first.key)
				break
			}
		}
	}
}

// sameAddress reports whether two listeners would meet: at one port, which is none that
// the kernel chooses, of one host or of all.
func sameAddress(a, b string) bool {
	host, port, err := net.SplitHostPort(a)
	host2, port2, err2 := net.SplitHostPort(b)
	return err == nil && err2 == nil && port == port2 && strings.Trim(port, "0") != "" && (everyHost(host) || everyHost(host2) || strings.EqualFold(host, host2))
}

func everyHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

// checkUpstreams wants one way of naming registries. What leads to which, package proxy
// judges.
func (l *Loaded) checkUpstreams() {
	_, one := l.places["upstream"]
	_, several := l.places["upstreams"]
	switch {
	case one && several:
		l.Fault("upstreams", "stands beside upstream; move that into this list as one more, or take one of the two out")
	case several && len(l.Config.Upstreams) == 0 && !l.Faulty("upstreams"):
		l.Fault("upstreams", "has no registry; write at least one, or use upstream")
	case !several && strings.TrimSpace(l.Config.Upstream.URL) == "" && !l.Faulty("upstream.url"):
		l.Fault("upstream.url", "is required")
	}
}

// checkRevoked finds a revoked person of a directory that is not there.
func (l *Loaded) checkRevoked() {
	for i, r := range l.Config.Tokens.Revoked {
		directory, _ := r.Person()
		key := fmt.Sprintf("tokens.revoked[%d].user", i)
		known := func(d Directory) bool { return d.Name == directory }
		if strings.Contains(r.User, "/") && !l.Faulty(key) && !slices.ContainsFunc(l.Config.Directories, known) {
			l.Fault(key, "there is no directory %q; a name that has a slash itself is written DIRECTORY/%s", Clip(directory), Clip(r.User))
		}
	}
}

// maxSocketPath is in bytes: the system takes 107, and a new socket has a longer name at first.
const maxSocketPath = 100

// checkStreams checks the log and who may see the admin listener.
func (l *Loaded) checkStreams(c *Config) {
	if err := new(slog.Level).UnmarshalText([]byte(c.Log.Level)); (err != nil || strings.ContainsAny(c.Log.Level, "+-")) && !l.Faulty("log.level") {
		l.Fault("log.level", "must be debug, info, warn or error, not %q", Clip(c.Log.Level))
	}
	if path := l.AdminSocket(); len(path) > maxSocketPath {
		l.Fault("admin.socket", "%s is longer than the %d bytes that the path of a socket may have", path, maxSocketPath)
	} else if strings.ContainsRune(path, 0) || strings.HasSuffix(c.Admin.Socket, "/") {
		l.Fault("admin.socket", "%q is no name of a file", Clip(c.Admin.Socket))
	} else if path != "" {
		l.checkSocketFile(path)
	}
	host, _, err := net.SplitHostPort(c.Admin.Address)
	if addr, aerr := netip.ParseAddr(host); err == nil && (host == "" || aerr == nil && addr.IsUnspecified()) {
		l.Warn("admin.address", "answers on every address of the machine: metrics and health ask for no login, so keep clients from it, or name one address")
	}
	if addr, err := netip.ParseAddr(host); c.Admin.Pprof && host != "localhost" && (err != nil || !addr.IsLoopback()) {
		l.Warn("admin.pprof", "admin.address is not on loopback: whoever reaches it can read the process' memory")
	}
}

// checkSocketFile looks whether admin.socket could be made. A folder under /run may be missing
// until the service manager makes it at the start.
func (l *Loaded) checkSocketFile(path string) {
	switch info, err := os.Lstat(path); {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		l.Fault("admin.socket", "%s is there already and is no socket", l.Config.Admin.Socket)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		l.Fault("admin.socket", "%s cannot be used: %v", l.Config.Admin.Socket, reason(err))
	case err != nil && !isDir(filepath.Dir(path)) && !strings.HasPrefix(path, "/run/") && !strings.HasPrefix(path, "/var/run/"):
		l.Fault("admin.socket", "%s cannot be used: its folder does not exist", l.Config.Admin.Socket)
	}
}

// checkAudit looks whether the audit stream could be opened. It creates no file: serve does.
func (l *Loaded) checkAudit() {
	name := l.AuditFile()
	if name == "" || name == "-" {
		return
	}
	l.files["audit.file"] = true
	if err := audit.CheckFile(name); err != nil {
		l.Fault("audit.file", "%s cannot be used: %v", l.Config.Audit.File, err)
	} else if !isDir(filepath.Dir(name)) {
		l.Fault("audit.file", "%s cannot be used: its folder does not exist", l.Config.Audit.File)
	}
}

// checkStore looks at the store's file from outside: nothing is made or locked.
func (l *Loaded) checkStore() {
	if l.Config.PersonalTokens.Enabled && !l.Config.Store.Configured() {
		l.Fault("personal_tokens.enabled", "needs a store; give store.file for one gateway, store.redis.url for several")
	}
	name := l.StoreFile()
	if name == "" {
		return
	}
	l.files["store.file"] = true
	switch err := store.CheckFile(name); {
	case errors.Is(err, fs.ErrNotExist) && !isDir(filepath.Dir(name)):
		l.Fault("store.file", "%s cannot be used: its folder does not exist", l.Config.Store.File)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		l.Fault("store.file", "%s cannot be used: %v", l.Config.Store.File, reason(err))
	}
}

// checkCache warns of times so long that hardly anybody means them, and looks whether others could
// put something in the place of what is kept. It makes no folder: serve does.
func (l *Loaded) checkCache() {
	if c := l.Config.Cache; c != nil {
		if c.Small > c.Memory && !l.Faulty("cache.memory") && !l.Faulty("cache.small") {
			l.Fault("cache.small", "%s is above memory (%s); nothing so large could be kept", c.Small, c.Memory)
		}
		l.warnLong("cache.fresh_for", c.FreshFor, time.Hour, "what is deleted behind the gateway's back is served so long")
		l.warnLong("cache.stale_for", c.StaleFor, 7*24*time.Hour, "what is deleted is served so long while the registry is away")
		l.warnLong("cache.tags_fresh_for", c.TagsFreshFor, time.Hour, "what is pushed behind the gateway's back, or through another one, is not seen so long")
	}
	if l.Config.CacheDir() == "" {
		for _, key := range []string{"cache.disk", "cache.free"} {
			if l.given(key) && !l.Faulty(key) && !l.Faulty("cache.dir") {
				l.Fault(key, "needs cache.dir beside it")
			}
		}
		return
	}
	l.files["cache.dir"] = true
	dir := l.Config.CacheDir()
	if err := l.owners.checkFolder(dir, l.Path(dir)); err != nil {
		l.Fault("cache.dir", "%v", err)
	}
}

func (l *Loaded) warnLong(key string, given, most time.Duration, means string) {
	if given > most {
		l.Warn(key, "%s is long: %s", given, means)
	}
}

// checkUI warns of pages whose sessions others could read, and whose links a request's Host
// decides.
func (l *Loaded) checkUI(c *listener.Config) {
	if !l.Config.UI.Enabled {
		return
	}
	if c.TLS == nil && !listener.Loopback(c.Address) {
		l.Warn("ui.enabled", "listen.tls is not given and listen.address is not on loopback: over plain HTTP passwords and sessions can be read on their way; give listen.tls, or let a trusted proxy end TLS")
	}
	if len(c.PublicURLs) == 0 {
		l.Warn("ui.enabled", "listen.public_urls is not given: links and commands on the pages name whatever host a request names")
	}
}

var directoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func (l *Loaded) checkDirectories() {
	seen := map[string]int{}
	for i := range l.Config.Directories {
		d, key := &l.Config.Directories[i], fmt.Sprintf("directories[%d]", i)
		if d.Name != "" && !directoryName.MatchString(d.Name) {
			l.Fault(key+".name", "%q is no directory name; use lower-case letters, digits, . _ and -", Clip(d.Name))
		}
		if first, ok := seen[d.Name]; ok && d.Name != "" {
			l.Fault(key+".name", "%q is the name of directories[%d] too; names must differ", Clip(d.Name), first)
		}
		seen[d.Name] = i
		l.checkKinds(key, d)
	}
	l.checkHashes()
	l.checkIssuers()
	l.checkCertificates()
}

// checkKinds wants a directory of one kind.
func (l *Loaded) checkKinds(key string, d *Directory) {
	var kinds []string
	faulty := l.reported(key)
	for _, kind := range []struct {
		name  string
		there bool
	}{{"static", d.Static != nil}, {"ldap", d.LDAP != nil}, {"machines", d.Machines != nil}, {"oidc", d.OIDC != nil}, {"certificates", d.Certificates != nil}} {
		faulty = faulty || l.Faulty(key+"."+kind.name)
		if kind.there {
			kinds = append(kinds, kind.name)
		}
	}
	switch {
	case len(kinds) > 1:
		l.Fault(key, "has %s; make %s directories of it", strings.Join(kinds, " and "), []string{2: "two", 3: "three", 4: "four", 5: "five"}[len(kinds)])
	case len(kinds) == 0 && !faulty:
		l.Fault(key, "needs either static or ldap, or machines, oidc or certificates")
	case d.Static != nil && len(d.Static) == 0 && !l.Faulty(key+".static"):
		l.Warn(key+".static", "has no users")
	}
}

// checkHashes finds a token that two directories give to a machine of theirs.
func (l *Loaded) checkHashes() {
	seen := map[string]int{}
	for i := range l.Config.Directories {
		for j, m := range l.Config.Directories[i].Machines {
			for k, t := range m.Tokens {
				hash := strings.ToLower(t.Hash)
				if first, ok := seen[hash]; ok && first != i && hash != "" {
					l.Fault(fmt.Sprintf("directories[%d].machines[%d].tokens[%d].hash", i, j, k), "stands in directories[%d] too; each machine needs tokens of its own", first)
				}
				seen[hash] = i
			}
		}
	}
}

// checkIssuers finds an issuer that two directories have: which of them decides nobody
// would see.
func (l *Loaded) checkIssuers() {
	seen := map[string]int{}
	for i, d := range l.Config.Directories {
		if d.OIDC == nil || d.OIDC.Issuer == "" {
			continue
		}
		if first, ok := seen[d.OIDC.Issuer]; ok {
			l.Fault(fmt.Sprintf("directories[%d].oidc.issuer", i), "is the issuer of directories[%d] too; put the workloads of both into one", first)
			continue
		}
		seen[d.OIDC.Issuer] = i
	}
}

// checkCertificates wants that clients are asked for certificates, and one directory of
// them: a list of revoked ones in another would not count.
func (l *Loaded) checkCertificates() {
	first := -1
	for i, d := range l.Config.Directories {
		key := fmt.Sprintf("directories[%d].certificates", i)
		switch t := l.Config.Listen.TLS; {
		case d.Certificates == nil:
			continue
		case (t == nil || t.ClientCAFile.Name == "") && !l.Faulty("listen.tls"):
			l.Fault(key, "needs listen.tls.client_ca_file: without it no client is asked for a certificate")
		case first >= 0:
			l.Fault(key, "directories[%d] has certificates too; put the workloads of both into one", first)
		}
		if first < 0 {
			first = i
		}
	}
}
