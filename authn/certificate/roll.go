package certificate

import (
	"context"

	"gatehouse/authn"
)

// Lacks is of authn.Roll. Which machines there are the CAs alone know.
func (d *Directory) Lacks(_ context.Context, names []authn.Named) ([]authn.Named, error) {
	return d.mapping.Lacks(names), nil
}
