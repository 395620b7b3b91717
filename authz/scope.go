// Package authz decides what a caller may do: the scope grammar of the
// distribution token specification, and the policy of the config.
//
// # The policy
//
// A policy is a list of rules. A rule allows or denies actions (pull, push,
// delete, or "*" for all three) on repositories to people, and may be narrowed
// to tags, to client networks and to a time. Nothing is allowed that no rule allows,
// and a deny that matches always wins, wherever it stands.
//
// A push has two halves: create, of what is new, and overwrite, of a tag that names
// another manifest already. Rules may speak of one of them; a scope knows push alone.
//
// Patterns are anchored: `*` is any number of characters within one component,
// `**` any number of whole components, none too. `{user}` and `{group}` are the
// caller's own name and each of their groups, taken literally, and match nothing
// where that value is no repository component; `{machine}` is the name of a caller
// that is a machine, with its slashes.
//
// Names are compared in the one spelling that authn.NormalizeName gives, DNs in
// that of authn.NormalizeDN; both are the identity's already, and the rules' from
// New on.
//
// A question costs what the rules of its repository cost, not what all of them do:
// New puts each pattern under its literal components, and of many that stand in one
// place each under the names that its rule speaks to; a Caller remembers which rules
// speak to them.
//
// # Scopes
//
// A Scope is a set of accesses, `repository:team/app:pull,push` and
// `registry:catalog:*`. A token carries one as a ceiling: the policy is asked
// again on every request.
package authz

import (
	"errors"
	"slices"
	"strings"
)

// Action is one thing that can be done to a repository, or listing the catalog.
type Action string

// The actions of a repository, and Catalog, which a scope writes registry:catalog:*.
const (
	Pull    Action = "pull"
	Push    Action = "push"
	Delete  Action = "delete"
	Catalog Action = "catalog"
)

// The halves of Push, of which rules and requests may speak; scopes do not.
const (
	Create    Action = "create"    // uploads, manifests under a tag that is new or names the same already
	Overwrite Action = "overwrite" // a manifest under a tag that names another one
)

// ErrTooManyScopes reports that a request asked for more than 1,000 scopes.
var ErrTooManyScopes = errors.New("more than 1000 scopes")

const (
	maxScopes    = 1000
	catalogScope = "registry:catalog:*"
)

// actionSet holds a bit for each action of a repository.
type actionSet uint8

const (
	pullBit actionSet = 1 << iota
	createBit
	overwriteBit
	deleteBit
	pushBit    = createBit | overwriteBit
	allActions = pullBit | pushBit | deleteBit
)

// repositoryActions are those of a scope.
var repositoryActions = [...]Action{Pull, Push, Delete}

// bits are the set of each action, the whole before its halves.
var bits = [...]struct {
	action Action
	set    actionSet
}{{Pull, pullBit}, {Push, pushBit}, {Create, createBit}, {Overwrite, overwriteBit}, {Delete, deleteBit}}

// bit is the action's set, empty for Catalog and unknown ones.
func bit(a Action) actionSet {
	for i := range bits {
		if bits[i].action == a {
			return bits[i].set
		}
	}
	return 0
}

// whole is the set with push in the place of a half.
func (s actionSet) whole() actionSet {
	if s&pushBit != 0 {
		return s | pushBit
	}
	return s
}

func (s actionSet) String() string {
	var names []string
	for _, one := range bits {
		if s&one.set == one.set {
			names = append(names, string(one.action))
			s &^= one.set
		}
	}
	return strings.Join(names, ",")
}

// access is what a scope holds of one repository.
type access struct {
	repository string
	actions    actionSet
}

// Scope is an immutable set of accesses: what a token carries, or what a client
// asks for. The zero Scope is empty.
type Scope struct {
	repositories []access // sorted by name, each name once, no empty sets
	catalog      bool
}

// ParseScope reads the values of a request's scope parameters. Each value may
// hold several scopes, separated by spaces; what is said twice counts once and
// actions of one repository add up. `repository(plugin)` is `repository`; the
// actions stand behind the last colon. What cannot be parsed is left out, as is
// an unknown type, name or action; `*` stands for every action.
// The error is ErrTooManyScopes only.
func ParseScope(values []string) (Scope, error) {
	var s Scope
	count, sets := 0, map[string]actionSet{}
	for _, value := range values {
		for text := range strings.SplitSeq(value, " ") {
			if text == "" {
				continue
			}
			if count++; count > maxScopes {
				return Scope{}, ErrTooManyScopes
			}
			s.read(text, sets)
		}
	}
	for name, actions := range sets {
		s.repositories = append(s.repositories, access{name, actions})
	}
	slices.SortFunc(s.repositories, func(a, b access) int { return strings.Compare(a.repository, b.repository) })
	return s, nil
}

// read takes in one scope, a repository's into sets. The name lies between the
// first colon and the last, so host:port/name is read as one name.
func (s *Scope) read(text string, sets map[string]actionSet) {
	kind, rest, _ := strings.Cut(text, ":")
	last := strings.LastIndexByte(rest, ':')
	if last < 0 {
		return
	}
	name, actions := rest[:last], rest[last+1:]
	switch kind {
	case "registry":
		s.catalog = s.catalog || text == catalogScope
	case "repository", "repository(plugin)":
		if set := readActions(actions); set != 0 && ValidRepository(name) {
			sets[name] |= set
		}
	}
}

func readActions(list string) (set actionSet) {
	for name := range strings.SplitSeq(list, ",") {
		if name == "*" {
			return allActions
		}
		if a := Action(name); slices.Contains(repositoryActions[:], a) {
			set |= bit(a)
		}
	}
	return set
}

// Allows reports whether the set holds the action on the repository
// (the repository is ignored for Catalog).
func (s Scope) Allows(repository string, action Action) bool {
	if action == Catalog {
		return s.catalog
	}
	i, found := slices.BinarySearchFunc(s.repositories, repository, func(a access, name string) int {
		return strings.Compare(a.repository, name)
	})
	return found && s.repositories[i].actions&bit(action) != 0
}

// narrowed returns the part of the set that keep leaves of each repository's
// actions.
func (s Scope) narrowed(catalog bool, keep func(repository string, actions actionSet) actionSet) Scope {
	kept := Scope{catalog: s.catalog && catalog}
	for _, a := range s.repositories {
		if left := a.actions & keep(a.repository, a.actions); left != 0 {
			kept.repositories = append(kept.repositories, access{a.repository, left})
		}
	}
	return kept
}

// Empty reports whether the set holds nothing.
func (s Scope) Empty() bool { return !s.catalog && len(s.repositories) == 0 }

// Strings are the scopes in canonical form, sorted: `repository:a/b:pull,push`.
func (s Scope) Strings() []string {
	list := make([]string, 0, len(s.repositories)+1)
	if s.catalog {
		list = append(list, catalogScope)
	}
	for _, a := range s.repositories {
		list = append(list, "repository:"+a.repository+":"+a.actions.String())
	}
	slices.Sort(list)
	return list
}

// String is the scopes joined by spaces, as in a challenge.
func (s Scope) String() string { return strings.Join(s.Strings(), " ") }
