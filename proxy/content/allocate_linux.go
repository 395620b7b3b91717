package content

import (
	"errors"
	"os"
	"syscall"
)

// keepSize is FALLOC_FL_KEEP_SIZE: the file is as long as what was written.
const keepSize = 1

// allocate takes room for a file, so that a full disk is known before the first byte. Not
// every file system can.
func allocate(file *os.File, size int64) error {
	err := syscall.Fallocate(int(file.Fd()), keepSize, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}
