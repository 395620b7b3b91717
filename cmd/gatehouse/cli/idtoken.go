package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/oidc"
	"gatehouse/tokens"
)

// inspectIDToken is about a token of this issuer, who is asked for the keys.
// What is left to be asked is whether it, or its machine, is revoked.
func (o *Opened) inspectIDToken(ctx context.Context, v *Verdict, d *oidc.Directory, text authn.Secret) Question {
	e := d.Examine(ctx, string(text))
	v.examined(&e)
	v.say("claims", e.Claims)
	if e.Machine != "" {
		v.say("machine", d.Name()+"/"+e.Machine)
		v.say("workload", fmt.Sprintf("workloads[%d]", e.Workload))
	}
	for _, misfit := range e.Misfits {
		v.say("does not fit", misfit)
	}
	return o.standing(v, authn.Identity{Directory: d.Name(), Username: e.Machine}, tokens.Credential{Kind: tokens.FromOIDC, ID: e.ID})
}

// examined says what any ID token has, and why it is not good.
func (v *Verdict) examined(e *oidc.Examined) {
	v.say("kind", "oidc")
	v.say("id", e.ID)
	v.say("subject", e.Subject)
	if !e.Ends.IsZero() {
		v.say("ends", e.Ends.UTC().Format(time.RFC3339))
	}
	if e.Err != nil {
		v.Reason, v.Down = e.Err.Error(), errors.Is(e.Err, authn.ErrUnavailable)
	}
}

// issuerOf is the directory of the token's issuer, or nil.
func (o *Opened) issuerOf(text authn.Secret) *oidc.Directory {
	for _, d := range o.Issuers {
		if d.Issuer() == oidc.Issuer(string(text)) {
			return d
		}
	}
	return nil
}
