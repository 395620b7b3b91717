package authntest

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// StartRedis runs a Redis at a loopback address (host:port) until the test ends, and waits
// until it listens. It has a folder of its own and keeps nothing in it; args say otherwise,
// as options of redis-server. Without the program the test is skipped, as Need says.
func StartRedis(t testing.TB, address string, args ...string) *Process {
	t.Helper()
	Need(t, "redis-server")
	host, port, err := net.SplitHostPort(address)
	must(t, err)
	own := []string{"--bind", host, "--port", port, "--save", "", "--dir", t.TempDir()}
	p := Start(t, exec.Command(Program("redis-server"), append(own, args...)...))
	must(t, p.Await(20*time.Second, func() bool { return Listening(address) }))
	return p
}
