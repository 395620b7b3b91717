package workload

import (
	"fmt"
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/authn/machine"
)

// ParseClaims reads claims as a command takes them: NAME=VALUE, where NAME may be a JSON
// pointer. One that is given several times is a list.
func ParseClaims(texts []string) (map[string]any, error) {
	all := map[string]any{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%.100q is no claim, such as ref=refs/heads/main", text)
		}
		r, err := parseReference(name)
		if err == nil {
			err = r.put(all, value)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// put adds a value to what the reference names.
func (r reference) put(all map[string]any, value string) error {
	for _, step := range r.steps[:len(r.steps)-1] {
		if all[step] == nil {
			all[step] = map[string]any{}
		}
		inner, ok := all[step].(map[string]any)
		if !ok {
			return fmt.Errorf("%.100q cannot stand in a claim that is a text", r.text)
		}
		all = inner
	}
	last := r.steps[len(r.steps)-1]
	switch before := all[last].(type) {
	case nil:
		all[last] = value
	case string:
		all[last] = []any{before, value}
	case []any:
		all[last] = append(before, value)
	default:
		return fmt.Errorf("%.100q is a text, and other claims stand in it", r.text)
	}
	return nil
}

// Describe is the machine of a name, of which nothing is proven. With claims it is what they
// come out as, which must have the name; without any it has the groups that every workload
// gives whatever the claims, and a note where some hang on them. The error wraps
// authn.ErrUnknownUser, or is an *authn.KeyError of `claim`.
func (m *Mapping) Describe(name string, claims map[string]any) (r Result, note string, err error) {
	name = lowerASCII(name)
	switch err := m.askable(claims); {
	case err != nil:
		return r, "", &authn.KeyError{Key: "claim", Err: err}
	case !machine.ValidName(name):
		return r, "", fmt.Errorf("%w: %.100q is no name of a machine", authn.ErrUnknownUser, name)
	case len(claims) == 0:
		r.Name = name
		r.Groups, note = m.common()
		return r, note, nil
	}
	picked, err := m.Pick(claims)
	if err == nil {
		r, err = m.Map(picked)
	}
	switch {
	case err != nil:
		return Result{}, "", fmt.Errorf("%w: %w", authn.ErrUnknownUser, err)
	case r.Name != name:
		return Result{}, "", fmt.Errorf("%w: the claims are those of %s", authn.ErrUnknownUser, r.Name)
	}
	return r, "", nil
}

// askable refuses claims that there cannot be.
func (m *Mapping) askable(claims map[string]any) error {
	for name := range claims {
		if err := m.form.has(name); err != nil {
			return err
		}
	}
	return nil
}

// hang is what is said where groups are missing.
const hang = "groups that hang on claims are left out; --claim gives them"

// common are the groups that all workloads give whatever the claims.
func (m *Mapping) common() (groups []authn.Group, note string) {
	for i := range m.workloads {
		fixed, open := m.workloads[i].fixed()
		if open || i > 0 && !slices.Equal(fixed, groups) {
			note = hang
		}
		if i == 0 {
			groups = fixed
		}
		groups = slices.DeleteFunc(groups, func(g authn.Group) bool { return !slices.Contains(fixed, g) })
	}
	return groups, note
}
