package machine

import (
	"context"

	"gatehouse/authn"
)

// Lacks is of authn.Roll: all machines and their groups stand in the config, and nobody else.
func (d *Directory) Lacks(_ context.Context, names []authn.Named) ([]authn.Named, error) {
	has := map[authn.Named]bool{}
	for name, m := range d.machines {
		has[authn.Named{Kind: authn.MachineName, Name: name}] = true
		for _, g := range m.id.Groups {
			has[authn.Named{Kind: authn.GroupName, Name: g.Name}] = true
		}
	}
	return authn.Missing(names, has), nil
}
