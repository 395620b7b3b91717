package personal

import (
	"fmt"
	"os"
	"testing"
)

// benchDir is where the benchmarks' store is, which is made once.
var benchDir string

// TestMain gives the benchmarks a folder that outlives each of them.
func TestMain(m *testing.M) {
	var err error
	if benchDir, err = os.MkdirTemp("", "personal"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(benchDir)
	os.Exit(status)
}
