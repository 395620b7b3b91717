//go:build !linux

package content

import "os"

// allocate takes no room: a full disk is known when it is written.
func allocate(*os.File, int64) error { return nil }
