package authz

import (
	"crypto/sha256"
	"encoding/hex"
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
}

// key is what a rule is known by over reloads.
func (r Rule) key() string {
	if r.Name != "" {
		return r.Name
	}
	sum := sha256.Sum256([]byte(r.String()))
	return "sha256:" + hex.EncodeToString(sum[:]) // no name has a colon
}

// Take makes the policy the one whose rules are counted: those that are new begin now,
// and what was counted of others goes.
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
	c.rules.Range(func(key, _ any) bool {
		if !there[key.(string)] {
			c.rules.Delete(key)
		}
		return true
	})
}

// Add counts a request that was decided; one that no rule decided is nobody's.
func (c *Counts) Add(d Decision, now time.Time) {
	if d.by == nil {
		return
	}
	found, ok := c.rules.Load(d.by.key)
	if !ok { // of a policy that was replaced while the request ran
		return
	}
	n := found.(*count)
	if d.Allowed {
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
		r := &p.rules[i]
		list[i] = RuleCount{Name: r.source.Name, Position: r.source.Position, Text: r.source.String()}
		if found, ok := c.rules.Load(r.key); ok {
			found.(*count).fill(&list[i])
		}
	}
	return list
}

func (n *count) fill(r *RuleCount) {
	r.Allowed, r.Denied, r.Since = n.allowed.Load(), n.denied.Load(), time.Unix(0, n.since.Load()).UTC()
	if last := n.last.Load(); last != 0 {
		at := time.Unix(0, last).UTC()
		r.Last = &at
	}
}
