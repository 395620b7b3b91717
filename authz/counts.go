package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// RuleCount is a rule with how many requests it decided.
type RuleCount struct {
	Name     string     `json:"name"`     // empty: it has none
	Position string     `json:"position"` // file and line
	Text     string     `json:"text"`     // the rule in one line, without its name
	Allowed  int64      `json:"allowed"`  // requests
	Denied   int64      `json:"denied"`   // requests
	Last     *time.Time `json:"last"`     // when it decided last; nil: never
	Since    time.Time  `json:"since"`    // since when that is counted
}

// Counts are how many requests each rule decided. They outlive policies: a rule is known
// again by its name, else by its text. They are safe for concurrent use.
type Counts struct {
	rules sync.Map // of *count, by rule.key
	mu    sync.Mutex
}

type count struct {
	allowed, denied, last atomic.Int64 // last in nanoseconds since 1970
	since                 atomic.Int64
	kept                  atomic.Pointer[Tally] // what a store has beside; nil: nothing
	away                  atomic.Bool           // the policy has no such rule now
}

// Tally is what is counted of one rule.
type Tally struct {
	Allowed int64     `json:"allowed"` // requests
	Denied  int64     `json:"denied"`  // requests
	Last    time.Time `json:"last"`    // zero: never
	Since   time.Time `json:"since"`   // since when it is counted
}

// Plus is both together; the zero Tally is nothing.
func (t Tally) Plus(more Tally) Tally {
	sum := Tally{t.Allowed + more.Allowed, t.Denied + more.Denied, t.Last, t.Since}
	if more.Last.After(sum.Last) {
		sum.Last = more.Last
	}
	if sum.Since.IsZero() || !more.Since.IsZero() && more.Since.Before(sum.Since) {
		sum.Since = more.Since
	}
	return sum
}

// key is what a rule is known by over reloads.
func (r Rule) key() string {
	if r.Name != "" {
		return r.Name
	}
	sum := sha256.Sum256([]byte(r.String()))
	return "sha256:" + hex.EncodeToString(sum[:]) // no name has a colon
}

// maxAway is of how many rules that the policy has no more the counts are remembered.
const maxAway = 1000

// Take makes the policy the one whose rules are counted: those that are new begin now, and
// of those that it has no more the counts wait for their return.
func (c *Counts) Take(p *Policy, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := map[string]bool{}
	for i := range p.rules {
		key := p.rules[i].key
		there[key] = true
		fresh := &count{}
		fresh.since.Store(now.UnixNano())
		c.rules.LoadOrStore(key, fresh)
	}
	c.leaveLocked(there)
}

// leaveLocked notes which rules are away, and forgets those that were used least lately
// where they are too many.
func (c *Counts) leaveLocked(there map[string]bool) {
	var away []string
	last := map[string]time.Time{}
	c.each(func(key string, n *count) {
		if n.away.Store(!there[key]); there[key] {
			return
		}
		away = append(away, key)
		if last[key] = n.tally().Last; n.kept.Load() != nil {
			last[key] = n.kept.Load().Plus(n.tally()).Last
		}
	})
	slices.SortFunc(away, func(a, b string) int { return last[b].Compare(last[a]) })
	for _, key := range away[min(len(away), maxAway):] {
		c.rules.Delete(key)
	}
}

// Add counts a request that was decided; one that no rule decided is nobody's. A push of
// which nobody asked whether it is an overwrite counts for the rules of both halves.
func (c *Counts) Add(d Decision, now time.Time) {
	c.add(d.by, d.Allowed, now)
	c.add(d.over, d.Allowed, now)
}

func (c *Counts) add(by *rule, allowed bool, now time.Time) {
	if by == nil {
		return
	}
	found, ok := c.rules.Load(by.key)
	if !ok { // of a policy that was replaced, and long ago
		return
	}
	n := found.(*count)
	if allowed {
		n.allowed.Add(1)
	} else {
		n.denied.Add(1)
	}
	n.last.Store(now.UnixNano())
}

// Rules are those of the policy, in its order, with their counts.
func (c *Counts) Rules(p *Policy) []RuleCount {
	list := make([]RuleCount, len(p.rules))
	for i := range p.rules {
		list[i] = c.of(p.rules[i].source, p.rules[i].key)
	}
	return list
}

// Of is one rule with its counts.
func (c *Counts) Of(r Rule) RuleCount { return c.of(r, r.key()) }

func (c *Counts) of(r Rule, key string) RuleCount {
	counted := RuleCount{Name: r.Name, Position: r.Position, Text: r.String()}
	if found, ok := c.rules.Load(key); ok {
		found.(*count).fill(&counted)
	}
	return counted
}

func (n *count) fill(r *RuleCount) {
	sum := n.tally()
	if kept := n.kept.Load(); kept != nil {
		sum = kept.Plus(sum)
	}
	r.Allowed, r.Denied, r.Since = sum.Allowed, sum.Denied, sum.Since
	if !sum.Last.IsZero() {
		r.Last = &sum.Last
	}
}

func (n *count) tally() Tally {
	t := Tally{Allowed: n.allowed.Load(), Denied: n.denied.Load(), Since: time.Unix(0, n.since.Load()).UTC()}
	if last := n.last.Load(); last != 0 {
		t.Last = time.Unix(0, last).UTC()
	}
	return t
}

// each calls f with the count of each rule.
func (c *Counts) each(f func(key string, n *count)) {
	c.rules.Range(func(key, n any) bool {
		f(key.(string), n.(*count))
		return true
	})
}

// Fresh takes out what was counted since the last time, of each rule by what it is known by,
// for whoever adds it up elsewhere: then Know tells what that comes to, or Back returns it.
func (c *Counts) Fresh() map[string]Tally {
	fresh := map[string]Tally{}
	c.each(func(key string, n *count) {
		t := n.tally()
		t.Allowed, t.Denied = n.allowed.Swap(0), n.denied.Swap(0)
		if t.Allowed+t.Denied > 0 || !n.away.Load() {
			fresh[key] = t
		}
	})
	return fresh
}

// Back returns what Fresh took out.
func (c *Counts) Back(fresh map[string]Tally) {
	c.each(func(key string, n *count) {
		n.allowed.Add(fresh[key].Allowed)
		n.denied.Add(fresh[key].Denied)
	})
}

// Know tells what is counted elsewhere, without what Fresh takes out next.
func (c *Counts) Know(known map[string]Tally) {
	c.each(func(key string, n *count) {
		if t, ok := known[key]; ok {
			n.kept.Store(&t)
		}
	})
}
