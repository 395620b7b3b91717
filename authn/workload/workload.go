// Package workload says which machine it is of which somebody else has proved something:
// the claims of an ID token, or the names in a client's certificate.
//
// A Mapping is a list of workloads. The first whose match holds for the claims gives the
// machine its name and groups; where none holds nobody is let in. A Mapping is pure: it
// asks nobody, so each request can be mapped again from the few claims that it reads.
package workload

import (
	"fmt"
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/authn/machine"
)

// Form is what a kind of credential can show.
type Form struct {
	// Claims are the only ones that there are; none: any, JSON pointers among them.
	Claims []string
	// Parts are what name and groups can take of a claim's value, by their own names.
	Parts map[string]Part
	// Alone are the claims of which no two values may fit, in one match or in several.
	Alone []string
}

// Part is a piece of a claim's value.
type Part struct {
	// Of is the claim.
	Of string
	// Cut takes the piece out of a value; false: there is none.
	Cut func(value string) (piece string, ok bool)
}

// Mapping is a list of workloads, compiled. It is immutable.
type Mapping struct {
	form      Form
	workloads []workload
	claims    []reference // all that are read, each once
}

// workload is one entry.
type workload struct {
	match  []condition
	name   template
	groups []template
	record []string
}

// Result is the machine that some claims are of.
type Result struct {
	// Workload is the entry that took them, counted from 0.
	Workload int
	// Name is the machine's.
	Name string
	// Groups are its groups, each once, sorted by name.
	Groups []authn.Group
	// Recorded are the claims that log and audit show.
	Recorded []authn.Claim
}

// Misfit is the first claim of a workload that does not fit.
type Misfit struct {
	// Workload is the entry, counted from 0.
	Workload int
	// Claim is how its match names the claim.
	Claim string
	// Problem is what the claim is.
	Problem string
}

// String is `workloads[0]: ref is "refs/heads/dev"`.
func (m Misfit) String() string {
	return fmt.Sprintf("workloads[%d]: %s %s", m.Workload, m.Claim, m.Problem)
}

// mostTold is how many misfits an error names.
const mostTold = 10

// Map finds the machine. An error wraps authn.ErrMismatchedToken, and says of each
// workload what does not fit.
func (m *Mapping) Map(c Claims) (Result, error) {
	if err := m.alone(c); err != nil {
		return Result{}, fmt.Errorf("%w: %w", authn.ErrMismatchedToken, err)
	}
	var misfits []string
	for i := range m.workloads {
		w := &m.workloads[i]
		misfit := w.fits(c)
		if misfit == nil {
			r, err := w.result(m.form, c)
			if err != nil {
				err = fmt.Errorf("%w: workloads[%d]: %w", authn.ErrMismatchedToken, i, err)
			}
			r.Workload = i
			return r, err
		}
		misfit.Workload = i
		misfits = append(misfits, misfit.String())
	}
	told := misfits[:min(len(misfits), mostTold)]
	return Result{}, fmt.Errorf("%w: no workload takes it: %s", authn.ErrMismatchedToken, strings.Join(told, "; "))
}

// Misfits are, for each workload in turn, the first claim that does not fit. Those whose
// match holds are left out.
func (m *Mapping) Misfits(c Claims) []Misfit {
	var list []Misfit
	for i := range m.workloads {
		if misfit := m.workloads[i].fits(c); misfit != nil {
			misfit.Workload = i
			list = append(list, *misfit)
		}
	}
	return list
}

// alone refuses two values of a claim that is one machine's name, whatever workloads say.
func (m *Mapping) alone(c Claims) error {
	for _, claim := range m.form.Alone {
		var fit []string
		for i := range m.workloads {
			if cond := m.workloads[i].wants(claim); cond != nil {
				fit = append(fit, cond.fitting(c[claim])...)
			}
		}
		slices.Sort(fit)
		if n := len(slices.Compact(fit)); n > 1 {
			return fmt.Errorf("%d values of %s fit, and there may be one", n, claim)
		}
	}
	return nil
}

// wants is what the match has of a claim; nil: nothing.
func (w *workload) wants(claim string) *condition {
	i := slices.IndexFunc(w.match, func(c condition) bool { return c.claim == claim })
	if i < 0 {
		return nil
	}
	return &w.match[i]
}

// fits holds the match against the claims, and is the first that does not fit.
func (w *workload) fits(c Claims) *Misfit {
	for _, cond := range w.match {
		value, there := c[cond.claim]
		if !there {
			return &Misfit{Claim: cond.claim, Problem: "is absent"}
		}
		if len(cond.fitting(value)) == 0 {
			return &Misfit{Claim: cond.claim, Problem: "is " + shown(value)}
		}
	}
	return nil
}

// result is the machine of claims that fit.
func (w *workload) result(form Form, c Claims) (Result, error) {
	read := reader{form, w, c}
	name, err := w.name.fill(read)
	if err != nil {
		return Result{}, fmt.Errorf("name: %w", err)
	}
	r := Result{Name: lowerASCII(name)}
	if !machine.ValidName(r.Name) {
		return Result{}, fmt.Errorf("name: it comes out as %.300q, which is no name: parts of a-z, 0-9, \".\", \"_\" and \"-\" joined by \"/\", none of them . or .., 256 bytes at most", r.Name)
	}
	r.Groups = w.groupsOf(read)
	for _, claim := range w.record {
		if value, ok := c[claim]; ok {
			r.Recorded = append(r.Recorded, authn.Claim{Name: claim, Value: recorded(value)})
		}
	}
	return r, nil
}

// groupsOf are the groups that the claims give. One that takes a claim which is absent is
// left out; one that is a single claim with several values is as many groups.
func (w *workload) groupsOf(read reader) []authn.Group {
	var groups []authn.Group
	for _, t := range w.groups {
		for _, text := range t.each(read) {
			if name := authn.NormalizeName(text); name != "" && len(name) <= maxGroup {
				groups = append(groups, authn.Group{Name: name})
			}
		}
	}
	slices.SortFunc(groups, func(a, b authn.Group) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(groups)
}

const maxGroup = 256

// fixed are the groups that a workload gives whatever the claims; open: they may give others.
func (w *workload) fixed() (groups []authn.Group, open bool) {
	return w.groupsOf(reader{of: w}), slices.ContainsFunc(w.groups, func(t template) bool { return len(t.claims()) > 0 })
}

// lowerASCII lowers A to Z alone: what else has a lower case is no part of a name.
func lowerASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}
