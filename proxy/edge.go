package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"gatehouse/authn"
	"gatehouse/proxy/route"
)

// origin is a scheme and a host as a client names them (RFC 6454).
type origin struct{ scheme, host string }

func (o origin) String() string { return o.scheme + "://" + o.host }

// edge knows who may speak to us and under which names.
type edge struct {
	tls            bool
	allowPlaintext bool
	trusted        []netip.Prefix
	public         []origin // in the config's order; empty: any host
}

// newEdge checks `listen`.
func newEdge(cfg ListenConfig) (*edge, []error) {
	var faults []error
	e := &edge{tls: cfg.TLS != nil, allowPlaintext: cfg.AllowPlaintext}
	for i, s := range cfg.TrustedProxies {
		p, err := parsePrefix(s)
		if err != nil {
			faults = append(faults, keyError("listen.trusted_proxies", i, "is no CIDR such as 10.0.0.0/8"))
		}
		e.trusted = append(e.trusted, p)
	}
	for i, s := range cfg.PublicURLs {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" || !route.ValidHost(u.Host) {
			faults = append(faults, keyError("listen.public_urls", i, "is no URL of scheme and host alone, such as https://registry.example.com"))
			continue
		}
		e.public = append(e.public, origin{u.Scheme, strings.ToLower(u.Host)})
	}
	return e, faults
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// peer is who stands at the other end, and for whom they speak.
type peer struct {
	client  netip.Addr // whose request it is; zero: a trusted proxy did not say so that it can be read
	trusted bool       // the connection comes from a trusted proxy
	direct  netip.Addr // of the connection
}

// via is the proxy that a client without an address came through, else zero: the
// caps and the throttle count all such clients of a proxy together.
func (p peer) via() netip.Addr {
	if p.client.IsValid() {
		return netip.Addr{}
	}
	return p.direct
}

// peer reads the client's address: the connection's, or, from a trusted proxy,
// the right-most forwarded one that is not a trusted proxy itself. What stands
// further left was written by anybody. Where that one cannot be read the client
// has no address: the proxy's own, or one further left, might open a rule.
func (e *edge) peer(r *http.Request) peer {
	direct := remoteAddr(r)
	p := peer{client: direct, direct: direct, trusted: e.isTrusted(direct)}
	fields := r.Header["X-Forwarded-For"]
	if !p.trusted || len(fields) == 0 {
		return p
	}
	hops := strings.Split(strings.Join(fields, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if p.client = forwardedAddr(strings.Trim(hops[i], " \t")); !p.client.IsValid() || !e.isTrusted(p.client) {
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

func remoteAddr(r *http.Request) netip.Addr { return addressOf(r.RemoteAddr) }

func addressOf(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (e *edge) isTrusted(a netip.Addr) bool {
	for _, p := range e.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// admit refuses plain HTTP from afar and a Host that is not ours, and says under
// which origin the client knows us.
func (e *edge) admit(r *http.Request, p peer) (origin, error) {
	o := origin{scheme: "http", host: r.Host}
	if r.TLS != nil {
		o.scheme = "https"
	}
	if o.scheme == "http" && !e.allowPlaintext && !p.trusted && !p.direct.IsLoopback() {
		return o, errPlain
	}
	bare := o
	if p.trusted {
		bare = forwarded(r.Header, o)
		o = bare.withPort(lastValue(r.Header, "X-Forwarded-Port"))
	}
	if !route.ValidHost(o.host) || r.URL.Host != "" && r.URL.Host != r.Host { // HTTP/2 allows an authority in :path
		return o, errHost
	}
	if len(e.public) == 0 {
		return o, nil
	}
	if known, err := e.publicOrigin(o); err == nil {
		return known, nil
	}
	return e.publicOrigin(bare) // the port may be one that only the proxy knows, behind another mapping
}

// publicOrigin is the public URL that the request's Host names. Where one host has
// one of each scheme it is the request's own; else the scheme decides only which
// port may be left out, since behind a proxy that ends TLS it is not the public one.
func (e *edge) publicOrigin(o origin) (origin, error) {
	found, err := o, error(errHost)
	for _, known := range e.public {
		if route.CanonicalHost(known.scheme, o.host) != route.CanonicalHost(known.scheme, known.host) {
			continue
		}
		if known.scheme == o.scheme {
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
func forwarded(h http.Header, o origin) origin {
	if s := strings.ToLower(lastValue(h, "X-Forwarded-Proto")); s == "https" || s == "http" {
		o.scheme = s
	}
	if host := lastValue(h, "X-Forwarded-Host"); host != "" {
		o.host = host
	}
	return o
}

// withPort adds the port that a trusted proxy says it was asked at, where the host
// has none and the scheme's own port is another.
func (o origin) withPort(port string) origin {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || route.HasPort(o.host) {
		return o
	}
	if host := o.host + ":" + strconv.FormatUint(n, 10); route.HasPort(route.CanonicalHost(o.scheme, host)) {
		o.host = host
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

// checkHeader refuses a header over the limits (RFC 6585 section 5). Host, which the
// server takes out of the header, is a field as every other.
func (l *Limits) checkHeader(r *http.Request) error {
	fields, size := 1, len("Host")+len(r.Host)+4
	for key, values := range r.Header {
		fields += len(values)
		for _, v := range values {
			size += len(key) + len(v) + 4
		}
	}
	switch {
	case fields > l.HeaderFields:
		return errFields
	case size > l.HeaderBytes:
		return errHeaders
	}
	return nil
}

// checkFields refuses fields of which another reader might believe another value.
// The server checks a length only over HTTP/1.1; over HTTP/2 a malformed one would
// count as none (RFC 9113 section 8.1.1).
func checkFields(r *http.Request) error {
	for _, key := range []string{"Authorization", "Content-Type"} {
		if len(r.Header[key]) > 1 {
			return badRequest("two " + key + " fields")
		}
	}
	for i, length := range r.Header["Content-Length"] {
		if _, err := strconv.ParseUint(length, 10, 63); err != nil || i > 0 {
			return badRequest("the Content-Length is malformed")
		}
	}
	return nil
}

func keyError(list string, i int, problem string) *authn.KeyError {
	return &authn.KeyError{Key: fmt.Sprintf("%s[%d]", list, i), Err: errors.New(problem)}
}
