package listener

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Unsent is how many bytes were written that the client's system has not taken yet, as tcp(7) has it
// of SIOCOUTQ. 0 where that cannot be had.
func (c *Conn) Unsent() (n int64) {
	with, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // of a connection that is closed nothing is unsent
		if queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = int64(queued)
		}
	})
	return n
}
