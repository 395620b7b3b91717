package authntest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs beside a test, the demo or a benchmark. It ends
// with the process that started it, however that ends.
type Process struct {
	// Cmd is what was started; its ProcessState is set once Ended is closed.
	Cmd *exec.Cmd
	// Ended is closed when the program has ended.
	Ended <-chan struct{}

	log *os.File
}

// StartProcess starts cmd; death is the signal that it gets where this process ends
// first: KILL, or TERM for a program with children of its own. What it writes goes
// to cmd.Stdout where that is a file that can be read, else to a file without a name.
func StartProcess(cmd *exec.Cmd, death syscall.Signal) (*Process, error) {
	log, ok := cmd.Stdout.(*os.File)
	if !ok {
		var err error
		if log, err = os.CreateTemp("", "log"); err != nil {
			return nil, err
		}
		if err := os.Remove(log.Name()); err != nil {
			return nil, err
		}
		cmd.Stdout = log
	}
	if cmd.Stderr == nil {
		cmd.Stderr = log
	}
	ended, err := startTied(cmd, death)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return &Process{Cmd: cmd, Ended: ended, log: log}, nil
}

// Start is StartProcess until the test ends, which shows the log where it failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p, err := StartProcess(cmd, syscall.SIGKILL)
	must(t, err)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name(), p.Tail(16<<10))
		}
	})
	return p
}

// startTied starts cmd on a thread that lives as long as it does, because the kernel
// sends the parent-death signal when the starting thread ends.
func startTied(cmd *exec.Cmd, death syscall.Signal) (ended <-chan struct{}, err error) {
	tie(cmd, death)
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its ProcessState says how it ended
		}
	}()
	return done, <-started
}

func (p *Process) name() string { return filepath.Base(p.Cmd.Path) }

// Log is what the program has written so far.
func (p *Process) Log() string {
	text, err := io.ReadAll(io.NewSectionReader(p.log, 0, 1<<40))
	if err != nil {
		return fmt.Sprintf("the log cannot be read: %v", err)
	}
	return string(text)
}

// Tail is the last n bytes of the log, or all.
func (p *Process) Tail(n int) string {
	text := p.Log()
	return text[max(0, len(text)-n):]
}

// Running reports whether the program has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Ended:
		return false
	default:
		return true
	}
}

// Await asks until ready holds. The error says that the program ended, or that the
// limit was over, and what it wrote.
func (p *Process) Await(limit time.Duration, ready func() bool) error {
	deadline := time.After(limit)
	for !ready() {
		select {
		case <-p.Ended:
			return fmt.Errorf("%s ended at once: %v\n%s", p.name(), p.Cmd.ProcessState, p.Tail(4<<10))
		case <-deadline:
			return fmt.Errorf("%s is not ready after %s\n%s", p.name(), limit, p.Tail(4<<10))
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Kill ends the program at once and waits for that.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended
	<-p.Ended
}

// Stop asks the program to end (TERM), and kills it where it has not within the limit,
// which is an error.
func (p *Process) Stop(limit time.Duration) error {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.Ended:
		return nil
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("%s had to be killed\n%s", p.name(), p.Tail(4<<10))
	}
}

// Finish is Stop, and an end with another status than 0 is an error too.
func (p *Process) Finish(limit time.Duration) error {
	if err := p.Stop(limit); err != nil {
		return err
	}
	if !p.Cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %v\n%s", p.name(), p.Cmd.ProcessState, p.Tail(4<<10))
	}
	return nil
}

// Listening reports whether somebody takes connections at a TCP address.
func Listening(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// FreeAddress is a loopback address (host:port) that nobody listened on a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := NewAddress()
	must(t, err)
	return address
}

// The ports for servers of tests lie below those that systems give to who dials (Linux: from
// 32768), as a connection of another test would take one between the look and the start.
const firstPort, endPort = 10_000, 32_000

// NewAddress is an address of loopback (host:port) at which nothing listens.
func NewAddress() (string, error) {
	var err error
	for range 100 {
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(endPort-firstPort))); err == nil {
			return listener.Addr().String(), listener.Close()
		}
	}
	return "", err
}

// Run runs cmd to its end and returns what it wrote to its standard output. The
// error of one that fails holds both outputs, and is still an *exec.ExitError.
func Run(cmd *exec.Cmd) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout = &out
	if cmd.Stderr == nil {
		cmd.Stderr = &said
	}
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, &out, &said)
	}
	return out.String(), nil
}

// folders hold what a distribution's packages installed. They come before the PATH:
// the tests know these programs, and those that work together (a daemon and its
// client) come from there together.
var folders = []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"}

// Program is the path of an installed program, or "". See Programs for its order.
func Program(name string) string {
	if all := Programs(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Programs are the paths of all programs of a name: first those of the
// distribution's packages, then those of the PATH. A path stands for itself.
func Programs(name string) []string {
	if filepath.Base(name) != name {
		return []string{name}
	}
	var all []string
	for _, folder := range append(folders, append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin")...) {
		path, err := exec.LookPath(filepath.Join(folder, name))
		if err == nil && !hasSame(all, path) {
			all = append(all, path)
		}
	}
	return all
}

// hasSame reports whether a path leads to a file of the list: /bin is often /usr/bin.
func hasSame(all []string, path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return true
	}
	for _, other := range all {
		if known, err := os.Stat(other); err == nil && os.SameFile(known, info) {
			return true
		}
	}
	return false
}

// Need skips the test where a program is missing, or fails it where GATEHOUSE_NO_SKIP
// says that nothing may be left out.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if Program(name) == "" {
			Skip(t, name+" is not installed")
		}
	}
}

// Skip skips the test, or fails it where GATEHOUSE_NO_SKIP is set.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("GATEHOUSE_NO_SKIP") != "" {
		t.Fatal(why + ", and GATEHOUSE_NO_SKIP forbids to skip")
	}
	t.Skip(why)
}
