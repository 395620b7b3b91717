// Package sockets opens what the gateway listens on.
package sockets

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Addresses are those of the config, host:port or :port.
type Addresses struct {
	Public string // listen.address
	HTTP   string // listen.http_address; empty: none
	Admin  string // admin.address; empty: none
}

// Set is all listeners of the gateway.
type Set struct {
	Public []net.Listener // of the registry's API
	HTTP   []net.Listener // that lead to HTTPS
	Admin  []net.Listener // of health and metrics
}

// Open listens, or leaves nothing open. Its error names the key.
func Open(a Addresses) (*Set, error) {
	s := &Set{}
	for _, one := range []struct {
		key, address string
		into         *[]net.Listener
	}{{"listen.address", a.Public, &s.Public}, {"listen.http_address", a.HTTP, &s.HTTP}, {"admin.address", a.Admin, &s.Admin}} {
		if one.address == "" {
			continue
		}
		l, err := listen(one.key, one.address)
		if err != nil {
			s.Close()
			return nil, err
		}
		*one.into = append(*one.into, l)
	}
	return s, nil
}

func listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process; end that or choose another port", key, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", key, address, err)
	}
	return l, nil
}

// Close closes all of them.
func (s *Set) Close() {
	for _, list := range [][]net.Listener{s.Public, s.HTTP, s.Admin} {
		for _, l := range list {
			l.Close()
		}
	}
}

// Names are where listeners listen, for the log; off: there is none.
func Names(list []net.Listener) string {
	names := "off"
	for i, l := range list {
		if i == 0 {
			names = l.Addr().String()
			continue
		}
		names += " " + l.Addr().String()
	}
	return names
}
