package tokens

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/authn"
)

// Examine is a token of ours, access or refresh, with what a request with it would be told;
// nothing is counted or noted for it. The token is returned beside the error too where it was
// signed by us. Errors are those of Verify and Identify: what does not wrap ErrInvalidToken
// says that nothing is known.
func (k *Keyring) Examine(ctx context.Context, chain *authn.Chain, text string) (Token, error) {
	t, err := k.Read(text)
	if err != nil {
		return t, err
	}
	if t.Kind == Session {
		return t, fmt.Errorf("%w: a session of the pages", ErrInvalidToken)
	}
	if _, err = k.Verify(text, t.Kind, 0); err != nil {
		return t, err
	}
	if t.Kind == Refresh && t.Subject.Proof == "" {
		if err := k.checkAge(t); err != nil {
			return t, err
		}
	}
	id, err := k.Identify(ctx, chain, t, false)
	switch {
	case err != nil, t.Kind == Access:
		return t, err
	case t.Credential.Kind != FromPersonal && id.NoLogin != "":
		return t, fmt.Errorf("%w: %s", ErrInvalidToken, id.NoLogin)
	}
	if errors.Is(k.required(Login{Identity: id, Origin: t.Credential}), ErrTokenRequired) {
		return t, fmt.Errorf("%w: %w", ErrInvalidToken, ErrTokenRequired)
	}
	return t, nil
}
