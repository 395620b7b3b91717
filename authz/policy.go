package authz

import (
	"net/netip"

	"gatehouse/authn"
)

// Policy decides. It is immutable and safe for concurrent use. The zero Policy
// refuses everything.
type Policy struct {
	rules     []rule
	signedIn  index    // of all rules
	anonymous index    // of those that speak to everyone
	catalog   Decision // on the anonymous caller's catalog
}

// Request is one question to the policy.
type Request struct {
	// Repository is the name, without a tag.
	Repository string
	// Action is Pull, Push or Delete; Catalog asks for the list alone.
	Action Action
	// Tags are the tags that the request names: of the path and of `tag=`.
	// Every one of them must be allowed, and none denied.
	Tags []string
	// Source is the client's address. Invalid, it is not known: an allow with
	// networks does not match then, and a deny with networks does.
	Source netip.Addr
}

// Decision is the answer.
type Decision struct {
	// Allowed reports whether the caller may do it.
	Allowed bool
	// Rule is the position of the rule that decided, empty where no rule allows.
	// Where several tags are allowed by several rules it is the first tag's.
	Rule string
}

// Decide answers one request of one caller, as Caller.Decide does.
func (p *Policy) Decide(id authn.Identity, r Request) Decision {
	c := Caller{policy: p, person: person{Identity: id}}
	return c.Decide(r)
}

// Grant is the part of the asked scope that the realm may put into a token: there
// a deny with tags takes nothing away, and an allow with tags grants the action,
// because no tag is known yet.
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
	if !id.Anonymous() {
		return Decision{Allowed: true}
	}
	return p.catalog
}

// Rules are the rules that speak of the caller, whatever repositories they are of,
// in the policy's order.
func (p *Policy) Rules(id authn.Identity) []Rule {
	var list []Rule
	who := person{Identity: id}
	for i := range p.rules {
		if p.rules[i].speaksTo(&who) {
			list = append(list, p.rules[i].source)
		}
	}
	return list
}
