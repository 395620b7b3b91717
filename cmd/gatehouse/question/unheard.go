package question

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

// Roll is a directory of the config that is asked who is in it.
type Roll struct {
	authn.Roll        // nil: it cannot be asked, and may have anybody
	Name       string // the config's
}

// Unheard warns of rules that speak only of people and groups that no directory has. Of a
// directory that does not say it of all names it tells why; those may be there.
func Unheard(ctx context.Context, rolls []Roll, l *config.Loaded, policy, next *authz.Policy, out io.Writer, say func(ok bool, subject, format string, args ...any)) {
	f := finder{rolls, map[string]map[authn.Named]bool{}}
	now, then := namedIn(policy), namedIn(next)
	unknown := f.ask(ctx, now, then)
	f.warn(out, l, "policy", now, l.Config.Policy)
	f.warn(out, l, "policy_next", then, l.Config.PolicyNext)
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		const text = "whether it has all people and groups that rules name is not known: %v"
		if err := unknown[name]; errors.Is(err, authn.ErrPartial) && !errors.Is(err, authn.ErrUnavailable) {
			fmt.Fprintf(out, "warning: directory %s: %s\n", name, Printable(fmt.Sprintf(text, err)))
		} else {
			say(false, "directory "+name, text, err)
		}
	}
}

// named are the names of rules that speak of nobody else, by the places of the rules.
type named map[int][]authz.Name

// warn prints what is wrong with the rules of a policy, which stand under key.
func (f *finder) warn(out io.Writer, l *config.Loaded, key string, names named, rules []authz.Rule) {
	for _, i := range slices.Sorted(maps.Keys(names)) {
		if !slices.ContainsFunc(names[i], f.mayBe) {
			config.Print(out, []config.Finding{l.Warn(fmt.Sprintf("%s[%d].to", key, i),
				"no directory has %s, so the rule decides nothing; take it out", strings.Join(rules[i].To, " or "))})
		}
	}
}

func namedIn(p *authz.Policy) named {
	if p == nil {
		return nil
	}
	return p.Named()
}

// finder knows of each directory who is not in it.
type finder struct {
	rolls   []Roll
	lacking map[string]map[authn.Named]bool
}

func (f *finder) ask(ctx context.Context, policies ...named) (unknown map[string]error) {
	unknown = map[string]error{}
	for _, roll := range f.rolls {
		names := roll.asked(policies)
		if roll.Roll == nil || len(names) == 0 {
			continue
		}
		lacking, err := roll.Lacks(ctx, names)
		if err != nil {
			unknown[roll.Name] = err
		}
		f.lacking[roll.Name] = map[authn.Named]bool{}
		for _, n := range lacking {
			f.lacking[roll.Name][n] = true
		}
	}
	return unknown
}

// asked are the names that may be the directory's, each once.
func (r *Roll) asked(policies []named) []authn.Named {
	asked := map[authn.Named]bool{}
	for _, p := range policies {
		for _, names := range p {
			for _, n := range names {
				if r.mayHave(n) {
					asked[n.Named] = true
				}
			}
		}
	}
	return slices.Collect(maps.Keys(asked))
}

// mayHave reports whether the name is one of the directory's, or of any.
func (r *Roll) mayHave(n authz.Name) bool { return n.Directory == "" || n.Directory == r.Name }

// mayBe reports whether some directory has the name, or may have it.
func (f *finder) mayBe(n authz.Name) bool {
	return slices.ContainsFunc(f.rolls, func(r Roll) bool {
		return r.mayHave(n) && !f.lacking[r.Name][n.Named]
	})
}
