package sockets

import (
	"net"
	"strings"
	"testing"
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
