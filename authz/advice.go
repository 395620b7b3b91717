package authz

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// adviser looks at a policy as a whole for what its owner has hardly meant.
type adviser struct {
	*compiler
	rules          []rule
	allows, denies index
	removals       []int // the places of those that allow delete and no overwrite
	budget         int   // of comparisons that are left
}

// advise warns of rules that can decide nothing, and of tags that can be moved in two
// steps where they cannot in one.
func (c *compiler) advise(rules []rule, now time.Time) {
	a := &adviser{compiler: c, rules: rules, budget: comparisons}
	for i := range rules {
		if rules[i].deny {
			a.denies.add(i, rules[i].repositories)
		} else {
			a.allows.add(i, rules[i].repositories)
		}
		if r := &rules[i]; !r.deny && r.actions&(deleteBit|overwriteBit) == deleteBit && !r.over(now) {
			a.removals = append(a.removals, i)
		}
	}
	to := func(i int) []subject { return rules[i].to }
	a.allows.settle(to)
	a.denies.settle(to)
	for i := range rules {
		a.idle(i, now)
	}
	for i := range rules {
		a.movable(i, now)
	}
	if a.budget == 0 {
		a.warn("", errors.New("too many rules speak of the same repositories and people to find each that decides nothing"))
	}
}

// comparisons are how many are made at most, for a policy may have a hundred thousand
// rules and each be held against all others.
const comparisons = 1 << 22

// idle finds a rule that decides nothing any more, or never did.
func (a *adviser) idle(i int, now time.Time) {
	r, key := &a.rules[i], fmt.Sprintf("[%d]", i)
	if r.over(now) {
		a.warn(key+".until", fmt.Errorf("%s is over, so the rule decides nothing any more; take it out", r.source.Until))
		return
	}
	by := a.covering(&a.denies, r, func(j int) bool { return !r.deny || j < i })
	if by != nil {
		a.warn(key, fmt.Errorf("the rule decides nothing: %s denies all of it", by.label))
	}
}

// movable finds a tag that may not be overwritten, but be deleted and then created.
func (a *adviser) movable(i int, now time.Time) {
	r := &a.rules[i]
	if r.over(now) {
		return
	}
	removal := *r
	removal.actions, removal.deny = deleteBit, true
	again := removal
	again.actions = createBit
	switch guards := r.actions & pushBit; {
	case guards == overwriteBit && r.deny && a.none(&a.denies, &removal) && a.none(&a.denies, &again):
		a.warn(fmt.Sprintf("[%d].deny", i), errors.New("guards tags against overwrite and not against delete: who may delete one can create it again; deny delete too"))
	case guards == createBit && !r.deny && a.moves(r):
		a.warn(fmt.Sprintf("[%d].allow", i), errors.New("allows no overwrite, but its people may delete a tag and create it again; deny delete there"))
	}
}

// moves reports whether some of those who may create, and not overwrite, may delete as well.
func (a *adviser) moves(r *rule) bool {
	for _, i := range a.removals {
		if a.budget == 0 {
			return false
		}
		a.budget--
		if !near(r.repositories, a.rules[i].repositories) {
			continue
		}
		a.budget = max(0, a.budget-meetingCost)
		if slices.ContainsFunc(r.meetings(&a.rules[i]), a.unguarded) {
			return true
		}
	}
	return false
}

// meetingCost is how many comparisons it is worth to see where two rules meet.
const meetingCost = 16

// unguarded reports whether what a rule allows to be deleted may not be overwritten, and no
// deny keeps it from being deleted.
func (a *adviser) unguarded(removal rule) bool {
	overwriting := removal
	overwriting.actions, overwriting.deny = overwriteBit, false
	return a.none(&a.denies, &removal) && a.none(&a.allows, &overwriting)
}

func anyPlace(int) bool { return true }

// none reports whether it is sure that no rule of the index covers all of r.
func (a *adviser) none(x *index, r *rule) bool {
	return a.covering(x, r, anyPlace) == nil && a.budget > 0
}

// covering is the first rule of the index that covers all of r, and may be taken.
func (a *adviser) covering(x *index, r *rule, may func(place int) bool) *rule {
	p := &r.repositories[0]
	head, tail := ends(p.components)
	if head == p.text { // one name, which what covers it may begin or end
		tail = head
	}
	for _, h := range x.lists(nil, head, tail) {
		for _, entries := range h.about(nil, &r.to[0]) {
			for _, e := range entries {
				if a.budget == 0 {
					return nil
				}
				a.budget--
				if may(e.rule) && a.rules[e.rule].covers(r) {
					return &a.rules[e.rule]
				}
			}
		}
	}
	return nil
}
