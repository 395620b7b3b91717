package authz

import "strings"

// matchGroup looks for a group of the caller's that {group} may stand for: rather
// than to try each group, which may be a thousand, it looks up each text that the
// name has in that place.
func (p *pattern) matchGroup(name string, who *person) bool {
	c := &p.components[p.ofGroup]
	at := 0
	for text := range strings.SplitSeq(name, "/") {
		if (at == p.ofGroup || p.wanders()) && c.readGroup(text, who, func(group string) bool {
			return who.inGroup(group) && matchName(p.components, name, values{who.user(), group})
		}) {
			return true
		}
		at++
	}
	return false
}

// forMachine is the pattern with the machine's name, and its slashes, in the place of
// {machine}. false: it matches nothing, because the caller is a person or their name is
// no path of a repository.
func (p *pattern) forMachine(who *person) (own pattern, ok bool) {
	if !who.Machine || !ValidRepository(who.Username) {
		return pattern{}, false
	}
	own = pattern{text: p.text, ofGroup: -1}
	for i := range p.components {
		for _, c := range p.components[i].forMachine(who.Username) {
			own.add(c)
		}
	}
	return own, true
}

// forMachine is the component with a name in the place of {machine}: several where the
// name has slashes.
func (c *component) forMachine(name string) []component {
	list := []component{{anyNumber: c.anyNumber}}
	for _, p := range c.parts {
		if p.kind != machineName {
			last := &list[len(list)-1]
			last.parts = append(last.parts, p)
			continue
		}
		for i, text := range strings.Split(name, "/") {
			if i > 0 {
				list = append(list, component{})
			}
			last := &list[len(list)-1]
			last.parts = append(last.parts, part{text: text})
		}
	}
	return list
}

// wanders reports whether the component of {group} may stand anywhere in a name,
// for a `**` stands before it.
func (p *pattern) wanders() bool {
	for i := range p.ofGroup {
		if p.components[i].anyNumber {
			return true
		}
	}
	return false
}

// readings is how many texts of the name {group} may stand for, at most.
func (p *pattern) readings(name string) int {
	c := &p.components[p.ofGroup]
	at := c.place(groupName)
	_, begins := width(c.parts[:at], values{})
	_, ends := width(c.parts[at+1:], values{})
	switch {
	case !begins && !ends:
		return len(name) * len(name)
	case !begins || !ends || p.wanders():
		return len(name)
	}
	return 1
}

// readGroup reports whether one of the texts that stand for {group} in this
// component of a name is a match.
func (c *component) readGroup(text string, who *person, match func(string) bool) bool {
	at, of := c.place(groupName), values{user: who.user()}
	before, begins := width(c.parts[:at], of)
	after, ends := width(c.parts[at+1:], of)
	last := len(text) - after
	for begin := before; begin < last; begin++ {
		for end := last; end > begin; end-- {
			if match(text[begin:end]) {
				return true
			}
			if ends { // no other end leaves the parts behind their place
				break
			}
		}
		if begins {
			break
		}
	}
	return false
}

// width is how many bytes the parts take at least, and whether they never take more.
func width(parts []part, of values) (bytes int, exactly bool) {
	exactly = true
	for i := range parts {
		exactly = exactly && parts[i].kind != star && parts[i].kind != groupName
		bytes += len(parts[i].value(of))
	}
	return bytes, exactly
}

// loose are the patterns with anything in the place of their placeholders: they match each
// name that one of the patterns matches for anybody, and may match more.
func loose(patterns []pattern) []pattern {
	list := make([]pattern, len(patterns))
	for i := range patterns {
		list[i] = pattern{text: patterns[i].text, ofGroup: -1}
		for _, c := range patterns[i].components {
			list[i].add(c.loose())
		}
	}
	return list
}

func (c *component) loose() component {
	if c.place(machineName) >= 0 { // it may be several
		return component{anyNumber: true}
	}
	wide := component{anyNumber: c.anyNumber}
	for _, p := range c.parts {
		if p.kind != literal {
			p = part{kind: star}
		}
		wide.parts = append(wide.parts, p)
	}
	return wide
}
