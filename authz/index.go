package authz

import "strings"

// index finds the patterns that may match a name without trying all of them. A
// pattern stands under the fixed components that it begins with (`prod/app` of
// `prod/app/**`), else under those that it ends with (`app` of `**/app`), else it is
// tried on every name. The zero index is empty.
type index struct {
	heads, tails map[string]*hearers // heads[""]: what is tried on every name
	longest      int                 // bytes of the longest of their keys
}

// entry is one pattern of a rule.
type entry struct {
	rule    int // its place in the policy
	pattern *pattern
}

// add puts a rule's patterns in. Rules are added in the policy's order, and behind
// the last of them settle.
func (x *index) add(place int, patterns []pattern) {
	if x.heads == nil {
		x.heads, x.tails = map[string]*hearers{}, map[string]*hearers{}
	}
	for i := range patterns {
		p := &patterns[i]
		head, tail := ends(p.components)
		x.longest = max(x.longest, len(head), len(tail))
		lists, key := x.heads, head
		if head == "" && tail != "" {
			lists, key = x.tails, tail
		}
		list := lists[key]
		if list == nil {
			list = &hearers{}
			lists[key] = list
		}
		list.entries = append(list.entries, entry{place, p})
	}
}

// settle makes the index ready to be asked.
func (x *index) settle(to func(place int) []subject) {
	for _, lists := range []map[string]*hearers{x.heads, x.tails} {
		for _, list := range lists {
			list.settle(to)
		}
	}
}

// ends are the fixed components that a pattern begins and ends with, joined by
// slashes as in a name.
func ends(components []component) (head, tail string) {
	first, last := 0, len(components)
	for first < last && components[first].fixed() {
		first++
	}
	for last > first && components[last-1].fixed() {
		last--
	}
	return joined(components[:first]), joined(components[last:])
}

func joined(fixed []component) string {
	texts := make([]string, len(fixed))
	for i := range fixed {
		texts[i] = fixed[i].parts[0].text
	}
	return strings.Join(texts, "/")
}

// lists appends to found those lists in which each entry stands that may match the name.
func (x *index) lists(found []*hearers, name string) []*hearers {
	if h := x.heads[""]; h != nil {
		found = append(found, h)
	}
	for end := -1; end < min(len(name), x.longest); {
		end = componentEnd(name, end+1)
		if h := x.heads[name[:end]]; h != nil {
			found = append(found, h)
		}
	}
	for begin := 0; begin < len(name); begin = componentEnd(name, begin) + 1 {
		if h := x.tails[name[begin:]]; h != nil {
			found = append(found, h)
		}
	}
	return found
}
