package e2e

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
)

// pushLayer streams a layer of so many random bytes through the gateway.
func (g *gateway) pushLayer(t *testing.T, repository string, size int64) v1.Hash {
	t.Helper()
	layer := stream.NewLayer(io.NopCloser(pattern(uint64(size), size)), stream.WithCompressionLevel(gzip.NoCompression))
	if err := remote.WriteLayer(g.reference(t, repository).Context(), layer, g.as("mozart", musicians)...); err != nil {
		t.Fatalf("push of %d bytes: %v", size, err)
	}
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// pullLayer reads a layer, whose digest crane's library checks, and returns its size.
func (g *gateway) pullLayer(t *testing.T, repository string, digest v1.Hash) int64 {
	t.Helper()
	layer, err := remote.Layer(g.reference(t, repository).Context().Digest(digest.String()), g.as("mozart", musicians)...)
	if err != nil {
		t.Fatal(err)
	}
	body, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if err != nil {
		t.Fatalf("pull of %s ended after %d bytes: %v", digest, n, err)
	}
	return n
}

// TestMovedLayer: what is pulled in clear text the gateway does not read: the kernel moves it.
func TestMovedLayer(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	digest := g.pushLayer(t, "anyuser/moved", 64<<20)
	before := g.read(t)
	if n, read := g.pullLayer(t, "anyuser/moved", digest), g.read(t)-before; read > n/4 {
		t.Errorf("of %d bytes it read %d", n, read)
	}
}

// read is how many bytes the gateway has read, from whatever.
func (g *gateway) read(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", g.Cmd.Process.Pid))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "rchar: %d", &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLargeLayer pushes and pulls 1 GiB and watches the gateway's memory.
func TestLargeLayer(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	g.pullLayer(t, "anyuser/warm", g.pushLayer(t, "anyuser/warm", 8<<20))
	before, _ := g.resident(t)
	// "5" resets the peak (proc_pid_clear_refs(5)): start-up hashed passwords.
	if err := os.WriteFile("/proc/"+strconv.Itoa(g.Cmd.Process.Pid)+"/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	digest := g.pushLayer(t, "anyuser/large", 1<<30)
	pushed := time.Since(start)
	size := g.pullLayer(t, "anyuser/large", digest)
	pulled := time.Since(start) - pushed
	after, peak := g.resident(t)
	t.Logf("1 GiB pushed in %s and pulled in %s; resident %d KiB before, %d KiB after, %d KiB at the peak",
		pushed.Round(time.Millisecond), pulled.Round(time.Millisecond), before>>10, after>>10, peak>>10)
	if size < 1<<30 {
		t.Errorf("pulled %d bytes", size)
	}
	if grown := peak - before; grown >= 32<<20 {
		t.Errorf("the gateway grew by %d KiB, 32 MiB or more", grown>>10)
	}
}

// TestDrainDuringPull: TERM in the middle of a 200 MB pull lets it end whole,
// refuses new connections meanwhile, and the status is 0.
func TestDrainDuringPull(t *testing.T) {
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	const size = 200_000_000
	digest := g.pushLayer(t, "anyuser/drain", size)
	token := g.token(t, "mozart", musicians, "repository:anyuser/drain:pull")
	req, _ := http.NewRequest(http.MethodGet, "http://"+g.address+"/v2/anyuser/drain/blobs/"+digest.String(), nil)
	bearer(token)(req)
	res, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	sum := sha256.New()
	if _, err := io.CopyN(sum, res.Body, 1<<20); err != nil {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	if err := g.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", g.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if s := g.status("/readyz"); s != http.StatusServiceUnavailable {
		t.Errorf("/readyz is %d during the drain", s)
	}
	n, err := io.Copy(sum, res.Body)
	if err != nil || n+1<<20 < size {
		t.Fatalf("the pull ended after %d bytes: %v", n+1<<20, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest.Hex {
		t.Errorf("pulled %s, want %s", got, digest)
	}
	select {
	case <-g.Ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the gateway still runs after its last request")
	}
	if code := g.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestUpstreamOutage: a stopped registry is 502 in the registry's JSON, and
// nothing has to be restarted when it is back.
func TestUpstreamOutage(t *testing.T) {
	registry := startRegistry(t)
	g := startGateway(t, setup{Upstream: registry.url(), LDAP: startDirectory(t)})
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	token := g.token(t, "mozart", musicians, "repository:anyuser/busybox:pull,push")
	g.get("/v2/anyuser/busybox/manifests/latest", token).want(t, "pull", http.StatusOK)
	registry.Kill()
	g.get("/v2/anyuser/busybox/manifests/latest", token).refusal(t, http.StatusBadGateway, "UNAVAILABLE")
	g.send(http.MethodPost, "/v2/anyuser/busybox/blobs/uploads/", bearer(token), nil).refusal(t, http.StatusBadGateway, "UNAVAILABLE")
	g.realm("mozart", musicians, pullBusybox).want(t, "a login meanwhile", http.StatusOK)
	if s := g.status("/livez"); s != http.StatusOK {
		t.Errorf("/livez is %d", s)
	}
	registry.resume(t)
	g.get("/v2/anyuser/busybox/manifests/latest", token).want(t, "pull afterwards", http.StatusOK)
	eventually(t, 20*time.Second, "ready again", func() bool { return g.status("/readyz") == http.StatusOK })
}

// TestCutPush: a push that is cut in the middle harms nobody, and the client's
// retry succeeds.
func TestCutPush(t *testing.T) {
	authntest.Need(t, "skopeo")
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), LDAP: startDirectory(t)})
	relay := startRelay(t, g.address)
	image, source := imageFolder(t, 30<<20)
	push := func() (string, error) {
		return trySkopeo("copy", "--dest-creds", "mozart:"+musicians, "--dest-tls-verify=false", source, "docker://"+relay.address+"/anyuser/cut:v1")
	}
	relay.allow.Store(8 << 20)
	if out, err := push(); err == nil {
		t.Fatalf("the push was not cut: %s", out)
	}
	token := g.token(t, "mozart", musicians, "repository:anyuser/cut:pull")
	g.get("/v2/anyuser/cut/manifests/v1", token).want(t, "the image that was cut", http.StatusNotFound)
	g.push(t, "anyuser/busybox:latest", "mozart", musicians)
	relay.allow.Store(1 << 40)
	if out, err := push(); err != nil {
		t.Fatalf("retry: %v\n%s", err, out)
	}
	pulled, err := remote.Image(g.reference(t, "anyuser/cut:v1"), g.as("mozart", musicians)...)
	if err != nil {
		t.Fatal(err)
	}
	layers, _ := image.Layers()
	got, err := pulled.Layers()
	if err != nil || len(got) != 1 {
		t.Fatalf("%d layers, %v", len(got), err)
	}
	want, _ := layers[0].Digest()
	if n := g.pullLayer(t, "anyuser/cut", want); n < 30<<20 {
		t.Errorf("pulled %d bytes", n)
	}
}

// relay is a TCP relay before the gateway that cuts every connection once its
// clients have sent so many bytes in all.
type relay struct {
	address string
	allow   atomic.Int64
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{address: l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(client, to)
		}
	}()
	return r
}

func (r *relay) serve(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { io.Copy(client, server); client.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil || r.allow.Add(-int64(n)) < 0 {
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}
