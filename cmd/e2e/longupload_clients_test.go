//go:build clients

package e2e

import (
	"io"
	"net"
	"testing"
	"time"
)

// A layer of throttledLayer bytes takes 135 s at throttledRate: longer than a
// token of 60 s lives with its minute of grace.
const (
	throttledRate  = 100_000 // bytes a second and connection
	throttledLayer = 135 * throttledRate
)

// startThrottle passes connections on to an address, from the client at
// throttledRate, and returns where it listens.
func startThrottle(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go throttle(client, to)
		}
	}()
	return l.Addr().String()
}

func throttle(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(client, server)
		client.Close()
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.CopyN(server, client, throttledRate/10); err != nil {
			return
		}
	}
}

// TestLongUploadForReal pushes so slowly through the real binary that the token
// and its minute of grace are over before the layer is.
func TestLongUploadForReal(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), Tokens: "lifetime: 60s"})
	for _, p := range pushers(t, throttledLayer) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			out, err := p.push(t, startThrottle(t, g.address))
			took := time.Since(began).Round(time.Second)
			if err != nil {
				t.Errorf("after %s: %v\n%s", took, err, out)
			}
			if t.Logf("pushed in %s", took); took < 121*time.Second {
				t.Errorf("the token was still good")
			}
		})
	}
}
