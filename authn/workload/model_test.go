package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"gatehouse/authn"
)

// The model reads claims as bytes of JSON and patterns letter by letter, and shares
// nothing with the package.

// modelFits holds a pattern against a text.
func modelFits(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case strings.HasPrefix(pattern, "**"):
		return modelFits(pattern[2:], text) || text != "" && modelFits(pattern, text[1:])
	case pattern[0] == '*':
		return modelFits(pattern[1:], text) || text != "" && text[0] != '/' && text[0] != ':' && modelFits(pattern, text[1:])
	}
	return text != "" && text[0] == pattern[0] && modelFits(pattern[1:], text[1:])
}

// modelTexts are the texts of the claim that a name leads to in JSON.
func modelTexts(text json.RawMessage, name string) []string {
	steps := []string{name}
	if strings.HasPrefix(name, "/") {
		steps = strings.Split(name, "/")[1:]
		for i := range steps {
			steps[i] = strings.ReplaceAll(strings.ReplaceAll(steps[i], "~1", "/"), "~0", "~")
		}
	}
	for _, step := range steps {
		var object map[string]json.RawMessage
		var list []json.RawMessage
		if json.Unmarshal(text, &object) == nil && object != nil {
			if text = object[step]; text == nil {
				return nil
			}
			continue
		}
		n, err := strconv.Atoi(step)
		if json.Unmarshal(text, &list) != nil || err != nil || n < 0 || n >= len(list) || strconv.Itoa(n) != step {
			return nil
		}
		text = list[n]
	}
	var list []json.RawMessage
	if json.Unmarshal(text, &list) != nil {
		list = []json.RawMessage{text}
	}
	var texts []string
	for _, item := range list {
		var s string
		switch {
		case len(item) == 0 || item[0] == '{' || item[0] == '[' || string(item) == "null":
		case json.Unmarshal(item, &s) == nil:
			texts = append(texts, s)
		default:
			texts = append(texts, string(item))
		}
	}
	return texts
}

// modelPick are the texts of a claim that count: those that a workload's match takes.
func modelPick(w Workload, claims json.RawMessage, name string) []string {
	texts := modelTexts(claims, name)
	for _, c := range w.Match {
		if c.Claim != name {
			continue
		}
		var fitting []string
		for _, text := range texts {
			for _, p := range c.Any {
				if modelFits(p, text) {
					fitting = append(fitting, text)
					break
				}
			}
		}
		return fitting
	}
	return texts
}

// modelMap is the name that some claims get, and by which workload; empty: none.
func modelMap(list []Workload, claims json.RawMessage) (int, string) {
	for i, w := range list {
		fits := true
		for _, c := range w.Match {
			fits = fits && len(modelPick(w, claims, c.Claim)) > 0
		}
		if !fits {
			continue
		}
		name := w.Name
		for name != "" && strings.Contains(name, "{") {
			before, rest, _ := strings.Cut(name, "{")
			claim, after, _ := strings.Cut(rest, "}")
			values := modelPick(w, claims, claim)
			if len(values) != 1 || strings.ContainsAny(values[0], "{}") {
				return i, ""
			}
			name = before + values[0] + after
		}
		for _, c := range []byte(name) {
			if c >= 0x80 {
				return i, ""
			}
		}
		name = strings.ToLower(name)
		for _, part := range strings.Split(name, "/") {
			if part == "" || part == "." || part == ".." || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
				return i, ""
			}
		}
		if len(name) > 256 {
			return i, ""
		}
		return i, name
	}
	return -1, ""
}

// dice makes random workloads and claims that meet often.
type dice struct{ *rand.Rand }

func (d dice) of(list ...string) string { return list[d.IntN(len(list))] }

func (d dice) claim() string {
	return d.of("sub", "sub", "ref", "ref", "repository", "repository", "n", "flag", "list", "deep", "/deep/inner", "/deep/a~1b", "/deep/t~0", "/list/0", "/list/01", "/deep/inner/x", "absent")
}

func (d dice) word() string {
	var b strings.Builder
	for range 1 + d.IntN(4) {
		b.WriteString(d.of("a", "b", "A", "/", ":", "-", "1", "octo", "main", "v", "o", "m", "B", d.of(".", "ä", "K", "c")))
	}
	return b.String()
}

func (d dice) pattern() string {
	if d.IntN(3) == 0 {
		return d.of("*", "**", "**a**", "*o*")
	}
	var b strings.Builder
	for range 1 + d.IntN(4) {
		b.WriteString(d.of("*", "**", "a", "octo", "/", ":", "main", "1", "true", d.word()))
	}
	return b.String()
}

func (d dice) value() any {
	switch d.IntN(8) {
	case 0:
		return json.Number(d.of("1", "0", "1.50", "1e3", "-0", "12345678901234567890"))
	case 1:
		return d.IntN(2) == 0
	case 2:
		return nil
	case 3:
		return []any{d.word(), d.word(), json.Number("1"), []any{"a"}, nil}[:d.IntN(6)]
	case 4:
		return map[string]any{"inner": d.word(), "a/b": d.word(), "t~": []any{d.word()}}
	}
	return d.word()
}

func (d dice) workload() Workload {
	w := Workload{Name: d.of("{sub}", "{repository}", "x/{ref}", "{sub}/{n}", "{list}", "{/deep/inner}", "{flag}")}
	for range 1 + d.IntN(2) {
		c := Condition{Claim: d.claim()}
		for range 1 + d.IntN(2) {
			c.Any = append(c.Any, d.pattern())
		}
		if len(w.Match) == 0 || w.Match[0].Claim != c.Claim {
			w.Match = append(w.Match, c)
		}
	}
	return w
}

// TestModel: claims are matched as the model has it, also after they were carried in a
// token. GATEHOUSE_CASES sets how many cases there are.
func TestModel(t *testing.T) {
	cases := 10_000
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_CASES")); err == nil {
		cases = n
	}
	outcomes := map[string]int{}
	for seed := range cases {
		d := dice{rand.New(rand.NewPCG(uint64(seed), 12))}
		var list []Workload
		for range 1 + d.IntN(3) {
			list = append(list, d.workload())
		}
		all := map[string]any{}
		for _, name := range []string{"sub", "ref", "repository", "n", "flag", "list", "deep"} {
			if d.IntN(6) > 0 {
				all[name] = d.value()
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(list, Form{})
		if m == nil {
			t.Fatalf("seed %d: %v: %+v", seed, err, list)
		}
		outcomes[compare(t, seed, m, list, text)]++
	}
	for _, want := range []string{"named", "refused", "no name"} {
		if outcomes[want] < cases/50 {
			t.Errorf("too few are %s: %v", want, outcomes)
		}
	}
}

// compare holds the mapping against the model.
func compare(t *testing.T, seed int, m *Mapping, list []Workload, text []byte) string {
	t.Helper()
	all, err := ReadClaims(string(text))
	if err != nil {
		t.Fatal(err)
	}
	picked, err := m.Pick(all)
	if err != nil {
		t.Fatal(err)
	}
	carried, err := ReadClaims(picked.String())
	if err != nil {
		t.Fatal(err)
	}
	at, name := modelMap(list, text)
	for _, c := range []Claims{picked, carried} {
		got, err := m.Map(c)
		if (err == nil) != (name != "") || err != nil && !errors.Is(err, authn.ErrMismatchedToken) || err == nil && (got.Workload != at || got.Name != name) {
			t.Fatalf("seed %d: %+v\nclaims %s\ngot %+v, %v; the model says %d %q", seed, list, text, got, err, at, name)
		}
		if misfits := m.Misfits(c); at < 0 && len(misfits) != len(list) {
			t.Fatalf("seed %d: nothing fits, and the misfits are %v", seed, misfits)
		}
		if at >= 0 && err != nil && !strings.Contains(err.Error(), fmt.Sprintf("workloads[%d]: name", at)) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	switch {
	case at < 0:
		return "refused"
	case name == "":
		return "no name"
	}
	return "named"
}
