package authntest

import (
	"os/exec"
	"syscall"
)

// tie has the kernel send death to the program when the thread that starts it ends.
func tie(cmd *exec.Cmd, death syscall.Signal) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: death}
}
