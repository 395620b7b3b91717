package authntest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// process is a server's program. It dies with the test's process, however that ends.
type process struct {
	cmd    *exec.Cmd
	exited <-chan struct{}
}

// StartTied starts cmd so that it gets death when this process ends, however that
// happens, and no test leaves a server behind. Ended is closed once it ended: then
// cmd.ProcessState is set. It is started on a thread that lives as long as it does,
// because the kernel sends the parent-death signal when the starting thread ends.
func StartTied(cmd *exec.Cmd, death syscall.Signal) (ended <-chan struct{}, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: death}
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	return done, <-started
}

// startProcess runs cmd with its output in the file log.
func startProcess(t testing.TB, log string, cmd *exec.Cmd) *process {
	t.Helper()
	file, err := os.Create(log)
	must(t, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	exited, err := StartTied(cmd, syscall.SIGKILL)
	must(t, err)
	return &process{cmd, exited}
}

// kill ends the process at once and waits for that.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// await polls until ready holds; false: the process ended, or the time was over.
func (p *process) await(limit time.Duration, ready func() bool) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if ready() {
			return true
		}
		select {
		case <-p.exited:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}
