package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/version"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"gatehouse/proxy"
	"gatehouse/proxy/audit"
	"gatehouse/proxy/listener"
)

// records are a stream's lines.
func records(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, r)
	}
	return list
}

// TestLogInjection (J9): control characters, line breaks and length in what a
// client sends give no second record and no long one, as JSON and as text.
func TestLogInjection(t *testing.T) {
	s, _ := newTestServer(t, minimal)
	defer func() { s.current.Load().Release() }()
	evil := "a\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\x1b[31m\x00\u202e" + strings.Repeat("x", 1<<16)
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"json": func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: audit.Clip})
		},
		"text": func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: audit.Clip})
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
	defer func() { s.current.Load().Release() }()
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
		{proxy.Limits{Limits: listener.Limits{Connections: most/2 - 50}}, false},
		{proxy.Limits{Limits: listener.Limits{Connections: most/2 + 1}}, limit.Cur < 1<<40},
		{proxy.Limits{Limits: listener.Limits{Connections: most/4 + 1, HTTP2Streams: 100}}, limit.Cur < 1<<40},
		{proxy.Limits{Limits: listener.Limits{Connections: most / 4, HTTP2Streams: 100}, Requests: most / 4}, false},
		{proxy.Limits{Requests: most + 1}, limit.Cur < 1<<40},
	} {
		var log strings.Builder
		s := &server{log: slog.New(slog.NewJSONHandler(&log, nil))}
		if s.checkDescriptors(&c.limits); strings.Contains(log.String(), "LimitNOFILE") != c.warned {
			t.Errorf("%+v, %d descriptors: %q", c.limits, limit.Cur, log.String())
		}
	}
}
