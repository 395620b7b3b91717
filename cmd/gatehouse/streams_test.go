package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/proxy/audit"
)

// TestPanicIsLoggedWhole: the stack of a fault of ours is in the log, also where
// strangers have used up what may be said of broken connections.
func TestPanicIsLoggedWhole(t *testing.T) {
	var out bytes.Buffer
	errorLog := errorLog(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: audit.Clip})))
	for range 1000 {
		errorLog.Print("TLS handshake error")
	}
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { faultOfOurs() }))
	gateway.Config.ErrorLog = errorLog
	gateway.Start()
	if _, err := http.Get(gateway.URL); err == nil {
		t.Error("it was answered")
	}
	gateway.Close() // and with it what it had to log
	lines := records(t, out.String())
	last := lines[len(lines)-1]
	if stack, _ := last["stack"].(string); last["level"] != "ERROR" || !strings.Contains(stack, "faultOfOurs") || !strings.Contains(stack, "streams_test.go") {
		t.Errorf("%v", last)
	}
}

func faultOfOurs() { panic("a fault of ours") }

// TestBlockedOutput: a reader of our output that stops reading holds up neither who
// logs nor the end.
func TestBlockedOutput(t *testing.T) {
	stdout, writer := io.Pipe() // nobody reads
	var stderr bytes.Buffer
	out, flush := queuedStreams(writer, &stderr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 300 {
			out.access.Info("request", "path", strings.Repeat("x", 40<<10), "more", strings.Repeat("y", 2<<10), "raw", largeValue(64<<10))
		}
		out.log.Info("ended")
		flush()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it blocks")
	}
	stdout.Close()
	if text := stderr.String(); strings.Count(text, "request records are lost") != 1 || !strings.Contains(text, `"ended"`) {
		t.Errorf("stderr: %s", text)
	}
}

// largeValue is a value that no handler clips.
func largeValue(n int) []int { return make([]int, n/2) }
