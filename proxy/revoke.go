package proxy

import (
	"errors"
	"net/http"

	"gatehouse/authn"
	"gatehouse/proxy/audit"
	"gatehouse/tokens"
)

// revoker ends tokens for those who hold them (RFC 7009).
type revoker struct {
	realm   *realm // reads forms
	keyring *tokens.Keyring
	chain   *authn.Chain
}

// serve answers 200 whether or not there was something to end (section 2.2), so that
// nobody learns of tokens here, and none at all is such a case; but not where it could not be ended (2.2.1).
func (rv *revoker) serve(x *exchange) error {
	if err := rv.realm.caps.holdRealm(x); err != nil {
		return err
	}
	form, err := rv.realm.readForm(x)
	if err != nil {
		return err
	}
	l, err := rv.keyring.EndToken(x.r.Context(), rv.chain, *newAttempt("", form.Get("token"), x.peer))
	x.event.credential, x.event.identity = l.Shown, l.Identity
	switch {
	case err == nil:
		x.event.change = credentialChange{result: audit.Revoked, by: "holder", reason: "by /auth/revoke"}
	case errors.Is(err, authn.ErrBadToken):
		x.event.note = "nothing to end: " + err.Error()
	default:
		return err
	}
	x.ownHeaders()
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusOK)
	return nil
}
