package dockertest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
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
	e, err := start(dir, installed(), nil)
	if err == nil {
		err = e.await(startLimit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(e.process.Cmd.Process.Pid)
	<-e.process.Ended
	return 0
}

// script writes a program of that name which says text and returns its path.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestChoose: client and daemon are of one version, wherever they lie (row T1).
func TestChoose(t *testing.T) {
	version := func(name, v string) string {
		return script(t, name, "echo Docker version "+v+", build 297e128")
	}
	daemon20, client20 := version("dockerd", "20.10.24+dfsg1"), version("docker", "20.10.24+dfsg1")
	daemon28, client28 := version("dockerd", "28.2.2"), version("docker", "28.2.2")
	broken := script(t, "docker", "exit 1")
	for name, c := range map[string]struct {
		daemons, clients []string
		want             installation
	}{
		"a newer client before": {[]string{daemon20}, []string{client28, client20}, installation{daemon20, client20}},
		"a broken one before":   {[]string{daemon20}, []string{broken, client20}, installation{daemon20, client20}},
		"a daemon alone":        {[]string{daemon20, daemon28}, []string{client28}, installation{daemon28, client28}},
		"two of each":           {[]string{daemon28, daemon20}, []string{client20, client28}, installation{daemon28, client28}},
		"no two alike":          {[]string{daemon20}, []string{client28}, installation{daemon20, client28}},
		"no client":             {[]string{daemon20}, nil, installation{daemon20, ""}},
	} {
		if got := choose(c.daemons, c.clients); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestRunGivesTheOutputAlone: an id is what docker writes to its standard output; a
// warning about the machine beside it is no part of it (row T1).
func TestRunGivesTheOutputAlone(t *testing.T) {
	e := &Engine{Client: script(t, "docker", "echo WARNING: IPv4 forwarding is disabled >&2\necho 0123456789ab")}
	if got := e.Run(t, "create", "image"); got != "0123456789ab\n" {
		t.Errorf("got %q", got)
	}
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
		authntest.Skip(t, why)
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
