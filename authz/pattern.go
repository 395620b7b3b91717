package authz

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/authn"
)

// maxName is how long a repository name may be: registries answer 500 beyond.
const maxName = 255

// ValidRepository says whether name is in the grammar of the OCI distribution
// specification ("Pulling manifests") and at most 255 bytes long: components
// joined by `/`, each of lower-case alphanumeric runs joined by `.`, `_`, `__` or
// any number of `-`.
func ValidRepository(name string) bool {
	if len(name) > maxName {
		return false
	}
	for {
		component, rest, more := strings.Cut(name, "/")
		if !validComponent(component) {
			return false
		}
		if !more {
			return true
		}
		name = rest
	}
}

// validComponent walks runs and separators in turn; a component begins and ends
// with a run.
func validComponent(s string) bool {
	for {
		run := 0
		for run < len(s) && alphanumeric(s[run]) {
			run++
		}
		if run == 0 {
			return false
		}
		if s = s[run:]; s == "" {
			return true
		}
		s = s[separator(s):]
	}
}

// separator is the length of the separator that s begins with, 0 for none. What
// is none, or follows one that is too long, is no run, so it fails there.
func separator(s string) int {
	switch {
	case strings.HasPrefix(s, "__"):
		return 2
	case s[0] == '.' || s[0] == '_':
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

func alphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// ValidTag says whether tag is in the specification's grammar: 1 to 128 letters,
// digits, `_`, `.` and `-`, the first of them neither `.` nor `-`.
func ValidTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		if !nameByte(tag[i]) {
			return false
		}
	}
	return true
}

// nameByte says whether c can stand in a repository's component or in a tag.
func nameByte(c byte) bool {
	return alphanumeric(c) || 'A' <= c && c <= 'Z' || c == '_' || c == '.' || c == '-'
}

// pattern is a compiled pattern of `repositories` or `tags`.
type pattern struct {
	text       string
	components []component
	prefix     string // what every name that matches begins with, to be quick about the others
	ofGroups   bool   // {group} stands in it
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
)

func (p pattern) String() string { return p.text }

// caller are the values of the placeholders.
type caller struct{ user, group string }

func compilePattern(text string) (pattern, error) {
	p := pattern{text: text}
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
		p.components = append(p.components, c)
		for _, part := range c.parts {
			p.ofGroups = p.ofGroups || part.kind == groupName
		}
	}
	return p, nil
}

func compileTagPattern(text string) (pattern, error) {
	if strings.Contains(text, "/") {
		return pattern{}, fmt.Errorf("pattern %q: a tag has no /", text)
	}
	return compilePattern(text)
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

// nextPart takes the first part off the text of a component.
func nextPart(s string) (p part, rest string, err error) {
	switch {
	case s[0] == '*':
		return part{kind: star}, s[1:], nil
	case strings.HasPrefix(s, "{user}"):
		return part{kind: userName}, s[len("{user}"):], nil
	case strings.HasPrefix(s, "{group}"):
		return part{kind: groupName}, s[len("{group}"):], nil
	case s[0] == '{':
		return part{}, "", errors.New("the only placeholders are {user} and {group}")
	}
	n := 0
	for n < len(s) && nameByte(s[n]) {
		n++
	}
	if n < len(s) && s[n] != '*' && s[n] != '{' {
		return part{}, "", fmt.Errorf("%q occurs in no name; patterns are made of letters, digits, . _ - / * ** {user} {group}", firstRune(s[n:]))
	}
	return part{text: s[:n]}, s[n:], nil
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

// match says whether the pattern matches the name for this caller, with any of
// his groups in the place of {group}.
func (p *pattern) match(name string, id *authn.Identity) bool {
	if !strings.HasPrefix(name, p.prefix) {
		return false
	}
	if !p.ofGroups {
		return matchName(p.components, name, caller{user: id.Username})
	}
	for i := range id.Groups {
		if matchName(p.components, name, caller{id.Username, id.Groups[i].Name}) {
			return true
		}
	}
	return false
}

func matchAny(patterns []pattern, name string, id *authn.Identity) bool {
	for i := range patterns {
		if patterns[i].match(name, id) {
			return true
		}
	}
	return false
}

// matchName walks pattern and name together. Only the last `**` is ever tried
// again with one component more (what an earlier one could win, the last one can
// too), so the work is at most the product of both lengths. at beyond the name's
// end says that no component is left, retry 0 that there was no `**` yet.
func matchName(components []component, name string, who caller) bool {
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
		if i < len(components) && components[i].match(name[at:end], who) {
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
func (c *component) match(s string, who caller) bool {
	at, i := 0, 0
	retryAt, retry := 0, 0
	for i < len(c.parts) || at < len(s) {
		if i < len(c.parts) {
			if c.parts[i].kind == star {
				i++
				retryAt, retry = at, i
				continue
			}
			text := c.parts[i].value(who)
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
func (p *part) value(who caller) string {
	text := p.text
	switch p.kind {
	case userName:
		text = who.user
	case groupName:
		text = who.group
	}
	if p.kind != literal && !validComponent(text) {
		return ""
	}
	return text
}
