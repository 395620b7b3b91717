// Package sockets opens what the gateway listens on, or takes it from the service
// manager, and stops it so that no connection is lost to the next process.
package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Addresses are those of the config, host:port or :port.
type Addresses struct {
	Public string // listen.address
	HTTP   string // listen.http_address; empty: none
	Admin  string // admin.address; empty: none
	Socket string // admin.socket, with its path; empty: none
	Shared bool   // listen.reuse_port
}

// Set is all listeners of the gateway.
type Set struct {
	Public []net.Listener // of the registry's API
	HTTP   []net.Listener // that lead to HTTPS
	Admin  []net.Listener // of health and metrics
	Socket []net.Listener // of administration: none or one
}

// role is one of the three, with its key, the name of its sockets, and where it listens.
type role struct {
	name, key, address string
	into               *[]net.Listener
}

func (s *Set) roles(a Addresses) []role {
	all := []role{{"public", "listen.address", a.Public, &s.Public}, {"http", "listen.http_address", a.HTTP, &s.HTTP}, {"admin", "admin.address", a.Admin, &s.Admin}}
	return slices.DeleteFunc(all, func(r role) bool { return r.address == "" })
}

// Open takes the sockets that the service manager passed (LISTEN_FDS) and listens at
// the other addresses, or leaves nothing open. Its error names the key.
func Open(a Addresses) (*Set, error) { return open(a, activation.Files(true)) }

func open(a Addresses, passed []*os.File) (*Set, error) {
	s := &Set{}
	roles := s.roles(a)
	err := take(roles, passed)
	for _, r := range roles {
		if err != nil || len(*r.into) > 0 {
			continue
		}
		var l net.Listener
		if l, err = listen(r.key, r.address, a.Shared); err == nil {
			*r.into = append(*r.into, &stoppable{Listener: l})
		}
	}
	if err == nil && a.Socket != "" {
		var l net.Listener
		if l, err = listenLocal(a.Socket, a.Shared); err == nil {
			s.Socket = append(s.Socket, l)
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// take gives the passed sockets to the roles that they are named after; the others go to
// the roles that none is named after, in order.
func take(roles []role, passed []*os.File) error {
	named := func(name string) int { return slices.IndexFunc(roles, func(r role) bool { return r.name == name }) }
	free := slices.Clone(roles)
	for _, f := range passed {
		free = slices.DeleteFunc(free, func(r role) bool { return r.name == f.Name() })
	}
	for _, f := range passed {
		name := f.Name()
		if !slices.Contains([]string{"public", "http", "admin"}, name) && len(free) > 0 {
			name, free = free[0].name, free[1:]
		}
		i := named(name)
		if i < 0 {
			return fmt.Errorf("the service manager passed the socket %q, and no address of the config has use for it", f.Name())
		}
		l, err := net.FileListener(f)
		f.Close() // the listener has a copy
		if err != nil {
			return fmt.Errorf("the socket %q that the service manager passed cannot be used for %s: %w", f.Name(), roles[i].key, err)
		}
		*roles[i].into = append(*roles[i].into, &stoppable{Listener: l, passed: true})
	}
	return nil
}

func listen(key, address string, shared bool) (net.Listener, error) {
	var cfg net.ListenConfig
	if shared {
		cfg.Control = share
		cfg.SetMultipathTCP(false) // whose sockets cannot be led
	}
	l, err := cfg.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process; end that or choose another port", key, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", key, address, err)
	}
	if shared {
		if err := lead(l); err != nil {
			l.Close()
			return nil, fmt.Errorf("%s %s cannot be shared: %w", key, address, err)
		}
	}
	return l, nil
}

// share lets another process of the same user listen at the address too.
func share(_, _ string, conn syscall.RawConn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

// lead leads new connections to the second of two listeners: the kernel would go on to
// spread them over both, and those that the first has not accepted when it closes would
// be reset. Where there is one only, the kernel takes that.
func lead(l net.Listener) error {
	conn, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	second := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	return control(conn, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: 1, Filter: &second[0]})
	})
}

func control(conn syscall.RawConn, set func(fd int) error) error {
	var err error
	outer := conn.Control(func(fd uintptr) { err = set(int(fd)) })
	return errors.Join(outer, err)
}

// waiting is how long connections that the kernel has taken before a Stop are still accepted.
const waiting = 100 * time.Millisecond

// stoppable is a listener that can be stopped without losing connections.
type stoppable struct {
	net.Listener
	passed  bool // by the service manager, which keeps it open for the next process
	stopped atomic.Bool
}

// Accept is net.ErrClosed once the listener is stopped.
func (l *stoppable) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil && l.stopped.Load() {
		l.Close()
		return nil, net.ErrClosed
	}
	return c, err
}

func (l *stoppable) stop() {
	l.stopped.Store(true)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok && !l.passed {
		_ = d.SetDeadline(time.Now().Add(waiting)) // closed already is stopped too
		return
	}
	l.Close()
}

// Stop ends the listeners of clients: a moment later their Accept is net.ErrClosed. What
// waits in a passed socket is for the next process.
func (s *Set) Stop() {
	for _, l := range slices.Concat(s.Public, s.HTTP) {
		l.(*stoppable).stop()
	}
}

// Taking is a listener whose connections are taken by Take, which may end TLS or close
// the connection (nil).
type Taking struct {
	net.Listener                         // whose connections they are
	Take         func(net.Conn) net.Conn // what becomes of one
}

// Accept is the next connection that was not closed.
func (l *Taking) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn := l.Take(raw); conn != nil {
			return conn, nil
		}
	}
}

// Close closes all of them.
func (s *Set) Close() {
	for _, l := range slices.Concat(s.Public, s.HTTP, s.Admin, s.Socket) {
		l.Close()
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
