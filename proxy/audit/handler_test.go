package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestHandlerIsSlogs: whatever a record holds, the line is the one of slog's own handler.
func TestHandlerIsSlogs(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~\x00-\x20"\\<>&\x7f]{0,60}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 50), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "\u2028\u2029", "\xff\xfe", "\ufffd", "team/app", strings.Repeat("x", 2049), strings.Repeat("ä", 1025)}))
	value := rapid.OneOf(rapid.Map(text, slog.StringValue), rapid.Map(rapid.Int64(), slog.Int64Value), rapid.Map(rapid.Uint64(), slog.Uint64Value),
		rapid.Map(rapid.Bool(), slog.BoolValue), rapid.Map(rapid.Float64(), slog.Float64Value), rapid.Map(rapid.Int64Range(0, 1e9), func(n int64) slog.Value { return slog.Float64Value(float64(n) / 1000) }),
		rapid.SampledFrom([]slog.Value{slog.AnyValue([]string{"v1", "a<b"}), slog.AnyValue(errors.New("broken")), slog.DurationValue(time.Second), slog.AnyValue(nil),
			slog.GroupValue(slog.Int("a", 1)), slog.GroupValue(), slog.Float64Value(math.Inf(1)), slog.Float64Value(1e21), slog.Float64Value(-1e-7), slog.Float64Value(math.Copysign(0, -1))}))
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-1e11, 3e11).Draw(t, "second"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanosecond"))
		if rapid.Bool().Draw(t, "utc") {
			at = at.UTC()
		}
		r := slog.NewRecord(at, slog.Level(rapid.IntRange(-9, 9).Draw(t, "level")), text.Draw(t, "message"), 0)
		for range rapid.IntRange(0, 30).Draw(t, "attrs") {
			r.AddAttrs(slog.Attr{Key: text.Draw(t, "key"), Value: value.Draw(t, "value")})
		}
		var want, got bytes.Buffer
		slogs := slog.NewJSONHandler(&want, &slog.HandlerOptions{ReplaceAttr: Clip})
		lines := NewLines(func(b []byte) { got.Write(b) }, func() { t.Error("lost") })
		ours := NewHandler(lines)
		if errors.Join(slogs.Handle(context.Background(), r), ours.Handle(context.Background(), r)) != nil {
			t.Fatal("an error")
		}
		lines.Flush()
		if got.String() != want.String() {
			t.Errorf("got  %s\nwant %s", got.String(), want.String())
		}
		recorded(t, ours, lines, r, &got, want.String())
	})
}

// recorded holds Record against what slog made of the same record, where the level is one
// that is written at all.
func recorded(t *rapid.T, h slog.Handler, lines *Lines, r slog.Record, got *bytes.Buffer, want string) {
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
	if r.Level < slog.LevelInfo {
		want = ""
	}
	got.Reset()
	Record(h, r.Time, r.Level, r.Message, attrs)
	lines.Flush()
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRecordElsewhere: another handler gets the record as ever.
func TestRecordElsewhere(t *testing.T) {
	var got bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	Record(slog.NewTextHandler(&got, nil), at, slog.LevelWarn, "request", []slog.Attr{slog.Int("status", 200)})
	Record(slog.NewTextHandler(&got, nil), at, slog.LevelDebug, "nothing", nil)
	if got.String() != "time=2026-01-02T03:04:05.000Z level=WARN msg=request status=200\n" {
		t.Errorf("%q", got.String())
	}
}

// written runs Lines in a bubble, with what was written at which time.
func written(t *testing.T) (l *Lines, take func() []string, end func()) {
	var mu sync.Mutex
	var log []string
	start := time.Now()
	l = NewLines(func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprintf("%s %s", time.Since(start), shorten(b)))
	}, func() { t.Error("a line is lost") })
	take = func() (taken []string) {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		taken, log = log, nil
		return taken
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	synctest.Wait()
	return l, take, func() { stop(); <-ended }
}

func shorten(b []byte) string {
	if len(b) > 20 {
		return fmt.Sprint(len(b), " bytes")
	}
	return string(b)
}

// TestGather: lines go out together after 50 ms, with 64 KiB at once, at once with an
// error, and whatever waits at the end.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, take, end := written(t)
		step := func(want ...string) {
			t.Helper()
			if got := strings.Join(take(), "|"); got != strings.Join(want, "|") {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		l.Gather([]byte("a"))
		time.Sleep(20 * time.Millisecond)
		l.Gather([]byte("b"))
		step()
		time.Sleep(30 * time.Millisecond)
		step("50ms ab")
		l.Gather([]byte("c"))
		l.Write([]byte("d"))
		step("50ms c", "50ms d")
		large := bytes.Repeat([]byte("x"), 40<<10)
		l.Gather(large)
		step()
		l.Gather(large)
		step("50ms 40960 bytes", "50ms 40960 bytes")
		l.Gather([]byte("f"))
		end()
		step("50ms f")
	})
}

// TestErrorGoesAtOnce: and so does what was gathered before it, in its place.
func TestErrorGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, take, end := written(t)
		defer end()
		to := slog.New(NewHandler(l))
		to.Info("one")
		to.Error("two")
		if got := take(); len(got) != 2 || !strings.HasPrefix(got[1], "0s ") {
			t.Errorf("%q", got)
		}
	})
}

// TestGatherIsBounded: what nobody takes is lost line by line, and counted.
func TestGatherIsBounded(t *testing.T) {
	lost, size := 0, 0
	l := NewLines(func(b []byte) { size += len(b) }, func() { lost++ })
	line := bytes.Repeat([]byte("x"), 1<<10)
	for range 8<<10 + 3 {
		_ = l.Gather(line)
	}
	l.Flush()
	if lost != 3 || size != 8<<20 {
		t.Errorf("%d lost, %d bytes written", lost, size)
	}
}

func BenchmarkHandler(b *testing.B) {
	attrs := []slog.Attr{slog.String("request_id", "NWPCDO5HDHGZ5M2VPYZTOE4BG3"), slog.String("client_ip", "192.0.2.7"), slog.String("user", "mozart"),
		slog.String("directory", "example"), slog.String("repository", "composers/requiem"), slog.String("path", "/v2/composers/requiem/manifests/latest"),
		slog.Int("status", 200), slog.Int64("bytes_out", 1525), slog.Float64("duration_ms", 0.171)}
	l := NewLines(func([]byte) {}, func() {})
	for name, h := range map[string]slog.Handler{"ours": NewHandler(l), "slog": slog.NewJSONHandler(l, &slog.HandlerOptions{ReplaceAttr: Clip})} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
				r.AddAttrs(attrs...)
				_ = h.Handle(b.Context(), r)
				if l.size > 1<<20 {
					l.Flush()
				}
			}
		})
	}
}
