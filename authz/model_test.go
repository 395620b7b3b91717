package authz

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/authn"
)

// model is the policy once more, written from its description alone and as
// plainly as can be: nothing is compiled, nothing ordered to be quick, patterns
// become regular expressions at each question. It shares the types of questions
// and answers with the product and nothing else.
type model []Rule

var (
	modelComponent = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	modelName      = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// decide: a deny that matches always wins; else each tag that the request names
// needs an allow, or the request itself where it names none.
func (m model) decide(id authn.Identity, q Request) Decision {
	if q.Action == Catalog {
		return m.catalog(id, q.At)
	}
	if q.Action == Push {
		return m.push(id, q)
	}
	if !slices.Contains([]Action{Pull, Create, Overwrite, Delete}, q.Action) || !modelName.MatchString(q.Repository) || len(q.Repository) > 255 {
		return Decision{}
	}
	for _, r := range m {
		if modelSpeaks(r, r.Deny, id, q) && modelDeniesTags(r, id, q) {
			return Decision{Rule: modelLabel(r)}
		}
	}
	if len(q.Tags) == 0 {
		return m.allow(id, q, func(r Rule) bool { return len(r.Tags) == 0 || q.Action == Create })
	}
	var answer Decision
	for i, tag := range q.Tags {
		one := m.allow(id, q, func(r Rule) bool { return len(r.Tags) == 0 || modelMatches(r.Tags, tag, id) })
		if !one.Allowed {
			return one
		}
		if i == 0 {
			answer = one
		}
	}
	return answer
}

// push needs both of its halves.
func (m model) push(id authn.Identity, q Request) Decision {
	q.Action = Create
	create := m.decide(id, q)
	q.Action = Overwrite
	overwrite := m.decide(id, q)
	if len(q.Tags) == 0 && overwrite == (Decision{}) { // uploads are part of a push
		overwrite = m.allow(id, q, func(r Rule) bool {
			return len(r.Tags) == 0 || slices.Contains(r.Allow, "push") || slices.Contains(r.Allow, "create")
		})
	}
	if create.Allowed && !overwrite.Allowed {
		return overwrite
	}
	return create
}

func modelLabel(r Rule) string {
	if r.Name != "" {
		return fmt.Sprintf("%s (%s)", r.Position, r.Name)
	}
	return r.Position
}

// modelInTime: days are compared as texts, moments as such.
func modelInTime(r Rule, at time.Time) bool {
	before := func(bound string, sign int) bool {
		if bound == "" {
			return false
		}
		if !strings.Contains(bound, "T") {
			return sign*strings.Compare(at.UTC().Format("2006-01-02"), bound) < 0
		}
		moment, err := time.Parse(time.RFC3339, bound)
		return err != nil || sign*at.Compare(moment) < 0
	}
	return !before(r.From, 1) && !before(r.Until, -1)
}

// allow is the first rule that allows the request and says yes to its tags.
func (m model) allow(id authn.Identity, q Request, tags func(Rule) bool) Decision {
	for _, r := range m {
		if modelSpeaks(r, r.Allow, id, q) && tags(r) {
			return Decision{Allowed: true, Rule: modelLabel(r)}
		}
	}
	return Decision{}
}

func modelDeniesTags(r Rule, id authn.Identity, q Request) bool {
	return len(r.Tags) == 0 || len(q.Tags) == 0 && q.Action == Delete ||
		slices.ContainsFunc(q.Tags, func(tag string) bool { return modelMatches(r.Tags, tag, id) })
}

// grant is what the realm gives of one access: tags are not known there, so a
// deny with tags takes nothing away and an allow with tags grants. One half of a push
// is enough for it.
func (m model) grant(id authn.Identity, q Request) bool {
	if q.Action == Push {
		q.Action = Create
		create := m.grant(id, q)
		q.Action = Overwrite
		return create || m.grant(id, q)
	}
	denied := slices.ContainsFunc(m, func(r Rule) bool { return len(r.Tags) == 0 && modelSpeaks(r, r.Deny, id, q) })
	return !denied && modelName.MatchString(q.Repository) &&
		slices.ContainsFunc(m, func(r Rule) bool { return modelSpeaks(r, r.Allow, id, q) })
}

// catalog is for everyone signed in, and for the anonymous caller where a rule
// that speaks to everyone allows some pull.
func (m model) catalog(id authn.Identity, at time.Time) Decision {
	if id.Directory != "" {
		return Decision{Allowed: true}
	}
	for _, r := range m {
		pull := slices.Contains(r.Allow, "pull") || slices.Contains(r.Allow, "*")
		if pull && slices.Contains(r.To, "everyone") && !slices.Contains(r.Except, "everyone") && modelInTime(r, at) {
			return Decision{Allowed: true, Rule: modelLabel(r)}
		}
	}
	return Decision{}
}

func modelSpeaks(r Rule, actions []string, id authn.Identity, q Request) bool {
	means := func(who string) bool { return modelMeans(who, id) }
	half := q.Action == Create || q.Action == Overwrite
	return (slices.Contains(actions, string(q.Action)) || slices.Contains(actions, "*") || half && slices.Contains(actions, "push")) &&
		modelInTime(r, q.At) &&
		modelMatches(r.Repositories, q.Repository, id) &&
		slices.ContainsFunc(r.To, means) && !slices.ContainsFunc(r.Except, means) &&
		(len(r.Networks) == 0 || !q.Source.IsValid() && len(r.Deny) > 0 || slices.ContainsFunc(r.Networks, func(n string) bool { return modelContains(n, q.Source) }))
}

// modelMeans reports whether an entry of `to` or `except` means the caller.
func modelMeans(who string, id authn.Identity) bool {
	kind, name, _ := strings.Cut(strings.ToLower(who), ":")
	name = strings.ReplaceAll(strings.Join(strings.Fields(name), " "), "/ ", "/")
	if kind == "everyone" || id.Directory == "" {
		return kind == "everyone"
	}
	is := func(value string) bool { return name == value || name == id.Directory+"/"+value }
	switch kind {
	case "machines":
		return id.Machine
	case "people":
		return !id.Machine
	case "machine":
		directory, pattern, _ := strings.Cut(name, "/")
		return id.Machine && directory == id.Directory && modelPattern(pattern, authn.Identity{}, "").MatchString(id.Username+"/")
	case "user":
		return is(id.Username) && !id.Machine
	case "group":
		return slices.ContainsFunc(id.Groups, func(g authn.Group) bool { return is(g.Name) || is(g.DN) })
	case "directory":
		return name == id.Directory
	}
	return true // authenticated
}

// modelMatches reports whether one of the patterns matches, with each of the
// caller's groups in turn (or none) where a pattern has {group}.
func modelMatches(patterns []string, name string, id authn.Identity) bool {
	groups := append([]authn.Group{{}}, id.Groups...)
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return slices.ContainsFunc(groups, func(g authn.Group) bool {
			return modelPattern(pattern, id, g.Name).MatchString(name + "/")
		})
	})
}

// modelPattern writes a pattern as a regular expression of names with a slash
// behind each component.
func modelPattern(pattern string, id authn.Identity, group string) *regexp.Regexp {
	literal := func(value string, grammar *regexp.Regexp, may bool) string {
		if !may || !grammar.MatchString(value) {
			return `[^\s\S]` // nothing
		}
		return regexp.QuoteMeta(value)
	}
	words := strings.NewReplacer("**/", `([^/]+/)*`, "*", `[^/]*`, ".", `\.`, "{user}", literal(id.Username, modelComponent, !id.Machine),
		"{group}", literal(group, modelComponent, true), "{machine}", literal(id.Username, modelName, id.Machine))
	return regexp.MustCompile(`^` + words.Replace(pattern+"/") + `$`)
}

func modelContains(network string, source netip.Addr) bool {
	ip := net.ParseIP(source.WithZone("").String())
	if _, n, err := net.ParseCIDR(network); err == nil {
		return source.IsValid() && n.Contains(ip)
	}
	return source.IsValid() && net.ParseIP(network).Equal(ip)
}

// The generators below draw from words that often meet, and from some that must
// not: names that would be patterns, and names that are no component.
func listOf(words string, least, most int) *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(strings.Fields(words)), least, most, rapid.ID)
}

// blanks are written ~ in a list of words.
func blanks(list []string) []string {
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "~", " ")
	}
	return list
}

func pathOf(words string) *rapid.Generator[string] {
	parts := rapid.SliceOfN(rapid.SampledFrom(strings.Fields(words)), 1, 4)
	return rapid.Map(parts, func(list []string) string { return strings.Join(list, "/") })
}

var (
	modelPatterns = pathOf("** ** * a b a* *b *-* a.b {user} {group} x-{user} {group}-* {user}.{group} *{group} *-{group}-* {group}{group} mozart release {machine} {machine} x-{machine} {machine}.b {machine}{machine} {machine}-{group}")
	modelRule     = rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{
			Allow:        listOf("pull push create overwrite delete", 1, 4).Draw(t, "actions"),
			Repositories: rapid.SliceOfN(modelPatterns, 1, 2).Draw(t, "repositories"),
			To:           blanks(listOf(modelSubjects, 1, 3).Draw(t, "to")),
			Except:       blanks(listOf(modelSubjects, 0, 1).Draw(t, "except")),
		}
		if slices.Contains(r.Allow, "push") {
			r.Allow = slices.DeleteFunc(r.Allow, func(a string) bool { return a == "create" || a == "overwrite" })
		}
		if rapid.IntRange(0, 3).Draw(t, "timed") == 0 {
			first := rapid.IntRange(0, len(modelTimes)-1).Draw(t, "from")
			r.From, r.Until = modelTimes[first], modelTimes[rapid.IntRange(first, len(modelTimes)-1).Draw(t, "until")]
			if bound := rapid.IntRange(0, 2).Draw(t, "bounds"); bound == 0 {
				r.From = ""
			} else if bound == 1 {
				r.Until = ""
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "narrow") == 0 {
			r.Networks = listOf("10.0.0.0/8 10.1.0.0/16 192.0.2.1 ::ffff:10.0.0.0/104 ::ffff:192.0.2.1 2001:db8::/32 0.0.0.0/0 ::/0", 1, 2).Draw(t, "networks")
		}
		if !slices.Contains(r.Allow, "pull") && rapid.Bool().Draw(t, "tagged") {
			r.Tags = listOf("v* latest {user} {group}-* * v1.0 *", 1, 2).Draw(t, "tags")
		} else if len(r.Allow) == 3 && slices.Contains(r.Allow, "push") {
			r.Allow = []string{"*"}
		}
		if rapid.IntRange(0, 2).Draw(t, "deny") == 0 {
			r.Allow, r.Deny = nil, r.Allow
		}
		return r
	})
	modelPerson = rapid.Custom(func(t *rapid.T) authn.Identity {
		id := authn.Identity{Directory: rapid.SampledFrom([]string{"", "local", "example", "robots", "robots"}).Draw(t, "directory")}
		if id.Directory == "" {
			return id
		}
		id.Username = rapid.SampledFrom(strings.Fields("mozart mozart bach a b a.b b/a a..b ** * .* o'hara -")).Draw(t, "name")
		if id.Machine = id.Directory == "robots"; id.Machine {
			id.Username = rapid.SampledFrom(strings.Fields("a a b a/b a/b b/a a.b a/b/a a..b a/-b mozart release a/** .")).Draw(t, "machine")
		}
		names := blanks(listOf("release team-a a b a/b night~shift ** .* {user}", 0, 3).Draw(t, "groups"))
		if rapid.Bool().Draw(t, "many") {
			names = append(names, strings.Fields("z9 z8 z7 z6 z5 z4 z3 z2 z1 z0 y-1")...)
		}
		for _, name := range names {
			id.Groups = append(id.Groups, authn.Group{Name: name, DN: "cn=" + name + ",dc=x"})
		}
		return id
	})
	modelRequest = rapid.Custom(func(t *rapid.T) Request {
		return Request{
			Repository: pathOf("a a b ab a.b axb a/b a/b x-a b.b mozart bach release team-a x-mozart release-1 mozart.release x-release-1 aa a-a-a z0 A a..b .. ** {user}").Draw(t, "repository"),
			Action:     rapid.SampledFrom([]Action{Pull, Push, Delete, Create, Overwrite, Pull, Push, Delete, Create, Overwrite, Catalog, "*", "Pull", ""}).Draw(t, "action"),
			Tags:       rapid.SliceOfN(rapid.SampledFrom(strings.Fields("v1 v1.0 v1x0 latest mozart release-1 x")), 0, 2).Draw(t, "tags"),
			Source:     rapid.SampledFrom(modelSources).Draw(t, "source"),
			At:         rapid.SampledFrom(modelMoments).Draw(t, "at"),
		}
	})
	// modelTimes are in order, whichever moment of a day counts.
	modelTimes   = strings.Fields("2026-11-30 2026-12-01T00:00:00+01:00 2026-12-01T08:00:00+01:00 2026-12-01T07:00:00.5Z 2026-12-02 2026-12-03T00:00:00Z")
	modelMoments = modelMomentsOf("2026-11-29T23:59:59.999999999Z 2026-11-30T00:00:00Z 2026-11-30T23:00:00Z 2026-11-30T23:59:59.999999999Z 2026-12-01T00:00:00Z 2026-12-01T07:00:00Z " +
		"2026-12-01T07:00:00.5Z 2026-12-01T23:59:59.999999999Z 2026-12-02T00:00:00Z 2026-12-02T23:59:59.999999999Z 2026-12-03T00:00:00Z 2026-12-03T00:30:00+01:00 2026-12-03T00:00:00.000000001Z")
	modelSources = []netip.Addr{{}, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("192.0.2.1"),
		netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("2001:db8::1%eth0"), netip.MustParseAddr("2001:db9::1")}
)

const modelSubjects = "everyone authenticated authenticated user:mozart user:Mozart user:local/mozart user:example/bach user:a " +
	"group:release group:Team-A group:example/release group:local/a group:cn=Release,dc=x group:local/cn=b,dc=x directory:local directory:example " +
	"machines machines people machine:robots/a machine:robots/* machine:robots/** machine:Robots/A/* machine:robots/**/b machine:robots/a* directory:robots user:robots/a " +
	"user:~Mozart group:release~ group:Night~~Shift group:example/~night~shift group:local/a/b group:z5"

func modelMomentsOf(list string) []time.Time {
	var all []time.Time
	for _, text := range strings.Fields(list) {
		at, _ := time.Parse(time.RFC3339, text)
		all = append(all, at)
	}
	return all
}

// bare is a decision as the model takes it, which holds no rule itself; the rule that it
// holds has to be the one that it names.
func bare(d Decision) Decision {
	if name, position := d.By(); (Rule{Name: name, Position: position}).Label() != d.Rule {
		panic(d.Rule + " is not " + name + " at " + position)
	}
	d.by, d.over = nil, nil
	return d
}

// checkHalves holds what is asked of a manifest's tags against the decisions on each.
func checkHalves(t *rapid.T, p *Policy, m model, id authn.Identity, q Request) {
	d, open := p.DecidePush(id, q)
	checkOver(t, m, id, q, d)
	d = bare(d)
	q.Action = Push
	if whole := m.decide(id, q); whole.Allowed && (d != whole || open != nil) {
		t.Fatalf("%+v for %+v: %+v and %+v, the model allows both halves by %s", q, id, d, open, whole.Rule)
	}
	if whole := m.decide(id, q); len(q.Tags) == 0 && d.Allowed != whole.Allowed {
		t.Fatalf("%+v for %+v: %+v, the model says %+v", q, id, d, whole)
	}
	byTag, never := map[string]Halves{}, false
	for _, tag := range q.Tags {
		one := q
		one.Tags, one.Action = []string{tag}, Create
		h := Halves{Tag: tag, Create: m.decide(id, one)}
		one.Action = Overwrite
		h.Overwrite = m.decide(id, one)
		never = never || !h.Create.Allowed && !h.Overwrite.Allowed
		if h.Create.Allowed != h.Overwrite.Allowed {
			byTag[tag] = h
		}
	}
	if never && (d.Allowed || len(open) > 0) || !never && len(q.Tags) > 0 && !d.Allowed {
		t.Fatalf("%+v for %+v: %+v and %+v", q, id, d, open)
	}
	for _, h := range open {
		h.Create, h.Overwrite = bare(h.Create), bare(h.Overwrite)
		if byTag[h.Tag] != h {
			t.Fatalf("%+v for %+v: open is %+v, the model says %+v", q, id, h, byTag[h.Tag])
		}
	}
	for tag := range byTag {
		if !never && !slices.ContainsFunc(open, func(h Halves) bool { return h.Tag == tag }) {
			t.Fatalf("%+v for %+v: %s is not open", q, id, tag)
		}
	}
}

// checkOver: where both halves of a push of a tag are decided alike each has its rule.
func checkOver(t *rapid.T, m model, id authn.Identity, q Request, d Decision) {
	if len(q.Tags) != 1 {
		return
	}
	q.Action = Create
	create := m.decide(id, q)
	q.Action = Overwrite
	if want := m.decide(id, q); create.Allowed == want.Allowed && want.Rule != "" && (bare(d.Overwriting()) != want || bare(d) != create) {
		t.Fatalf("%+v for %+v: by %q and %q, the model says %q and %q", q, id, d.Rule, d.Overwriting().Rule, create.Rule, want.Rule)
	}
}

// checkExplain: an explanation says the same; where the address is open as if there were
// no rules with networks. The rules that speak to somebody are those of the model.
func checkExplain(t *rapid.T, p *Policy, m model, id authn.Identity, q Request) {
	var theirs []string
	for _, r := range m {
		means := func(who string) bool { return modelMeans(who, id) }
		if slices.ContainsFunc(r.To, means) && !slices.ContainsFunc(r.Except, means) {
			theirs = append(theirs, modelLabel(r))
		}
	}
	var got []string
	for _, r := range p.Rules(id) {
		got = append(got, modelLabel(r))
	}
	if !slices.Equal(got, theirs) {
		t.Fatalf("the rules of %+v are %q, the model says %q", id, got, theirs)
	}
	if q.Action == Catalog {
		return
	}
	if !q.Source.IsValid() {
		m = slices.DeleteFunc(slices.Clone(m), func(r Rule) bool { return len(r.Networks) > 0 })
	}
	if got, want := bare(p.Explain(id, q).Decision), m.decide(id, q); got != want {
		t.Fatalf("explained %+v for %+v: %+v, the model says %+v", q, id, got, want)
	}
}

// crowded are the rules among many of the same repositories that speak to nobody who asks,
// so that all of them are too many to be looked at; m has room for the former, which
// stand in their order.
func crowded(t *rapid.T, rules []Rule) (all []Rule, m model) {
	var patterns []string
	for _, r := range rules {
		patterns = append(patterns, r.Repositories...)
	}
	few := len(rules)
	for i := range fewEntries + 1 {
		to := []string{fmt.Sprintf(rapid.SampledFrom(strangers).Draw(t, "stranger"), i)}
		rules = slices.Insert(rules, rapid.IntRange(0, len(rules)).Draw(t, "place"), Rule{Allow: []string{"*"}, Repositories: patterns, To: to})
	}
	return rules, make(model, few)
}

// strangers are words for those who never ask.
var strangers = []string{"user:nobody-%d", "user:local/nobody-%d", "group:no-%d", "group:example/no-%d", "group:cn=no-%d,dc=x", "machine:robots/no-%d", "machine:robots/no-%d/**"}

func ofNobody(r Rule) bool {
	return len(r.To) == 1 && slices.ContainsFunc([]string{":no", "/no", "=no"}, func(mark string) bool { return strings.Contains(r.To[0], mark) })
}

// checkModel draws a policy and asks product and model the same questions.
func checkModel(t *rapid.T) {
	rules := rapid.SliceOfN(modelRule, 0, 6).Draw(t, "rules")
	for i := range rules {
		if rapid.Bool().Draw(t, "named") {
			rules[i].Name = fmt.Sprintf("rule-%d", i)
		}
	}
	m := model(rules)
	if len(rules) > 0 && rapid.Bool().Draw(t, "many") {
		rules, m = crowded(t, rules)
	}
	p := policy(t, rules...)
	copy(m, slices.DeleteFunc(slices.Clone(rules), ofNobody))
	for range 20 {
		id, q := modelPerson.Draw(t, "who"), modelRequest.Draw(t, "request")
		at := q.At
		p.clock = func() time.Time { return at }
		if got, want := bare(p.Decide(id, q)), m.decide(id, q); got != want {
			t.Fatalf("%+v for %+v: %+v, the model says %+v", q, id, got, want)
		}
		timeless := q
		timeless.At = time.Time{}
		if got, want := bare(p.Decide(id, timeless)), m.decide(id, q); got != want {
			t.Fatalf("%+v for %+v now: %+v, the model says %+v", q, id, got, want)
		}
		checkHalves(t, p, m, id, q)
		checkExplain(t, p, m, id, q)
		asked, _ := ParseScope([]string{"registry:catalog:* repository:" + q.Repository + ":" + string(q.Action)})
		granted := p.Grant(id, asked, q.Source)
		for _, q.Action = range repositoryActions {
			if got, want := granted.Allows(q.Repository, q.Action), asked.Allows(q.Repository, q.Action) && m.grant(id, q); got != want {
				t.Fatalf("the realm grants %+v to %+v: %v, the model says %v", q, id, got, want)
			}
		}
		if granted.Allows("", Catalog) != m.catalog(id, q.At).Allowed {
			t.Fatalf("the realm grants the catalog to %+v: %v", id, granted.Allows("", Catalog))
		}
	}
}

// TestModel: for any policy, person and request the product says what the model
// says, in /v2/ and at the realm, and names the same rule.
func TestModel(t *testing.T) { rapid.Check(t, checkModel) }

// FuzzModel is TestModel with the fuzzer choosing what to draw.
func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkModel)) }

// TestLaws: what must hold of any policy, whatever its rules mean. The names of
// rules are left out of it, for they hang on the order.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, more := rapid.SliceOfN(modelRule, 0, 6).Draw(t, "rules"), modelRule.Draw(t, "more")
		shuffled := rapid.Permutation(rules).Draw(t, "shuffled")
		p, wider, other := policy(t, slices.Clone(rules)...), policy(t, append(slices.Clone(rules), more)...), policy(t, shuffled...)
		for range 10 {
			id, q := modelPerson.Draw(t, "who"), modelRequest.Draw(t, "request")
			for _, one := range []*Policy{p, wider, other} {
				one.clock = func() time.Time { return q.At }
			}
			before, after := p.Decide(id, q).Allowed, wider.Decide(id, q).Allowed
			scoped := q.Action
			if scoped == Create || scoped == Overwrite {
				scoped = Push
			}
			asked, _ := ParseScope([]string{fmt.Sprintf("repository:%s:%s", q.Repository, scoped)})
			granted := p.Grant(id, asked, q.Source)
			switch {
			case q.Action != Catalog && (&Policy{}).Decide(id, q).Allowed:
				t.Fatalf("the empty policy allows %+v", q)
			case len(more.Allow) > 0 && before && !after:
				t.Fatalf("an allow took %+v away", q)
			case len(more.Deny) > 0 && !before && after:
				t.Fatalf("a deny gave %+v", q)
			case other.Decide(id, q).Allowed != before:
				t.Fatalf("the order of the rules decides on %+v", q)
			case other.Grant(id, asked, q.Source).String() != granted.String():
				t.Fatalf("the order of the rules decides on the grant of %+v", q)
			case before && q.Action != Catalog && !granted.Allows(q.Repository, scoped):
				t.Fatalf("%+v is allowed and never granted", q)
			case before && q.Action == Pull && !slices.ContainsFunc(p.For(id).Prefixes(q.Source), func(b string) bool { return strings.HasPrefix(q.Repository+"/", b) }):
				t.Fatalf("%+v is allowed and begins with none of %q", q, p.For(id).Prefixes(q.Source))
			}
			for _, scope := range granted.Strings() {
				for _, one := range strings.Split(scope[strings.LastIndex(scope, ":")+1:], ",") {
					if !strings.HasPrefix(scope, "repository:"+q.Repository+":") || !asked.Allows(q.Repository, Action(one)) {
						t.Fatalf("granted %q of %q", granted, asked)
					}
				}
			}
		}
	})
}
