package authz

import (
	"errors"
	"fmt"
	"time"
)

// adviser looks at a policy as a whole for what its owner has hardly meant.
type adviser struct {
	*compiler
	rules          []rule
	allows, denies index
	budget         int // of comparisons, for a policy may have a hundred thousand rules
}

// advise warns of rules that can decide nothing, and of tags that can be moved in two
// steps where they cannot in one.
func (c *compiler) advise(rules []rule, now time.Time) {
	a := &adviser{compiler: c, rules: rules, budget: 1 << 20}
	for i := range rules {
		if rules[i].deny {
			a.denies.add(i, &rules[i])
		} else {
			a.allows.add(i, &rules[i])
		}
	}
	for i := range rules {
		a.idle(i, now)
		a.movable(i)
	}
}

// idle finds a rule that decides nothing any more, or never did.
func (a *adviser) idle(i int, now time.Time) {
	r, key := &a.rules[i], fmt.Sprintf("[%d]", i)
	if !r.until.IsZero() && now.After(r.until) {
		a.warn(key+".until", fmt.Errorf("%s is over, so the rule decides nothing any more; take it out", r.source.Until))
		return
	}
	by := a.covering(&a.denies, r, func(j int) bool { return j != i && (!r.deny || j < i) })
	if by != nil {
		a.warn(key, fmt.Errorf("the rule decides nothing: %s denies all of it", by.label))
	}
}

// movable finds a tag that may not be overwritten, but be deleted and then created.
func (a *adviser) movable(i int) {
	r := &a.rules[i]
	removal := *r
	removal.actions, removal.deny = deleteBit, true
	any := func(int) bool { return true }
	switch guards := r.actions & pushBit; {
	case guards == overwriteBit && r.deny && a.covering(&a.denies, &removal, any) == nil:
		a.warn(fmt.Sprintf("[%d].deny", i), errors.New("guards tags against overwrite and not against delete: who may delete one can create it again; deny delete too"))
	case guards == createBit && !r.deny && a.moves(r, &removal):
		a.warn(fmt.Sprintf("[%d].allow", i), errors.New("allows no overwrite, but its people may delete a tag and create it again; deny delete there"))
	}
}

// moves reports whether those who may create, and not overwrite, may delete as well.
func (a *adviser) moves(r, removal *rule) bool {
	any := func(int) bool { return true }
	overwriting := *r
	overwriting.actions = overwriteBit
	return a.covering(&a.allows, removal, any) != nil && a.covering(&a.denies, removal, any) == nil && a.covering(&a.allows, &overwriting, any) == nil
}

// covering is the first rule of the index that covers all of r, and may be taken.
func (a *adviser) covering(x *index, r *rule, may func(place int) bool) (found *rule) {
	if len(r.repositories) == 0 || x.heads == nil {
		return nil
	}
	look := func(entries []entry) {
		for _, e := range entries {
			if found != nil || a.budget == 0 {
				return
			}
			a.budget--
			if may(e.rule) && a.rules[e.rule].covers(r) {
				found = &a.rules[e.rule]
			}
		}
	}
	head, tail := r.repositories[0].ends()
	x.visit(head, look)
	if tail != "" && found == nil {
		x.visit(tail, look)
	}
	return found
}
