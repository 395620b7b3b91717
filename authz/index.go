package authz

import "strings"

// index finds the patterns that may match a name without trying all of them. A
// pattern stands under the fixed components that it begins with (`prod/app` of
// `prod/app/**`), else under those that it ends with (`app` of `**/app`), else it is
// tried on every name. The zero index is empty.
type index struct {
	heads, tails map[string][]entry
	longest      int // bytes of the longest of their keys
	others       []entry
}

// entry is one pattern of a rule.
type entry struct {
	rule    int // its place in the policy
	pattern *pattern
}

// add puts the rule's patterns in. Rules are added in the policy's order.
func (x *index) add(place int, r *rule) {
	if x.heads == nil {
		x.heads, x.tails = map[string][]entry{}, map[string][]entry{}
	}
	for i := range r.repositories {
		p := &r.repositories[i]
		head, tail := p.ends()
		x.longest = max(x.longest, len(head), len(tail))
		switch one := (entry{place, p}); {
		case head != "":
			x.heads[head] = append(x.heads[head], one)
		case tail != "":
			x.tails[tail] = append(x.tails[tail], one)
		default:
			x.others = append(x.others, one)
		}
	}
}

// ends are the fixed components that the pattern begins and ends with, joined by
// slashes as in a name.
func (p *pattern) ends() (head, tail string) {
	first, last := 0, len(p.components)
	for first < last && p.components[first].fixed() {
		first++
	}
	for last > first && p.components[last-1].fixed() {
		last--
	}
	texts := strings.Split(p.text, "/")
	return strings.Join(texts[:first], "/"), strings.Join(texts[last:], "/")
}

// visit hands out the entries that may match the name, some of them none.
func (x *index) visit(name string, visit func([]entry)) {
	visit(x.others)
	for end := 1; end <= min(len(name), x.longest); end++ {
		if end == len(name) || name[end] == '/' {
			visit(x.heads[name[:end]])
		}
	}
	for begin := max(0, len(name)-x.longest); begin < len(name); begin++ {
		if begin == 0 || name[begin-1] == '/' {
			visit(x.tails[name[begin:]])
		}
	}
}
