package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// reloads is how many there are; GATEHOUSE_RELOADS is for the slow suite, which swaps
// certificates a quarter as often.
func reloads() int {
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_RELOADS")); err == nil {
		return n
	}
	return 20
}

// issuing is a CA that makes certificates for 127.0.0.1 and names.
type issuing struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newIssuing(t *testing.T) *issuing {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := &issuing{key: key, pool: x509.NewCertPool()}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.pool.AddCert(c.cert)
	return c
}

// write makes a pair with that serial number, as tls.crt and tls.key in dir; the first is
// there before the second.
func (c *issuing) write(t *testing.T, dir, name string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})))
}

// link swaps dir/..data as a Kubernetes volume does, to a folder with a new pair.
func (c *issuing) link(t *testing.T, dir, name string, serial int64) {
	t.Helper()
	folder := fmt.Sprintf("..%d", serial)
	if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	c.write(t, filepath.Join(dir, folder), name, serial)
	if err := os.Symlink(folder, filepath.Join(dir, "next")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// hup asks for a reload and waits until that many went well and badly.
func (g *gateway) hup(t *testing.T, ok, failed int) {
	t.Helper()
	if err := g.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, fmt.Sprintf("%d good reloads and %d bad ones", ok, failed), func() bool {
		return g.metric(t, `gatehouse_config_reloads_total{result="ok"}`) == float64(ok) && g.metric(t, `gatehouse_config_reloads_total{result="failed"}`) == float64(failed)
	})
}

// TestSwaps: certificates are swapped under TLS load, by files and by symbolic links, and
// every handshake is good.
func TestSwaps(t *testing.T) {
	ca, files, links := newIssuing(t), t.TempDir(), t.TempDir()
	ca.write(t, files, "files.test", 1)
	ca.link(t, links, "links.test", 1)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), ListenKeys: fmt.Sprintf("tls: {cert_file: %s/tls.crt, key_file: %s/tls.key, certificates: [{cert_file: %s/..data/tls.crt, key_file: %s/..data/tls.key}]}",
		files, files, links, links)})
	shown := map[string]*atomic.Int64{"files.test": {}, "links.test": {}}
	ended := make(chan struct{})
	var clients sync.WaitGroup
	var hands atomic.Int64
	for name, serial := range shown {
		for range 2 {
			clients.Go(func() {
				for !closed(ended) {
					conn, err := tls.Dial("tcp", g.address, &tls.Config{RootCAs: ca.pool, ServerName: name})
					if err != nil {
						t.Errorf("handshake %d for %s: %v", hands.Load(), name, err)
						return
					}
					serial.Store(conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
					conn.Close()
					hands.Add(1)
				}
			})
		}
	}
	n := int64(max(reloads()/4, 1))
	for i := int64(2); i <= n+1 && !t.Failed(); i++ {
		ca.write(t, files, "files.test", i)
		ca.link(t, links, "links.test", i)
		g.hup(t, int(i-1), 0)
		eventually(t, 10*time.Second, "the new pairs are shown", func() bool {
			return shown["files.test"].Load() == i && shown["links.test"].Load() == i || t.Failed()
		})
	}
	close(ended)
	clients.Wait()
	t.Logf("%d handshakes over %d swaps", hands.Load(), n)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestReloads: a config is swapped under a hundred requests a second, every second file
// being broken. No request fails, and each is answered by one config as a whole.
func TestReloads(t *testing.T) {
	pair := newKeyPair(t)
	g := startGateway(t, setup{Upstream: startRegistry(t).url(), TLS: pair})
	g.push(t, "team/app:v1", "admin", adminPassword)
	token := g.token(t, "test", testPassword, "repository:team/app:pull", "repository:team/closed:pull")
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	config := func(hsts, scheme, deny string) string {
		s := strings.Replace(string(text), "  tls: {", "  public_urls: [\""+scheme+"://"+g.address+"\"]\n  tls: {hsts: "+hsts+", ", 1)
		return strings.Replace(s, "policy:\n", "policy:\n"+deny+"  - {deny: [pull], repositories: [team/closed], to: [everyone]}\n", 1)
	}
	one, two := config("1h", "https", ""), config("2h", "http", "  # a line more\n")
	write(t, g.config, one)
	g.hup(t, 1, 0)
	lines := map[string]string{"max-age=3600": lineNumber(one, "team/closed"), "max-age=7200": lineNumber(two, "team/closed")}
	schemes := map[string]string{"max-age=3600": "https", "max-age=7200": "http"}
	l := &steady{t: t, every: 10 * time.Millisecond, ended: make(chan struct{}), ask: func(i int) error {
		switch i % 3 {
		case 0:
			a := g.get("/v2/", "")
			hsts := a.header.Get("Strict-Transport-Security")
			if challenge := a.header.Get("WWW-Authenticate"); a.status != http.StatusUnauthorized || !strings.Contains(challenge, `realm="`+schemes[hsts]+`://`) {
				return fmt.Errorf("a challenge of two configs: %d %s, %s", a.status, challenge, hsts)
			}
		case 1:
			a := g.get("/v2/team/closed/tags/list", token)
			hsts := a.header.Get("Strict-Transport-Security")
			if a.status != http.StatusForbidden || !strings.Contains(string(a.body), "gatehouse.yaml:"+lines[hsts]+`"`) {
				return fmt.Errorf("a refusal of two configs: %d %s, %s", a.status, a.body, hsts)
			}
		default:
			if a := g.get("/v2/team/app/manifests/v1", token); a.status != http.StatusOK {
				return fmt.Errorf("a pull: %d %s", a.status, a.body)
			}
		}
		return nil
	}}
	l.start()
	ok, failed := 1, 0
	for i := range reloads() {
		if i%2 == 1 {
			failed++
			write(t, g.config, []string{"polcy: [", one + "nonsense: 1\n", strings.Replace(two, "repositories: [\"**\"]", "repositories: [\"a**\"]", 1)}[i/2%3])
		} else {
			ok++
			write(t, g.config, []string{two, one}[i/2%2])
		}
		g.hup(t, ok, failed)
		before := l.done.Load()
		eventually(t, 10*time.Second, "requests under each config", func() bool { return l.done.Load() > before+5 })
	}
	l.end()
	t.Logf("%d requests over %d reloads", l.done.Load(), reloads())
}

// lineNumber is the number of the first line that has a text.
func lineNumber(text, part string) string {
	i := strings.Index(text, part)
	return strconv.Itoa(1 + strings.Count(text[:i], "\n"))
}

// steady is requests at one pace, whatever each takes.
type steady struct {
	t     *testing.T
	every time.Duration
	ask   func(i int) error
	ended chan struct{}
	done  atomic.Int64
	all   sync.WaitGroup
}

func (l *steady) start() {
	l.all.Go(func() {
		ticker := time.NewTicker(l.every)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.ended:
				return
			case <-ticker.C:
			}
			l.all.Go(func() {
				if err := l.ask(i); err != nil {
					l.t.Errorf("request %d: %v", i, err)
				}
				l.done.Add(1)
			})
		}
	})
}

func (l *steady) end() {
	close(l.ended)
	l.all.Wait()
}
