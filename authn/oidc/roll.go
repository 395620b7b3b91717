package oidc

import (
	"context"

	"gatehouse/authn"
)

// Lacks is of authn.Roll. Which machines there are the issuer alone knows.
func (d *Directory) Lacks(_ context.Context, names []authn.Named) ([]authn.Named, error) {
	return d.mapping.Lacks(names), nil
}
