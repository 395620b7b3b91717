package authz

import (
	"iter"
	"strings"
)

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

// visit hands out the lists of those entries that may match the name.
func (x *index) visit(name string, visit func(*hearers)) {
	if list := x.heads[""]; list != nil {
		visit(list)
	}
	for head := range heads(name, x.longest) {
		if list := x.heads[head]; list != nil {
			visit(list)
		}
	}
	for begin := max(0, len(name)-x.longest); begin < len(name); begin++ {
		if begin == 0 || name[begin-1] == '/' {
			if list := x.tails[name[begin:]]; list != nil {
				visit(list)
			}
		}
	}
}

// heads are the beginnings of a name, up to a length, that end with a component.
func heads(name string, longest int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for end := 1; end <= min(len(name), longest); end++ {
			if (end == len(name) || name[end] == '/') && !yield(name[:end]) {
				return
			}
		}
	}
}
