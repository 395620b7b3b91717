package ui

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gatehouse/proxy/ui/browse"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"text": plain, "lines": lines, "bytes": bytesOf, "count": countOf, "iso": iso, "utc": utc, "short": shortDigest, "plural": plural, "image": imagePath, "list": list,
	"more": more, "word": word, "kind": kindOf, "line": commandLine, "brief": brief, "whole": func(n int64) string { return countOf(int(n)) },
}

// plain shows what could hide or turn around a text as an escape: control characters, and
// those that change the direction of writing (Unicode TR 9) or are not to be seen.
func plain(s string) string { return escaped(s, hidden) }

// lines is plain for a text that is shown as it is set: ends of lines and tabs stay.
func lines(s string) string {
	return escaped(strings.ReplaceAll(s, "\r\n", "\n"), func(c rune) bool { return c != '\n' && c != '\t' && hidden(c) })
}

func escaped(s string, hidden func(rune) bool) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if hidden(c) {
			quoted := strconv.QuoteRuneToASCII(c)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

func hidden(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029' || c == unicode.ReplacementChar
}

// bytesOf writes a size in powers of 1024 with one digit behind the point.
func bytesOf(n int64) string {
	switch {
	case n < 0:
		return "unknown"
	case n < 1024:
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 1024 && unit < 6 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "_KMGTPE"[unit])
}

// countOf writes a number with a comma at each thousand.
func countOf(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// plural is a number with its word: 1 tag, 2 tags.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return countOf(n) + " " + many
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// shortDigest is the algorithm-free beginning of a digest, 12 characters.
func shortDigest(d string) string {
	_, hex, found := strings.Cut(d, ":")
	if !found {
		hex = d
	}
	return hex[:min(len(hex), 12)]
}

// list is values for a template that takes one.
func list(values ...any) []any { return values }

// more is how many of a list are left behind the first n.
func more(all []string, n int) int { return len(all) - n }

// word is one of two.
func word(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// kindOf says in a word or two what a manifest is of.
func kindOf(s browse.Summary) string {
	switch s.Kind {
	case browse.ImageKind:
		return "image"
	case browse.IndexKind:
		return "image for several platforms"
	case browse.ChartKind:
		return "helm chart"
	case browse.ArtifactKind:
		if s.ArtifactType != "" {
			return s.ArtifactType
		}
		return "artifact"
	}
	return "unknown type"
}

// commandLine is what an image runs, as one line of a shell.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}

// shellWord is a text as one word of a shell, to which it means nothing else.
func shellWord(text string) string {
	if text != "" && strings.IndexFunc(text, special) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// special reports whether a character may mean something to a shell.
func special(c rune) bool {
	return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("@%+=:,./_-", c)
}

// age says how long ago something was, or how far off it is.
func age(now, then time.Time) string {
	d := now.Unix() - then.Unix() // a Duration ends at 292 years
	if d < 0 {
		if text := ahead(-d); text != "" {
			return "in " + text
		}
	} else if text := span(d); text != "" {
		return text + " ago"
	}
	return "just now"
}

const day = 24 * time.Hour

// The units of times in words, in seconds.
const (
	oneMinute = 60
	oneHour   = 60 * oneMinute
	oneDay    = 24 * oneHour
)

// units are those of times in words, from how much on each is nearer than the next to what is
// ahead.
var units = []struct {
	of, ahead int64
	name      string
}{{365 * oneDay, 2 * 365 * oneDay, "year"}, {30 * oneDay, 100 * oneDay, "month"}, {oneDay, 2 * oneDay, "day"}, {oneHour, 2 * oneHour, "hour"}, {oneMinute, oneMinute, "minute"}}

// span is a number of seconds in words, in the largest unit that fits; empty below a minute.
func span(d int64) string {
	for _, unit := range units {
		if n := int(d / unit.of); n > 0 {
			return plural(n, unit.name, unit.name+"s")
		}
	}
	return ""
}

// ahead is how many seconds something is off, to the nearest: what was just made for 30 days ends in 30
// days, not in 29. Empty below half a minute.
func ahead(d int64) string {
	for _, unit := range units {
		if n := (d + unit.of/2) / unit.of; n*unit.of >= unit.ahead {
			return plural(int(n), unit.name, unit.name+"s")
		}
	}
	return ""
}
