package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"gatehouse/authn"
)

// Policy decides. It is immutable and safe for concurrent use. The zero Policy
// refuses everything.
type Policy struct {
	rules     []rule
	signedIn  index        // of all rules
	anonymous index        // of those that speak to everyone
	all       hearers      // every rule once, without a pattern
	listing   []entry      // of those that open the catalog to the anonymous caller, without a pattern
	open      []string     // see opened: of the rules that are under no name in all
	openToAll []string     // of listing
	halves    bool         // some rule speaks of one half of push
	splits    index        // of those that do, with anything in the place of placeholders
	groups    *memberships // in which of the groups that rules name people are
	clock     func() time.Time
}

// Request is one question to the policy.
type Request struct {
	// Repository is the name, without a tag.
	Repository string
	// Action is Pull, Push, Delete, or one of the halves of Push; Catalog asks for the
	// list alone. Push asks whether both halves are allowed.
	Action Action
	// Tags are the tags that the request names: of the path and of `tag=`.
	// Every one of them must be allowed, and none denied.
	Tags []string
	// Source is the client's address. Invalid, it is not known: an allow with
	// networks does not match then, and a deny with networks does.
	Source netip.Addr
	// At is the time that rules with a time are held against; zero: now.
	At time.Time
}

// Decision is the answer.
type Decision struct {
	// Allowed reports whether the caller may do it.
	Allowed bool
	// Rule is the label of the rule that decided, empty where no rule allows. Where
	// several tags are allowed by several rules it is the first tag's, and where both
	// halves of a push are it is that of create.
	Rule string
	// Ceiling: the rules allow it, and the token that the caller showed does not.
	Ceiling bool

	by   *rule // of Rule; nil: none
	over *rule // of a push of which both halves are decided alike: that of the overwrite, where it is not by; else nil
}

// Overwriting is the decision where it turns out that a push moves a tag: both halves are
// decided alike, and it may be another rule that decides on this one. Where no rule decides
// on it, it is that on the create.
func (d Decision) Overwriting() Decision {
	if d.over == nil {
		return d
	}
	return d.over.decision(d.Allowed)
}

// beside notes who decides on the other half of a push, where that is decided alike.
func (d Decision) beside(overwrite Decision) Decision {
	if d.Allowed == overwrite.Allowed && d.by != overwrite.by {
		d.over = overwrite.by
	}
	return d
}

// By is the rule that decided, by its name, which may be empty, and its position; both
// are empty where no rule did.
func (d Decision) By() (name, position string) {
	if d.by == nil {
		return "", ""
	}
	return d.by.source.Name, d.by.source.Position
}

// Decide answers one request of one caller, as Caller.Decide does.
func (p *Policy) Decide(id authn.Identity, r Request) Decision {
	c := p.caller(id)
	return c.Decide(r)
}

func (p *Policy) caller(id authn.Identity) Caller {
	return Caller{policy: p, person: person{Identity: id, known: p.groups}}
}

// Halves are the decisions on a manifest under one tag: whether it may be put there
// where the tag is new or names the same manifest, and where it names another one.
type Halves struct {
	// Tag is the tag.
	Tag string
	// Create and Overwrite are the decisions on the two halves of a push.
	Create, Overwrite Decision
}

// DecidePush decides on a manifest under the request's tags. Where all of it hangs on
// what some of the tags name, these are open, and the decision is what counts but for
// them; it is a refusal where one tag may neither be created nor overwritten.
func (p *Policy) DecidePush(id authn.Identity, r Request) (d Decision, open []Halves) {
	c := p.caller(id)
	r.Action, r.At = Push, p.now(r.At)
	defer func() {
		if d = c.withhold(d, &r); !d.Allowed {
			open = nil
		}
	}()
	places := c.rules(nil, pushBit, r.Repository)
	if d = c.judge(places, &r); d.Allowed || !p.halves {
		return d, nil
	}
	for i, tag := range r.Tags {
		one := r
		one.Tags = []string{tag}
		h := Halves{tag, c.judgeOne(places, &one, createBit), c.judgeOne(places, &one, overwriteBit)}
		switch {
		case !h.Create.Allowed && !h.Overwrite.Allowed:
			return h.Create.beside(h.Overwrite), nil
		case i == 0:
			d = h.Create.beside(h.Overwrite)
		}
		if h.Create.Allowed != h.Overwrite.Allowed {
			open = append(open, h)
		}
	}
	d.Allowed = len(open) > 0
	return d, open
}

// Splits reports whether some rule may speak of one half of push alone in the repository,
// whoever the caller is and whatever the time.
func (p *Policy) Splits(repository string) bool {
	if !p.halves {
		return false
	}
	var room [8]*hearers
	for _, h := range p.splits.lists(room[:0], repository, repository) {
		for _, e := range h.entries {
			if matchName(e.pattern.components, repository, values{}) {
				return true
			}
		}
	}
	return false
}

// Grant is the part of the asked scope that the realm may put into a token: there
// a deny with tags takes nothing away, and an allow with tags grants the action,
// because no tag is known yet; one half of push is a push there.
func (p *Policy) Grant(id authn.Identity, asked Scope, source netip.Addr) Scope {
	c := p.For(id)
	return asked.narrowed(p.Catalog(id).Allowed, func(repository string, actions actionSet) actionSet {
		return c.grants(repository, actions, source)
	})
}

// Catalog decides whether the caller may list the catalog at all: everyone signed
// in, and the anonymous caller where an `everyone` rule allows some pull. What
// the list shows is decided name by name.
func (p *Policy) Catalog(id authn.Identity) Decision {
	return p.catalogAt(id, p.now(time.Time{}))
}

func (p *Policy) catalogAt(id authn.Identity, now time.Time) Decision {
	if !id.Anonymous() {
		return Decision{Allowed: true}
	}
	for _, e := range p.listing {
		if rule := &p.rules[e.rule]; rule.inTime(now) {
			return rule.decision(true)
		}
	}
	return Decision{}
}

// Fingerprint stands for the rules, wherever they stand; of no policy it is empty.
func (p *Policy) Fingerprint() string {
	if p == nil {
		return ""
	}
	sum := sha256.New()
	for i := range p.rules {
		fmt.Fprintf(sum, "%s %s\n", p.rules[i].source.Name, p.rules[i].source)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// now is the time of a request, for which it may have its own.
func (p *Policy) now(at time.Time) time.Time {
	if at.IsZero() && p.clock != nil {
		return p.clock()
	}
	return at
}

// Rules are the rules that speak of the caller, whatever repositories they are of,
// in the policy's order.
func (p *Policy) Rules(id authn.Identity) []Rule {
	c := p.caller(id)
	var list []Rule
	for _, i := range c.all() {
		list = append(list, p.rules[i].source)
	}
	return list
}
