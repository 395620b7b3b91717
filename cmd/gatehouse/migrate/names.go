package migrate

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// token is a part of what a pattern matches.
type token struct {
	text  string // literal, or the placeholder of ours that stands here
	wild  bool   // any text, of at least least runes
	slash bool   // which may reach over slashes
	least int
	vague bool   // not any text: something that our patterns cannot say, for which they take any
	shown string // a text that fits it
	begin bool   // the beginning and the end of the whole text
	end   bool
}

// most is how many alternatives one pattern may come to.
const most = 64

// Marks stand for placeholders while a pattern is taken apart.
const (
	accountMark = '\ue000'
	groupMark   = '\ue001'
	vagueMark   = '\ue002' // a placeholder that we have nothing for
)

// reader takes patterns apart.
type reader struct {
	alphabet string // what a text is made of, beside slashes
	label    string // the label that our groups are
}

const (
	nameLetters    = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	accountLetters = nameLetters + "ABCDEFGHIJKLMNOPQRSTUVWXYZ@+ é"
)

// read gives the alternatives that a docker_auth pattern stands for.
func (r reader) read(p string) [][]token {
	p = anyPlaceholder.ReplaceAllStringFunc(p, func(found string) string {
		switch found {
		case "${account}":
			return string(accountMark)
		case "${labels:" + r.label + "}":
			return string(groupMark)
		case "${type}":
			return "repository"
		}
		return string(vagueMark)
	})
	expr, ok := regex(p)
	if !ok {
		return r.glob(p)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	list := r.walk(parsed)
	for i := range list {
		list[i] = anchored(list[i])
	}
	return list
}

// anchored puts any text where an expression is not held at an end.
func anchored(seq []token) []token {
	any := token{wild: true, slash: true}
	if len(seq) > 0 && seq[0].begin {
		seq = seq[1:]
	} else {
		seq = slices.Concat([]token{any}, seq)
	}
	if len(seq) > 0 && seq[len(seq)-1].end {
		seq = seq[:len(seq)-1]
	} else {
		seq = slices.Concat(seq, []token{any})
	}
	for i := range seq {
		if seq[i].begin || seq[i].end {
			seq[i] = token{wild: true, slash: true, vague: true}
		}
	}
	return seq
}

// glob reads a shell pattern (path.Match).
func (r reader) glob(p string) [][]token {
	var seq []token
	for p != "" {
		c := p[:1]
		switch c {
		case "*":
			seq = append(seq, token{wild: true})
		case "?":
			seq = append(seq, token{wild: true, vague: true, shown: "x", least: 1})
		case "[":
			end := strings.IndexByte(p, ']')
			if end < 0 {
				return nil // path.Match refuses it, so it matches nothing
			}
			shown := strings.TrimLeft(p[1:end], `^\`)
			seq, p = append(seq, token{wild: true, vague: true, shown: shown[:min(1, len(shown))], least: 1}), p[end:]
		case `\`:
			if p = p[1:]; p == "" {
				return nil
			}
			seq = append(seq, r.literal(p[:1])...)
		default:
			end := strings.IndexAny(p[1:], `*?[\`) + 1
			if end == 0 {
				end = len(p)
			}
			seq, p = append(seq, r.literal(p[:end])...), p[end-1:]
		}
		p = p[1:]
	}
	return [][]token{seq}
}

// literal splits a text at the marks of placeholders.
func (r reader) literal(text string) []token {
	var seq []token
	marks := map[rune]token{accountMark: {text: "{user}"}, groupMark: {text: "{group}"}, vagueMark: {wild: true, slash: true, vague: true, shown: "x"}}
	rest := text
	for rest != "" {
		i := strings.IndexFunc(rest, func(c rune) bool { return c >= accountMark && c <= vagueMark })
		if i < 0 {
			return append(seq, token{text: rest})
		}
		if i > 0 {
			seq = append(seq, token{text: rest[:i]})
		}
		mark := []rune(rest[i:])[0]
		seq, rest = append(seq, marks[mark]), rest[i+len(string(mark)):]
	}
	return seq
}

// walk gives the alternatives of an expression.
func (r reader) walk(re *syntax.Regexp) [][]token {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return r.folded(re.Rune)
		}
		return [][]token{r.literal(string(re.Rune))}
	case syntax.OpEmptyMatch:
		return [][]token{{}}
	case syntax.OpBeginText, syntax.OpBeginLine:
		return [][]token{{{begin: true}}}
	case syntax.OpEndText, syntax.OpEndLine:
		return [][]token{{{end: true}}}
	case syntax.OpCapture:
		return r.walk(re.Sub[0])
	case syntax.OpAlternate:
		var list [][]token
		for _, sub := range re.Sub {
			list = append(list, r.walk(sub)...)
		}
		return limited(list)
	case syntax.OpConcat:
		return r.concat(re.Sub)
	case syntax.OpQuest:
		return limited(append([][]token{{}}, r.walk(re.Sub[0])...))
	case syntax.OpStar, syntax.OpPlus:
		return r.repeated(re)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpCharClass:
		return single(r.class(re))
	}
	return vague("x")
}

// single marks what is one character of many, where our patterns have any number.
func single(list [][]token) [][]token {
	for i := range list {
		for j := range list[i] {
			list[i][j].vague = list[i][j].vague || list[i][j].wild
		}
	}
	return list
}

func vague(shown string) [][]token {
	return [][]token{{{wild: true, slash: true, vague: true, shown: shown}}}
}

func limited(list [][]token) [][]token {
	if len(list) > most {
		return vague("x")
	}
	return list
}

// folded is a text in any letter case, of which repositories know one.
func (r reader) folded(text []rune) [][]token {
	if r.alphabet != nameLetters {
		return vague(string(text))
	}
	return [][]token{r.literal(strings.ToLower(string(text)))}
}

func (r reader) concat(subs []*syntax.Regexp) [][]token {
	list := [][]token{{}}
	for _, sub := range subs {
		var longer [][]token
		for _, left := range list {
			for _, right := range r.walk(sub) {
				longer = append(longer, slices.Concat(left, right))
			}
		}
		if len(longer) > most {
			return vague("x")
		}
		list = longer
	}
	return list
}

// repeated reads `.*`, `[^/]+` and the like; other repetitions are vague.
func (r reader) repeated(re *syntax.Regexp) [][]token {
	least := 0
	if re.Op == syntax.OpPlus {
		least = 1
	}
	sub := re.Sub[0]
	for sub.Op == syntax.OpCapture {
		sub = sub.Sub[0]
	}
	one := r.class(sub)
	if len(one) == 1 && len(one[0]) == 1 && one[0][0].wild {
		t := one[0][0]
		t.least = least
		return [][]token{{t}}
	}
	shown := ""
	if least == 1 && len(one) > 0 && len(one[0]) > 0 {
		shown = one[0][0].text + one[0][0].shown
	}
	return vague(shown)
}

// class reads one character of several.
func (r reader) class(re *syntax.Regexp) [][]token {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return [][]token{{{wild: true, slash: true, least: 1, vague: false, shown: "x"}}}
	case syntax.OpCharClass:
	default:
		return vague("x")
	}
	has := func(c rune) bool {
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i] <= c && c <= re.Rune[i+1] {
				return true
			}
		}
		return false
	}
	var in []string
	for _, c := range r.alphabet {
		if has(c) {
			in = append(in, string(c))
		}
	}
	slash := has('/')
	switch {
	case len(in) == len([]rune(r.alphabet)):
		return [][]token{{{wild: true, slash: slash, least: 1, shown: "x"}}}
	case len(in) == 0 && !slash:
		return nil
	case len(in) <= 8 && r.alphabet == nameLetters:
		var list [][]token
		if slash {
			in = append(in, "/")
		}
		for _, c := range in {
			list = append(list, []token{{text: c}})
		}
		return list
	}
	return [][]token{{{wild: true, slash: slash, vague: true, least: 1, shown: strings.Join(in[:min(1, len(in))], "")}}}
}
