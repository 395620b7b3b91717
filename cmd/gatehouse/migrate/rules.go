package migrate

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse/authn"
	"gatehouse/authz"
)

var actions = []string{"pull", "push", "delete"}

// piece is a part of what an entry speaks of, in our words.
type piece struct {
	place   int // of the entry in the list
	who     subject
	repos   []string
	network netip.Prefix // invalid: any
}

// rule is a piece that allows or denies.
type rule struct {
	piece
	deny    bool
	actions []string
}

// migration is one run: what was read, and how its entries read here.
type migration struct {
	*result
	source  *source
	model   *model
	label   string // the label that groups are
	service string // the registry's
	under   [][]piece
	over    [][]piece
	byName  map[int]bool // lines of entries that are written for the users that are there, one by one
	samples []string     // repositories that the entries are about
}

// translate finds the pieces of each entry that speaks of this registry's repositories.
func (m *migration) translate() {
	m.under, m.over = make([][]piece, len(m.source.acl)), make([][]piece, len(m.source.acl))
	for i := range m.source.acl {
		e := &m.source.acl[i]
		of := request{service: m.service}
		if !m.model.fits(e, "type", "repository", of) {
			m.note(e.line, "speaks of no repositories: everybody who is signed in may ask for the catalog here, and sees what they may pull")
			continue
		}
		if !m.model.fits(e, "service", m.service, of) {
			m.lost(e.line, "is left out: it is of another service than tokens.service, %q", m.service)
			continue
		}
		m.entry(i, e)
	}
}

// entry finds the pieces of one entry. What cannot be said of everybody is said of each
// static user, whose labels are known.
func (m *migration) entry(i int, e *entry) {
	name, given := e.match["name"]
	repos := reader{nameLetters, m.label}.repositories(name, given)
	m.samples = append(m.samples, repos.samples...)
	low, high := m.source.subjects(e, m.label)
	one := func(who subject, repos []string) []piece {
		if who.none() || len(repos) == 0 {
			return nil
		}
		return []piece{{i, who, repos, e.ip}}
	}
	m.under[i], m.over[i] = one(low, repos.under), one(high, repos.over)
	if repos.exact() && slices.Equal(low.to, high.to) && !m.patternsAsLabels(e) {
		return
	}
	var each, widest []piece
	for _, p := range m.source.users {
		for _, r := range m.personal(e, p) {
			who := subject{to: []string{"user:" + authn.NormalizeName(p.name)}}
			each, widest = append(each, one(who, r.under)...), append(widest, one(who, r.over)...)
			m.samples = append(m.samples, r.samples...)
		}
	}
	m.under[i] = append(m.under[i], each...)
	if m.source.ldap == nil || m.neverLDAP(e) {
		m.over[i] = widest
		m.writtenOut(e)
		if slices.Contains(high.to, "everyone") && m.model.speaks(e, request{service: m.service}) {
			m.over[i] = append(m.over[i], one(subject{[]string{"everyone"}, []string{"authenticated"}}, repos.over)...)
		}
		return
	}
	if m.over[i] = append(m.over[i], widest...); repos.exact() && slices.Equal(low.to, high.to) {
		return
	}
	m.lost(e.line, "cannot be said here for people of the directory (%s): what it allows them is left out, and what it keeps from them is kept from more", m.why(e, repos))
}

// writtenOut tells of an entry that is said of each user by name.
func (m *migration) writtenOut(e *entry) {
	m.byName[e.line] = true
	if len(m.source.users) > 0 {
		m.note(e.line, "is written out for the users that are there; whoever comes later needs a rule of their own")
	}
}

// patternsAsLabels reports whether the entry takes label values of which one is a pattern.
func (m *migration) patternsAsLabels(e *entry) bool {
	for _, found := range labelPlaceholder.FindAllStringSubmatch(e.match["name"], -1) {
		for _, labels := range m.source.labels {
			if slices.ContainsFunc(labels[found[1]], func(v string) bool { return regexp.QuoteMeta(v) != v || strings.Contains(v, "/") }) {
				return true
			}
		}
	}
	return false
}

// neverLDAP reports whether an entry wants a label that nobody of the directory has.
func (m *migration) neverLDAP(e *entry) bool {
	lacks := func(label string) bool { return !slices.Contains(m.source.ldapLabels, label) }
	for label := range e.labels {
		if lacks(label) {
			return true
		}
	}
	for _, found := range labelPlaceholder.FindAllStringSubmatch(e.match["name"], -1) {
		if lacks(found[1]) {
			return true
		}
	}
	return false
}

// why is in words what of an entry cannot be said.
func (m *migration) why(e *entry, repos set) string {
	switch {
	case !repos.exact() && strings.Contains(e.match["name"], "${labels:"):
		return "a placeholder of a label that is no group"
	case !repos.exact():
		return "match.name is a pattern that is more than * and **"
	case len(e.labels) > 0:
		return "match.labels is more than names of groups"
	}
	return "match.account is more than names"
}

// personal are the patterns of an entry for one static user; none: it is not of them.
func (m *migration) personal(e *entry, p person) []set {
	r := request{account: p.name, labels: m.source.labels[p.name], service: m.service}
	if !m.model.speaks(e, r) {
		return nil
	}
	name, given := e.match["name"]
	var list []set
	for _, choice := range choices(name, r.labels) {
		filled := strings.ReplaceAll(name, "${account}", regexp.QuoteMeta(p.name))
		for label, value := range choice {
			filled = strings.ReplaceAll(filled, "${labels:"+label+"}", value)
		}
		list = append(list, reader{nameLetters, ""}.repositories(filled, given))
	}
	return list
}

// rules are the policy for one action.
func (m *migration) rules(action string) []rule {
	var allows, blocks []rule
	for i := range m.source.acl {
		if m.source.acl[i].grants(action) {
			for _, p := range m.under[i] {
				if !slices.ContainsFunc(blocks, func(b rule) bool { return b.shadows(p) }) {
					allows = append(allows, rule{p, false, []string{action}})
				}
			}
			continue
		}
		for _, p := range m.over[i] {
			blocks = append(blocks, rule{p, true, []string{action}})
		}
	}
	var denies []rule
	for _, b := range blocks {
		if kept, needed := b.guard(allows); needed {
			denies = append(denies, kept)
		}
	}
	return slices.Concat(denies, allows)
}

// shadows reports whether an entry leaves nothing of a later piece.
func (b rule) shadows(p piece) bool {
	return b.who.covers(p.who) && coversAll(b.repos, p.repos) && networkCovers(b.network, p.network)
}

func coversAll(p, q []string) bool {
	return !slices.ContainsFunc(q, func(one string) bool {
		return !slices.ContainsFunc(p, func(other string) bool { return covers(other, one) })
	})
}

func networkCovers(a, b netip.Prefix) bool {
	return !a.IsValid() || b.IsValid() && a.Bits() <= b.Bits() && a.Contains(b.Addr())
}

// meets reports whether two pieces may speak of one request.
func (p piece) meets(q piece) bool {
	if p.who.apart(q.who) || p.network.IsValid() && q.network.IsValid() && !p.network.Overlaps(q.network) {
		return false
	}
	return slices.ContainsFunc(p.repos, func(a string) bool {
		return slices.ContainsFunc(q.repos, func(b string) bool { return overlaps(a, b) })
	})
}

// guard makes a deny of an entry that keeps those below it from allowing something. It
// does not speak of those to which an entry above it allows the same. Where that cannot be
// said, people are taken out of the rules below instead; else it refuses more.
func (b rule) guard(allows []rule) (kept rule, needed bool) {
	var below []int
	clean := true
	b.who.to, b.who.except = slices.Clone(b.who.to), slices.Clone(b.who.except)
	for i, a := range allows {
		switch {
		case !b.meets(a.piece):
		case a.place > b.place:
			below = append(below, i)
		case a.shadows(b.piece):
			return b, false
		case !coversAll(a.repos, b.repos) || !networkCovers(a.network, b.network):
			clean = false
		case anonymousOnly(a.who) && slices.Equal(b.who.to, []string{"everyone"}):
			b.who.to = []string{"authenticated"}
		case len(a.who.except) > 0:
			clean = false
		default:
			b.who.except = append(b.who.except, a.who.to...)
		}
	}
	if !clean && len(b.who.except) == 0 && !slices.ContainsFunc(below, func(i int) bool {
		return !coversAll(b.repos, allows[i].repos) || !networkCovers(b.network, allows[i].network)
	}) {
		for _, i := range below {
			allows[i].who.except = slices.Concat(allows[i].who.except, b.who.to)
		}
		return b, false
	}
	return b, len(below) > 0
}

// policy is the whole: rules that differ in nothing but the action are one.
func (m *migration) policy() []rule {
	var list []rule
	for _, action := range actions {
		for _, r := range m.rules(action) {
			r.who.except = tidyNames(r.who.except)
			same := slices.IndexFunc(list, func(o rule) bool { return o.key() == r.key() })
			if same < 0 {
				list = append(list, r)
			} else if !slices.Contains(list[same].actions, action) {
				list[same].actions = append(list[same].actions, action)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b rule) int { return cmp.Compare(a.place, b.place) })
	return list
}

func tidyNames(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func (r rule) key() string {
	return fmt.Sprint(r.place, r.deny, r.network, r.repos, len(r.repos), r.who.to, r.who.except)
}

// written are the rules as the config has them; each has its place for a position.
func written(list []rule) []authz.Rule {
	var out []authz.Rule
	for i, r := range list {
		one := authz.Rule{Position: strconv.Itoa(i), Repositories: r.repos, To: r.who.to, Except: r.who.except}
		if r.network.IsValid() {
			one.Networks = []string{r.network.String()}
		}
		said := r.actions
		if len(said) == len(actions) {
			said = []string{"*"}
		}
		if r.deny {
			one.Deny = said
		} else {
			one.Allow = said
		}
		if len(said) > 0 {
			out = append(out, one)
		}
	}
	return out
}
