package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/authn"
)

// pattern is a compiled pattern of `repositories` or `tags`.
type pattern struct {
	text       string
	components []component
	prefix     string // what every name that matches begins with, to be quick about the others
	ofGroup    int    // the first component in which {group} stands; -1: none
	ofMachine  bool   // {machine} stands in it
}

// component is one component of a pattern: any number of them (`**`), or one
// whose text matches the parts one after the other.
type component struct {
	anyNumber bool
	parts     []part
}

// part is literal text, or one of the kinds below.
type part struct {
	kind partKind
	text string
}

type partKind uint8

const (
	literal partKind = iota
	star
	userName
	groupName
	machineName
)

func (p pattern) String() string { return p.text }

// values are those of the placeholders.
type values struct{ user, group string }

func compilePattern(text string) (pattern, error) {
	p := pattern{text: text, ofGroup: -1}
	if text == "" {
		return p, errors.New("an empty pattern matches nothing")
	}
	for s := range strings.SplitSeq(text, "/") {
		c, err := compileComponent(s)
		if err != nil {
			return p, fmt.Errorf("pattern %q: %w", text, err)
		}
		if p.components == nil && len(c.parts) > 0 {
			p.prefix = c.parts[0].text // none of a placeholder or a star
		}
		p.add(c)
	}
	return p, nil
}

// add takes a component in.
func (p *pattern) add(c component) {
	if p.ofGroup < 0 && c.place(groupName) >= 0 {
		p.ofGroup = len(p.components)
	}
	p.ofMachine = p.ofMachine || c.place(machineName) >= 0
	p.components = append(p.components, c)
}

func compileTagPattern(text string) (pattern, error) {
	if strings.Contains(text, "/") {
		return pattern{}, fmt.Errorf("pattern %q: a tag has no /", text)
	}
	p, err := compilePattern(text)
	if err == nil && p.ofMachine {
		err = fmt.Errorf("pattern %q: {machine} stands in repositories alone", text)
	}
	return p, err
}

func compileComponent(s string) (component, error) {
	switch {
	case s == "**":
		return component{anyNumber: true}, nil
	case s == "":
		return component{}, errors.New("empty component: patterns are anchored, take out the extra /")
	case strings.Contains(s, "**"):
		return component{}, errors.New("** stands only as a whole component, as in team/**; within one use *")
	}
	var c component
	for s != "" {
		p, rest, err := nextPart(s)
		if err != nil {
			return component{}, err
		}
		c.parts, s = append(c.parts, p), rest
	}
	return c, nil
}

// place is that of the first part of a kind, -1 for none.
func (c *component) place(kind partKind) int {
	return slices.IndexFunc(c.parts, func(p part) bool { return p.kind == kind })
}

// fixed reports whether the component is one text for every caller.
func (c *component) fixed() bool { return len(c.parts) == 1 && c.parts[0].kind == literal }

// nextPart takes the first part off the text of a component.
func nextPart(s string) (p part, rest string, err error) {
	switch {
	case s[0] == '*':
		return part{kind: star}, s[1:], nil
	case strings.HasPrefix(s, "{user}"):
		return part{kind: userName}, s[len("{user}"):], nil
	case strings.HasPrefix(s, "{group}"):
		return part{kind: groupName}, s[len("{group}"):], nil
	case strings.HasPrefix(s, "{machine}"):
		return part{kind: machineName}, s[len("{machine}"):], nil
	case s[0] == '{':
		return part{}, "", errors.New("the only placeholders are {user}, {group} and {machine}")
	}
	n := 0
	for n < len(s) && nameByte(s[n]) {
		n++
	}
	if n < len(s) && s[n] != '*' && s[n] != '{' {
		return part{}, "", fmt.Errorf("%q occurs in no name; patterns are made of letters, digits, . _ - / * ** {user} {group} {machine}", firstRune(s[n:]))
	}
	return part{text: s[:n]}, s[n:], nil
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

// match reports whether the pattern matches the name for this caller, with any of
// their groups in the place of {group}.
func (p *pattern) match(name string, who *person) bool {
	switch {
	case !strings.HasPrefix(name, p.prefix):
		return false
	case p.ofMachine:
		own, ok := p.forMachine(who)
		return ok && own.match(name, who)
	case p.ofGroup < 0:
		return matchName(p.components, name, values{user: who.user()})
	case len(who.Groups) <= p.readings(name):
		return slices.ContainsFunc(who.Groups, func(g authn.Group) bool {
			return matchName(p.components, name, values{who.user(), g.Name})
		})
	}
	return p.matchGroup(name, who)
}

func matchAny(patterns []pattern, name string, who *person) bool {
	for i := range patterns {
		if patterns[i].match(name, who) {
			return true
		}
	}
	return false
}

// matchName walks pattern and name together. Only the last `**` is ever tried
// again with one component more (what an earlier one could win, the last one can
// too), so the work is at most the product of both lengths. at beyond the name's
// end: no component is left; retry 0: there was no `**` yet.
func matchName(components []component, name string, of values) bool {
	at, i := 0, 0
	retryAt, retry := 0, 0
	for at <= len(name) {
		if i < len(components) && components[i].anyNumber {
			if i++; i == len(components) {
				return true
			}
			retryAt, retry = at, i
			continue
		}
		end := componentEnd(name, at)
		if i < len(components) && components[i].match(name[at:end], of) {
			at, i = end+1, i+1
			continue
		}
		if retry == 0 {
			return false
		}
		retryAt = componentEnd(name, retryAt) + 1
		at, i = retryAt, retry
	}
	for i < len(components) && components[i].anyNumber {
		i++
	}
	return i == len(components)
}

func componentEnd(name string, at int) int {
	if n := strings.IndexByte(name[at:], '/'); n >= 0 {
		return at + n
	}
	return len(name)
}

// match works as matchName does, with `*` and bytes for `**` and components.
func (c *component) match(s string, of values) bool {
	at, i := 0, 0
	retryAt, retry := 0, 0
	for i < len(c.parts) || at < len(s) {
		if i < len(c.parts) {
			if c.parts[i].kind == star {
				i++
				retryAt, retry = at, i
				continue
			}
			text := c.parts[i].value(of)
			if text != "" && strings.HasPrefix(s[at:], text) {
				at, i = at+len(text), i+1
				continue
			}
		}
		if retry == 0 || retryAt >= len(s) {
			return false
		}
		retryAt++
		at, i = retryAt, retry
	}
	return true
}

// value is the text that the part stands for; none where a placeholder's value
// is no component of a repository, for then it may match nothing at all: it could
// reach over a slash, or be a name that another rule means otherwise.
func (p *part) value(of values) string {
	text := p.text
	switch p.kind {
	case userName:
		text = of.user
	case groupName:
		text = of.group
	}
	if p.kind != literal && !validComponent(text) {
		return ""
	}
	return text
}
