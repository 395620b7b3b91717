package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/metrics"
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
		a := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
		a.Use("x", out, 10)
		log := a.Records()
		for range 1000 {
			log.Info("login", "result", "refused")
			log.Info("push", "result", "ok")
		}
		log.Info("login", "result", "ok")
		log.Info("denied", "result", "refused")
		a.tellLeftOut()
		time.Sleep(time.Second)
		log.Info("login", "result", "refused")
		time.Sleep(time.Hour)
		for range 150 {
			log.Info("login", "result", "refused")
		}
		time.Sleep(time.Second)
		log.Info("login", "result", "refused")
		a.lines.Flush()
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
	a := New(Options{Log: slog.New(slog.NewJSONHandler(&own, nil)), Metrics: m})
	a.Use("audit.log", out, 10)
	log := a.Records()
	for range 5 {
		log.Info("push")
	}
	a.lines.Flush()
	out.fails = nil
	log.Info("push", "n", 6)
	log.Info("push", "n", 7)
	a.lines.Flush()
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
	a := New(Options{Log: slog.New(slog.DiscardHandler), Stdout: io.Discard})
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
		out, err := a.Open(name)
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

// TestAuditConcurrent: records never mix, also while the file is opened again.
func TestAuditConcurrent(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	a := New(Options{Log: slog.New(slog.DiscardHandler)})
	out, err := a.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	a.Use(name, out, 1)
	log := a.Records()
	ctx, stop := context.WithCancel(t.Context())
	var running, writers sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	for range 8 {
		writers.Go(func() {
			for range 200 {
				log.Info("push", "repository", "a/b")
			}
		})
	}
	for range 20 {
		a.Reopen()
	}
	writers.Wait()
	stop()
	running.Wait()
	a.Close()
	text, err := os.ReadFile(name)
	if n := len(records(t, string(text))); err != nil || n != 1600 {
		t.Errorf("%d records, %v", n, err)
	}
}

// stuck is a stream that nobody reads: its first write does not end until it is released.
type stuck struct {
	sink
	begun, release chan struct{}
	once           sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	<-s.release
	return s.sink.Write(p)
}

// TestAuditBlocked: a file that takes nothing (a pipe that nobody reads, a hung file
// system) holds nobody up, neither who makes records nor who changes or ends the
// stream; what is too much is counted as failed.
func TestAuditBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var own bytes.Buffer
		out := &stuck{begun: make(chan struct{}), release: make(chan struct{})}
		m := metrics.New(metrics.BuildInfo{})
		a := New(Options{Log: slog.New(slog.NewJSONHandler(&own, nil)), Metrics: m})
		a.Use("pipe", out, 10)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.Run(ctx) })
		a.Record(Start)
		<-out.begun
		start, big := time.Now(), strings.Repeat("x", 32<<10)
		for range 2 * queued >> 15 {
			a.Record(Push, "what", big)
		}
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if text := w.Body.String(); strings.Contains(text, `audit_records_total{result="failed"} 0`) || strings.Count(own.String(), "come faster") != 1 {
			t.Errorf("log %s", own.String())
		}
		next := &sink{}
		a.Use("file", next, 10)
		a.Record(Reload)
		stop()
		running.Wait()
		if took := time.Since(start); took != flushLimit {
			t.Errorf("it held us up for %s", took)
		}
		close(out.release)
		synctest.Wait()
		if first, then := records(t, out.String()), records(t, next.String()); len(first) < 100 || len(then) != 1 || then[0]["event"] != "reload" {
			t.Errorf("%d records went to the old file, to the new one %v", len(first), then)
		}
	})
}

// TestAuditToBlockedStdout: a record that stdout has no room for counts as failed.
func TestAuditToBlockedStdout(t *testing.T) {
	stdout := NewLines(func([]byte) {}, func() {}) // nobody runs it
	for _, err := stdout.Write(make([]byte, 1<<20)); err == nil; _, err = stdout.Write(make([]byte, 1<<20)) {
	}
	var own bytes.Buffer
	m := metrics.New(metrics.BuildInfo{})
	a := New(Options{Stdout: stdout, Log: slog.New(slog.NewJSONHandler(&own, nil)), Metrics: m})
	out, err := a.Open("-")
	if err != nil {
		t.Fatal(err)
	}
	a.Use("-", out, 10)
	a.Record(Push, "what", strings.Repeat("x", 1<<20))
	a.lines.Flush()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), `audit_records_total{result="failed"} 1`) || !strings.Contains(own.String(), "slower than they come") {
		t.Errorf("log %s", own.String())
	}
}

// TestEvents: which events are sampled; all that tell of a change are not.
func TestEvents(t *testing.T) {
	for _, e := range []Event{Login, Token, Throttle, Denied} {
		if !e.Strangers() {
			t.Errorf("%s", e)
		}
	}
	for _, e := range []Event{Push, Delete, Reload, Start, Stop, LeftOut} {
		if e.Strangers() {
			t.Errorf("%s", e)
		}
	}
}

// TestAlways: what is marked so is never left out, and counts for nobody else's rate.
func TestAlways(t *testing.T) {
	var out sink
	s := New(Options{Stdout: &out, Log: slog.New(slog.DiscardHandler)})
	file, err := s.Open("-")
	if err != nil {
		t.Fatal(err)
	}
	s.Use("-", file, 1)
	for range 50 {
		s.Records().InfoContext(Always(t.Context()), string(Denied), "result", string(Refused))
	}
	for range 50 {
		s.Record(Denied, "result", string(Refused))
	}
	s.lines.Flush()
	if n := len(records(t, out.String())); n != 60 {
		t.Errorf("%d records, want 60", n)
	}
}
