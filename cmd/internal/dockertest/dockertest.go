// Package dockertest gives a test a Docker Engine of its own: a real dockerd with
// its data, sockets and pid file in a temporary folder, no network, no iptables
// and no address but a Unix socket, ended with the test. A Docker that the machine
// runs already is left alone.
//
//	engine := dockertest.Start(t)
//	engine.Run(t, "pull", "127.0.0.1:5000/anyuser/busybox")
//
// The client and the daemon are of one installation where the machine has several:
// a client newer than its daemon asks for what that does not know.
//
// Without dockerd, the docker client or root the test is skipped, or fails where
// GATEHOUSE_NO_SKIP is set, as `make test` does.
package dockertest

import (
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

	// Client is the path of the docker client.
	Client string

	process *authntest.Process
}

// Start starts a dockerd with the further arguments args (for example
// "--insecure-registry=10.0.0.0/8"; loopback is always insecure) and ends it when
// the test does. Certificates of TLS registries are looked for where dockerd
// always looks, in /etc/docker/certs.d.
func Start(t testing.TB, args ...string) *Engine {
	t.Helper()
	if why := missing(); why != "" {
		authntest.Skip(t, why)
	}
	dir, err := os.MkdirTemp("", "dockertest") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e, err := start(dir, installed(), args)
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
	c := exec.Command(e.Client, args...)
	c.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_CONFIG="+e.ConfigDir, "DOCKER_BUILDKIT=0", "DOCKER_CONTEXT=")
	return c
}

// Output runs docker and returns what it wrote to both of its outputs.
func (e *Engine) Output(args ...string) (string, error) {
	out, err := e.Command(args...).CombinedOutput()
	return string(out), err
}

// Run runs a command that must succeed, else the test fails at once, and returns its
// standard output alone: the warnings beside it are about the machine.
func (e *Engine) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := authntest.Run(e.Command(args...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// missing is what of a Docker Engine this machine lacks, or nothing.
func missing() string {
	if i := installed(); i.daemon == "" || i.client == "" {
		return fmt.Sprintf("no Docker Engine on this machine: dockerd %q, docker %q", i.daemon, i.client)
	}
	if os.Geteuid() != 0 {
		return "dockerd needs root"
	}
	return ""
}

// installation is a daemon and a client, by their paths.
type installation struct{ daemon, client string }

func installed() installation {
	return choose(authntest.Programs("dockerd"), authntest.Programs("docker"))
}

// choose gives the first daemon that has a client of its own version, and that
// client; where no two have one version, the first of each.
func choose(daemons, clients []string) installation {
	for _, daemon := range daemons {
		for _, client := range clients {
			if v := version(daemon); v != "" && v == version(client) {
				return installation{daemon, client}
			}
		}
	}
	return installation{first(daemons), first(clients)}
}

func first(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	return paths[0]
}

// version is what a program of Docker calls its version: the word behind "version"
// in `Docker version 20.10.24+dfsg1, build 297e128`, since builds differ.
func version(program string) string {
	out, err := authntest.Run(exec.Command(program, "--version"))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(out, "version ")
	v, _, _ := strings.Cut(after, ",")
	return strings.TrimSpace(v)
}

// start launches dockerd in dir. Its config file is an empty one of our own, so
// that the machine's settings do not reach it.
func start(dir string, i installation, args []string) (*Engine, error) {
	e := &Engine{
		Client:    i.client,
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
	daemon := exec.Command(i.daemon, append([]string{
		"--host=" + e.Host, "--config-file=" + config,
		"--data-root=" + filepath.Join(dir, "data"), "--exec-root=" + filepath.Join(dir, "exec"),
		"--pidfile=" + filepath.Join(dir, "dockerd.pid"), "--storage-driver=vfs",
		"--bridge=" + bridge(), "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
	}, args...)...)
	daemon.Env = append(os.Environ(), "PATH="+beside(i.daemon)+":"+os.Getenv("PATH"))
	daemon.Stdout = log
	// TERM, so that a test's process that is killed takes dockerd's own children too.
	if e.process, err = authntest.StartProcess(daemon, syscall.SIGTERM); err != nil {
		return nil, err
	}
	return e, nil
}

// beside are the folders of an installation, where its daemon is to find its own
// containerd and runc before any others.
func beside(daemon string) string {
	folder := filepath.Dir(daemon)
	return folder + ":" + filepath.Join(filepath.Dir(folder), "bin")
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

// await returns when the Engine answers. The error says what client and daemon
// last said.
func (e *Engine) await(limit time.Duration) error {
	var said string
	err := e.process.Await(limit, func() bool {
		out, err := e.Output("version")
		said = out
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("%w\ndocker version:\n%s", err, said)
	}
	return nil
}

// stop ends dockerd; it takes its containers and its own containerd with it.
func (e *Engine) stop(t testing.TB) {
	t.Helper()
	if err := e.process.Stop(stopLimit); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("dockerd's log ends with:\n%s", e.process.Tail(4<<10))
	}
}
