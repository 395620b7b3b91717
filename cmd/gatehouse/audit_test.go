package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/version"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/metrics"
	"gatehouse/proxy"
)

// records are a stream's lines.
func records(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		var r map[string]any
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		list = append(list, r)
	}
	return list
}

// sink is a stream that can fail.
type sink struct {
	bytes.Buffer
	fails error
	short int // bytes that are written before it fails
}

func (s *sink) Write(p []byte) (int, error) {
	if s.fails != nil {
		n, _ := s.Buffer.Write(p[:s.short])
		return n, s.fails
	}
	return s.Buffer.Write(p)
}

func (s *sink) Close() error { return nil }

// TestAuditFlood: what strangers cause is sampled, each kind for itself, and
// counted; what was changed never is.
func TestAuditFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		a := &audit{log: slog.New(slog.DiscardHandler), metrics: metrics.New(metrics.BuildInfo{})}
		a.use("x", out, 10)
		log := a.logger()
		for range 1000 {
			log.Info("login", "result", "refused")
			log.Info("push", "result", "ok")
		}
		log.Info("login", "result", "ok")
		log.Info("denied", "result", "refused")
		a.flush(log)
		time.Sleep(time.Second)
		log.Info("login", "result", "refused")
		time.Sleep(time.Hour)
		for range 150 {
			log.Info("login", "result", "refused")
		}
		time.Sleep(time.Second)
		log.Info("login", "result", "refused")
		count := map[string]int{}
		left := 0.0
		for _, r := range records(t, out.String()) {
			event := r["event"].(string)
			if r["result"] != nil {
				event += "/" + r["result"].(string)
			}
			count[event]++
			if n, ok := r["left_out"].(float64); ok {
				left += n
			}
			if n, ok := r["count"].(float64); ok && r["of"] == "login/refused" {
				left += n
			}
		}
		if count["push/ok"] != 1000 || count["login/ok"] != 1 || count["denied/refused"] != 1 || count["login/refused"] != 100+1+100+1 || left != 900+50 || count["left_out"] != 1 {
			t.Errorf("%v, left out %v", count, left)
		}
	})
}

// TestAuditFailure: a full disk stops nothing, is told once, and no later record
// is hurt by half a line.
func TestAuditFailure(t *testing.T) {
	var own strings.Builder
	out := &sink{fails: errors.New("no space left on device"), short: 10}
	m := metrics.New(metrics.BuildInfo{})
	a := &audit{log: slog.New(slog.NewJSONHandler(&own, nil)), metrics: m}
	a.use("audit.log", out, 10)
	log := a.logger()
	for range 5 {
		log.Info("push")
	}
	out.fails = nil
	log.Info("push", "n", 6)
	log.Info("push", "n", 7)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 3 || !strings.Contains(lines[len(lines)-2], `"n":6`) || len(records(t, strings.Join(lines[len(lines)-2:], "\n"))) != 2 {
		t.Errorf("%q", lines)
	}
	if n := strings.Count(own.String(), "cannot be written"); n != 1 || strings.Count(own.String(), "written again") != 1 {
		t.Errorf("%s", own.String())
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`{result="failed"} 5`, `{result="written"} 2`} {
		if !strings.Contains(w.Body.String(), "gatehouse_audit_records_total"+want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestAuditFiles: what may be an audit file, and how it is made.
func TestAuditFiles(t *testing.T) {
	dir := t.TempDir()
	a := &audit{log: slog.New(slog.DiscardHandler), stdout: io.Discard}
	old, loose := filepath.Join(dir, "old"), filepath.Join(dir, "loose")
	for name, mode := range map[string]os.FileMode{old: 0o640, loose: 0o666} {
		if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, good := range map[string]bool{"": true, "-": true, filepath.Join(dir, "new"): true, old: true, loose: false, dir: false, "/dev/null": false, filepath.Join(dir, "no/x"): false} {
		out, err := a.open(name)
		if (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
		if out != nil {
			out.Close()
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "new")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("made with %v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "before\n" {
		t.Errorf("what was there: %q, %v", text, err)
	}
}

// TestAuditConcurrent: records never mix, also while the file is opened anew.
func TestAuditConcurrent(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	a := &audit{log: slog.New(slog.DiscardHandler)}
	out, err := a.open(name)
	if err != nil {
		t.Fatal(err)
	}
	a.use(name, out, 1)
	log := a.logger()
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 200 {
				log.Info("push", "repository", "a/b")
			}
		})
	}
	for range 20 {
		a.reopen()
	}
	writers.Wait()
	a.use("", nil, 1)
	text, err := os.ReadFile(name)
	if n := len(records(t, string(text))); err != nil || n != 1600 {
		t.Errorf("%d records, %v", n, err)
	}
}

// TestLogInjection (J9): control characters, line breaks and length in what a
// client sends give no second record and no long one, as JSON and as text.
func TestLogInjection(t *testing.T) {
	s, _ := newTestServer(t, minimal)
	defer func() { s.current.Load().release() }()
	evil := "a\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\x1b[31m\x00\u202e" + strings.Repeat("x", 1<<16)
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"json": func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: clipAttr})
		},
		"text": func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: clipAttr})
		},
	} {
		var out bytes.Buffer
		log := slog.New(handler(&out))
		log.Info("x", "user", evil, "error", errors.New(evil))
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 || out.Len() > 10_000 || regexp.MustCompile("[\x00\x1b]").Match(bytes.TrimSpace(out.Bytes())) {
			t.Errorf("%s: %d lines, %d bytes: %.200q", name, n, out.Len(), out.String())
		}
	}
}

// TestJ2Separate: what the admin listener has is not on the public one, and
// profiles are nowhere unless asked for.
func TestJ2Separate(t *testing.T) {
	s, write := newTestServer(t, minimal)
	defer func() { s.current.Load().release() }()
	paths := []string{"/metrics", "/livez", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/vars", "/"}
	ask := func(h http.Handler, path string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil)
		r.RemoteAddr = "127.0.0.1:1"
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, on := range []bool{false, true} {
		write(minimal + map[bool]string{true: "admin: {pprof: true}\n"}[on])
		s.reload()
		for _, p := range paths {
			if got := ask(http.HandlerFunc(s.serveHTTP), p); got != http.StatusNotFound {
				t.Errorf("public %s: %d", p, got)
			}
		}
		want := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[on]
		for _, p := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap"} {
			if got := ask(s.adminHandler(), p); got != want {
				t.Errorf("pprof %v: %s is %d", on, p, got)
			}
		}
		if got := ask(s.adminHandler(), "/debug/vars"); got != http.StatusNotFound {
			t.Errorf("/debug/vars: %d", got)
		}
	}
}

// TestJ8Toolchain: a Go that is known to be broken (CVE-2026-56866) builds nothing.
func TestJ8Toolchain(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("go.mod names no version")
	}
	for what, v := range map[string]string{"go.mod": "go" + m[1], "this toolchain": buildInfo().GoVersion} {
		if version.Compare(strings.Fields(v)[0], "go1.26.9") < 0 || v == "go1.27.0" || v == "go1.27.1" {
			t.Errorf("%s is %s, which is too old", what, v)
		}
	}
}

// TestDescriptors: row A5. A process that may open too few files for its connections
// and the requests on them is told at the start.
func TestDescriptors(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	most := int(min(limit.Cur, 1<<40))
	for _, c := range []struct {
		limits proxy.Limits
		warned bool
	}{
		{proxy.Limits{}, limit.Cur < 100},
		{proxy.Limits{Connections: most/2 - 50}, false},
		{proxy.Limits{Connections: most/2 + 1}, limit.Cur < 1<<40},
		{proxy.Limits{Connections: most/4 + 1, HTTP2Streams: 100}, limit.Cur < 1<<40},
		{proxy.Limits{Connections: most / 4, HTTP2Streams: 100, Requests: most / 4}, false},
		{proxy.Limits{Requests: most + 1}, limit.Cur < 1<<40},
	} {
		var log strings.Builder
		s := &server{log: slog.New(slog.NewJSONHandler(&log, nil))}
		if s.checkDescriptors(&c.limits); strings.Contains(log.String(), "LimitNOFILE") != c.warned {
			t.Errorf("%+v, %d descriptors: %q", c.limits, limit.Cur, log.String())
		}
	}
}
