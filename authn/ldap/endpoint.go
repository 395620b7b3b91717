package ldap

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// endpoint is where a server is reached.
type endpoint struct {
	url              string // as the config has it
	network, address string // for net.Dial
	host             string // of the URL; empty: a socket
	tls              bool   // from the first byte
}

// parseServer reads ldap://host[:389], ldaps://host[:636] or ldapi://%2Fpath.
func parseServer(address string) (endpoint, error) {
	if path, ok := strings.CutPrefix(address, "ldapi://"); ok {
		path, err := url.PathUnescape(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return endpoint{}, errors.New("must be like ldapi://%2Frun%2Fslapd%2Fldapi")
		}
		return endpoint{url: address, network: "unix", address: path}, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return endpoint{}, errors.New("is not a URL")
	}
	ports := map[string]string{"ldap": "389", "ldaps": "636"}
	if ports[u.Scheme] == "" {
		return endpoint{}, errors.New("must begin with ldap://, ldaps:// or ldapi://")
	}
	if u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, errors.New("must be scheme, host and port only")
	}
	port := cmp.Or(u.Port(), ports[u.Scheme])
	return endpoint{url: address, network: "tcp", address: net.JoinHostPort(u.Hostname(), port), host: u.Hostname(), tls: u.Scheme == "ldaps"}, nil
}

func loopback(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
