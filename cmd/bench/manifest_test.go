package main

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// nullManifest is what the null upstream answers to everything, from memory.
var nullManifest = "HTTP/1.1 200 OK\r\nContent-Type: " + manifestType + "\r\nDocker-Content-Digest: sha256:" + strings.Repeat("a", 64) +
	"\r\nDocker-Distribution-Api-Version: registry/2.0\r\nEtag: \"sha256:" + strings.Repeat("a", 64) +
	"\"\r\nContent-Length: 1525\r\n\r\n" + strings.Repeat("m", 1525)

const nullBlobSize = 16 << 20

var nullBlob = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", nullBlobSize) + strings.Repeat("b", nullBlobSize)

// BenchmarkBlob is the CPU time of a GiB of blobs in clear text, held against another
// build as BenchmarkManifest is.
func BenchmarkBlob(b *testing.B) {
	perGiB := map[string][]float64{}
	gateways := startAllMeasured(b)
	for b.Loop() {
		for _, g := range gateways {
			const times = 16 << 20 / nullBlobSize * 16
			request := strings.Replace(g.request, "/manifests/", "/blobs/", 1)
			cpu, wall := cpuTime(b, g.pid), time.Now()
			for range times {
				if _, err := io.WriteString(g.conns[0], request); err != nil {
					b.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReaderSize(g.conns[0], 512<<10), nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != nullBlobSize {
					b.Fatal(n, err)
				}
			}
			g.rate = append(g.rate, float64(times*nullBlobSize)/1e6/time.Since(wall).Seconds())
			perGiB[g.name] = append(perGiB[g.name], (cpuTime(b, g.pid)-cpu).Seconds()*1000*float64(1<<30)/float64(times*nullBlobSize))
		}
	}
	for _, g := range gateways {
		b.ReportMetric(median(g.rate), "MB/s-"+g.name)
	}
	for name, values := range perGiB {
		b.ReportMetric(median(values), "cpu-ms/GiB-"+name)
	}
}

// BenchmarkManifest is the CPU time and the allocations of a manifest GET by digest
// in the real gateway, before an upstream that costs nothing: 16 connections, token,
// policy, metrics and access log. GATEHOUSE_BASE names another gateway's binary to
// hold it against; both are measured in turns within each iteration. Run it with
// -benchtime 15x.
func BenchmarkManifest(b *testing.B) {
	gateways := startAllMeasured(b)
	for b.Loop() {
		for _, g := range gateways {
			g.sample(b, 500*time.Millisecond)
		}
	}
	for _, g := range gateways {
		b.ReportMetric(median(g.cpu), "cpu-µs/request-"+g.name)
		b.ReportMetric(median(g.allocations), "allocs/request-"+g.name)
		b.ReportMetric(median(g.bytes), "B/request-"+g.name)
		b.ReportMetric(median(g.rate), "requests/s-"+g.name)
	}
	if len(gateways) == 2 {
		var ratios []float64
		for i, cpu := range gateways[0].cpu {
			ratios = append(ratios, cpu/gateways[1].cpu[i])
		}
		b.ReportMetric(median(ratios), "cpu-new/base")
	}
}

// startAllMeasured starts a gateway of this build, and that of GATEHOUSE_BASE.
func startAllMeasured(b *testing.B) []*measured {
	b.Helper()
	here := filepath.Join(b.TempDir(), "gatehouse")
	if _, err := authntest.Run(exec.CommandContext(b.Context(), "go", "build", "-o", here, "gatehouse/cmd/gatehouse")); err != nil {
		b.Fatal(err)
	}
	gateways := []*measured{startMeasured(b, "new", here)}
	if base := os.Getenv("GATEHOUSE_BASE"); base != "" {
		gateways = append(gateways, startMeasured(b, "base", base))
	}
	return gateways
}

// measured is one running gateway, with what was found out about it.
type measured struct {
	name                          string
	pid                           int
	admin, request                string
	conns                         []net.Conn
	cpu, allocations, bytes, rate []float64
}

// startMeasured starts a gateway before a null upstream of its own, logs in, and opens
// the connections.
func startMeasured(b *testing.B, name, binary string) *measured {
	b.Helper()
	h := &house{folder: b.TempDir(), roots: x509.NewCertPool()}
	a, err := h.configure(false)
	if err != nil {
		b.Fatal(err)
	}
	nullUpstream(b, a.Direct)
	b.Cleanup(func() {
		if err := h.stop(); err != nil {
			b.Error(err)
		}
	})
	if err := h.start(a.Gateway, binary, "serve", "-c", h.path("gatehouse.yaml")); err != nil {
		b.Fatal(err, h.tails())
	}
	to := endpoint{name: name, base: "http://" + a.Gateway}
	if err := h.login(b.Context(), &to); err != nil {
		b.Fatal(err)
	}
	m := &measured{name: name, pid: h.processes[0].Cmd.Process.Pid, admin: "http://" + a.Admin + "/metrics",
		request: "GET /v2/" + repository + "/manifests/sha256:" + strings.Repeat("a", 64) + " HTTP/1.1\r\nHost: " + a.Gateway +
			"\r\nUser-Agent: containerd/2.1.4\r\nAccept: " + manifestType + "\r\nAccept-Encoding: identity\r\nAuthorization: Bearer " + to.token + "\r\n\r\n"}
	for range 16 {
		conn, err := net.Dial("tcp", a.Gateway)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		m.conns = append(m.conns, conn)
	}
	m.load(b, 200*time.Millisecond)
	return m
}

// nullUpstream answers each request with the same bytes.
func nullUpstream(b *testing.B, address string) {
	b.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serveNull(conn)
			}()
		}
	}()
}

func serveNull(conn net.Conn) {
	buffer := make([]byte, 16<<10)
	have := 0
	for {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return
		}
		if have += n; bytes.HasSuffix(buffer[:have], []byte("\r\n\r\n")) {
			answer := nullManifest
			if bytes.Contains(buffer[:have], []byte("/blobs/")) {
				answer = nullBlob
			}
			have = 0
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// sample measures for d.
func (m *measured) sample(b *testing.B, d time.Duration) {
	b.Helper()
	allocations, size := m.memory(b)
	cpu, start := cpuTime(b, m.pid), time.Now()
	n := m.load(b, d)
	took, spent := time.Since(start), cpuTime(b, m.pid)-cpu
	afterwards, sizeAfter := m.memory(b)
	m.cpu = append(m.cpu, float64(spent.Nanoseconds())/1000/n)
	m.allocations, m.bytes = append(m.allocations, (afterwards-allocations)/n), append(m.bytes, (sizeAfter-size)/n)
	m.rate = append(m.rate, n/took.Seconds())
}

// load asks on every connection until d is over, and is how many answers came.
func (m *measured) load(b *testing.B, d time.Duration) float64 {
	b.Helper()
	end := time.Now().Add(d)
	var all sync.WaitGroup
	counts, errs := make([]int, len(m.conns)), make([]error, len(m.conns))
	for i, conn := range m.conns {
		all.Go(func() { counts[i], errs[i] = ask(conn, m.request, end) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum)
}

// ask sends a request again and again. An answer's end is the manifest's.
func ask(conn net.Conn, request string, end time.Time) (n int, err error) {
	buffer, tail := make([]byte, 16<<10), []byte("mmmmmmmm")
	for time.Now().Before(end) {
		if _, err := io.WriteString(conn, request); err != nil {
			return n, err
		}
		have := 0
		for have < 1525 || !bytes.HasSuffix(buffer[:have], tail) || have-bytes.Index(buffer[:have], []byte("\r\n\r\n")) != 1525+4 {
			got, err := conn.Read(buffer[have:])
			if err != nil {
				return n, err
			}
			have += got
		}
		if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200 ")) {
			return n, fmt.Errorf("answered %.40q", buffer)
		}
		n++
	}
	return n, nil
}

var memoryLine = regexp.MustCompile(`(?m)^go_memstats_(alloc_bytes|mallocs)_total (\S+)$`)

// memory is how many allocations, and of how many bytes, the gateway has made.
func (m *measured) memory(b *testing.B) (count, size float64) {
	b.Helper()
	resp, err := http.Get(m.admin)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	for _, match := range memoryLine.FindAllStringSubmatch(string(text), -1) {
		value, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			b.Fatal(err)
		}
		if match[1] == "mallocs" {
			count = value
		} else {
			size = value
		}
	}
	return count, size
}

// cpuTime is what all threads of a process have used.
func cpuTime(b *testing.B, pid int) (sum time.Duration) {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Skip("the system does not show the time of threads")
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum
}
