package authz

import (
	"net/netip"
	"slices"
	"time"

	"gatehouse/authn"
)

// Caller asks the policy for one identity, and remembers what it found out of it:
// for whoever has many questions, such as a catalog's names or the scopes of a
// token. It is not safe for concurrent use.
type Caller struct {
	policy *Policy
	person person
	heard  map[*hearers][]entry // of lists of the index, the entries that speak to the person; nil: nothing is remembered
}

// For returns a Caller for the identity.
func (p *Policy) For(id authn.Identity) *Caller {
	c := p.caller(id)
	c.heard = map[*hearers][]entry{}
	return &c
}

// Decide answers a request under /v2/: nothing is allowed that no rule allows,
// and a deny that matches always wins. A name outside the grammar is refused.
func (c *Caller) Decide(r Request) Decision {
	if r.Action == Catalog {
		return c.policy.catalogAt(c.person.Identity, c.policy.now(r.At))
	}
	r.At = c.policy.now(r.At)
	var space [16]int
	return c.withhold(c.judge(c.rules(space[:0], bit(r.Action), r.Repository), &r), &r)
}

// grants are those of the actions that may go into a token.
func (c *Caller) grants(repository string, actions actionSet, source netip.Addr) actionSet {
	var space [16]int
	var allowed, denied actionSet
	now := c.policy.now(time.Time{})
	for _, i := range c.rules(space[:0], actions, repository) {
		rule := &c.policy.rules[i]
		switch {
		case !rule.counts(source, now):
		case !rule.deny:
			allowed |= rule.actions
		case len(rule.tags) == 0:
			denied |= rule.actions
		}
	}
	return c.under(repository, actions&allowed&^denied, source).whole()
}

// rules appends to list the places of the rules that speak of the caller, of one of
// the actions and of the repository, in the policy's order. Of a name outside the
// grammar none does.
func (c *Caller) rules(list []int, actions actionSet, repository string) []int {
	if !ValidRepository(repository) {
		return nil
	}
	rules := &c.policy.signedIn
	if c.person.Anonymous() {
		rules = &c.policy.anonymous
	}
	var room [8]*hearers
	var space [8][]entry
	for _, h := range rules.lists(room[:0], repository, repository) {
		for _, entries := range c.lists(space[:0], h) {
			for _, e := range entries {
				rule := &c.policy.rules[e.rule]
				if rule.actions&actions != 0 && e.pattern.match(repository, &c.person) && (c.heard != nil || rule.speaksTo(&c.person)) {
					list = append(list, e.rule)
				}
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// lists appends to found lists of those of the entries whose rules speak to the person,
// where that is remembered; else of others as well.
func (c *Caller) lists(found [][]entry, h *hearers) [][]entry {
	if c.heard == nil {
		return h.lists(found, &c.person)
	}
	list, known := c.heard[h]
	if !known {
		list = c.speaking(h.lists(nil, &c.person))
		c.heard[h] = list
	}
	return append(found, list)
}

// speaking are those of the entries whose rules speak to the person.
func (c *Caller) speaking(lists [][]entry) (list []entry) {
	for _, entries := range lists {
		for _, e := range entries {
			if c.policy.rules[e.rule].speaksTo(&c.person) {
				list = append(list, e)
			}
		}
	}
	return list
}

// all are the places of the rules that speak to the caller, in the policy's order.
func (c *Caller) all() []int { return c.places(c.policy.all.lists(nil, &c.person)) }

// places are those of the rules of entries that speak to the caller.
func (c *Caller) places(lists [][]entry) (places []int) {
	for _, e := range c.speaking(lists) {
		places = append(places, e.rule)
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// judge decides by the rules at these places, which speak of the request but for
// its tags, its client and its time. Of a push both halves have to be allowed.
func (c *Caller) judge(places []int, r *Request) Decision {
	if r.Action != Push || !c.policy.halves {
		return c.judgeOne(places, r, bit(r.Action))
	}
	create, overwrite := c.judgeOne(places, r, createBit), c.judgeOne(places, r, overwriteBit)
	if create.Allowed && !overwrite.Allowed {
		return overwrite
	}
	return create.beside(overwrite)
}

// judgeOne decides on an action without halves, or on one of which no rule splits them.
func (c *Caller) judgeOne(places []int, r *Request, action actionSet) Decision {
	for _, i := range places {
		rule := &c.policy.rules[i]
		if rule.deny && rule.actions&action != 0 && rule.counts(r.Source, r.At) && rule.deniesTags(&c.person, action, r.Tags) {
			return rule.decision(false)
		}
	}
	if len(r.Tags) == 0 {
		return c.allowing(places, r, action, "")
	}
	first := c.allowing(places, r, action, r.Tags[0])
	for _, tag := range r.Tags[1:] {
		if !c.allowing(places, r, action, tag).Allowed {
			return Decision{}
		}
	}
	return first
}

// allowing takes the first rule that allows the request with this one tag; ""
// is a request that names none.
func (c *Caller) allowing(places []int, r *Request, action actionSet, tag string) Decision {
	for _, i := range places {
		rule := &c.policy.rules[i]
		if !rule.deny && rule.actions&action != 0 && rule.counts(r.Source, r.At) && rule.allowsTag(&c.person, r, action, tag) {
			return rule.decision(true)
		}
	}
	return Decision{}
}
