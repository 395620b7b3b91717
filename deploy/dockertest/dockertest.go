// Package dockertest gives a test a Docker Engine of its own: a real dockerd with
// its data, sockets and pid file in a temporary folder, no network, no iptables
// and no address but a Unix socket, ended with the test. A Docker that the machine
// runs already is left alone.
//
//	engine := dockertest.Start(t)
//	engine.Run(t, "pull", "127.0.0.1:5000/anyuser/busybox")
//
// Without dockerd, the docker client or root the test is skipped, or fails where
// GATEHOUSE_NO_SKIP is set, as `make test` does.
package dockertest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// startLimit is how long a dockerd may take until it answers: seconds as a rule,
// more on a machine that runs other tests beside it.
const startLimit = 90 * time.Second

// stopLimit is how long a dockerd may take to end after TERM.
const stopLimit = 30 * time.Second

// Engine is a running dockerd.
type Engine struct {
	// Host is the value for DOCKER_HOST, unix:///….
	Host string
	// ConfigDir is the value for DOCKER_CONFIG: an empty folder, so that a
	// `docker login` leaves the caller's own credentials alone.
	ConfigDir string
	// Log is the file that dockerd writes its log to.
	Log string

	process *exec.Cmd
	exited  <-chan struct{}
}

// Start starts a dockerd with the further arguments args (for example
// "--insecure-registry=10.0.0.0/8"; loopback is always insecure) and ends it when
// the test does. Certificates of TLS registries are looked for where dockerd
// always looks, in /etc/docker/certs.d.
func Start(t testing.TB, args ...string) *Engine {
	t.Helper()
	if why := missing(); why != "" {
		skip(t, why)
	}
	dir, err := os.MkdirTemp("", "dockertest") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e, err := start(dir, args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.stop(t) })
	if err := e.await(startLimit); err != nil {
		t.Fatal(err)
	}
	return e
}

// Command is a docker client's command against this Engine. Its builder is the
// classic one, which needs no plugin.
func (e *Engine) Command(args ...string) *exec.Cmd {
	c := exec.Command("docker", args...)
	c.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_CONFIG="+e.ConfigDir, "DOCKER_BUILDKIT=0", "DOCKER_CONTEXT=")
	return c
}

// Output runs docker and returns what it wrote to both of its outputs.
func (e *Engine) Output(args ...string) (string, error) {
	out, err := e.Command(args...).CombinedOutput()
	return string(out), err
}

// Run is Output for a command that must succeed: else the test fails at once.
func (e *Engine) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := e.Output(args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// missing says what of a Docker Engine this machine lacks, or nothing.
func missing() string {
	for _, program := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(program); err != nil {
			return "no " + program + " on this machine"
		}
	}
	if os.Geteuid() != 0 {
		return "dockerd needs root"
	}
	return ""
}

func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("GATEHOUSE_NO_SKIP") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// start launches dockerd in dir. Its config file is an empty one of our own, so
// that the machine's settings do not reach it.
func start(dir string, args []string) (*Engine, error) {
	e := &Engine{
		Host:      "unix://" + filepath.Join(dir, "docker.sock"),
		ConfigDir: filepath.Join(dir, "client"),
		Log:       filepath.Join(dir, "dockerd.log"),
	}
	if err := os.Mkdir(e.ConfigDir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(e.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	e.process = exec.Command("dockerd", append([]string{
		"--host=" + e.Host, "--config-file=" + config,
		"--data-root=" + filepath.Join(dir, "data"), "--exec-root=" + filepath.Join(dir, "exec"),
		"--pidfile=" + filepath.Join(dir, "dockerd.pid"), "--storage-driver=vfs",
		"--bridge=" + bridge(), "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
	}, args...)...)
	e.process.Stdout, e.process.Stderr = log, log
	// TERM, so that a test's process that is killed takes dockerd's own children too.
	if e.exited, err = authntest.StartTied(e.process, syscall.SIGTERM); err != nil {
		return nil, err
	}
	return e, nil
}

// machineBridge is the bridge that the machine's own Docker makes.
const machineBridge = "docker0"

// bridge is none, except where the machine runs a Docker of its own: dockerd takes
// away an existing docker0 when it is told to have none, and with it the network of
// every container there. So that one is named, and with iptables off nothing is
// done to it.
func bridge() string {
	if _, err := net.InterfaceByName(machineBridge); err == nil {
		return machineBridge
	}
	return "none"
}

// await returns when the Engine answers.
func (e *Engine) await(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := e.Output("version"); err == nil {
			return nil
		}
		select {
		case <-e.exited:
			return fmt.Errorf("dockerd ended at once:\n%s", e.logTail())
		case <-ctx.Done():
			return fmt.Errorf("dockerd did not answer within %s:\n%s", limit, e.logTail())
		case <-tick.C:
		}
	}
}

// stop ends dockerd; it takes its containers and its own containerd with it.
func (e *Engine) stop(t testing.TB) {
	t.Helper()
	e.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.exited:
	case <-time.After(stopLimit):
		e.process.Process.Kill()
		<-e.exited
		t.Errorf("dockerd had to be killed:\n%s", e.logTail())
	}
	if t.Failed() {
		t.Logf("dockerd's log ends with:\n%s", e.logTail())
	}
}

// logTail is the end of dockerd's log.
func (e *Engine) logTail() string {
	text, err := os.ReadFile(e.Log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}
