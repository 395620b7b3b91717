package listener

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSwapsUnderHandshakes: pairs are swapped fifty times, by new files and by a symbolic
// link as Kubernetes does it, while clients shake hands; every handshake is good.
func TestSwapsUnderHandshakes(t *testing.T) {
	dir := t.TempDir()
	end := func(i int) time.Time { return time.Now().Add(time.Duration(i+1) * time.Hour) }
	link := func(i int) {
		t.Helper()
		folder := fmt.Sprintf("data%d", i)
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		writePair(t, filepath.Join(dir, folder), "linked", end(i), "linked.test")
		next := filepath.Join(dir, "next")
		if err := os.Symlink(folder, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link(0)
	writePair(t, dir, "plain", end(0), "plain.test")
	cfg := &TLS{Certificates: []Pair{readPair(filepath.Join(dir, "..data"), "linked"), readPair(dir, "plain")}}
	c, err := NewCertificates(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := cfg.Server(c, true)
	var clients sync.WaitGroup
	var stop atomic.Bool
	var hands atomic.Int64
	for _, file := range []string{"linked", "plain"} {
		clients.Go(func() {
			for !stop.Load() {
				if got := served(t, server, file+".test"); got != file {
					t.Errorf("the handshake for %s.test shows %q", file, got)
					return
				}
				hands.Add(1)
			}
		})
	}
	for i := 1; i <= 50; i++ {
		before := hands.Load()
		writePair(t, dir, "plain", end(i), "plain.test")
		link(i)
		if changed, err := c.Reload(); !changed || err != nil {
			t.Errorf("swap %d: %v %v", i, changed, err)
		}
		for name, got := range c.Ends() {
			if d := got.Sub(end(i)); d < -time.Minute || d > time.Minute {
				t.Errorf("swap %d: %s ends %s", i, name, got)
			}
		}
		for hands.Load() == before && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	stop.Store(true)
	clients.Wait()
}
