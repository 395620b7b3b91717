package listener

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/acme"
)

// Certificates are the key pairs that the listener serves, each read again when its
// files' content changes, and the certificates that are ordered for other names. A bad
// new pair never replaces a good old one. It is safe for concurrent use.
type Certificates struct {
	pairs   []*pair       // in the config's order, the default pair last
	orders  *acme.Manager // nil: none are ordered
	current atomic.Pointer[byName]

	mu sync.Mutex // of each pair's loaded and sum
}

// pair is one key pair and where it comes from.
type pair struct {
	section  string // of the config, relative to `listen.tls`
	fallback bool   // it is the default pair
	cert     authn.File
	key      authn.SecretFile
	loaded   *tls.Certificate
	sum      [sha256.Size]byte // of what the files held
}

// byName is what a handshake looks into. It is immutable.
type byName struct {
	names    map[string][]*tls.Certificate // by name in lower case, *.NAME too
	fallback *tls.Certificate              // nil: there is no default pair
	ends     map[string]time.Time          // by a certificate's first name
}

// NewCertificates takes the pairs as they were read, and orders, which are of cfg.ACME
// (nil where that is). Its error joins *authn.KeyError values relative to `listen.tls`.
func NewCertificates(cfg *TLS, orders *acme.Manager) (*Certificates, error) {
	c := &Certificates{orders: orders}
	for i, p := range cfg.Certificates {
		c.pairs = append(c.pairs, &pair{section: fmt.Sprintf("certificates[%d].", i), cert: p.CertFile, key: p.KeyFile})
	}
	if cfg.CertFile.Name != "" {
		c.pairs = append(c.pairs, &pair{fallback: true, cert: cfg.CertFile, key: cfg.KeyFile})
	}
	var faults authn.Faults
	for _, p := range c.pairs {
		loaded, err := p.load(p.cert.Data, p.key.Secret)
		if err != nil {
			faults.Add(p.section+"cert_file", err)
			continue
		}
		p.loaded, p.sum = loaded, contentOf(p.cert.Data, p.key.Secret)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	c.indexLocked()
	c.warnOfDoubles(&faults)
	for i, s := range orders.States() {
		if c.paired(s.Name) {
			faults.Warn(fmt.Sprintf("acme.names[%d]", i), fmt.Errorf("%s is a name of a pair, so no certificate is ordered for it", s.Name))
		}
	}
	return c, faults.Err()
}

// Orders are the certificates that are ordered; nil: none.
func (c *Certificates) Orders() *acme.Manager {
	if c == nil {
		return nil
	}
	return c.orders
}

// Restore takes what was ordered before, see acme.Manager.Restore; nil does nothing.
func (c *Certificates) Restore(old *acme.Manager) {
	if c.Orders() != nil {
		c.orders.Restore(old)
	}
}

// Order orders what is due, see acme.Manager.Order.
func (c *Certificates) Order(ctx context.Context, start func(func())) {
	if c.Orders() != nil {
		c.orders.Order(ctx, c.paired, start)
	}
}

// paired reports whether a pair has the name, or a wildcard that takes it in.
func (c *Certificates) paired(name string) bool {
	exact, wildcard := keysOf(name)
	names := c.current.Load().names
	return len(names[exact]) > 0 || len(names[wildcard]) > 0
}

// Missing are the names that have no certificate yet, and why. One that has none does not
// hinder the others: none reports whether no handshake at all can succeed.
func (c *Certificates) Missing() (missing []acme.State, none bool) {
	if c == nil {
		return nil, false
	}
	none = len(c.pairs) == 0
	for _, s := range c.orders.States() {
		switch {
		case c.paired(s.Name):
		case s.Certificate == nil:
			missing = append(missing, s)
		default:
			none = false
		}
	}
	return missing, none
}

// warnOfDoubles names a pair that is never served under a name, as another one of the
// same kind of key comes before it.
func (c *Certificates) warnOfDoubles(faults *authn.Faults) {
	first := map[string]*pair{}
	for _, p := range c.pairs {
		for _, name := range namesOf(p.loaded.Leaf) {
			key := p.loaded.Leaf.PublicKeyAlgorithm.String() + " " + name
			if other := first[key]; other != nil && other != p {
				faults.Warn(p.section+"cert_file", fmt.Errorf("%s is a name of %s too, which is served for it", name, other.cert.Name))
			}
			first[key] = cmp.Or(first[key], p)
		}
	}
}

// CheckNames warns of public URLs whose name no certificate has. Where proxies are
// trusted they may ask for another one. Keys are relative to `listen`.
func (c *Config) CheckNames(certificates *Certificates) error {
	var faults authn.Faults
	for i, s := range c.PublicURLs {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || len(c.TrustedProxies) > 0 || certificates.covers(u.Hostname()) || certificates.orders.Has(u.Hostname()) {
			continue
		}
		faults.Warn(fmt.Sprintf("public_urls[%d]", i), fmt.Errorf("no certificate of listen.tls has the name %.100s, so clients will refuse the connection", u.Hostname()))
	}
	return faults.Err()
}

// covers reports whether a client that asks for the name is shown a certificate of that name.
func (c *Certificates) covers(name string) bool {
	cert, err := c.choose(&tls.ClientHelloInfo{ServerName: name})
	return err == nil && cert.Leaf.VerifyHostname(name) == nil
}

// Ends are when the certificates that are served now end, by their first names; none on nil.
func (c *Certificates) Ends() map[string]time.Time {
	if c == nil {
		return nil
	}
	ends := maps.Clone(c.current.Load().ends)
	for _, s := range c.orders.States() {
		if _, ok := ends[s.Name]; !ok && s.Certificate != nil && !c.paired(s.Name) {
			ends[s.Name] = s.Certificate.Leaf.NotAfter
		}
	}
	return ends
}

// Reload looks at the files again. It compares content, not times, because a
// Kubernetes volume swaps symbolic links. Of a pair with an error the old one stays.
func (c *Certificates) Reload() (changed bool, err error) {
	var faults []error
	for _, p := range c.pairs {
		swapped, err := c.reload(p)
		changed = changed || swapped
		faults = append(faults, err)
	}
	return changed, errors.Join(faults...)
}

func (c *Certificates) reload(p *pair) (changed bool, err error) {
	cert, err := p.cert.Again()
	if err != nil {
		return false, err
	}
	key, err := p.key.Again()
	if err != nil {
		return false, err
	}
	sum := contentOf(cert, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if sum == p.sum {
		return false, nil
	}
	loaded, err := p.load(cert, key)
	if err != nil {
		return false, err
	}
	p.loaded, p.sum = loaded, sum
	c.indexLocked()
	return true, nil
}

func contentOf(cert []byte, key authn.Secret) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(cert), cert, string(key)))
}

// load makes a pair of the texts.
func (p *pair) load(cert []byte, key authn.Secret) (*tls.Certificate, error) {
	loaded, err := tls.X509KeyPair(cert, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", p.cert.Name, p.key.Name, err)
	}
	if loaded.Leaf == nil {
		if loaded.Leaf, err = x509.ParseCertificate(loaded.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", p.cert.Name, err)
		}
	}
	return &loaded, nil
}

// indexLocked makes the pairs of this moment those that are served.
func (c *Certificates) indexLocked() {
	next := &byName{names: map[string][]*tls.Certificate{}, ends: map[string]time.Time{}}
	for _, p := range c.pairs {
		names := namesOf(p.loaded.Leaf)
		for _, name := range names {
			next.names[name] = append(next.names[name], p.loaded)
		}
		if p.fallback {
			next.fallback = p.loaded
		}
		label, end := append(names, filepath.Base(p.cert.Name))[0], p.loaded.Leaf.NotAfter
		if before, ok := next.ends[label]; !ok || end.Before(before) {
			next.ends[label] = end
		}
	}
	c.current.Store(next)
}

// namesOf are the names that a certificate is for, the first of which it is called by.
func namesOf(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{strings.ToLower(leaf.Subject.CommonName)}
	}
	return slices.Compact(names)
}

// keysOf are the names under which certificates for a name are found.
func keysOf(name string) (exact, wildcard string) {
	exact = strings.ToLower(name)
	_, parent, _ := strings.Cut(exact, ".")
	return exact, "*." + parent
}

// choose is the certificate for a handshake: one of the very name before one of a
// wildcard, and of several the first whose key the client can use; then one that was
// ordered; else the default pair.
func (c *Certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	current := c.current.Load()
	exact, wildcard := keysOf(hello.ServerName)
	for _, name := range []string{exact, wildcard} {
		list := current.names[name]
		for _, cert := range list {
			if hello.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
		if len(list) > 0 {
			return list[0], nil
		}
	}
	if ordered := c.orders.Certificate(exact); ordered != nil {
		return ordered, nil
	}
	if current.fallback == nil {
		return nil, fmt.Errorf("there is no certificate for %.100q, and no default pair", exact)
	}
	return current.fallback, nil
}
