package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// soakTime is how long TestSoak runs where GATEHOUSE_SOAK does not say.
const soakTime = time.Minute

// soakSections put the limits where the traffic of the test reaches them.
const soakSections = `
limits: {header_timeout: 3s, connections_per_address: 60, uploads_per_user: 8, passwords_waiting: 8}
throttle: {failures: 3, window: 5m, users_per_source: 5}
audit: {file: audit.log, per_second: 5}
`

// soak is mixed traffic against one gateway: the good must all succeed, whatever
// the others do from addresses of their own.
type soak struct {
	*testing.T
	g       *gateway
	layer   v1.Hash
	cached  bool     // there is a cache of contents
	traffic sync.Map // what was sent, by kind: *atomic.Int64
	failed  atomic.Int64
}

func (s *soak) did(kind string) {
	n, _ := s.traffic.LoadOrStore(kind, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// TestSoak (H9): after good, bad, aborted and slow traffic at the limits, with a
// reload every few seconds, goroutines, descriptors and heap are back to where they
// were, and no good request has failed.
func TestSoak(t *testing.T) {
	t.Parallel()
	duration := soakTime
	if text := os.Getenv("GATEHOUSE_SOAK"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("GATEHOUSE_SOAK: %v", err)
		}
	}
	s := &soak{T: t, cached: os.Getenv("GATEHOUSE_CACHE") != ""}
	s.g = startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t), TLS: newKeyPair(t), Sections: soakSections, Pprof: true, Socket: "admin.sock",
		Policy: `  - {allow: [pull, push, delete], repositories: [anyuser/deleted], to: ["user:guest"]}`})
	s.layer = s.g.pushLayer(t, "anyuser/soak", 24<<20) // more than sockets hold, for slow readers
	s.g.push(t, "anyuser/soak:v1", "mozart", musicians)
	s.run(duration / 10) // caches and pools fill
	before := s.measure()
	t.Logf("before: %s", before)
	s.run(duration)
	var after figures
	start := time.Now()
	for after = s.measure(); !after.like(before) && time.Since(start) < time.Minute; after = s.measure() {
		time.Sleep(time.Second)
	}
	t.Logf("after %s and %s to settle: %s", duration, time.Since(start).Round(time.Second), after)
	s.traffic.Range(func(kind, n any) bool { t.Logf("%8d %s", n.(*atomic.Int64).Load(), kind); return true })
	if !after.like(before) {
		t.Errorf("something was left over: %s, and %s before", after, before)
	}
	if n := s.failed.Load(); n != 0 {
		t.Errorf("%d good requests failed", n)
	}
	wanted := []string{"header_timeout", "header_fields", "header_bytes", "connections_per_address", "failures", "users_per_source", "uploads_per_user"}
	if duration >= 3*time.Minute {
		wanted = append(wanted, "min_rate")
	}
	for _, limit := range wanted {
		n := s.g.metric(t, `gatehouse_limit_reached_total{limit="`+limit+`"}`)
		t.Logf("limit %-24s reached %.0f times", limit, n)
		if n == 0 && os.Getenv("GATEHOUSE_RACE") == "" { // with it the gateway is too slow for some
			t.Errorf("the limit %s was never reached", limit)
		}
	}
	s.diskIsFlat()
	if info, err := os.Stat(filepath.Join(filepath.Dir(s.g.config), "audit.log")); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("the audit file: %v, %v", info, err)
	}
}

// diskIsFlat holds that of a cache on disk nothing is left but what the gateway knows of.
func (s *soak) diskIsFlat() {
	dir := filepath.Join(filepath.Dir(s.g.config), "cache")
	if _, err := os.Stat(dir); err != nil {
		return // there is none
	}
	var bytes, count, half int64
	flat := await(20*time.Second, func() bool {
		bytes, count = 0, 0
		half = int64(len(tmpFiles(dir)))
		named, _ := filepath.Glob(filepath.Join(dir, "v1", "??", "*"))
		for _, path := range named {
			if info, err := os.Stat(path); err == nil {
				bytes, count = bytes+info.Size(), count+1
			}
		}
		return half == 0 && float64(bytes) == s.g.metric(s.T, `gatehouse_content_bytes{store="disk"}`) && float64(count) == s.g.metric(s.T, `gatehouse_content_entries{store="disk"}`)
	})
	s.Logf("the cache's folder has %d files of %d bytes, and %d that are not whole", count, bytes, half)
	if !flat {
		s.Errorf("the gateway knows of %v bytes", s.g.metric(s.T, `gatehouse_content_bytes{store="disk"}`))
	}
}

// run sends traffic of all kinds for a while.
func (s *soak) run(duration time.Duration) {
	ctx, cancel := context.WithTimeout(s.Context(), duration)
	defer cancel()
	var workers sync.WaitGroup
	for _, w := range []struct {
		pause time.Duration
		work  func(context.Context)
	}{
		{50 * time.Millisecond, s.pull}, {50 * time.Millisecond, s.pull}, {time.Second, s.push},
		{100 * time.Millisecond, s.guess}, {100 * time.Millisecond, s.spray}, {50 * time.Millisecond, s.junk}, {50 * time.Millisecond, s.junk},
		{200 * time.Millisecond, s.hangUp}, {200 * time.Millisecond, s.cutUpload}, {500 * time.Millisecond, s.manyUploads},
		{time.Second, s.crowd}, {time.Second, s.slowUpload}, {time.Second, s.slowUpload}, {time.Second, s.slowUpload},
		{time.Second, s.slowReader}, {time.Second, s.slowReader}, {5 * time.Second, s.reload},
		{time.Second, s.remove}, {3 * time.Second, s.purge},
	} {
		workers.Go(func() {
			for ctx.Err() == nil {
				w.work(ctx)
				wait(ctx, w.pause)
			}
		})
	}
	workers.Wait()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// good fails the test unless a good request did what it should, or was sent when
// the time was over.
func (s *soak) good(ctx context.Context, kind string, err error) {
	s.did(kind)
	if err != nil && ctx.Err() == nil {
		if s.failed.Add(1) <= 10 {
			s.Errorf("%s: %v", kind, err)
		}
	}
}

// pull logs in and pulls, as most clients do.
func (s *soak) pull(ctx context.Context) {
	ref, err := name.ParseReference(s.g.address + "/anyuser/soak:v1")
	if err == nil {
		_, err = remote.Get(ref, append(s.g.as("mozart", musicians), remote.WithContext(ctx))...)
	}
	s.good(ctx, "good pulls", err)
}

func (s *soak) push(ctx context.Context) {
	image, err := random.Image(1024, 2)
	if err == nil {
		ref, _ := name.ParseReference(s.g.address + "/anyuser/soak:moving")
		err = remote.Write(ref, image, append(s.g.as("mozart", musicians), remote.WithContext(ctx))...)
	}
	s.good(ctx, "good pushes", err)
}

// remove pushes an image, pulls it, deletes it, and wants it gone at once.
func (s *soak) remove(ctx context.Context) {
	s.good(ctx, "good deletes", func() error {
		image, err := random.Image(1024, 2)
		if err != nil {
			return err
		}
		digest, err := image.Digest()
		if err != nil {
			return err
		}
		ref, err := name.ParseReference(s.g.address + "/anyuser/deleted@" + digest.String())
		if err != nil {
			return err
		}
		options := append(s.g.as("guest", guestPassword), remote.WithContext(ctx)) // admin is at the cap of uploads
		if err := remote.Write(ref, image, options...); err != nil {
			return err
		}
		if _, err := remote.Get(ref, options...); err != nil {
			return err
		}
		if err := remote.Delete(ref, options...); err != nil {
			return err
		}
		var refused *transport.Error
		if _, err := remote.Get(ref, options...); !errors.As(err, &refused) || refused.StatusCode != http.StatusNotFound {
			return fmt.Errorf("what was deleted: %v", err)
		}
		return nil
	}())
}

// purge has the cache forget one repository, then all; a gateway without a cache says so.
func (s *soak) purge(ctx context.Context) {
	for _, what := range [][]string{{"--repository", "anyuser/soak"}, {"--all"}} {
		out, err := exec.CommandContext(ctx, binary, append([]string{"cache", "purge", "-c", s.g.config}, what...)...).CombinedOutput()
		if err != nil && s.cached {
			err = fmt.Errorf("%w: %s", err, out)
		} else {
			err = nil
		}
		s.good(ctx, "purges", err)
	}
}

// from dials the gateway from another loopback address, so that what attackers
// do from there is on their own account.
func (s *soak) from(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, "tcp", s.g.address)
}

// raw sends a text over TLS and reads the beginning of the answer.
func (s *soak) raw(ctx context.Context, kind, address, text string) string {
	s.did(kind)
	conn, err := s.from(ctx, address)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(conn, s.trust())
	if _, err := io.WriteString(c, text); err != nil {
		return ""
	}
	answer := make([]byte, 4096)
	n, _ := c.Read(answer)
	return string(answer[:n])
}

func (s *soak) trust() *tls.Config {
	config := s.g.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "127.0.0.1"
	config.NextProtos = nil
	return config
}

func (s *soak) request(method, path, header string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: " + s.g.address + "\r\n" + header + "\r\n"
}

func (s *soak) login(user, password string) string {
	return s.request("GET", "/auth", "Authorization: Basic "+basic(user, password)+"\r\n")
}

// guess tries passwords of one person, and is throttled.
func (s *soak) guess(ctx context.Context) {
	s.raw(ctx, "guessed passwords", "127.0.2.1", s.login("bach", wrongPassword+strconv.Itoa(rand.IntN(100))))
}

// spray tries one password on many people.
func (s *soak) spray(ctx context.Context) {
	s.raw(ctx, "sprayed names", fmt.Sprintf("127.0.3.%d", 1+rand.IntN(200)), s.login("nobody"+strconv.Itoa(rand.IntN(1000)), wrongPassword))
}

// junk is what no client sends.
func (s *soak) junk(ctx context.Context) {
	list := []string{
		"\x00\x01\x02\x03", s.request("GET", "/v2/../x", ""), s.request("BREW", "/v2/", ""),
		s.request("GET", "/v2/", strings.Repeat("X-Y: z\r\n", 150)), s.request("GET", "/v2/", "X: "+strings.Repeat("x", 40<<10)+"\r\n"),
		s.request("GET", "/v2/", "Authorization: Bearer "+strings.Repeat("a.", 5000)+"\r\n"),
		s.request("GET", "/auth?"+strings.Repeat("scope=repository:a:pull&", 2000), ""),
		s.request("POST", "/auth", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 999999999\r\n"),
		s.request("GET", "/v2/", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n") + "zz",
	}
	s.raw(ctx, "junk", "127.0.4.1", list[rand.IntN(len(list))])
}

func (s *soak) bearer() string {
	var reply = regexp.MustCompile(`"token":"([^"]+)"`)
	a := s.g.realm("mozart", musicians, "repository:anyuser/soak:pull,push")
	if m := reply.FindSubmatch(a.body); m != nil {
		return "Authorization: Bearer " + string(m[1]) + "\r\n"
	}
	return ""
}

// hangUp leaves in the middle of a pull.
func (s *soak) hangUp(ctx context.Context) {
	s.raw(ctx, "pulls cut by the client", "127.0.5.1", s.request("GET", "/v2/anyuser/soak/blobs/"+s.layer.String(), s.bearer()))
}

// upload starts an upload and returns its path, or "".
func (s *soak) upload(bearer string) string {
	a := s.g.send(http.MethodPost, "/v2/anyuser/soak/blobs/uploads/", func(r *http.Request) {
		r.Header.Set("Authorization", strings.TrimSpace(strings.TrimPrefix(bearer, "Authorization: ")))
	}, nil)
	location := a.header.Get("Location")
	if _, path, absolute := strings.Cut(location, s.g.address); absolute {
		return path
	}
	return location
}

// cutUpload leaves in the middle of an upload.
func (s *soak) cutUpload(ctx context.Context) {
	bearer := s.bearer()
	path := s.upload(bearer)
	if path == "" {
		return
	}
	s.did("uploads cut by the client")
	conn, err := s.from(ctx, "127.0.5.2")
	if err != nil {
		return
	}
	defer conn.Close()
	c := tls.Client(conn, s.trust())
	io.WriteString(c, s.request("PATCH", path, bearer+"Content-Length: 1000000\r\n"))
	io.CopyN(c, pattern(7, 100_000), int64(rand.IntN(100_000)))
}

// slowUpload sends a byte a second, until the gateway has enough of it.
func (s *soak) slowUpload(ctx context.Context) {
	bearer := s.bearer()
	path := s.upload(bearer)
	conn, err := s.from(ctx, "127.0.5.3")
	if err != nil || path == "" {
		return
	}
	defer conn.Close()
	s.did("slow uploads")
	c := tls.Client(conn, s.trust())
	_, err = io.WriteString(c, s.request("PATCH", path, bearer+"Content-Length: 1000000\r\n"))
	for err == nil && ctx.Err() == nil {
		_, err = c.Write([]byte{1})
		wait(ctx, time.Second)
	}
}

// slowReader takes a byte a second of an answer.
func (s *soak) slowReader(ctx context.Context) {
	conn, err := s.from(ctx, "127.0.5.4")
	if err != nil {
		return
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4096)
	s.did("slow readers")
	c := tls.Client(conn, s.trust())
	_, err = io.WriteString(c, s.request("GET", "/v2/anyuser/soak/blobs/"+s.layer.String(), s.bearer()))
	for one := make([]byte, 1); err == nil && ctx.Err() == nil; wait(ctx, time.Second) {
		_, err = c.Read(one)
	}
}

// manyUploads are more at once than one person may have.
func (s *soak) manyUploads(ctx context.Context) {
	token := s.g.realm("admin", adminPassword, "repository:anyuser/many:pull,push")
	m := regexp.MustCompile(`"token":"([^"]+)"`).FindSubmatch(token.body)
	if m == nil {
		s.good(ctx, "logins", fmt.Errorf("status %d", token.status))
		return
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s.did("uploads side by side")
			s.g.send(http.MethodPost, "/v2/anyuser/many/blobs/uploads/?digest=sha256:"+strings.Repeat("0", 64), bearer(string(m[1])), bytes.NewReader(make([]byte, 64<<10)))
		})
	}
	all.Wait()
}

// crowd opens more connections than one address may have, and says little on them:
// nothing, half a handshake, half a header.
func (s *soak) crowd(ctx context.Context) {
	var conns []net.Conn
	for i := range 80 {
		conn, err := s.from(ctx, "127.0.6.1")
		if err != nil {
			continue
		}
		conns = append(conns, conn)
		s.did("silent connections")
		switch i % 8 {
		case 0:
			io.WriteString(conn, "\x16\x03\x01\x02\x00\x01")
		case 1:
			c := tls.Client(conn, s.trust())
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(c, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ")
		}
	}
	for _, c := range conns { // until the gateway closes them
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.Copy(io.Discard, c)
		c.Close()
	}
}

func (s *soak) reload(context.Context) {
	s.did("reloads")
	s.g.Cmd.Process.Signal(syscall.SIGHUP)
}

// figures are what a process holds.
type figures struct {
	goroutines, descriptors int
	heap                    int64
}

func (f figures) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB of heap", f.goroutines, f.descriptors, f.heap>>10)
}

// like allows for what comes and goes by itself: a pool's connections, and caches
// that are not full yet.
func (f figures) like(before figures) bool {
	return f.goroutines <= before.goroutines+10 && f.descriptors <= before.descriptors+10 && f.heap <= before.heap+8<<20
}

// measure looks at the gateway when nobody uses it. A reload lets go of its idle
// connections to the registry, and a profile makes it collect its garbage.
func (s *soak) measure() figures {
	s.g.client.CloseIdleConnections()
	reloads := s.g.metric(s.T, `gatehouse_config_reloads_total{result="ok"}`)
	s.g.Cmd.Process.Signal(syscall.SIGHUP)
	eventually(s.T, 10*time.Second, "a reload", func() bool { return s.g.metric(s.T, `gatehouse_config_reloads_total{result="ok"}`) > reloads })
	for range 2 {
		if status := s.g.status("/debug/pprof/heap?gc=1"); status != http.StatusOK {
			s.Fatalf("no profile: %d", status)
		}
	}
	return s.g.figures(s.T)
}

// figures asks the gateway for its goroutines and heap, and the kernel for its descriptors.
func (g *gateway) figures(t *testing.T) figures {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return figures{int(g.metric(t, "go_goroutines")), len(fds), int64(g.metric(t, "go_memstats_heap_alloc_bytes"))}
}

// metric reads one value.
func (g *gateway) metric(t *testing.T, series string) float64 {
	t.Helper()
	for line := range strings.Lines(g.admins(t, "/metrics")) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", series)
	return 0
}
