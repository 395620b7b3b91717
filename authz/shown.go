package authz

import (
	"strings"
	"time"

	"gatehouse/authn"
)

// For is the rule with the caller's names in the place of the placeholders: of a pattern
// with {group} there is one for each group. Patterns that match nothing, as a name is
// none that a repository can have, are left out.
func (r Rule) For(id authn.Identity) Rule {
	r.Repositories, r.Tags = filled(r.Repositories, id), filled(r.Tags, id)
	return r
}

func filled(patterns []string, id authn.Identity) (list []string) {
	names := map[string][]string{"{user}": nil, "{machine}": nil, "{group}": nil}
	switch {
	case !id.Machine && validComponent(id.Username):
		names["{user}"] = []string{id.Username}
	case id.Machine && ValidRepository(id.Username):
		names["{machine}"] = []string{id.Username}
	}
	for _, g := range id.Groups {
		if validComponent(g.Name) {
			names["{group}"] = append(names["{group}"], g.Name)
		}
	}
	for _, text := range patterns {
		list = append(list, fill(text, names)...)
	}
	return list
}

// fill is a pattern for each name that its placeholders stand for.
func fill(text string, names map[string][]string) (list []string) {
	for placeholder, values := range names {
		if !strings.Contains(text, placeholder) {
			continue
		}
		for _, value := range values {
			list = append(list, fill(strings.ReplaceAll(text, placeholder, value), names)...)
		}
		return list
	}
	return []string{text}
}

// Counts reports whether the rule is there at a time; outside its own it is as absent.
func (r Rule) Counts(now time.Time) bool {
	var times rule
	times.from, _, _ = ParseTime(r.From)   // as it was compiled, there is no error but for none
	_, times.until, _ = ParseTime(r.Until) // likewise
	return times.inTime(now)
}
