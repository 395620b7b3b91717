package authz

import (
	"errors"
	"iter"
	"slices"
	"strings"
)

// Pattern is a pattern of repositories that means the same for everybody: one without
// placeholders.
type Pattern struct{ compiled pattern }

// NewPattern compiles a pattern as rules have them.
func NewPattern(text string) (Pattern, error) {
	p, err := compilePattern(text)
	if err != nil {
		return Pattern{}, err
	}
	for _, c := range p.components {
		if slices.ContainsFunc(c.parts, func(p part) bool { return p.kind == userName || p.kind == groupName || p.kind == machineName }) {
			return Pattern{}, errors.New("placeholders mean nothing here: it has to be the same for everybody")
		}
	}
	return Pattern{p}, nil
}

// Possible reports whether there can be a repository that it matches.
func (p Pattern) Possible() bool {
	var sample []string
	for _, c := range p.compiled.components {
		if c.anyNumber {
			continue
		}
		text := ""
		for _, part := range c.parts {
			if part.kind == star {
				part.text = "a" // where another run of letters would do, one letter does
			}
			text += part.text
		}
		sample = append(sample, text)
	}
	return len(sample) == 0 || ValidRepository(strings.Join(sample, "/"))
}

// Match reports whether the pattern matches a repository.
func (p Pattern) Match(repository string) bool {
	return strings.HasPrefix(repository, p.compiled.prefix) && matchName(p.compiled.components, repository, values{})
}

// manyAny is how many `**` a pattern may have whose place among others is looked for.
const manyAny = 3

// Covers reports whether p matches all that other matches; false also where that is not
// known, for a pattern of many `**`.
func (p Pattern) Covers(other Pattern) bool {
	any := 0
	for _, c := range other.compiled.components {
		if c.anyNumber {
			any++
		}
	}
	if any > manyAny {
		return false
	}
	for name := range samples(other.compiled.components, len(p.compiled.components)+1) {
		if name != "" && !p.Match(name) {
			return false
		}
	}
	return true
}

// samples are names that stand for all that the components match. A star is a byte that
// no pattern can have, so that only a star takes it; `**` is none to most of those.
func samples(components []component, most int) iter.Seq[string] {
	return func(yield func(string) bool) { extend("", components, most, yield) }
}

func extend(name string, components []component, most int, yield func(string) bool) bool {
	if len(components) == 0 {
		return yield(name)
	}
	first, rest := components[0], components[1:]
	if !first.anyNumber {
		return extend(below(name, first.sample()), rest, most, yield)
	}
	for range most + 1 {
		if !extend(name, rest, most, yield) {
			return false
		}
		name = below(name, freshByte)
	}
	return true
}

const freshByte = "\x00"

func (c *component) sample() string {
	var text strings.Builder
	for _, p := range c.parts {
		if p.kind == star {
			text.WriteString(freshByte)
		}
		text.WriteString(p.text)
	}
	return text.String()
}

func below(name, component string) string {
	if name == "" {
		return component
	}
	return name + "/" + component
}
