package sockets

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOpen: each address is listened on, an empty one is none, and where one cannot be had
// nothing stays open.
func TestOpen(t *testing.T) {
	s, err := Open(Addresses{Public: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Public) != 1 || len(s.HTTP) != 0 || len(s.Admin) != 1 || Names(s.HTTP) != "off" || !strings.HasPrefix(Names(s.Public), "127.0.0.1:") {
		t.Errorf("%+v", s)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	taken := Names(s.Admin)
	if _, err := Open(Addresses{Public: address, HTTP: taken}); err == nil || err.Error() != "listen.http_address "+taken+" is in use by another process; end that or choose another port" {
		t.Errorf("a taken address: %v", err)
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the first address stays open: %v", err)
	}
	again.Close()
	if _, err := Open(Addresses{Public: "127.0.0.1:-1"}); err == nil || !strings.HasPrefix(err.Error(), "listen.address 127.0.0.1:-1: ") {
		t.Errorf("no address: %v", err)
	}
}

// passedAs is a listening socket as a service manager passes it, under a name.
func passedAs(t *testing.T, name string) (f *os.File, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	copied, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(copied.Fd(), name), l.Addr().String()
}

// TestPassedSockets: sockets go where their names say, the others in order to what the
// config uses; what nothing uses is an error.
func TestPassedSockets(t *testing.T) {
	all := Addresses{Public: "127.0.0.1:0", HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	noHTTP := Addresses{Public: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	for _, test := range []struct {
		addresses Addresses
		names     []string
		want      string // the roles of the sockets, in their order; else the error
	}{
		{all, []string{"public"}, "public"}, {all, []string{"admin", "public", "http"}, "admin public http"},
		{all, []string{"gatehouse.socket"}, "public"}, {all, []string{"x", "x", "x"}, "public http admin"},
		{noHTTP, []string{"x", "x"}, "public admin"}, {all, []string{"x", "public", "x"}, "http public admin"},
		{all, []string{"public", "public"}, "public public"},
		{noHTTP, []string{"http"}, `the service manager passed the socket "http", and no address of the config has use for it`},
		{noHTTP, []string{"x", "x", "x"}, `the service manager passed the socket "x", and no address of the config has use for it`},
	} {
		var files []*os.File
		var addresses []string
		for _, name := range test.names {
			f, address := passedAs(t, name)
			files, addresses = append(files, f), append(addresses, address)
		}
		s, err := open(test.addresses, files)
		if err != nil {
			if err.Error() != test.want {
				t.Errorf("%v: %v", test.names, err)
			}
			continue
		}
		var got []string
		for _, address := range addresses {
			for role, list := range map[string][]net.Listener{"public": s.Public, "http": s.HTTP, "admin": s.Admin} {
				if strings.Contains(Names(list), address) {
					got = append(got, role)
				}
			}
		}
		if strings.Join(got, " ") != test.want || len(s.Public) == 0 || len(s.Admin) == 0 {
			t.Errorf("%v went to %v, want %s", test.names, got, test.want)
		}
		s.Close()
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(all, []*os.File{f}); err == nil || !strings.Contains(err.Error(), "cannot be used for listen.address") {
		t.Errorf("no socket: %v", err)
	}
}

// TestShared: a second listener at the same address gets the new connections, and the
// first once it is alone again; without sharing there is no second.
func TestShared(t *testing.T) {
	first, err := open(Addresses{Public: "127.0.0.1:0", Shared: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	address := Names(first.Public)
	second, err := open(Addresses{Public: address, Shared: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	arrives := func(s *Set) {
		t.Helper()
		for range 20 {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			at, err := s.Public[0].Accept()
			if err != nil || at.RemoteAddr().String() != c.LocalAddr().String() {
				t.Fatalf("another connection, or none: %v", err)
			}
			c.Close()
			at.Close()
		}
	}
	arrives(second)
	second.Close()
	arrives(first)
	if _, err := open(Addresses{Public: address}, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second listener that does not share: %v", err)
	}
}

// TestStop: what the kernel has taken before is still accepted; what waits in a passed
// socket stays there for the next process.
func TestStop(t *testing.T) {
	s, err := open(Addresses{Public: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", Names(s.Public)); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := s.Public[0].Accept(); err != nil {
		t.Errorf("a connection that waited was lost: %v", err)
	}
	if _, err := s.Public[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a stopped listener: %v", err)
	}
	f, address := passedAs(t, "public")
	copied, err := net.FileListener(f) // as the manager has it
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if s, err = open(Addresses{Public: "127.0.0.1:0"}, []*os.File{f}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := s.Public[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a stopped listener: %v", err)
	}
	if _, err := net.Dial("tcp", address); err != nil {
		t.Fatalf("a passed socket was closed: %v", err)
	}
	if _, err := copied.Accept(); err != nil {
		t.Errorf("the next process does not get what waited: %v", err)
	}
}

// TestNotify: the service manager is told in its own words.
func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "20000")
	heard := func() string {
		text := make([]byte, 200)
		manager.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := manager.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	var n Notify
	n.Ready()
	n.Reloading()
	n.Stopping()
	for _, want := range []string{"READY=1", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1"} {
		if got := heard(); !strings.HasPrefix(got, want) {
			t.Errorf("the manager hears %q, want %q", got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.Watchdog(ctx) }()
	if first, second := heard(), heard(); first != "WATCHDOG=1" || second != first {
		t.Errorf("the watchdog hears %q and %q", first, second)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
