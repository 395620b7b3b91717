package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

// Config is the section `upstream`: the registry that requests go to.
type Config struct {
	// URL is where the registry answers: http or https, with a path prefix or without,
	// never ending in /v2, which the gateway adds. Required.
	URL string `yaml:"url,needed"`
	// CAFile is a PEM file of further trusted authorities, only with https. Default: none.
	CAFile authn.File `yaml:"ca_file"`
	// CertFile is the PEM certificate that the registry gets to see. Only with https.
	CertFile authn.File `yaml:"cert_file" with:"key_file"`
	// KeyFile is its key.
	KeyFile authn.SecretFile `yaml:"key_file" with:"cert_file"`
	// Username is who the gateway is at the registry, by Basic credentials. Empty: nobody.
	Username string `yaml:"username" with:"password_file"`
	// PasswordFile holds its password.
	PasswordFile authn.SecretFile `yaml:"password_file" with:"username"`
	// Timeout is how long response headers may take once a request is sent; the end of
	// an upload and a manifest PUT have 15m at least. Default 30s.
	Timeout time.Duration `yaml:"timeout" min:"1s"`
	// IdleTimeout is how long an idle connection is kept. It should be shorter than what
	// the registry, or what stands in front of it, keeps one for. Default 45s, 1s to 10m.
	IdleTimeout time.Duration `yaml:"idle_timeout" min:"1s" max:"10m"`
	// BlobMount is whether mounts are passed on: auto where the source is seen to have
	// the blob, true without asking, false never. Default auto.
	BlobMount BlobMount `yaml:"blob_mount" values:"auto true false"`
	// RedirectHosts are the hosts that a redirect may lead to which answers a GET or HEAD
	// of a blob or manifest: host, host:port or *.suffix. Default none.
	RedirectHosts []string `yaml:"redirect_hosts"`
	// Dial makes the connections; nil: by TCP, within 3s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `yaml:"-" json:"-"`

	listed string // the key of URL where it is one of a list, see Entry; empty: url
}

// Defaults fills in what the file may leave out.
func (c *Config) Defaults() {
	c.Timeout, c.IdleTimeout, c.BlobMount = defaultTimeout, defaultIdle, MountAuto
}

// Check finds files that mean nothing over plain HTTP, and warns of a password there.
// Keys are relative to `upstream`.
func (c *Config) Check() error {
	var faults authn.Faults
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http":
	case c.CAFile.Name+c.CertFile.Name != "":
		faults.Add(c.urlKey(), errors.New("is http, where ca_file and cert_file mean nothing; write https or remove them"))
	case c.Username != "" && !loopback(u.Hostname()):
		faults.Warn("username", errors.New("its password crosses the network in the clear, as upstream.url is http; use https"))
	}
	return faults.Err()
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

const (
	defaultTimeout = 30 * time.Second
	defaultIdle    = 45 * time.Second
)

// BlobMount is whether a mount is passed on.
type BlobMount string

// The values of `blob_mount`; the zero value is MountAuto.
const (
	MountAuto   BlobMount = "auto"
	MountAlways BlobMount = "true"
	MountNever  BlobMount = "false"
)

// UnmarshalText takes auto, true and false; the latter are truths in YAML.
func (b *BlobMount) UnmarshalText(text []byte) error {
	switch v := BlobMount(strings.ToLower(string(text))); v {
	case MountAuto, MountAlways, MountNever:
		*b = v
		return nil
	}
	return errors.New("must be auto, true or false")
}

func (c *Config) urlKey() string {
	if c.listed != "" {
		return c.listed
	}
	return "url"
}

// parse reads what has a grammar. Keys are relative to `upstream`.
func (c *Config) parse() (*url.URL, error) {
	var faults authn.Faults
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		faults.Add(c.urlKey(), errors.New("is no URL such as http://127.0.0.1:5001 (credentials go into upstream.username and password_file)"))
		return nil, faults.Err()
	}
	base = &url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimRight(base.Path, "/")}
	if prefix, ok := strings.CutSuffix(base.Path, "/v2"); ok {
		better := url.URL{Scheme: base.Scheme, Host: base.Host, Path: prefix}
		faults.Add(c.urlKey(), fmt.Errorf("must not end in /v2, which the gateway adds itself: write %s", better.String()))
	}
	for i, host := range c.RedirectHosts {
		if !route.ValidHost(strings.TrimPrefix(host, "*.")) {
			faults.Add(fmt.Sprintf("redirect_hosts[%d]", i), errors.New("is no host, host:port or *.suffix"))
		}
	}
	return base, faults.Err()
}
