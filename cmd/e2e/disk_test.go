package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/authn/authntest"
)

// blobs are a registry of large blobs, in every repository, that counts what it is asked.
type blobs struct {
	*httptest.Server
	content [][]byte
	digests []string
	asked   atomic.Int64
}

func startBlobs(t *testing.T, sizes ...int) *blobs {
	b := &blobs{}
	for i, size := range sizes {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(content)
		b.content = append(b.content, content)
		b.digests = append(b.digests, fmt.Sprintf("sha256:%x", sha256.Sum256(content)))
	}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return // it is well
		}
		b.asked.Add(1)
		for i, digest := range b.digests {
			if strings.HasSuffix(r.URL.Path, "/blobs/"+digest) {
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Header().Set("Docker-Content-Digest", digest)
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.content[i]))
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

// files are the names of what lies in v1 of a cache's folder.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "v1"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir+"/v1/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestDiskCache: large blobs are kept over a restart, served whole and in part, over
// HTTP/1.1, HTTP/2 and TLS; a second process and another folder are refused by name.
func TestDiskCache(t *testing.T) {
	registry := startBlobs(t, 9<<20+1, 600<<10)
	for what, tls := range map[string]*keyPair{"plain": nil, "TLS": newKeyPair(t)} {
		t.Run(what, func(t *testing.T) {
			g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: cache, free: 0%}", TLS: tls})
			dir := filepath.Join(filepath.Dir(g.config), "cache")
			ask := func(i int, header ...string) answer {
				token := g.token(t, "test", testPassword, "repository:team/app:pull")
				return g.send("GET", "/v2/team/app/blobs/"+registry.digests[i], func(r *http.Request) {
					bearer(token)(r)
					for j := 0; j < len(header); j += 2 {
						r.Header.Set(header[j], header[j+1])
					}
				}, nil)
			}
			whole := func(what string, hit bool, asks int64) {
				t.Helper()
				for i, content := range registry.content {
					before := registry.asked.Load()
					a := ask(i).want(t, what, http.StatusOK)
					if !bytes.Equal(a.body, content) || (a.header.Get("Cache-Status") != "") != hit || a.header.Get("Content-Length") != strconv.Itoa(len(content)) {
						t.Errorf("%s: %d bytes, %v", what, len(a.body), a.header)
					}
					if asked := registry.asked.Load() - before; asked != asks {
						t.Errorf("%s: asked %d times", what, asked)
					}
					awaitKept(t, g, dir, registry.digests[i])
				}
			}
			whole("the first", false, 1)
			whole("a hit", true, 0)
			for header, want := range map[string][]byte{"bytes=0-9": registry.content[0][:10], "bytes=-5": registry.content[0][9<<20-4:], "bytes=5000000-5000001": registry.content[0][5000000:5000002]} {
				if a := ask(0, "Range", header).want(t, header, http.StatusPartialContent); !bytes.Equal(a.body, want) {
					t.Errorf("%s: %d bytes", header, len(a.body))
				}
			}
			ask(0, "Range", "bytes=99999999-").want(t, "beyond the end", http.StatusRequestedRangeNotSatisfiable)
			ask(0, "If-None-Match", `"`+registry.digests[0]+`"`).want(t, "what they have", http.StatusNotModified)

			second := exec.Command(binary, "serve", "-c", anotherAddress(t, g))
			if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "cache.dir: cache cannot be used: another process keeps its cache there") {
				t.Errorf("a second process: %v\n%s", err, out)
			}
			reloadedTo(t, g, "cache: {dir: cache, free: 0%}", "cache: {dir: ./cache/, free: 0%}", `"config reloaded"`) // the same
			reloadedTo(t, g, "cache: {dir: cache, free: 0%}", "cache: {dir: other, free: 0%}", `cache.dir: cannot change from \"cache\" to \"other\"`)

			g.restart(t)
			awaitKept(t, g, dir, registry.digests[0]) // what is there has to be known
			whole("after a restart", true, 1)
			whole("a hit after it", true, 0)
			g.Kill()
			g.serve(t)
			awaitKept(t, g, dir, registry.digests[0])
			whole("after a crash", false, 1)
			whole("a hit after that", true, 0)
			if list := files(t, dir); len(list) != 2 {
				t.Errorf("files: %q", list)
			}
		})
	}
}

// awaitKept waits until a blob has its name, and the gateway knows of all that have one.
func awaitKept(t *testing.T, g *gateway, dir, digest string) {
	t.Helper()
	path := filepath.Join(dir, "v1", digest[7:9], "sha256-"+digest[7:])
	if !await(10*time.Second, func() bool {
		_, err := os.Stat(path)
		named, globErr := filepath.Glob(filepath.Join(dir, "v1", "??", "*"))
		return errors.Join(err, globErr) == nil && len(tmpFiles(dir)) == 0 && g.metric(t, `gatehouse_content_entries{store="disk"}`) == float64(len(named))
	}) {
		t.Fatalf("%s is not kept", digest)
	}
}

func tmpFiles(dir string) []os.DirEntry {
	list, _ := os.ReadDir(filepath.Join(dir, "v1", "tmp"))
	return list
}

// TestFileLimit: where the system refuses a file's next byte (EFBIG, as EIO does) while it is
// filled, the gateway goes on, every answer is right or cut, and nothing half stays.
func TestFileLimit(t *testing.T) {
	registry := startBlobs(t, 9<<20, 600<<10)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: cache, free: 0%}"})
	dir := filepath.Join(filepath.Dir(g.config), "cache")
	token := g.token(t, "test", testPassword, "repository:team/app:pull")
	ask := func(i int) answer {
		return g.send("GET", "/v2/team/app/blobs/"+registry.digests[i], bearer(token), nil)
	}
	if err := unix.Prlimit(g.Cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 2 << 20, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
	if a := ask(0); a.status != 0 && (a.status != http.StatusOK || !bytes.Equal(a.body, registry.content[0])) { // 0: cut
		t.Errorf("the first: status %d, %d bytes", a.status, len(a.body))
	}
	for i := range 2 {
		if a := ask(i).want(t, "the next", http.StatusOK); !bytes.Equal(a.body, registry.content[i]) {
			t.Errorf("%d: %d bytes", i, len(a.body))
		}
	}
	if n := g.metric(t, `gatehouse_content_fills_total{result="nospace"}`); n == 0 {
		t.Error("no metric tells that there was no space")
	}
	if log := g.Log(); !strings.Contains(log, "file too large") && !strings.Contains(log, "has no room for a blob") { // some file systems say so at once
		t.Error("the log does not tell")
	}
	if !await(10*time.Second, func() bool { return len(tmpFiles(dir)) == 0 }) {
		t.Errorf("files: %q", files(t, dir))
	}
	for _, name := range files(t, dir) { // the smaller one, where the folder was not found at fault
		if content, err := os.ReadFile(filepath.Join(dir, "v1", name)); err != nil || !bytes.Equal(content, registry.content[1]) {
			t.Errorf("%s: %d bytes, %v", name, len(content), err)
		}
	}
}

// anotherAddress is a gateway's config for a second one with other addresses.
func anotherAddress(t *testing.T, g *gateway) string {
	t.Helper()
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(text), g.address, authntest.FreeAddress(t))
	name := filepath.Join(filepath.Dir(g.config), "second.yaml")
	write(t, name, strings.ReplaceAll(other, g.admin, authntest.FreeAddress(t)))
	return name
}

// reloadedTo is a reload that comes to a line in the log, and the config put back.
func reloadedTo(t *testing.T, g *gateway, from, to, says string) {
	t.Helper()
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.config, strings.ReplaceAll(string(text), from, to))
	g.Cmd.Process.Signal(syscall.SIGHUP)
	if err := g.Await(10*time.Second, func() bool { return strings.Contains(g.Log(), says) }); err != nil {
		t.Errorf("no %q: %v", says, err)
	}
	write(t, g.config, string(text))
}

// kills is how many times TestKilled kills the gateway; GATEHOUSE_KILLS is for the slow suite.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_KILLS")); err == nil {
		return n
	}
	return 5
}

// TestKilled: a gateway that is killed at any moment of filling its cache gives out no wrong
// byte after it, and leaves nothing that is not whole.
func TestKilled(t *testing.T) {
	registry := startBlobs(t, 1<<20, 2<<20, 3<<20, 5<<20, 8<<20, 700<<10, 300<<10, 12<<20)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: cache, free: 0%}"})
	dir := filepath.Join(filepath.Dir(g.config), "cache")
	for range kills() {
		os.RemoveAll(filepath.Join(dir, "v1", registry.digests[rand.IntN(8)][7:9])) // so that there is something to fill
		token := g.token(t, "test", testPassword, "repository:team/app:pull")
		var all sync.WaitGroup
		for i := range registry.digests {
			all.Go(func() {
				r, _ := http.NewRequest("GET", "http://"+g.address+"/v2/team/app/blobs/"+registry.digests[i], nil)
				bearer(token)(r)
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					return // killed
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if resp.StatusCode != 200 || err == nil && !bytes.Equal(got, registry.content[i]) || !bytes.HasPrefix(registry.content[i], got) {
					t.Errorf("%d: status %d, %d bytes, %v", i, resp.StatusCode, len(got), err)
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond) // any moment
		g.Kill()
		all.Wait()
		g.serve(t)
		if !await(10*time.Second, func() bool { return len(tmpFiles(dir)) == 0 }) {
			t.Fatal("what is not whole is there still")
		}
		for _, name := range files(t, dir) {
			content, err := os.ReadFile(filepath.Join(dir, "v1", name))
			if sum := fmt.Sprintf("sha256-%x", sha256.Sum256(content)); err != nil || !strings.HasSuffix(name, sum) {
				t.Errorf("%s has %s, %v", name, sum, err)
			}
		}
	}
}

// TestPurge: the commands see what the running gateway's cache holds, and have it forget.
func TestPurge(t *testing.T) {
	registry := startBlobs(t, 500<<10, 1000)
	g := startGateway(t, setup{Upstream: registry.URL, Socket: "admin.sock", Sections: "cache: {dir: cache, free: 0%}\naudit: {file: audit.log}"})
	dir := filepath.Join(filepath.Dir(g.config), "cache")
	token := g.token(t, "test", testPassword, "repository:team/app:pull")
	hits := func(what string, want ...bool) {
		t.Helper()
		for i := range registry.digests {
			a := g.send("GET", "/v2/team/app/blobs/"+registry.digests[i], bearer(token), nil).want(t, what, http.StatusOK)
			if hit := a.header.Get("Cache-Status") != ""; hit != want[i] || !bytes.Equal(a.body, registry.content[i]) {
				t.Errorf("%s, %d: hit %v", what, i, hit)
			}
		}
		awaitKept(t, g, dir, registry.digests[0])
	}
	run := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command(binary, append(append([]string{"cache"}, args...), "-c", g.config)...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	hits("the first", false, false)
	hits("hits", true, true)
	run("memory: 1 entries, 2024 of 67108864 bytes\ndisk: 1 entries, 512000 of 21474836480 bytes\nstandings: 2\n", "status")
	run("removed: 1\n", "purge", "--digest", registry.digests[0])
	if list := files(t, dir); len(list) != 0 {
		t.Errorf("files: %q", list)
	}
	hits("a digest is forgotten", false, true)
	run("removed: 0\n", "purge", "--repository", "team/other")
	hits("another repository is", true, true)
	run("removed: 2\n", "purge", "--all")
	hits("all is", false, false)
	run("all stands alone", "purge", "--all", "--repository", "team/app")
	run("is needed", "purge")
	run("is no digest", "purge", "--digest", "sha256:12")
	records, err := os.ReadFile(filepath.Join(filepath.Dir(g.config), "audit.log"))
	if n := strings.Count(string(records), `"event":"purge","result":"ok"`); err != nil || n != 3 {
		t.Errorf("%d records of purges, %v\n%s", n, err, records)
	}
}

// TestDamagedDisk: whatever somebody does to a file of the cache, the answer is right, a line and a
// metric tell, and the next hit is one again; what a crash left is not believed after a good end
// either, where nobody asked for it; a folder that is emptied fills again.
func TestDamagedDisk(t *testing.T) {
	registry := startBlobs(t, 600<<10)
	g := startGateway(t, setup{Upstream: registry.URL, Sections: "cache: {dir: cache, free: 0%}"})
	dir, digest := filepath.Join(filepath.Dir(g.config), "cache"), registry.digests[0]
	path := filepath.Join(dir, "v1", digest[7:9], "sha256-"+digest[7:])
	pull := func(what string, hit bool) {
		t.Helper()
		token := g.token(t, "test", testPassword, "repository:team/app:pull")
		a := g.send("GET", "/v2/team/app/blobs/"+digest, bearer(token), nil).want(t, what, http.StatusOK)
		if !bytes.Equal(a.body, registry.content[0]) || (a.header.Get("Cache-Status") != "") != hit {
			t.Errorf("%s: %d bytes, %q", what, len(a.body), a.header.Get("Cache-Status"))
		}
		awaitKept(t, g, dir, digest)
	}
	rewrite := func() error { // at another time, as the file system's clock tells it
		before, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !await(10*time.Second, func() bool {
			err = os.WriteFile(path, bytes.Repeat([]byte("x"), len(registry.content[0])), 0o600)
			now, statErr := os.Stat(path)
			err = errors.Join(err, statErr)
			return err != nil || !now.ModTime().Equal(before.ModTime())
		}) {
			err = errors.New("time stands still")
		}
		return err
	}
	for what, damage := range map[string]func() error{
		"rewritten": rewrite,
		"truncated": func() error { return os.Truncate(path, 1000) },
		"a link":    func() error { return errors.Join(os.Rename(path, dir+"/moved"), os.Symlink(dir+"/moved", path)) },
		"unlinked":  func() error { return os.Remove(path) },
		"a folder":  func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		pull(what+": before", g.metric(t, `gatehouse_content_entries{store="disk"}`) > 0)
		rotten, lines := g.metric(t, `gatehouse_content_evictions_total{reason="rot",store="disk"}`), strings.Count(g.Log(), "is not what it was")
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		pull(what, false)
		pull(what+": mended", true)
		if n := g.metric(t, `gatehouse_content_evictions_total{reason="rot",store="disk"}`); n != rotten+1 || strings.Count(g.Log(), "is not what it was") != lines+1 {
			t.Errorf("%s: %v counted", what, n-rotten)
		}
	}
	g.Kill()
	g.serve(t)
	g.restart(t)
	awaitKept(t, g, dir, digest)
	if err := rewrite(); err != nil {
		t.Fatal(err)
	}
	pull("what a crash left", false)
	g.restart(t)
	awaitKept(t, g, dir, digest)
	pull("after a good end", true)
	if err := os.RemoveAll(filepath.Join(dir, "v1")); err != nil {
		t.Fatal(err)
	}
	pull("an empty folder", false)
	pull("filled again", true)
	if n := g.metric(t, `gatehouse_content_fills_total{result="nospace"}`); n != 0 {
		t.Errorf("no space %v times", n)
	}
}
