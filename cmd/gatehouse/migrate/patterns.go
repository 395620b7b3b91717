package migrate

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// set is what an entry of the old config covers, in our words: at least under, at most
// over. Both are the same where it can be said exactly.
type set struct {
	under, over []string
	samples     []string // texts that the old pattern is about
}

func (s set) exact() bool { return slices.Equal(s.under, s.over) }

// repositories are the patterns for a docker_auth pattern of names.
func (r reader) repositories(p string, given bool) set {
	if !given {
		return set{under: []string{"**"}, over: []string{"**"}, samples: []string{"any", "any/thing"}}
	}
	var s set
	for _, seq := range r.read(p) {
		seq = merged(seq)
		list := patternsOf(seq)
		s.over = append(s.over, list...)
		if sayable(seq) {
			s.under = append(s.under, list...)
		}
		s.samples = append(s.samples, samplesOf(seq)...)
	}
	s.under, s.over = tidy(s.under), tidy(s.over)
	return s
}

// tidy sorts patterns and leaves out those that another one covers.
func tidy(list []string) []string {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	var kept []string
	for i, p := range list {
		if !slices.ContainsFunc(list, func(q string) bool { return q != p && covers(q, p) && (!covers(p, q) || slices.Index(list, q) < i) }) {
			kept = append(kept, p)
		}
	}
	return kept
}

// merged joins wild parts that stand side by side.
func merged(seq []token) []token {
	var out []token
	for _, t := range seq {
		if n := len(out) - 1; n >= 0 && out[n].wild && t.wild {
			last := &out[n]
			last.vague = last.vague || t.vague || last.least+t.least > 1
			last.slash, last.least, last.shown = last.slash || t.slash, last.least+t.least, last.shown+t.shown
			continue
		}
		out = append(out, t)
	}
	return out
}

// sayable reports whether our patterns say the same: a wild part takes any text, and one
// that must not be empty cannot be, for no name would be left.
func sayable(seq []token) bool {
	for i, t := range seq {
		if !t.wild {
			continue
		}
		before, after := byte('/'), byte('/')
		if i > 0 {
			before = seq[i-1].text[len(seq[i-1].text)-1]
		}
		if i+1 < len(seq) {
			after = seq[i+1].text[0]
		}
		separates := func(c byte) bool { return strings.IndexByte("._-", c) >= 0 }
		never := before == '/' && (after == '/' || separates(after)) || separates(before) && after == '/'
		if t.vague || t.least > 1 || t.least == 1 && !never {
			return false
		}
	}
	return true
}

// patternsOf writes merged tokens as patterns; a wild part that reaches over slashes
// within them is two patterns, one in which it does not and one in which it does.
func patternsOf(seq []token) []string {
	list := []string{""}
	for i, t := range seq {
		var ways []string
		switch {
		case !t.wild:
			ways = []string{t.text}
		case !t.slash:
			ways = []string{"*"}
		case len(seq) == 1:
			ways = []string{"**"}
		case i == 0:
			ways = []string{"**/*"}
		case i == len(seq)-1:
			ways = []string{"*/**"}
		default:
			ways = []string{"*", "*/**/*"}
		}
		var longer []string
		for _, left := range list {
			for _, way := range ways {
				longer = append(longer, left+way)
			}
		}
		list = longer
	}
	return slices.DeleteFunc(list, func(p string) bool { return !possible(p) })
}

// possible reports whether a pattern can match a name at all.
func possible(p string) bool {
	for component := range strings.SplitSeq(p, "/") {
		bare := strings.NewReplacer("{user}", "u", "{group}", "g", "*", "x").Replace(component)
		if component == "" || strings.Trim(bare, nameLetters) != "" || strings.HasPrefix(component, ".") || strings.HasPrefix(component, "-") {
			return false
		}
	}
	return true
}

// samplesOf are texts that tokens stand for: with wild parts empty, short and long.
func samplesOf(seq []token) []string {
	var list []string
	for _, wild := range []string{"", "x", "y/x"} {
		var b strings.Builder
		for _, t := range seq {
			switch {
			case !t.wild:
				b.WriteString(t.text)
			case t.shown != "":
				b.WriteString(t.shown)
			case t.slash || !strings.Contains(wild, "/"):
				b.WriteString(wild)
			default:
				b.WriteString("x")
			}
		}
		list = append(list, b.String())
	}
	return list
}

// covers reports whether pattern p surely matches all that q does, of the same caller.
func covers(p, q string) bool { return coversParts(strings.Split(p, "/"), strings.Split(q, "/")) }

func coversParts(p, q []string) bool {
	switch {
	case len(p) == 0:
		return len(q) == 0
	case p[0] == "**":
		return coversParts(p[1:], q) || len(q) > 0 && coversParts(p, q[1:])
	case len(q) == 0 || q[0] == "**":
		return false
	}
	same := p[0] == q[0] || p[0] == "*"
	if !same && !strings.ContainsAny(q[0]+p[0], "{") {
		// a star of q is any text, and so is a run of letters that p has nowhere
		same, _ = path.Match(p[0], strings.ReplaceAll(q[0], "*", "~~"))
	}
	return same && coversParts(p[1:], q[1:])
}

// overlaps reports whether both patterns may match one name, of any callers.
func overlaps(p, q string) bool {
	_, ok := common(strings.Split(starred(p), "/"), strings.Split(starred(q), "/"))
	return ok
}

// starred takes placeholders for any text.
func starred(p string) string {
	return strings.NewReplacer("{user}", "*", "{group}", "*").Replace(p)
}

// common are the components of a name that both patterns match.
func common(p, q []string) (name []string, ok bool) {
	switch {
	case len(p) == 0 && len(q) == 0:
		return nil, true
	case len(p) > 0 && p[0] == "**":
		return passed(p, q)
	case len(q) > 0 && q[0] == "**":
		return passed(q, p)
	case len(p) == 0 || len(q) == 0:
		return nil, false
	}
	text, ok := meet(p[0], q[0])
	if !ok {
		return nil, false
	}
	rest, ok := common(p[1:], q[1:])
	return append([]string{cmp.Or(text, "x")}, rest...), ok
}

// passed is common for a p that begins with `**`: it takes nothing, or a component of q.
func passed(p, q []string) (name []string, ok bool) {
	if name, ok = common(p[1:], q); ok || len(q) == 0 {
		return name, ok
	}
	rest, ok := common(p, q[1:])
	if q[0] == "**" {
		return rest, ok
	}
	return append([]string{cmp.Or(strings.ReplaceAll(q[0], "*", ""), "x")}, rest...), ok
}

// meet is a text that both components with stars match.
func meet(p, q string) (text string, ok bool) {
	switch {
	case p == "" || q == "":
		return "", strings.Trim(p+q, "*") == ""
	case p[0] != '*' && q[0] == '*':
		return meet(q, p)
	case p[0] == '*':
		if text, ok = meet(p[1:], q); ok || q == "" {
			return text, ok
		}
		text, ok = meet(p, q[1:])
		return strings.Trim(q[:1], "*") + text, ok
	case p[0] != q[0]:
		return "", false
	}
	text, ok = meet(p[1:], q[1:])
	return p[:1] + text, ok
}
