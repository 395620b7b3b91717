package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gatehouse/authn"
	"gatehouse/authz"
)

// caller is one person of the grid: as docker_auth and as the policy sees them.
type caller struct {
	account string
	labels  map[string][]string
	id      authn.Identity
	later   bool // nobody yet: a user who may be added
}

func (c caller) String() string {
	if c.account == "" {
		return "the anonymous caller"
	}
	if groups := slices.Concat(slices.Collect(values(c.labels))...); len(groups) > 0 {
		slices.Sort(groups)
		return c.account + " (" + strings.Join(groups, ", ") + ")"
	}
	return c.account
}

func values(labels map[string][]string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for _, v := range labels {
			if !yield(v) {
				return
			}
		}
	}
}

// grid are the questions on which both lists are held against each other.
type grid struct {
	callers      []caller
	repositories []string
	addresses    []netip.Addr
}

// difference is one kind of question that is answered otherwise.
type difference struct {
	line, rule int // the entry that decided there, and the rule that did here; 0, -1: none
	action     string
	wider      bool
	later      bool // of a user who may be added, and an entry that is written for those that are there
	example    string
}

// Sizes of a grid, so that a list of a thousand entries is compared in seconds.
const (
	mostCallers      = 200
	mostWords        = 40
	mostRepositories = 500
	mostAddresses    = 12
)

// compare asks both lists everything of the grid, and gives one example of each difference.
func (m *migration) compare(g grid, list []rule) ([]difference, error) {
	policy, err := authz.New(authz.Config{Rules: written(list), Directories: []string{localName, ldapName}})
	if policy == nil {
		return nil, err
	}
	var found []difference
	for _, c := range g.callers {
		ask := policy.For(c.id)
		for _, name := range g.repositories {
			for _, ip := range g.addresses {
				decides, line := m.model.first(request{account: c.account, labels: c.labels, name: name, service: m.service, ip: ip}), 0
				if decides != nil {
					line = decides.line
				}
				for _, action := range actions {
					was := decides != nil && decides.grants(action)
					is := ask.Decide(authz.Request{Repository: name, Action: authz.Action(action), Source: ip})
					d := difference{line: line, rule: -1, action: action, wider: is.Allowed, later: c.later && m.byName[line]}
					if was == is.Allowed || d.later && !d.wider {
						continue
					}
					if n, err := strconv.Atoi(is.Rule); err == nil {
						d.rule = n
					}
					if !slices.ContainsFunc(found, func(o difference) bool { o.example = ""; return o == d }) {
						d.example = fmt.Sprintf("%s of %s by %s from %s", action, name, c, ip)
						found = append(found, d)
					}
				}
			}
		}
	}
	return found, nil
}

// narrowed takes actions out of rules until nothing of the grid is allowed that was not.
func (m *migration) narrowed(g grid, list []rule) ([]rule, []difference, error) {
	for {
		found, err := m.compare(g, list)
		i := slices.IndexFunc(found, func(d difference) bool { return d.wider && !d.later && d.rule >= 0 })
		if err != nil || i < 0 {
			return list, found, err
		}
		d := found[i]
		r := &list[d.rule]
		r.actions = slices.DeleteFunc(slices.Clone(r.actions), func(a string) bool { return a == d.action })
		m.lost(m.source.acl[r.place].line, "allows no %s here: a rule for it would also allow %s, which was refused", d.action, d.example)
	}
}

// people are the callers of the grid.
func (m *migration) people() []caller {
	var list []caller
	if m.source.anonymous {
		list = append(list, caller{})
	}
	for _, p := range m.source.users {
		list = append(list, m.caller(localName, p.name, m.source.labels[p.name]))
	}
	from := len(list)
	directory := ldapName
	if m.source.ldap == nil {
		directory = localName
	}
	known := map[string]bool{}
	for _, p := range m.source.users {
		known[p.name] = true
	}
	groups := m.words(true)
	for _, name := range slices.Concat([]string{"stranger"}, m.words(false)) {
		if known[name] {
			continue
		}
		list = append(list, m.caller(directory, name, nil))
		for _, group := range groups {
			list = append(list, m.caller(directory, name, m.labelled(group)))
		}
		list = append(list, m.caller(directory, name, m.labelled(groups...)))
	}
	for i := from; i < len(list); i++ {
		list[i].later = m.source.ldap == nil
	}
	return spread(list, mostCallers)
}

// spread are at most so many of a list, from all over it.
func spread[T any](list []T, most int) []T {
	n := len(list)
	for i := 0; n > most && i < most; i++ {
		list[i] = list[i*n/most]
	}
	return list[:min(n, most)]
}

// labelled puts values under each label that the entries name.
func (m *migration) labelled(values ...string) map[string][]string {
	labels := map[string][]string{}
	for _, label := range m.labelNames() {
		if m.source.ldap == nil || slices.Contains(m.source.ldapLabels, label) {
			labels[label] = values
		}
	}
	return labels
}

// labelNames are the labels that entries name.
func (m *migration) labelNames() []string {
	var names []string
	for _, e := range m.source.acl {
		for label := range e.labels {
			names = append(names, label)
		}
		for _, p := range e.patterns() {
			for _, found := range labelPlaceholder.FindAllStringSubmatch(p, -1) {
				names = append(names, found[1])
			}
		}
	}
	return tidyNames(names)
}

// caller is somebody with these labels.
func (m *migration) caller(directory, name string, labels map[string][]string) caller {
	id := authn.Identity{Directory: directory, Username: authn.NormalizeName(name)}
	groups := m.groups(labels)
	if directory == ldapName && !m.memberOf() {
		groups = nil
	}
	for _, group := range groups {
		id.Groups = append(id.Groups, authn.Group{Name: authn.NormalizeName(group)})
	}
	slices.SortFunc(id.Groups, func(a, b authn.Group) int { return strings.Compare(a.Name, b.Name) })
	return caller{account: name, labels: labels, id: id}
}

// groups are the groups of somebody with these labels.
func (m *migration) groups(labels map[string][]string) []string {
	return slices.DeleteFunc(slices.Clone(labels[m.label]), func(g string) bool { return authn.NormalizeName(g) == "" })
}

// words are names that entries are about, of people or of groups: those that they name,
// and components of repositories, which a placeholder may come out as.
func (m *migration) words(groups bool) []string {
	list := []string{"stranger"}
	r := reader{alphabet: accountLetters}
	read := func(p string) {
		for _, seq := range r.read(p) {
			list = append(list, samplesOf(merged(seq))...)
		}
	}
	for _, e := range m.source.acl {
		if p := e.match["account"]; !groups && p != "" {
			read(p)
		}
		for _, p := range e.labels {
			if groups {
				read(p)
			}
		}
	}
	for _, name := range m.samples {
		list = append(list, strings.Split(name, "/")...)
	}
	for i := range list {
		list[i] = strings.ToLower(list[i])
	}
	list = slices.DeleteFunc(tidyNames(list), func(s string) bool { return !nameable(s) || strings.ContainsAny(s, "{ ") })
	return list[:min(len(list), mostWords)]
}

// meetings are names of which entries speak together.
func (m *migration) meetings() []string {
	var patterns, list []string
	for i := range m.over {
		for _, p := range slices.Concat(m.under[i], m.over[i]) {
			patterns = append(patterns, p.repos...)
		}
	}
	patterns = tidyNames(patterns)
	patterns = patterns[:min(len(patterns), mostCallers)]
	for i, p := range patterns {
		for _, q := range patterns[i+1:] {
			if name, ok := common(strings.Split(starred(p), "/"), strings.Split(starred(q), "/")); ok {
				list = append(list, strings.Join(name, "/"))
			}
		}
	}
	return tidyNames(list)
}

// questions is the grid of what the entries are about.
func (m *migration) questions() grid {
	g := grid{callers: m.people(), addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}
	for _, e := range m.source.acl {
		if e.ip.IsValid() && len(g.addresses) < mostAddresses {
			g.addresses = append(g.addresses, e.ip.Addr())
		}
	}
	for _, sample := range slices.Concat([]string{"any", "any/thing"}, m.samples, m.meetings()) {
		for _, c := range g.callers {
			for _, group := range append(m.groups(c.labels), "") {
				name := strings.NewReplacer("{user}", c.id.Username, "{group}", authn.NormalizeName(group)).Replace(sample)
				for _, one := range []string{name, name + "x", name + "/x"} {
					if authz.ValidRepository(one) {
						g.repositories = append(g.repositories, one)
					}
				}
			}
		}
	}
	g.repositories = slices.Compact(slices.Sorted(slices.Values(g.repositories)))
	g.repositories = spread(g.repositories, mostRepositories)
	return g
}
