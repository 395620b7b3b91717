package workload

import "gatehouse/authn"

// Lacks are those of the names that no claims can give: people, and groups that no
// workload is in. A group with a {claim} in it may be any.
func (m *Mapping) Lacks(names []authn.Named) []authn.Named {
	has := map[authn.Named]bool{}
	open := false
	for _, w := range m.workloads {
		for _, t := range w.groups {
			if len(t.claims()) > 0 {
				open = true
				continue
			}
			for _, text := range t.each(reader{}) {
				has[authn.Named{Kind: authn.GroupName, Name: authn.NormalizeName(text)}] = true
			}
		}
	}
	for _, n := range names {
		if n.Kind == authn.MachineName || n.Kind == authn.GroupName && open {
			has[n] = true
		}
	}
	return authn.Missing(names, has)
}
