//go:build cache

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestDiskFull: where the file system of the cache is full, read-only or gone, every answer is
// right or cut, the gateway goes on, and metrics tell.
func TestDiskFull(t *testing.T) {
	registry := startBlobs(t, 5<<20, 6<<20, 7<<20, 3<<20, 4<<20)
	parent := t.TempDir()
	if err := syscall.Mount("tmpfs", parent, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Fatalf("a small file system is needed: %v", err)
	}
	defer syscall.Unmount(parent, syscall.MNT_DETACH)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: " + parent + "/cache, disk: 1GiB, free: 0%}"})
	pull := func(what string) {
		t.Helper()
		token := g.token(t, "test", testPassword, "repository:team/app:pull")
		var all sync.WaitGroup
		for range 3 {
			for i, digest := range registry.digests {
				all.Go(func() {
					a := g.send("GET", "/v2/team/app/blobs/"+digest, bearer(token), nil)
					if a.status != 0 && (a.status != 200 || !bytes.Equal(a.body, registry.content[i])) { // 0: cut
						t.Errorf("%s: %d: status %d, %d bytes", what, i, a.status, len(a.body))
					}
				})
			}
		}
		all.Wait()
	}
	metric := func(name string) int {
		return strings.Count(g.admins(t, "/metrics"), "gatehouse_content_"+name+"} 0\n")
	}
	pull("a small file system")
	pull("again")
	if metric(`fills_total{result="nospace"`) > 0 && metric(`evictions_total{reason="free",store="disk"`) > 0 {
		t.Error("no metric tells that there was no space")
	}
	filler := filepath.Join(parent, "filler")
	for b := make([]byte, 1<<20); ; {
		f, err := os.OpenFile(filler, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.Write(b)
			f.Close()
		}
		if err != nil {
			break
		}
	}
	pull("full")
	os.Remove(filler)
	tmp := filepath.Join(parent, "cache", "v1", "tmp") // the whole cannot be: the lock is open to be written
	if err := syscall.Mount("tmpfs", tmp, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	pull("read-only")
	pull("read-only still")
	if log := g.Log(); strings.Count(log, "read-only file system") != 1 {
		t.Errorf("the log tells %d times that the folder is read-only", strings.Count(log, "read-only file system"))
	}
	if err := syscall.Unmount(tmp, 0); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(parent, "cache", "v1"))
	pull("without its folders")
	if !g.Running() {
		t.Error("the gateway is gone")
	}
}

// TestNoNames: where a file system has bytes left but no names for files, what was not used for
// long makes way, and what comes is kept.
func TestNoNames(t *testing.T) {
	registry := startBlobs(t, 500<<10, 400<<10, 450<<10)
	parent := t.TempDir()
	if err := syscall.Mount("tmpfs", parent, "tmpfs", 0, "size=64m,nr_inodes=100,mode=0700"); err != nil {
		t.Fatalf("a small file system is needed: %v", err)
	}
	defer syscall.Unmount(parent, syscall.MNT_DETACH)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: " + parent + "/cache, disk: 1GiB, free: 0%}"})
	token := g.token(t, "test", testPassword, "repository:team/app:pull")
	pull := func(i int, hit bool) {
		t.Helper()
		a := g.send("GET", "/v2/team/app/blobs/"+registry.digests[i], bearer(token), nil).want(t, "a blob", http.StatusOK)
		if !bytes.Equal(a.body, registry.content[i]) || (a.header.Get("Cache-Status") != "") != hit {
			t.Errorf("%d: %d bytes, %q", i, len(a.body), a.header.Get("Cache-Status"))
		}
		awaitKept(t, g, parent+"/cache", registry.digests[i])
	}
	pull(0, false)
	for _, digest := range registry.digests {
		os.Mkdir(filepath.Join(parent, "cache", "v1", digest[7:9]), 0o700)
	}
	for i := range 100 {
		os.WriteFile(filepath.Join(parent, fmt.Sprint(i)), nil, 0o600) // until none is left
	}
	pull(1, false)
	pull(1, true)
	if n := g.metric(t, `gatehouse_content_evictions_total{reason="free",store="disk"}`); n != 1 {
		t.Errorf("%v made way", n)
	}
	a := g.send("GET", "/v2/team/app/blobs/"+registry.digests[2], bearer(token), nil).want(t, "more than there is", http.StatusOK)
	if !bytes.Equal(a.body, registry.content[2]) || g.metric(t, `gatehouse_content_entries{store="disk"}`) != 1 {
		t.Errorf("%d bytes", len(a.body))
	}
}

// TestSlowReaders: who takes nothing of a file of the cache for a minute is cut, and who takes
// a KiB a second is not.
func TestSlowReaders(t *testing.T) {
	registry := startBlobs(t, 64<<20)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: cache, free: 0%}"})
	token := g.token(t, "test", testPassword, "repository:team/app:pull")
	path := "/v2/team/app/blobs/" + registry.digests[0]
	g.send("GET", path, bearer(token), nil).want(t, "the first", http.StatusOK)
	awaitKept(t, g, filepath.Join(filepath.Dir(g.config), "cache"), registry.digests[0])
	open := func() net.Conn {
		conn, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, g.address, token)
		return conn
	}
	silent, slow := open(), open()
	begun := time.Now()
	var read int
	for b := make([]byte, 1<<10); time.Since(begun) < 150*time.Second; time.Sleep(time.Second) {
		n, err := slow.Read(b)
		if read += n; err != nil {
			t.Fatalf("the slow one was cut after %s and %d bytes: %v", time.Since(begun), read, err)
		}
	}
	silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n := g.metric(t, `gatehouse_limit_reached_total{limit="min_rate"}`); n != 1 {
		t.Errorf("%v clients were cut", n)
	}
	n, err := io.Copy(io.Discard, silent)
	if timeout, ok := err.(net.Error); n >= 64<<20 || ok && timeout.Timeout() {
		t.Errorf("the silent one got %d bytes, %v", n, err)
	}
}

// TestHerdOnDisk: a hundred clients pull one uncached blob of 64 MiB: the registry is asked
// once, and all have it. It prints how long they took.
func TestHerdOnDisk(t *testing.T) {
	registry := startBlobs(t, 64<<20)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: cache, free: 0%}"})
	token := g.token(t, "test", testPassword, "repository:team/app:pull")
	var all sync.WaitGroup
	var mu sync.Mutex
	var firsts, took []time.Duration
	begun := time.Now()
	for range 100 {
		all.Go(func() {
			r, _ := http.NewRequest("GET", "http://"+g.address+"/v2/team/app/blobs/"+registry.digests[0], nil)
			bearer(token)(r)
			resp, err := g.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			io.ReadFull(resp.Body, make([]byte, 1))
			first := time.Since(begun)
			if n, err := io.Copy(io.Discard, resp.Body); n != 64<<20-1 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			mu.Lock()
			defer mu.Unlock()
			firsts, took = append(firsts, first), append(took, time.Since(begun))
		})
	}
	all.Wait()
	slices.Sort(firsts)
	slices.Sort(took)
	t.Logf("first byte p50 %s, whole p50 %s, all %s", firsts[50], took[50], took[99])
	if n := registry.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
