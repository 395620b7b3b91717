package tokens

import (
	"context"
	"fmt"

	"gatehouse/authn"
)

// LoginPerson is Login for a session: a person's own password counts, and nothing in the
// place of one, as a narrow token must not become a wide session. It counts too where the
// person needs tokens elsewhere: the pages are where those are made. Whoever has just ended
// all that they had, on another gateway maybe, goes on from here.
func (k *Keyring) LoginPerson(ctx context.Context, chain *authn.Chain, a authn.Attempt) (Login, error) {
	if kind := k.KindOf(a.Password); kind != FromPerson {
		err := chain.Refused(ctx, a, fmt.Errorf("%w: a session begins with a password", authn.ErrUnknownToken))
		k.cfg.Metrics.Credential(string(kind), credentialResult(err))
		return Login{Shown: Credential{Kind: kind}}, err
	}
	k.cfg.Revoker.Glance(ctx)
	return k.Password(ctx, chain, a)
}
