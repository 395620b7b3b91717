// Package e2e runs the real gatehouse binary between real programs: a slapd with
// the musicians, Debian's docker-registry behind it, and a Docker Engine, skopeo,
// crane's library and plain HTTP as clients.
//
//	docker, skopeo, crane, HTTP ──> gatehouse ──> docker-registry
//	                                    └───────> slapd
//
// Each test starts the servers that it harms, on free loopback ports and with all
// their files in the test's own folder, so tests share nothing but the binary. A
// missing program skips a test, or fails it where GATEHOUSE_NO_SKIP says that
// nothing may be left out. Every program's log is printed when its test fails, and
// no log of the gateway may show a panic, a password or a token.
package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// What TestMain made for all tests: the gatehouse binary, and the hashes of the
// static users' passwords, which take too long to be made for every gateway.
var (
	binary string
	hashes = map[string]string{adminPassword: "", testPassword: "", guestPassword: ""}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatehouse")
	if _, err := authntest.Run(buildCommand(os.Getenv("GATEHOUSE_RACE") != "")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for password := range hashes {
		if hashes[password], err = hashPassword(password); err != nil {
			fmt.Fprintf(os.Stderr, "hash-password: %v\n", err)
			return 1
		}
	}
	return m.Run()
}

// buildCommand builds the binary; with race it watches its own memory, and says DATA RACE in its
// log, which no test lets pass.
func buildCommand(race bool) *exec.Cmd {
	args := []string{"build", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "gatehouse/cmd/gatehouse")...)
	if race {
		build.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	return build
}

// eventually polls until ok holds and returns how long that took; it fails
// the test at the deadline.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	if !await(within, ok) {
		t.Fatalf("%s: not within %s", what, within)
	}
	return time.Since(start)
}

// await polls until ok holds, and reports whether it did before the deadline.
func await(within time.Duration, ok func() bool) bool {
	for start := time.Now(); !ok(); {
		if time.Since(start) > within {
			return false
		}
		time.Sleep(20 * time.Millisecond) // other processes do not tell when it holds
	}
	return true
}

// start runs a server until it ends or the test does, even where the test's process
// is killed.
func start(t *testing.T, name string, args ...string) *authntest.Process {
	t.Helper()
	return authntest.Start(t, exec.Command(authntest.Program(name), args...))
}

// pattern is a reader of bytes that do not compress and are the same in every
// run with the same seed, for layers that are too large to keep in memory.
func pattern(seed uint64, size int64) io.Reader {
	return io.LimitReader(&xorshift{state: seed | 1}, size)
}

type xorshift struct{ state uint64 }

func (x *xorshift) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		x.state ^= x.state << 13
		x.state ^= x.state >> 7
		x.state ^= x.state << 17
		for j := i; j < min(i+8, len(p)); j++ {
			p[j] = byte(x.state >> (8 * (j - i)))
		}
	}
	return len(p), nil
}
