package authz

import (
	"net/netip"

	"gatehouse/authn"
)

// Rule is one rule of the config's `policy` list.
type Rule struct {
	// Position is where the rule stands, `gatehouse.yaml:41`: base name and line.
	Position     string
	Allow        []string // actions, or "*"; either Allow or Deny
	Deny         []string
	Repositories []string
	Tags         []string
	Networks     []string
	To           []string
	Except       []string
}

// Config is what a Policy is made of.
type Config struct {
	Rules []Rule
	// Directories are the names that rules may use.
	Directories []string
}

// Policy decides. It is immutable and safe for concurrent use.
type Policy struct{}

// New compiles the rules. Its error joins *authn.KeyError values whose keys are
// relative to `policy` (`[3].tags`), warnings among them; where all of them are
// warnings the *Policy is returned as well.
func New(cfg Config) (*Policy, error) { panic("being built") }

// Request is one question to the policy.
type Request struct {
	Repository string
	Action     Action // Pull, Push or Delete
	// Tags are the tags that the request names: of the path and of `tag=`.
	// Every one of them must be allowed, and none denied.
	Tags []string
	// Source is the client's address; invalid: rules with networks do not match.
	Source netip.Addr
}

// Decision is the answer. Rule is the position of the rule that decided, empty
// where no rule allows.
type Decision struct {
	Allowed bool
	Rule    string
}

// Decide answers a request under /v2/: nothing is allowed that no rule allows,
// and a deny that matches always wins.
func (p *Policy) Decide(id authn.Identity, r Request) Decision { panic("being built") }

// Grant is the part of the asked scope that the realm may put into a token: there
// a deny with tags takes nothing away, and an allow with tags grants the action.
func (p *Policy) Grant(id authn.Identity, asked Scope, source netip.Addr) Scope {
	panic("being built")
}

// Catalog says whether the caller may list the catalog at all: everyone signed
// in, and the anonymous caller where an `everyone` rule allows some pull.
func (p *Policy) Catalog(id authn.Identity) Decision { panic("being built") }

// Explanation is a Decision with what explain shows beside it.
type Explanation struct {
	Decision
	// Conditions are rules that speak of this caller, action and repository but
	// hang on a tag or a network that the request does not give, each with its
	// position and what it hangs on.
	Conditions []string
}

// Explain decides and lists the conditions.
func (p *Policy) Explain(id authn.Identity, r Request) Explanation { panic("being built") }
