package listener

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

// What Edge.Admit refuses.
var (
	// ErrPlaintext: plain HTTP from somebody who is neither near nor a trusted proxy.
	ErrPlaintext = errors.New("plain HTTP from afar")
	// ErrHost: the request names a host that is not ours.
	ErrHost = errors.New("the host is not ours")
)

// Origin is a scheme and a host as a client names them (RFC 6454).
type Origin struct {
	Scheme string // http or https
	Host   string // with its port, where that is not the scheme's own
}

// String is the origin's URL, without a path.
func (o Origin) String() string { return o.Scheme + "://" + o.Host }

// Edge knows who may speak to us and under which names. It is immutable.
type Edge struct {
	allowPlaintext bool
	port           string // of the address that ends TLS; empty: HTTPS' own
	trusted        []netip.Prefix
	proxied        []netip.Prefix // whose connections begin with a PROXY header
	public         []Origin       // in the config's order; empty: any host
}

// NewEdge takes the names and proxies of a config. Its error joins *authn.KeyError
// values whose keys are relative to `listen` (`public_urls[0]`).
func NewEdge(cfg Config) (*Edge, error) {
	var faults authn.Faults
	e := &Edge{allowPlaintext: cfg.AllowPlaintext}
	if _, port, err := net.SplitHostPort(cfg.Address); err == nil && port != "443" {
		e.port = port
	}
	e.trusted = prefixes("trusted_proxies", cfg.TrustedProxies, &faults)
	e.proxied = prefixes("proxy_protocol", cfg.ProxyProtocol, &faults)
	for i, s := range cfg.PublicURLs {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" || !route.ValidHost(u.Host) {
			faults.Add(fmt.Sprintf("public_urls[%d]", i), errors.New("is no URL of scheme and host alone, such as https://registry.example.com"))
			continue
		}
		e.public = append(e.public, Origin{u.Scheme, strings.ToLower(u.Host)})
	}
	return e, faults.Err()
}

// prefixes reads a list of CIDRs.
func prefixes(key string, texts []string, faults *authn.Faults) (list []netip.Prefix) {
	for i, s := range texts {
		p, err := parsePrefix(s)
		if err != nil {
			faults.Add(fmt.Sprintf("%s[%d]", key, i), errors.New("is no CIDR such as 10.0.0.0/8"))
		}
		list = append(list, p)
	}
	return list
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// Peer is who stands at the other end, and whose request they send.
type Peer struct {
	Client  netip.Addr // whose request it is; zero: a trusted proxy did not say so that it can be read
	Trusted bool       // the connection comes from a trusted proxy
	Direct  netip.Addr // the connection's

	text string // Client's; empty: to be made
}

// ClientText is the text of Client.
func (p *Peer) ClientText() string {
	if p.text == "" {
		p.text = p.Client.String()
	}
	return p.text
}

// Via is the proxy that a client without an address came through, else zero: the
// caps and the throttle count all such clients of a proxy together.
func (p Peer) Via() netip.Addr {
	if p.Client.IsValid() {
		return netip.Addr{}
	}
	return p.Direct
}

// Peer reads the client's address: the connection's, or, from a trusted proxy,
// the right-most forwarded one that is not a trusted proxy itself. What stands
// further left was written by anybody. Where that one cannot be read the client
// has no address: the proxy's own, or one further left, might open a rule.
func (e *Edge) Peer(r *http.Request) Peer {
	direct := addressOf(r.RemoteAddr)
	p := Peer{Client: direct, Direct: direct, Trusted: e.trusts(direct)}
	fields := r.Header["X-Forwarded-For"]
	if !p.Trusted || len(fields) == 0 {
		if host, _, ok := strings.Cut(r.RemoteAddr, ":"); ok && direct.Is4() && !strings.HasPrefix(host, "[") {
			p.text = host // the only text of an IPv4 address
		}
		return p
	}
	hops := strings.Split(strings.Join(fields, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if p.Client = forwardedAddr(strings.Trim(hops[i], " \t")); !p.Client.IsValid() || !e.trusts(p.Client) {
			break
		}
	}
	return p
}

// forwardedAddr reads one hop: an address, with a port, brackets or a zone, as
// proxies of several makers write it. All else (nothing, `unknown`, RFC 7239's
// `_hidden`, a port that is no number) is the zero address.
func forwardedAddr(hop string) netip.Addr {
	if inner, ok := strings.CutPrefix(hop, "["); ok && strings.HasSuffix(inner, "]") {
		addr, _ := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if !addr.Is6() {
			return netip.Addr{}
		}
		hop = addr.String()
	}
	if addr, err := netip.ParseAddr(hop); err == nil {
		return addr.Unmap().WithZone("")
	}
	return addressOf(hop)
}

func addressOf(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (e *Edge) trusts(a netip.Addr) bool { return within(e.trusted, a) }

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Admit refuses plain HTTP from afar (ErrPlaintext) and a Host that is not ours
// (ErrHost), and is the origin under which the client knows us.
func (e *Edge) Admit(r *http.Request, p Peer) (Origin, error) {
	o := Origin{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		o.Scheme = "https"
	}
	if o.Scheme == "http" && !e.allowPlaintext && !p.Trusted && !p.Direct.IsLoopback() {
		return o, ErrPlaintext
	}
	bare := o
	if p.Trusted {
		bare = forwarded(r.Header, o)
		o = bare.withPort(lastValue(r.Header, "X-Forwarded-Port"))
	}
	if !route.ValidHost(o.Host) || r.URL.Host != "" && r.URL.Host != r.Host { // HTTP/2 allows an authority in :path
		return o, ErrHost
	}
	if len(e.public) == 0 {
		return o, nil
	}
	if known, err := e.publicOrigin(o); err == nil {
		return known, nil
	}
	return e.publicOrigin(bare) // the port may be one that only the proxy knows, behind another mapping
}

// Secure is the public URL of the host that a plain request names, at whatever port, one
// of https first; without public URLs it is that host at the port that ends TLS. ErrHost:
// the host is not ours, or its URL would lead to where the request came from.
func (e *Edge) Secure(r *http.Request, p Peer) (Origin, error) {
	asked := Origin{"http", r.Host}
	if p.Trusted {
		asked = forwarded(r.Header, asked)
	}
	if !route.ValidHost(asked.Host) {
		return asked, ErrHost
	}
	host := hostname(asked.Host)
	if len(e.public) == 0 {
		to := Origin{"https", host}
		return to.withPort(e.port), nil
	}
	found, err := asked, error(ErrHost)
	for _, known := range e.public {
		switch {
		case !strings.EqualFold(hostname(known.Host), host):
		case known.Scheme == "https":
			return known, nil
		case err != nil && route.CanonicalHost("http", known.Host) != route.CanonicalHost("http", asked.Host):
			found, err = known, nil
		}
	}
	return found, err
}

// hostname is a host without its port; an IPv6 address keeps its brackets.
func hostname(host string) string {
	if route.HasPort(host) {
		host = host[:strings.LastIndexByte(host, ':')]
	}
	return strings.TrimSuffix(host, ".")
}

// publicOrigin is the public URL that the request's Host names. Where one host has
// one of each scheme it is the request's own; else the scheme decides only which
// port may be left out, since behind a proxy that ends TLS it is not the public one.
func (e *Edge) publicOrigin(o Origin) (Origin, error) {
	found, err := o, error(ErrHost)
	for _, known := range e.public {
		if route.CanonicalHost(known.Scheme, o.Host) != route.CanonicalHost(known.Scheme, known.Host) {
			continue
		}
		if known.Scheme == o.Scheme {
			return known, nil
		}
		if err != nil {
			found, err = known, nil
		}
	}
	return found, err
}

// forwarded applies what a trusted proxy says of the request it received: the
// right-most value, which is its own.
func forwarded(h http.Header, o Origin) Origin {
	if s := strings.ToLower(lastValue(h, "X-Forwarded-Proto")); s == "https" || s == "http" {
		o.Scheme = s
	}
	if host := lastValue(h, "X-Forwarded-Host"); host != "" {
		o.Host = host
	}
	return o
}

// withPort adds the port that a trusted proxy says it was asked at, where the host
// has none and the scheme's own port is another.
func (o Origin) withPort(port string) Origin {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || route.HasPort(o.Host) {
		return o
	}
	if host := o.Host + ":" + strconv.FormatUint(n, 10); route.HasPort(route.CanonicalHost(o.Scheme, host)) {
		o.Host = host
	}
	return o
}

func lastValue(h http.Header, key string) string {
	values := h.Values(key)
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}
