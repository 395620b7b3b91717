package authz

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Rule is one rule of the config's `policy` list.
type Rule struct {
	// Position is where the rule stands, `gatehouse.yaml:41`: base name and line.
	Position string `yaml:"-"`
	// Name is what the rule is called in logs, reports and counts, beside its position:
	// of a-z, 0-9 and -, no two the same. Default none.
	Name string `yaml:"name,nonempty"`
	// Allow are the actions that the rule allows: pull, push, delete, or "*" for all
	// of them; create and overwrite are the halves of push. A rule has either Allow or Deny.
	Allow []string `yaml:"allow" either:"deny" values:"pull push create overwrite delete *"`
	// Deny are the actions that it denies, whatever other rules allow.
	Deny []string `yaml:"deny" values:"pull push create overwrite delete *"`
	// Repositories are patterns such as `team/*`, `prod/**`, `home/{user}/**`; required.
	Repositories []string `yaml:"repositories,needed"`
	// Tags are patterns: the rule is of requests that name such a tag. Empty: of any
	// request. They cannot stand beside pull.
	Tags []string `yaml:"tags"`
	// Networks are CIDRs or addresses that the client is in. Empty: any client.
	Networks []string `yaml:"networks"`
	// To are the callers of which the rule speaks: everyone, authenticated, people,
	// machines, user:NAME, group:NAME, group:FULL-DN, directory:NAME,
	// user:DIRECTORY/NAME, group:DIRECTORY/NAME, machine:DIRECTORY/NAME; required.
	To []string `yaml:"to,needed"`
	// Except are those among them of which it does not speak, in the same words.
	Except []string `yaml:"except"`
	// From is the first moment at which the rule counts: RFC 3339, or a day in UTC, of
	// which it is the first moment. Default: since ever.
	From string `yaml:"from,nonempty"`
	// Until is the last moment at which it counts, of a day the last one. Default: for ever.
	Until string `yaml:"until,nonempty"`
}

// Label is what stands for the rule wherever it is named: `gatehouse.yaml:12`, and with
// a name `gatehouse.yaml:12 (releases-stay)`.
func (r Rule) Label() string {
	if r.Name == "" {
		return r.Position
	}
	return r.Position + " (" + r.Name + ")"
}

// String is the rule in one line: its keys with their lists, empty ones left out.
func (r Rule) String() string {
	var words []string
	add := func(key string, list []string) {
		if len(list) > 0 {
			words = append(words, key+" ["+strings.Join(list, ", ")+"]")
		}
	}
	add("allow", r.Allow)
	add("deny", r.Deny)
	add("repositories", r.Repositories)
	add("tags", r.Tags)
	add("networks", r.Networks)
	add("to", r.To)
	add("except", r.Except)
	if r.From != "" {
		words = append(words, "from "+r.From)
	}
	if r.Until != "" {
		words = append(words, "until "+r.Until)
	}
	return strings.Join(words, " ")
}

// rule is a compiled Rule.
type rule struct {
	source       Rule
	label        string // see Rule.Label
	key          string // see Rule.key
	deny         bool
	actions      actionSet
	repositories []pattern
	tags         []pattern      // none: any request; else such as name a tag like these
	networks     []netip.Prefix // none: any client
	to, except   []subject
	from, until  time.Time // the first and the last moment of it; zero: no bound
}

// decision is one that the rule takes.
func (r *rule) decision(allowed bool) Decision {
	return Decision{Allowed: allowed, Rule: r.label, by: r}
}

func (r *rule) speaksTo(who *person) bool {
	return anySubject(r.to, who) && !anySubject(r.except, who)
}

// counts reports whether the rule is there at that time, for clients at source.
func (r *rule) counts(source netip.Addr, now time.Time) bool {
	return r.inTime(now) && r.inNetwork(source)
}

// inTime reports whether the rule is there at that time; outside it is as absent.
func (r *rule) inTime(now time.Time) bool { return !now.Before(r.from) && !r.over(now) }

// over reports whether its last moment is behind us.
func (r *rule) over(now time.Time) bool { return !r.until.IsZero() && now.After(r.until) }

// inNetwork reports whether the rule is of clients at source. Of one whose address
// is not known each deny may be, and no allow.
func (r *rule) inNetwork(source netip.Addr) bool {
	switch {
	case len(r.networks) == 0:
		return true
	case !source.IsValid():
		return r.deny
	}
	source = source.Unmap().WithZone("")
	return slices.ContainsFunc(r.networks, func(n netip.Prefix) bool { return n.Contains(source) })
}

// deniesTags: one tag that matches is enough. A DELETE that names no tag takes
// all tags of what it deletes along, so a deny that hangs on tags matches it.
func (r *rule) deniesTags(who *person, action actionSet, tags []string) bool {
	return len(r.tags) == 0 || len(tags) == 0 && action == deleteBit ||
		slices.ContainsFunc(tags, func(tag string) bool { return matchAny(r.tags, tag, who) })
}

// allowsTag: uploads and manifests by digest name no tag, and a push of a tag
// needs them, so an allow of create permits them, and one of push a push as a whole. An
// overwrite and a DELETE of no tag it does not.
func (r *rule) allowsTag(who *person, q *Request, action actionSet, tag string) bool {
	switch {
	case len(r.tags) == 0:
		return true
	case len(q.Tags) == 0:
		return action&createBit != 0 || q.Action == Push && r.actions&createBit != 0
	}
	return matchAny(r.tags, tag, who)
}
