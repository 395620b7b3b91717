package workload

import "gatehouse/authn"

// Lacks are those of the names that no claims can give: people, and groups that no
// workload is in. A group with a {claim} in it may be any.
func (m *Mapping) Lacks(names []authn.Named) []authn.Named {
	has, anyGroup := map[authn.Named]bool{}, false
	for i := range m.workloads {
		groups, open := m.workloads[i].fixed()
		for _, g := range groups {
			has[authn.Named{Kind: authn.GroupName, Name: g.Name}] = true
		}
		anyGroup = anyGroup || open
	}
	for _, n := range names {
		if n.Kind == authn.MachineName || n.Kind == authn.GroupName && anyGroup {
			has[n] = true
		}
	}
	return authn.Missing(names, has)
}
