package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		arguments string
		good      bool
	}{
		{"", true},
		{"-rounds 1 -blob 1 -sample 0s -gobench 0 -strict", true},
		{"-rounds 0", false},
		{"-blob 0", false},
		{"-sample -1s", false},
		{"more", false},
		{"-bare 127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,/tls", true},
		{"-bare 127.0.0.1:1", false},
		{"-unknown", false},
	} {
		if _, err := parse(strings.Fields(c.arguments), io.Discard); (err == nil) != c.good {
			t.Errorf("%q: %v", c.arguments, err)
		}
	}
	o, err := parse([]string{"-blob", "2"}, io.Discard)
	if err != nil || o.blobSize != 2<<20 || o.sample != time.Second {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestParseSteps(t *testing.T) {
	got := parseSteps([]byte(`goos: linux
BenchmarkVerify/warm-2         	 5000000	       231.5 ns/op	      16 B/op	       1 allocs/op
BenchmarkVerify/warm-2         	 5000000	       931.5 ns/op	      16 B/op	       1 allocs/op
BenchmarkDecide 	 100	 1900 ns/op	 3.00 rules/op	 0 B/op	 0 allocs/op
BenchmarkDecide 	 100	 1000 ns/op	 3.00 rules/op	 0 B/op	 0 allocs/op
BenchmarkNoMemory-2 	 100	 1000 ns/op
PASS
`))
	want := []step{{"Verify/warm", 231.5, 16, 1}, {"Decide", 1000, 0, 0}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
		t.Error(diff)
	}
}

// TestTargets judges one target by its samples, a ratio and a figure of its own.
func TestTargets(t *testing.T) {
	of := func(rates ...float64) (list []sample) {
		for _, r := range rates {
			list = append(list, sample{rate: r, gets: r, cpu: math.NaN()})
		}
		return list
	}
	for _, c := range []struct {
		target  target
		samples map[string][]sample
		verdict string
	}{
		{target{figure: rateOf, way: "cached", to: "direct", least: true, bound: 4}, map[string][]sample{"cached": of(8, 9, 10), "direct": of(2, 2, 2)}, "met"},
		{target{figure: rateOf, way: "cached", to: "direct", least: true, bound: 4}, map[string][]sample{"cached": of(7, 9, 7), "direct": of(2, 2, 2)}, "MISSED"},
		{target{figure: timeOf, way: "cached", to: "direct", bound: 0.5}, map[string][]sample{"cached": of(4), "direct": of(2)}, "met"},
		{target{figure: cpuOf, way: "cached", to: "direct", bound: 0.5}, map[string][]sample{"cached": of(4), "direct": of(2)}, "not measured"},
		{target{figure: rateOf, way: "cached", to: "direct", bound: 0.5}, map[string][]sample{"cached": of(4)}, "not measured"},
		{target{figure: getsOf, way: "cached", bound: 1}, map[string][]sample{"cached": of(1, 1, 2)}, "met"},
		{target{figure: getsOf, way: "cached", bound: 1}, map[string][]sample{"cached": of(2)}, "MISSED"},
	} {
		m := &measure{name: "m", scheme: plain, unit: requests, samples: c.samples}
		c.target.line = m.line()
		if got, missed := c.target.verdict(c.target.values([]*measure{m})); got != c.verdict || missed != (c.verdict == "MISSED") {
			t.Errorf("%+v: %s, %v", c.target, got, missed)
		}
	}
}

// TestTargetsHaveMeasures: a target whose line no measure has would never be measured.
func TestTargetsHaveMeasures(t *testing.T) {
	lines := map[string]*measure{}
	for _, m := range measures(&load{}) {
		lines[m.line()] = m
	}
	for _, x := range slices.Concat(targets, others) {
		m := lines[x.line]
		if m == nil || !slices.Contains(m.ways, x.way) || x.to != "" && !slices.Contains(m.ways, x.to) {
			t.Errorf("%s: no measure %q by %s and %s", x.work, x.line, x.way, x.to)
		}
	}
}

// TestHeld holds what is to be no less than before against what that is in the same rounds.
func TestHeld(t *testing.T) {
	x := target{line: "m /s plain", figure: rateOf, way: "gateway", to: "nginx", least: true, bound: 2, before: "base"}
	of := func(rate float64) []sample { return []sample{{rate: rate}, {rate: rate}} }
	for _, c := range []struct {
		gateway, base  float64 // nginx has 100; base 0: it was not measured
		asked, verdict string
	}{
		{150, 150, ">= 1.50 (2 once)", "met"},
		{144, 150, ">= 1.50 (2 once)", "as before"},
		{140, 150, ">= 1.50 (2 once)", "MISSED"},
		{250, 300, ">= 3 (2 once)", "MISSED"},
		{190, 0, ">= 2", "MISSED"},
		{200, 0, ">= 2", "met"},
	} {
		m := &measure{name: "m", scheme: plain, unit: requests, samples: map[string][]sample{"gateway": of(c.gateway), "nginx": of(100)}}
		if c.base > 0 {
			m.samples["base"] = of(c.base)
		}
		held := x.held([]*measure{m})
		if got, missed := held.verdict(held.values([]*measure{m})); held.asked() != c.asked || got != c.verdict || missed != (c.verdict == "MISSED") {
			t.Errorf("%+v: %s, %s", c, held.asked(), got)
		}
	}
}

// TestOthers prints what was measured, and nothing of what was not.
func TestOthers(t *testing.T) {
	var out bytes.Buffer
	all := measures(&load{})
	all[0].samples["cached"], all[0].samples["zot"] = []sample{{rate: 900}}, []sample{{rate: 300}}
	printOthers(&out, all)
	if text := out.String(); !regexp.MustCompile(`hit: requests/s +\| zot +\| +3.00 \|`).MatchString(text) || strings.Contains(text, "docker_auth") {
		t.Error(text)
	}
}

// TestBare answers what the upstream said, and asks it once; what failed is asked again.
func TestBare(t *testing.T) {
	var asked atomic.Int32
	var broken atomic.Bool
	source := newSource()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1); broken.Load() || r.Header.Get("Authorization") != "Bearer token" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Cache-Status", "gatehouse; hit")
		source.ServeHTTP(w, r)
	}))
	defer upstream.Close()
	server := httptest.NewServer(&bare{upstream: upstream.URL, folder: t.TempDir()})
	defer server.Close()
	path := "/v2/a/manifests/" + digestOf(manifestOf(1))
	for _, c := range []struct {
		broken bool
		status int
		asked  int32
	}{{true, http.StatusBadGateway, 1}, {false, http.StatusOK, 2}, {true, http.StatusOK, 2}} {
		broken.Store(c.broken)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer token")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.status || asked.Load() != c.asked {
			t.Errorf("%+v: %v, status %d, asked %d times", c, err, response.StatusCode, asked.Load())
		}
		if c.status == http.StatusOK && (!bytes.Equal(body, manifestOf(1)) || response.Header.Get("Content-Type") != manifestType ||
			response.Header.Get("Cache-Status") != "gatehouse; hit" || len(response.Header["Date"]) != 1) {
			t.Errorf("%q as %v", body, response.Header)
		}
	}
}

// TestBareFile: what is large it has in a file, and sends whole, twice.
func TestBareFile(t *testing.T) {
	text := bytes.Repeat([]byte("layer"), inMemory/4)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", digestOf(text))
		_, _ = w.Write(text)
	}))
	folder := t.TempDir()
	server := httptest.NewServer(&bare{upstream: upstream.URL, folder: folder})
	defer server.Close()
	for range 2 {
		response, err := http.Get(server.URL + "/v2/a/blobs/" + digestOf(text))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !bytes.Equal(body, text) || response.Header.Get("Docker-Content-Digest") != digestOf(text) {
			t.Errorf("status %d, %d bytes, %v", response.StatusCode, len(body), err)
		}
		upstream.Close()
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// TestRegistryConfig: a registry logs where that is asked for, and otherwise nothing that is no fault.
func TestRegistryConfig(t *testing.T) {
	for logging, want := range map[bool]string{true: "\nlog: {level: info}\n", false: "\nlog: {level: error, accesslog: {disabled: true}}\n"} {
		var out bytes.Buffer
		if err := registryConfig.Execute(&out, settings{Logging: logging}); err != nil || !strings.Contains(out.String(), want) || strings.Count(out.String(), "\nlog:") != 1 {
			t.Errorf("logging %v, %v:\n%s", logging, err, out.String())
		}
	}
}

// TestServeBare has addresses of clear text and of TLS, and ends where one is taken.
func TestServeBare(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	address := taken.Listener.Addr().String()
	if err := serveBare([]string{address, address, address, filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("it served at an address that was taken")
	}
}

// TestTables prints what was measured, and what was not.
func TestTables(t *testing.T) {
	var out bytes.Buffer
	all := measures(&load{})
	all[0].samples["direct"] = []sample{{rate: 1000, cpu: 200, p50: 300}}
	all[0].samples["cached"] = []sample{{rate: 5000, cpu: 40, p50: 60, allocations: 12}}
	all[0].samples["net/http"] = []sample{{rate: 7500, cpu: 20, p50: 40}}
	printTable(&out, all)
	if missed := printTargets(&out, all); missed != 0 {
		t.Errorf("%d missed", missed)
	}
	for _, want := range []string{`(?m)^\| manifests, 16 connections /s plain +\| cached +\| +5000 \|.* 40 µs \| +60 µs \|$`,
		`requests/s \| direct +\| >= 4 \(5\) +\| +5.00 \|.*met \| +7.50 \|`, `over TLS .* not measured \| +- \|`,
		`no cache: manifests/s .* not measured \| +- \|`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

// TestCaller reads answers in pieces, and takes none for what it is not.
func TestCaller(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/whole":
			w.Header().Set("Cache-Status", "gatehouse; hit")
			w.Header().Set("Content-Length", "100000")
			for range 10 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
				http.NewResponseController(w).Flush()
			}
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("x"))
		case "/chunked":
			http.NewResponseController(w).Flush()
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	for path, good := range map[string]bool{"/whole": true, "/short": false, "/chunked": false, "/no": false} {
		c, err := dial(t.Context(), endpoint{base: server.URL}, path, nil, 4<<10)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a, err := c.ask()
		if good && (err != nil || a.size != 100_000 || !a.hit || a.first <= 0) || !good && err == nil {
			t.Errorf("%s: %+v, %v", path, a, err)
		}
		if _, again := c.ask(); good && again != nil {
			t.Errorf("%s, again: %v", path, again)
		}
	}
}

// TestSource answers what its digests say, and counts.
func TestSource(t *testing.T) {
	s := newSource()
	server := httptest.NewServer(s)
	defer server.Close()
	for path, kind := range map[string]string{"blobs/" + s.digest: "application/octet-stream", "manifests/" + digestOf(manifestOf(5)): manifestType} {
		response, err := http.Get(server.URL + "/v2/a/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.HasSuffix(path, digestOf(body)) || response.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %v, %s of %d bytes", path, err, response.Header.Get("Content-Type"), len(body))
		}
	}
	if n := s.gets.Load(); n != 1 {
		t.Errorf("%d GETs of the blob", n)
	}
	if response, err := http.Get(server.URL + "/v2/a/blobs/sha256:0"); err != nil || response.StatusCode != http.StatusNotFound {
		t.Error(response, err)
	}
}

// TestPage writes drawings that are XML, and a page that names each.
func TestPage(t *testing.T) {
	folder := t.TempDir()
	all := charts(curves{connections: map[string][]point{"direct": {{1, 10}, {16, 2000}}, "cached": {{1, 20}, {16, 8000}}}, rules: []point{{1, 30}, {1000, 31}}},
		footprint{connections: []point{{0, 20}, {1000, 60}}})
	if err := writePage(folder, "| a table |\n", all); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(folder, "performance.md"))
	if err != nil || !strings.Contains(string(page), "| a table |\n\n## Why it costs that\n") {
		t.Fatal(string(page), err)
	}
	for name, c := range all {
		if !strings.Contains(string(page), "]("+name+")") {
			t.Errorf("the page shows no %s", name)
		}
		var drawing struct {
			Lines []struct {
				Points string `xml:"points,attr"`
			} `xml:"polyline"`
		}
		if err := xml.Unmarshal([]byte(c.svg()), &drawing); err != nil || len(drawing.Lines) != len(c.series) {
			t.Errorf("%s: %v, %+v", name, err, drawing)
		}
	}
}

// TestSpent sees the CPU time of this very process.
func TestSpent(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Skip(err)
	}
	for sum := sha256.Sum256(nil); ; sum = sha256.Sum256(sum[:]) {
		if now, err := cpuTime(os.Getpid()); err != nil || now > before {
			break
		}
	}
	if used, err := resident(os.Getpid()); err != nil || used < 1 {
		t.Error(used, err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}
