package dockertest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// victimFolder, when set, makes this test program one that starts an Engine in
// that folder, prints dockerd's process id and waits to be killed.
const victimFolder = "GATEHOUSE_DOCKERTEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimFolder); dir != "" {
		os.Exit(victim(dir))
	}
	os.Exit(m.Run())
}

func victim(dir string) int {
	e, err := start(dir, nil)
	if err == nil {
		err = e.await(startLimit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(e.process.Process.Pid)
	<-e.exited
	return 0
}

func TestStartGivesAnEngineOfItsOwn(t *testing.T) {
	e := Start(t)
	if out := e.Run(t, "images", "--quiet"); strings.TrimSpace(out) != "" {
		t.Errorf("a new engine has images: %s", out)
	}
	if out, err := e.Output("pull", "127.0.0.1:1/none"); err == nil {
		t.Errorf("a pull from nowhere succeeded: %s", out)
	}
}

// TestStartLeavesTheMachinesBridge: what a Docker of the machine's own uses is
// there after a test as before it.
func TestStartLeavesTheMachinesBridge(t *testing.T) {
	before := bridgeAddresses(t)
	t.Run("engine", func(t *testing.T) { Start(t) })
	if after := bridgeAddresses(t); after != before {
		t.Errorf("%s was %q and is %q", machineBridge, before, after)
	}
}

// bridgeAddresses is the machine's docker0 with its addresses, or "none".
func bridgeAddresses(t *testing.T) string {
	t.Helper()
	found, err := net.InterfaceByName(machineBridge)
	if err != nil {
		return "none"
	}
	addresses, err := found.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(addresses)
}

// TestKilledTestEndsItsEngine: a test's process that is killed cannot clean up,
// and still leaves no dockerd behind.
func TestKilledTestEndsItsEngine(t *testing.T) {
	if why := missing(); why != "" {
		skip(t, why)
	}
	dir, err := os.MkdirTemp("", "dockertest")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), victimFolder+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	child.Process.Kill()
	child.Wait()
	dockerd, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the victim started no dockerd: %q", line)
	}
	awaitEnd(t, dockerd)
}

// awaitEnd waits until the process is gone, or a zombie: that has no command line.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	name := fmt.Sprintf("/proc/%d/cmdline", pid)
	for end := time.Now().Add(stopLimit); ; time.Sleep(20 * time.Millisecond) {
		if line, err := os.ReadFile(name); err != nil || len(line) == 0 {
			return
		}
		if time.Now().After(end) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("dockerd lives %s after its test was killed", stopLimit)
		}
	}
}
