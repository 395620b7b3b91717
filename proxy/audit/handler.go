package audit

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// NewHandler is a slog.Handler of JSON for records that are many: what slog's own would
// write with Clip, but made outside of any lock and written together with others (see
// Lines.Gather); one of an error at once.
func NewHandler(lines *Lines) slog.Handler {
	return &gathering{Handler: slog.NewJSONHandler(lines, &slog.HandlerOptions{ReplaceAttr: Clip}), lines: lines,
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}}
}

// gathering leaves to slog's own handler what is not an everyday record: long texts,
// and values that are neither texts, numbers nor truths.
type gathering struct {
	slog.Handler
	lines   *Lines
	buffers sync.Pool // of one line
}

// clipBytes is how long a value may be in a log.
const clipBytes = 2048

// Clip is a slog.HandlerOptions.ReplaceAttr that keeps any one value short, whoever's
// text it is: an error may quote what a server or a client sent.
func Clip(_ []string, a slog.Attr) slog.Attr {
	most := clipBytes
	if a.Key == "stack" { // of our own code
		most = 16 << 10
	}
	text := ""
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		text = v.String()
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			text = err.Error()
		}
	}
	if len(text) > most {
		return slog.String(a.Key, strings.ToValidUTF8(text[:most], "")+"…")
	}
	return a
}

// Record writes a record of a moment, by slog.Handler's Handle or, where that is h's
// own way, without making a slog.Record.
func Record(h slog.Handler, now time.Time, level slog.Level, message string, attrs []slog.Attr) {
	ctx := context.Background()
	if !h.Enabled(ctx, level) {
		return
	}
	own, ok := h.(*gathering)
	if ok && own.record(now, level, message, attrs) {
		return
	}
	r := slog.NewRecord(now, level, message, 0)
	r.AddAttrs(attrs...)
	_ = h.Handle(ctx, r) // a line that is lost is counted where it is
}

// record reports whether the record is one of the everyday ones, and is written.
func (h *gathering) record(now time.Time, level slog.Level, message string, attrs []slog.Attr) bool {
	buffer := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buffer)
	line, known := h.begin((*buffer)[:0], now, level, message)
	for i := 0; known && i < len(attrs); i++ {
		line, known = h.attr(line, attrs[i])
	}
	*buffer = append(line, "}\n"...)
	if known {
		_ = h.send(level, *buffer)
	}
	return known
}

// Handle writes a line.
func (h *gathering) Handle(ctx context.Context, r slog.Record) error {
	buffer := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buffer)
	line, known := h.begin((*buffer)[:0], r.Time, r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if known {
			line, known = h.attr(line, a)
		}
		return known
	})
	if *buffer = append(line, "}\n"...); !known {
		return h.Handler.Handle(ctx, r)
	}
	return h.send(r.Level, *buffer)
}

func (h *gathering) send(level slog.Level, line []byte) error {
	if level < slog.LevelError {
		return h.lines.Gather(line)
	}
	_, err := h.lines.Write(line)
	return err
}

// begin appends what each record has, or reports that this is none of the everyday ones.
func (h *gathering) begin(line []byte, at time.Time, level slog.Level, message string) (_ []byte, known bool) {
	if y := at.Year(); y <= 1 || y >= 10000 { // the zero time too
		return line, false
	}
	line = append(line, `{"time":"`...)
	line = at.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","level":"`...)
	line = append(line, level.String()...)
	line = append(line, `","msg":`...)
	return appendText(line, message), len(message) <= clipBytes
}

// attr appends one field, or reports that it is of no everyday kind.
func (h *gathering) attr(line []byte, a slog.Attr) (_ []byte, known bool) {
	if a.Key == "" {
		return line, false
	}
	return h.value(append(appendText(append(line, ','), a.Key), ':'), a.Value)
}

// value appends one value, or reports that it is of no everyday kind.
func (h *gathering) value(line []byte, v slog.Value) (_ []byte, known bool) {
	switch v.Kind() {
	case slog.KindString:
		return appendText(line, v.String()), len(v.String()) <= clipBytes
	case slog.KindInt64:
		return strconv.AppendInt(line, v.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(line, v.Uint64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(line, v.Bool()), true
	case slog.KindFloat64:
		f := v.Float64()
		plain := f == 0 || math.Abs(f) >= 1e-6 && math.Abs(f) < 1e21 // as encoding/json tells apart
		return strconv.AppendFloat(line, f, 'f', -1, 64), plain
	}
	return line, false
}

const hexDigits = "0123456789abcdef"

// appendText appends a JSON string, escaped as slog does (encoding/json without HTML).
func appendText(line []byte, s string) []byte {
	line = append(line, '"')
	if ordinary(s) {
		return append(append(line, s...), '"')
	}
	start := 0
	for i := 0; i < len(s); {
		size, plain := character(s[i:])
		if !plain {
			line = appendEscaped(append(line, s[start:i]...), s[i:i+size])
			start = i + size
		}
		i += size
	}
	return append(append(line, s[start:]...), '"')
}

// ordinary reports whether all of s may stand as it is, as nearly all texts may.
func ordinary(s string) bool {
	for i := range len(s) {
		if !asItIs[s[i]] {
			return false
		}
	}
	return true
}

// asItIs tells of each byte whether it may stand in a JSON string whatever is around it.
var asItIs = func() (table [256]bool) {
	for c := range utf8.RuneSelf {
		_, table[c] = character(string(rune(c)))
	}
	return table
}()

// character is the length of the first character, and whether it may stand in a JSON
// string as it is.
func character(s string) (size int, plain bool) {
	if c := s[0]; c < utf8.RuneSelf {
		return 1, c >= 0x20 && c != '"' && c != '\\'
	}
	r, size := utf8.DecodeRuneInString(s)
	return size, (r != utf8.RuneError || size != 1) && r != '\u2028' && r != '\u2029'
}

// appendEscaped appends one character that must not stand in a JSON string as it is.
func appendEscaped(line []byte, s string) []byte {
	switch c := s[0]; {
	case c == '"' || c == '\\':
		return append(line, '\\', c)
	case c == '\n':
		return append(line, `\n`...)
	case c == '\r':
		return append(line, `\r`...)
	case c == '\t':
		return append(line, `\t`...)
	case c < 0x20:
		return append(line, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	case len(s) == 3: // U+2028 or U+2029, which JavaScript takes for line ends
		return append(line, '\\', 'u', '2', '0', '2', hexDigits[s[2]&15])
	}
	return append(line, `\ufffd`...)
}
