package store

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/authn"
)

// Config is the section `store`: where personal tokens and what is revoked are kept.
type Config struct {
	// File is a bbolt file, made with mode 0600, for one gateway alone. Empty, the
	// default: there is none. Beside redis it is an error.
	File string `yaml:"file"`
	// Redis is a server that gateways with the same config and key files share.
	Redis Redis `yaml:"redis"`
	// FreshFor is how long an answer of Redis is kept. Default 15s.
	FreshFor time.Duration `yaml:"fresh_for" min:"0s" max:"10m"`
	// StaleFor is how long tokens that are known go on while Redis is at fault. Default 5m.
	StaleFor time.Duration `yaml:"stale_for" min:"0s" max:"24h"`
}

// Redis is the section `store.redis`. Valkey is meant too.
type Redis struct {
	// URL is redis://host:6379, rediss:// with TLS, redis+sentinel://host:26379,host/NAME or
	// redis+cluster://host:6379,host; behind redis:// and rediss:// a database number may
	// stand (/2). Empty, the default: there is none.
	URL string `yaml:"url"`
	// Username is who we are there. Empty: Redis' default user.
	Username string `yaml:"username"`
	// PasswordFile holds the password; it is read again for each connection. Default none.
	PasswordFile authn.SecretFile `yaml:"password_file"`
	// CAFile is a PEM file of who signs the server's certificate, instead of the system's
	// authorities; with Sentinel and Cluster it switches TLS on. Default none.
	CAFile authn.File `yaml:"ca_file"`
	// Prefix begins the names of all keys. Default "gatehouse:".
	Prefix string `yaml:"prefix"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() {
	c.FreshFor, c.StaleFor, c.Redis.Prefix = 15*time.Second, 5*time.Minute, "gatehouse:"
}

// Configured reports whether there is a store.
func (c *Config) Configured() bool { return c.File != "" || c.Redis.URL != "" }

// Same reports whether both are the same store, asked in the same way.
func (c *Config) Same(other *Config) bool {
	return c.File == other.File && c.Redis.URL == other.Redis.URL && c.Redis.Username == other.Redis.Username && c.Redis.Prefix == other.Redis.Prefix &&
		c.Redis.PasswordFile.Name == other.Redis.PasswordFile.Name && string(c.Redis.CAFile.Data) == string(other.Redis.CAFile.Data) &&
		c.FreshFor == other.FreshFor && c.StaleFor == other.StaleFor
}

// Check finds two stores, and what cannot be an address of Redis. Its error joins
// *authn.KeyError values with keys relative to `store`.
func (c *Config) Check() error {
	var faults authn.Faults
	r := &c.Redis
	switch {
	case c.File != "" && r.URL != "":
		faults.Add("file", errors.New("stands beside redis.url; a gateway has one store"))
	case r.URL == "" && (r.Username != "" || r.PasswordFile.Name != "" || r.CAFile.Name != ""):
		faults.Add("redis", errors.New("needs url"))
	case r.URL != "":
		r.check(&faults)
	}
	if c.StaleFor < c.FreshFor {
		faults.Add("stale_for", fmt.Errorf("%s is shorter than fresh_for (%s); 0s for both keeps nothing", c.StaleFor, c.FreshFor))
	}
	return faults.Err()
}

func (r *Redis) check(faults *authn.Faults) {
	at, err := r.address()
	faults.Add("redis.url", err)
	if r.Prefix == "" {
		faults.Add("redis.prefix", errors.New("is empty; what is ours has to be told from what is others'"))
	}
	if strings.ContainsFunc(r.Prefix, func(c rune) bool { return c <= ' ' || c == '*' || c == '?' || c == '[' || c > '~' }) {
		faults.Add("redis.prefix", fmt.Errorf("%.40q may hold printable ASCII without blanks, *, ? and [ only", r.Prefix))
	}
	if err != nil {
		return
	}
	if r.Username != "" && r.PasswordFile.Name == "" {
		faults.Add("redis.username", errors.New("needs password_file beside it"))
	}
	if r.CAFile.Name != "" && !at.tls {
		faults.Add("redis.ca_file", errors.New("is not used over redis://; write rediss://"))
	}
	if r.CAFile.Data != nil {
		_, err := authn.CertPool(r.CAFile)
		faults.Add("redis.ca_file", err)
	}
	if !at.tls && !at.loopback() {
		faults.Warn("redis.url", errors.New("is not encrypted: whoever can listen on the way reads its password, and may change what is revoked; use TLS"))
	}
}

// address is what a URL of Redis says.
type address struct {
	hosts    []string // host:port
	master   string   // Sentinel's name for the master
	cluster  bool
	tls      bool
	database int
}

// schemes are the ways to Redis, with the port where none is given.
var schemes = map[string]string{"redis": "6379", "rediss": "6379", "redis+sentinel": "26379", "redis+cluster": "6379"}

// address reads URL.
func (r *Redis) address() (address, error) {
	scheme, rest, ok := strings.Cut(r.URL, "://")
	port, known := schemes[scheme]
	if !ok || !known {
		return address{}, errors.New("must begin with redis://, rediss://, redis+sentinel:// or redis+cluster://")
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if strings.Contains(hosts, "@") {
		return address{}, errors.New("holds a name or a password; write username and password_file")
	}
	a := address{cluster: scheme == "redis+cluster", tls: scheme == "rediss" || strings.Contains(scheme, "+") && r.CAFile.Name != ""}
	for host := range strings.SplitSeq(hosts, ",") {
		at, err := hostPort(host, port)
		if err != nil {
			return address{}, err
		}
		a.hosts = append(a.hosts, at)
	}
	if len(a.hosts) > 1 && !strings.Contains(scheme, "+") {
		return address{}, errors.New("names several servers; write redis+sentinel:// or redis+cluster://")
	}
	return a, a.path(scheme, path)
}

// path reads what stands behind the hosts.
func (a *address) path(scheme, path string) (err error) {
	switch {
	case scheme == "redis+sentinel":
		if a.master = path; path == "" || strings.ContainsAny(path, "/?#") {
			return errors.New("needs Sentinel's name for the master: redis+sentinel://host:26379,host:26379/NAME")
		}
	case path == "":
	case a.cluster:
		return errors.New("a cluster has no databases; take out what stands behind the hosts")
	default:
		if a.database, err = strconv.Atoi(path); err != nil || a.database < 0 || path[0] == '+' {
			return fmt.Errorf("%.40q is no number of a database", path)
		}
	}
	return nil
}

// hostPort is a host with its port.
func hostPort(text, port string) (string, error) {
	u, err := url.Parse("redis://" + text)
	if err != nil || u.Hostname() == "" || u.Host != text || strings.HasSuffix(text, ":") {
		return "", fmt.Errorf("%.100q is no host:port", text)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%.100q is no host:port", text)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// loopback reports whether all hosts are this machine.
func (a *address) loopback() bool {
	for _, at := range a.hosts {
		host, _, _ := net.SplitHostPort(at)
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
