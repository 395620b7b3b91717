package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
)

// Config is what a Policy is made of.
type Config struct {
	// Rules are those of the config, in its order.
	Rules []Rule
	// Directories are the names that rules may use.
	Directories []string
	// Machines are those of Directories that know machines and no people.
	Machines []string
}

// New compiles the rules. Its error joins *authn.KeyError values whose keys are
// relative to `policy` (`[3].tags`, `[0].to[1]`, empty for the policy as a whole),
// warnings among them; where all of them are warnings the *Policy is returned as well.
func New(cfg Config) (*Policy, error) {
	c := newCompiler(cfg.Directories, cfg.Machines)
	if len(cfg.Rules) == 0 {
		c.warn("", errors.New("no rules: everything is refused; allow something under policy"))
	}
	rules := make([]rule, len(cfg.Rules))
	for i, r := range cfg.Rules {
		rules[i] = c.rule(fmt.Sprintf("[%d]", i), r)
	}
	c.names(cfg.Rules)
	if c.failed {
		return nil, errors.Join(c.found...)
	}
	c.advise(rules, time.Now())
	return newPolicy(rules), errors.Join(c.found...)
}

// newPolicy makes the rules ready to be asked.
func newPolicy(rules []rule) *Policy {
	p := &Policy{rules: rules, clock: time.Now, groups: newMemberships()}
	for i := range rules {
		rule := &rules[i]
		p.groups.add(rule.to)
		p.groups.add(rule.except)
		if rule.actions != rule.actions.whole() {
			p.halves = true
			p.splits.add(i, loose(rule.repositories))
		}
		p.signedIn.add(i, rule.repositories)
		p.all.entries = append(p.all.entries, entry{rule: i})
		if !rule.speaksTo(&person{}) {
			continue
		}
		p.anonymous.add(i, rule.repositories)
		if !rule.deny && rule.actions&pullBit != 0 {
			p.listing = append(p.listing, entry{rule: i})
		}
	}
	to := func(i int) []subject { return rules[i].to }
	p.all.settle(to)
	p.signedIn.settle(to)
	p.anonymous.settle(to)
	p.open, p.openToAll = opened(rules, p.all.entries), opened(rules, p.listing)
	return p
}

// compiler collects what is wrong, so that all of it is told at once.
type compiler struct {
	directories directories
	found       []error
	failed      bool // there is more than warnings
}

func newCompiler(all, ofMachines []string) *compiler {
	return &compiler{directories: newDirectories(all, ofMachines)}
}

func (c *compiler) fail(key string, err error) {
	c.failed = true
	c.found = append(c.found, &authn.KeyError{Key: key, Err: err})
}

func (c *compiler) warn(key string, err error) {
	c.found = append(c.found, &authn.KeyError{Key: key, Err: err, Warning: true})
}

func (c *compiler) rule(key string, r Rule) rule {
	out := rule{source: r, label: r.Label(), key: r.key(), deny: len(r.Deny) > 0}
	switch {
	case len(r.Allow) == 0 && len(r.Deny) == 0:
		c.fail(key, errors.New("a rule needs allow or deny, with at least one action"))
	case len(r.Allow) > 0 && len(r.Deny) > 0:
		c.fail(key, errors.New("a rule has either allow or deny; write two rules"))
	}
	out.actions = c.actions(key+".allow", r.Allow) | c.actions(key+".deny", r.Deny)
	if len(r.Tags) > 0 && out.actions&pullBit != 0 {
		c.fail(key+".tags", errors.New("tags cannot go with pull or *: a pull by digest names no tag, so it could not be held to them; name push, delete or both"))
	}
	out.repositories = c.repositories(key+".repositories", r.Repositories)
	out.tags = each(c, key+".tags", r.Tags, compileTagPattern)
	out.networks = each(c, key+".networks", r.Networks, authn.ParseNetwork)
	c.checkFamilies(key+".networks", out.networks)
	if len(r.To) == 0 {
		c.fail(key+".to", errors.New("a rule needs somebody that it speaks to; everyone is the anonymous caller too"))
	}
	out.to = c.subjects(key+".to", r.To)
	c.checkAuthenticated(key+".to", &r)
	out.except = c.subjects(key+".except", r.Except)
	out.from, out.until = c.times(key, r)
	return out
}

var ruleName = regexp.MustCompile(`^[a-z0-9-]+$`)

// names finds those that are none, and those that are given twice.
func (c *compiler) names(rules []Rule) {
	first := map[string]int{}
	for i, r := range rules {
		if r.Name == "" {
			continue
		}
		key := fmt.Sprintf("[%d].name", i)
		if !ruleName.MatchString(r.Name) {
			c.fail(key, fmt.Errorf("%q is no name of a rule; use lower-case letters, digits and -", r.Name))
		}
		if before, ok := first[r.Name]; ok {
			c.fail(key, fmt.Errorf("%q is the name of the rule at %s too; names must differ", r.Name, rules[before].Position))
		} else {
			first[r.Name] = i
		}
	}
}

// times are the first and the last moment of a rule, zero where it has no bound.
func (c *compiler) times(key string, r Rule) (from, until time.Time) {
	var err error
	if r.From != "" {
		if from, _, err = ParseTime(r.From); err != nil {
			c.fail(key+".from", err)
		}
	}
	if r.Until != "" {
		if _, until, err = ParseTime(r.Until); err != nil {
			c.fail(key+".until", err)
		}
	}
	if !until.IsZero() && until.Before(from) {
		c.fail(key+".until", fmt.Errorf("%s is before from (%s), so the rule never counts", r.Until, r.From))
	}
	return from, until
}

// exactTime is what RFC 3339 has and time.Parse reads more than: hours of one digit, a comma
// before a fraction, zones of more than a day.
var exactTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseTime reads a moment as rules and commands write it: RFC 3339, or a day in UTC,
// which has a first and a last moment.
func ParseTime(text string) (first, last time.Time, err error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, day.AddDate(0, 0, 1).Add(-1), nil
	}
	upper := strings.ToUpper(text) // RFC 3339 section 5.6: T and Z may be small
	at, err := time.Parse(time.RFC3339, upper)
	if err != nil || !exactTime.MatchString(upper) {
		return at, at, fmt.Errorf("%q is no time with its zone, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00, and no day, such as 2026-12-01", text)
	}
	return at, at, nil
}

// checkFamilies warns of a rule for every client of one address family: of the other
// one it says nothing, which whoever wrote it has hardly meant.
func (c *compiler) checkFamilies(key string, networks []netip.Prefix) {
	var all4, all6 bool
	for _, n := range networks {
		all4 = all4 || n.Addr().Is4() && n.Bits() == 0
		all6 = all6 || n.Addr().Is6() && n.Bits() == 0
	}
	switch {
	case all4 && !all6:
		c.warn(key, errors.New("0.0.0.0/0 is every IPv4 client and no IPv6 client; add ::/0, or leave networks out: then the rule is of any client"))
	case all6 && !all4:
		c.warn(key, errors.New("::/0 is every IPv6 client and no IPv4 client; add 0.0.0.0/0, or leave networks out: then the rule is of any client"))
	}
}

// checkAuthenticated warns of an allow that machines have too, and whoever wrote it may
// have meant people.
func (c *compiler) checkAuthenticated(key string, r *Rule) {
	place := slices.Index(r.To, "authenticated")
	if place < 0 || len(r.Allow) == 0 || len(c.directories.machines) == 0 || slices.Contains(r.Except, "machines") {
		return
	}
	c.warn(at(key, place), errors.New("authenticated is every machine too; write people, or machines beside it where both are meant"))
}

func (c *compiler) actions(key string, names []string) (set actionSet) {
	for i, name := range names {
		one := bit(Action(name))
		if name == "*" {
			one = allActions
		}
		switch {
		case one == 0:
			c.fail(at(key, i), fmt.Errorf("unknown action %q; there are pull, push, delete and \"*\" for all of them, and create and overwrite, the halves of push", name))
		case one&pushBit == one && one != pushBit && slices.Contains(names, string(Push)):
			c.fail(at(key, i), fmt.Errorf("%s beside push: push is create and overwrite; write push, or the half that is meant", name))
		case one&pushBit == one && one != pushBit && slices.Contains(names, "*"):
			c.fail(at(key, i), fmt.Errorf("%s beside \"*\", which is create and overwrite too; write \"*\", or the actions that are meant", name))
		}
		set |= one
	}
	return set
}

func (c *compiler) repositories(key string, list []string) []pattern {
	if len(list) == 0 {
		c.fail(key, errors.New(`a rule needs repositories; ["**"] is all of them`))
	}
	patterns := each(c, key, list, compilePattern)
	for i, text := range list {
		if text != strings.ToLower(text) {
			c.warn(at(key, i), fmt.Errorf("pattern %q can never match: repository names have no upper-case letters", text))
		}
	}
	return patterns
}

func (c *compiler) subjects(key string, list []string) []subject {
	return each(c, key, list, func(text string) (subject, error) { return compileSubject(text, c.directories) })
}

// each compiles the entries of a list, and says of each what is wrong with it.
func each[T any](c *compiler, key string, list []string, compile func(string) (T, error)) []T {
	out := make([]T, 0, len(list))
	for i, text := range list {
		one, err := compile(text)
		switch {
		case errors.Is(err, errBareName), errors.Is(err, errNoPerson), errors.Is(err, authn.ErrHostBits):
			c.warn(at(key, i), err)
		case err != nil:
			c.fail(at(key, i), err)
		}
		out = append(out, one)
	}
	return out
}

func at(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
