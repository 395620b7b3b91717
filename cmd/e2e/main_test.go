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
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
	build := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gatehouse: %v\n%s", err, out)
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

// need skips the test where a program is missing, or fails it where nothing may
// be skipped.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("GATEHOUSE_NO_SKIP") != "" {
			t.Fatalf("%s is not installed, and GATEHOUSE_NO_SKIP forbids to skip", p)
		}
		t.Skipf("%s is not installed", p)
	}
}

// freeAddress returns a loopback address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually polls until ok says true and returns how long that took; it fails
// the test at the deadline.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("%s: not within %s", what, within)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

// process is a server that a test started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	done <-chan struct{} // closed when it ended; then cmd.ProcessState is set
}

// start runs a server until it ends or the test does, even where the test's process
// is killed.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(name), cmd: exec.Command(name, args...), log: &logBuffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	var err error
	if p.done, err = authntest.StartTied(p.cmd, syscall.SIGKILL); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, p.log.tail(16<<10))
		}
	})
	return p
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// running says whether the process has not ended by itself.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// logBuffer keeps what a process wrote.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tail returns the last n bytes or all.
func (b *logBuffer) tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
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
