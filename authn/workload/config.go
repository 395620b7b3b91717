package workload

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/authn/machine"
)

// Workload is an entry of `workloads`.
type Workload struct {
	// Match is what the claims must be, each of them: patterns by claim. A claim is a
	// top-level one, or a JSON pointer such as /kubernetes.io/namespace. Of a list of
	// patterns any, of a claim that is a list any element. "*" is any run of characters
	// but / and :, "**" any run. Required.
	Match Match `yaml:"match,needed"`
	// Name is what rules, logs and audit records call the machine, with {claims} in it,
	// in lower case. It must come out as parts of a-z, 0-9, ".", "_" and "-" joined by "/".
	Name string `yaml:"name,required"`
	// Groups are the names of its groups, which may have {claims} in them. Default empty.
	Groups []string `yaml:"groups"`
	// Record are the claims that log and audit show, at most 5. Default empty.
	Record []string `yaml:"record"`
}

// Match is patterns by claim, in the order of the file. In the config it is a section
// with the claims for keys.
type Match []Condition

// Condition is what one claim must be.
type Condition struct {
	// Claim is the claim's name.
	Claim string
	// Any are patterns of which one must fit.
	Any []string
}

const maxRecord = 5

// New compiles a list. Its error joins *authn.KeyError values with keys relative to the
// section that has them (`workloads[0].match.ref[1]`), warnings among them; where all of
// them are warnings the *Mapping is returned as well.
func New(list []Workload, form Form) (*Mapping, error) {
	b := builder{mapping: &Mapping{form: form}}
	if len(list) == 0 {
		b.Add("workloads", errors.New("required: without one nobody is let in"))
	}
	for i := range list {
		b.workload(fmt.Sprintf("workloads[%d]", i), &list[i])
	}
	if b.Fatal() {
		return nil, b.Err()
	}
	return b.mapping, b.Err()
}

// builder makes a Mapping, and gathers what is wrong.
type builder struct {
	authn.Faults
	mapping *Mapping
}

func (b *builder) workload(key string, w *Workload) {
	made := workload{match: b.match(key+".match", w.Match), record: w.Record}
	made.name = b.name(key+".name", w.Name)
	for i, text := range w.Groups {
		at := fmt.Sprintf("%s.groups[%d]", key, i)
		t, err := parseTemplate(text)
		if err == nil && authn.NormalizeName(text) == "" {
			err = errors.New("an empty group name")
		}
		b.Add(at, err)
		b.reads(at, t.claims())
		made.groups = append(made.groups, t)
	}
	if len(w.Record) > maxRecord {
		b.Add(key+".record", fmt.Errorf("%d claims; %d at most", len(w.Record), maxRecord))
	}
	for i, claim := range w.Record {
		at := fmt.Sprintf("%s.record[%d]", key, i)
		if _, isPart := b.mapping.form.Parts[claim]; isPart {
			b.Add(at, fmt.Errorf("%.100q is part of a claim; record %s", claim, b.mapping.form.Parts[claim].Of))
		}
		if slices.Contains(w.Record[:i], claim) {
			b.Add(at, fmt.Errorf("%.100q stands twice", claim))
		}
		b.reads(at, []string{claim})
	}
	b.mapping.workloads = append(b.mapping.workloads, made)
}

// match compiles the conditions of a workload.
func (b *builder) match(key string, m Match) (list []condition) {
	if len(m) == 0 {
		b.Add(key, errors.New("required: a match that holds for everything would let everybody in"))
	}
	for _, c := range m {
		at := key + "." + c.Claim
		if _, isPart := b.mapping.form.Parts[c.Claim]; isPart {
			b.Add(at, fmt.Errorf("is part of a claim; match %s", b.mapping.form.Parts[c.Claim].Of))
		} else {
			b.reads(at, []string{c.Claim})
		}
		list = append(list, b.condition(at, c))
	}
	return list
}

func (b *builder) condition(key string, c Condition) condition {
	made := condition{claim: c.Claim}
	if len(c.Any) == 0 {
		b.Add(key, errors.New("an empty list fits nothing; write a pattern, or leave the claim out"))
	}
	for i, pattern := range c.Any {
		at := key
		if len(c.Any) > 1 {
			at = fmt.Sprintf("%s[%d]", key, i)
		}
		compiled, err := compile(pattern)
		b.Add(at, err)
		if prefix := behindLetter(pattern); prefix != "" {
			b.Warn(at, fmt.Errorf("%.100q fits everything that begins so: %q is one of a longer name too, which may be somebody else's", pattern, prefix+"x"))
		}
		made.any = append(made.any, compiled)
	}
	return made
}

// name wants one that differs from workload to workload, and can be a name at all.
func (b *builder) name(key, text string) template {
	t, err := parseTemplate(text)
	var sample strings.Builder
	for _, p := range t {
		if sample.WriteString(p.text); p.claim != "" {
			sample.WriteString("x")
		}
	}
	switch {
	case text == "": // told as required
	case err != nil:
	case len(t.claims()) == 0:
		err = errors.New("has no {claim} in it: all that match would be one machine")
	case !machine.ValidName(lowerASCII(sample.String())):
		err = fmt.Errorf("%.300q comes out as no name, whatever the claims: parts of a-z, 0-9, \".\", \"_\" and \"-\" joined by \"/\", none of them . or .., 256 bytes at most", text)
	}
	b.Add(key, err)
	b.reads(key, t.claims())
	return t
}

// reads notes the claims that the mapping reads, and finds those that there are not.
func (b *builder) reads(key string, claims []string) {
	form := &b.mapping.form
	for _, claim := range claims {
		if part, ok := form.Parts[claim]; ok {
			claim = part.Of
		}
		r, err := parseReference(claim)
		if err == nil {
			err = form.has(claim)
		}
		b.Add(key, err)
		if err == nil && !slices.ContainsFunc(b.mapping.claims, func(other reference) bool { return other.text == r.text }) {
			b.mapping.claims = append(b.mapping.claims, r)
		}
	}
}

// has refuses a claim that there cannot be.
func (f *Form) has(claim string) error {
	if len(f.Claims) > 0 && !slices.Contains(f.Claims, claim) {
		return fmt.Errorf("there is no %.100q; there are: %s", claim, strings.Join(f.Claims, ", "))
	}
	return nil
}

// condition is a Condition, compiled.
type condition struct {
	claim string
	any   []*regexp.Regexp
}

// fitting are the texts of a claim that fit.
func (c condition) fitting(value any) []string {
	return slices.DeleteFunc(textsOf(value), func(text string) bool {
		return !slices.ContainsFunc(c.any, func(p *regexp.Regexp) bool { return p.MatchString(text) })
	})
}

// compile makes an expression of a pattern. It runs in linear time, whatever the claim.
func compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, errors.New("an empty pattern fits nothing but an empty claim; leave the claim out")
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for rest := pattern; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**"):
			b.WriteString(`.*`)
			rest = rest[2:]
		case rest[0] == '*':
			b.WriteString(`[^/:]*`)
			rest = rest[1:]
		default:
			n := strings.IndexByte(rest+"*", '*')
			b.WriteString(regexp.QuoteMeta(rest[:n]))
			rest = rest[n:]
		}
	}
	compiled, err := regexp.Compile(b.String() + `\z`)
	if err != nil {
		return nil, fmt.Errorf("%.100q is no pattern: %w", pattern, err)
	}
	return compiled, nil
}

// behindLetter is what stands before a star that stands behind a letter or digit, as in
// octo-org*; empty: there is none. The v of versions (refs/tags/v*) is meant so.
func behindLetter(pattern string) string {
	for i := 1; i < len(pattern); i++ {
		if pattern[i] != '*' || pattern[i-1] == '*' {
			continue
		}
		part := pattern[strings.LastIndexAny(pattern[:i], "/:*")+1 : i]
		if last := part[max(len(part)-1, 0):]; part != "v" && strings.Trim(last, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" && last != "" {
			return part
		}
	}
	return ""
}
