package route

import (
	"net/netip"
	"strings"
)

// CanonicalHost is the key under which a host is known: lower case, without a
// trailing dot and the scheme's own port.
func CanonicalHost(scheme, host string) string {
	host = strings.ToLower(host)
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i:]
	}
	name = strings.TrimSuffix(name, ".")
	if scheme == "https" && port == ":443" || scheme == "http" && port == ":80" {
		port = ""
	}
	return name + port
}

// HasPort reports whether a host names a port.
func HasPort(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

// ValidHost holds a Host field against a narrow grammar: a name, an IPv4 address
// or a bracketed IPv6 address, and a port. It ends up in the challenge.
func ValidHost(host string) bool {
	name := host
	if HasPort(host) {
		i := strings.LastIndexByte(host, ':')
		if name = host[:i]; !isDigits(host[i+1:]) {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && strings.HasSuffix(inner, "]") && addr.Is6() && addr.Zone() == ""
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name != "" && len(host) <= 255
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}
