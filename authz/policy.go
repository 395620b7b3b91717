package authz

import (
	"net/netip"
	"slices"
	"strings"

	"gatehouse/authn"
)

// Rule is one rule of the config's `policy` list.
type Rule struct {
	// Position is where the rule stands, `gatehouse.yaml:41`: base name and line.
	Position string `yaml:"-"`
	// Allow are the actions that it allows: pull, push, delete, or "*" for all of them.
	// Either Allow or Deny.
	Allow []string `yaml:"allow"`
	// Deny are the actions that it denies, whatever other rules allow.
	Deny []string `yaml:"deny"`
	// Repositories are patterns of the repositories that it speaks of.
	Repositories []string `yaml:"repositories"`
	// Tags are patterns of tags; with them it speaks of requests that name such a tag.
	// Empty: any.
	Tags []string `yaml:"tags"`
	// Networks are CIDRs or addresses of clients. Empty: any.
	Networks []string `yaml:"networks"`
	// To are the callers it speaks of: everyone, authenticated, user:NAME, group:NAME,
	// directory:NAME.
	To []string `yaml:"to"`
	// Except are callers, in the same words, of whom it does not speak.
	Except []string `yaml:"except"`
}

// Config is what a Policy is made of.
type Config struct {
	Rules []Rule
	// Directories are the names that rules may use.
	Directories []string
}

// Policy decides. It is immutable and safe for concurrent use. The zero Policy
// refuses everything.
type Policy struct{ rules []rule }

// rule is a compiled Rule.
type rule struct {
	position     string
	deny         bool
	actions      actionSet
	repositories []pattern
	tags         []pattern      // none: any request; else such as name a tag like these
	networks     []netip.Prefix // none: any client
	to, except   []subject
}

// Request is one question to the policy.
type Request struct {
	Repository string
	Action     Action // Pull, Push or Delete
	// Tags are the tags that the request names: of the path and of `tag=`.
	// Every one of them must be allowed, and none denied.
	Tags []string
	// Source is the client's address. Invalid, it is not known: an allow with
	// networks does not match then, and a deny with networks does.
	Source netip.Addr
}

// Decision is the answer. Rule is the position of the rule that decided, empty
// where no rule allows. Where several tags are allowed by several rules it is
// the first tag's.
type Decision struct {
	Allowed bool
	Rule    string
}

// Decide answers a request under /v2/: nothing is allowed that no rule allows,
// and a deny that matches always wins. A name outside the grammar is refused.
func (p *Policy) Decide(id authn.Identity, r Request) Decision {
	action := bit(r.Action)
	switch {
	case r.Action == Catalog:
		return p.Catalog(id)
	case action == 0 || !ValidRepository(r.Repository):
		return Decision{}
	}
	if i := p.denying(&id, action, &r); i >= 0 {
		return Decision{Rule: p.rules[i].position}
	}
	return p.allowing(&id, action, &r)
}

// denying is the index of the first rule that denies the request, -1 for none.
func (p *Policy) denying(id *authn.Identity, action actionSet, r *Request) int {
	for i := range p.rules {
		rule := &p.rules[i]
		if rule.deny && rule.speaksOf(id, action, r.Repository) && rule.inNetwork(r.Source) && rule.deniesTags(id, action, r.Tags) {
			return i
		}
	}
	return -1
}

// allowing looks for a rule for each tag, or for the request where it has none.
func (p *Policy) allowing(id *authn.Identity, action actionSet, r *Request) Decision {
	if len(r.Tags) == 0 {
		return p.allowingTag(id, action, r, "")
	}
	var first Decision
	for i, tag := range r.Tags {
		d := p.allowingTag(id, action, r, tag)
		if !d.Allowed {
			return Decision{}
		}
		if i == 0 {
			first = d
		}
	}
	return first
}

// allowingTag takes the first rule that allows the request with this one tag; ""
// is a request that names none.
func (p *Policy) allowingTag(id *authn.Identity, action actionSet, r *Request, tag string) Decision {
	for i := range p.rules {
		rule := &p.rules[i]
		if !rule.deny && rule.speaksOf(id, action, r.Repository) && rule.inNetwork(r.Source) && rule.allowsTag(id, action, tag, len(r.Tags) > 0) {
			return Decision{Allowed: true, Rule: rule.position}
		}
	}
	return Decision{}
}

// speaksOf says whether the rule is of this action, person and repository. A
// repository's prefix is the quickest to look at, a person's groups the slowest.
func (r *rule) speaksOf(id *authn.Identity, action actionSet, repository string) bool {
	return r.actions&action != 0 && matchAny(r.repositories, repository, id) && r.speaksTo(id)
}

func (r *rule) speaksTo(id *authn.Identity) bool {
	return anySubject(r.to, id) && !anySubject(r.except, id)
}

// inNetwork reports whether the rule is of clients at source. Of one whose address
// is not known each deny may be, and no allow.
func (r *rule) inNetwork(source netip.Addr) bool {
	if len(r.networks) == 0 {
		return true
	}
	if !source.IsValid() {
		return r.deny
	}
	source = source.Unmap().WithZone("")
	for _, network := range r.networks {
		if network.Contains(source) {
			return true
		}
	}
	return false
}

// deniesTags: one tag that matches is enough. A DELETE that names no tag takes
// all tags of what it deletes along, so a deny that hangs on tags matches it.
func (r *rule) deniesTags(id *authn.Identity, action actionSet, tags []string) bool {
	if len(r.tags) == 0 || len(tags) == 0 && action == deleteBit {
		return true
	}
	for _, tag := range tags {
		if matchAny(r.tags, tag, id) {
			return true
		}
	}
	return false
}

// allowsTag: uploads and manifests by digest name no tag, and a push of a tag
// needs them, so an allow of push permits them; a DELETE it does not.
func (r *rule) allowsTag(id *authn.Identity, action actionSet, tag string, named bool) bool {
	switch {
	case len(r.tags) == 0:
		return true
	case !named:
		return action == pushBit
	}
	return matchAny(r.tags, tag, id)
}

// Grant is the part of the asked scope that the realm may put into a token: there
// a deny with tags takes nothing away, and an allow with tags grants the action,
// because no tag is known yet.
func (p *Policy) Grant(id authn.Identity, asked Scope, source netip.Addr) Scope {
	return asked.Filter(func(repository string, action Action) bool {
		if action == Catalog {
			return p.Catalog(id).Allowed
		}
		return p.grants(&id, bit(action), repository, source)
	})
}

func (p *Policy) grants(id *authn.Identity, action actionSet, repository string, source netip.Addr) bool {
	allowed := false
	for i := range p.rules {
		rule := &p.rules[i]
		if rule.deny && len(rule.tags) > 0 || !rule.speaksOf(id, action, repository) || !rule.inNetwork(source) {
			continue
		}
		if rule.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

// Catalog says whether the caller may list the catalog at all: everyone signed
// in, and the anonymous caller where an `everyone` rule allows some pull. What
// the list shows is decided name by name.
func (p *Policy) Catalog(id authn.Identity) Decision {
	if !id.Anonymous() {
		return Decision{Allowed: true}
	}
	for i := range p.rules {
		if rule := &p.rules[i]; !rule.deny && rule.actions&pullBit != 0 && rule.speaksTo(&id) {
			return Decision{Allowed: true, Rule: rule.position}
		}
	}
	return Decision{}
}

// Explanation is a Decision with what explain shows beside it.
type Explanation struct {
	Decision
	// Conditions are rules that speak of this caller, action and repository but
	// hang on a tag or a network that the request does not give, each with its
	// position and what it hangs on.
	Conditions []string
}

// Explain decides and lists the conditions. An invalid Source leaves the address
// open: rules with networks do not match, and are conditions.
func (p *Policy) Explain(id authn.Identity, r Request) Explanation {
	decides := p
	if !r.Source.IsValid() {
		decides = p.anywhere()
	}
	e := Explanation{Decision: decides.Decide(id, r)}
	action := bit(r.Action)
	for i := range p.rules {
		rule := &p.rules[i]
		if !rule.speaksOf(&id, action, r.Repository) {
			continue
		}
		if text := rule.condition(&id, r); text != "" {
			e.Conditions = append(e.Conditions, text)
		}
	}
	return e
}

// anywhere is the policy without the rules that hang on a network.
func (p *Policy) anywhere() *Policy {
	hangs := func(r rule) bool { return len(r.networks) > 0 }
	return &Policy{slices.DeleteFunc(slices.Clone(p.rules), hangs)}
}

// condition says what the rule hangs on that the request leaves open; nothing
// where a tag or an address that is given settles it.
func (r *rule) condition(id *authn.Identity, q Request) string {
	if len(q.Tags) > 0 && !r.deniesTags(id, bit(q.Action), q.Tags) {
		return ""
	}
	if q.Source.IsValid() && !r.inNetwork(q.Source) {
		return ""
	}
	var open []string
	if len(r.tags) > 0 && len(q.Tags) == 0 {
		open = append(open, "the tag is "+texts(r.tags))
	}
	if len(r.networks) > 0 && !q.Source.IsValid() {
		open = append(open, "the client is in "+texts(r.networks))
	}
	if len(open) == 0 {
		return ""
	}
	verb := "allows"
	if r.deny {
		verb = "denies"
	}
	return r.position + " " + verb + " " + r.actions.String() + " if " + strings.Join(open, " and ")
}

// texts lists patterns or networks as the config may write them.
func texts[T interface{ String() string }](list []T) string {
	names := make([]string, len(list))
	for i, one := range list {
		names[i] = one.String()
	}
	return strings.Join(names, " or ")
}
