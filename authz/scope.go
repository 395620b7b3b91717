// Package authz says what somebody may do: the scope grammar of the
// distribution token specification, and the policy of the config.
package authz

import "gatehouse/authn"

var _ authn.Identity

// Action is one thing that can be done to a repository, or listing the catalog.
type Action string

const (
	Pull    Action = "pull"
	Push    Action = "push"
	Delete  Action = "delete"
	Catalog Action = "catalog" // written registry:catalog:* in a scope
)

// Scope is an immutable set of accesses: what a token carries, or what a client
// asks for. The zero Scope is empty.
type Scope struct{}

// ParseScope reads the values of a request's scope parameters. Each value may
// hold several scopes, separated by spaces; what is said twice counts once and
// actions of one repository add up. `repository(plugin)` is `repository`; the
// actions stand behind the last colon. What cannot be parsed is left out, as is
// an unknown type, name or action; `*` stands for every action.
// The error is ErrTooManyScopes only.
func ParseScope(values []string) (Scope, error) { panic("being built") }

// Allows says whether the set holds the action on the repository
// (the repository is ignored for Catalog).
func (s Scope) Allows(repository string, action Action) bool { panic("being built") }

// Filter returns the part of the set for which keep says yes.
func (s Scope) Filter(keep func(repository string, action Action) bool) Scope { panic("being built") }

// Strings are the scopes in canonical form, sorted: `repository:a/b:pull,push`.
func (s Scope) Strings() []string { panic("being built") }

// String is the scopes joined by spaces, as in a challenge.
func (s Scope) String() string { panic("being built") }
