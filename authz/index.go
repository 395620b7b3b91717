package authz

import "strings"

// index finds the patterns that may match a name without trying all of them. A
// pattern stands under the fixed components that it begins with (`prod/app` of
// `prod/app/**`), else under those that it ends with (`app` of `**/app`), else it is
// tried on every name. The zero index is empty.
type index struct {
	heads, tails map[string]*hearers // heads[""]: what is tried on every name
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

// lists appends to found those lists in which each entry stands that may match a name which
// begins with head and ends with tail; of a name that is known both are all of it.
func (x *index) lists(found []*hearers, head, tail string) []*hearers {
	found = underHeads(found, x.heads, head)
	for begin := 0; begin < len(tail); begin = componentEnd(tail, begin) + 1 {
		if h := x.tails[tail[begin:]]; h != nil {
			found = append(found, h)
		}
	}
	return found
}

// underHeads appends to found what stands under the beginnings of a name, the empty one too.
func underHeads[T any](found []T, heads map[string]T, name string) []T {
	for end := 0; ; end = componentEnd(name, end+1) {
		if one, ok := heads[name[:end]]; ok {
			found = append(found, one)
		}
		if end == len(name) {
			return found
		}
	}
}
