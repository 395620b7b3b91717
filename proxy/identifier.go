package proxy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/route"
	"gatehouse/tokens"
)

// expiryGrace is how long a token is good after its advertised end: a client
// whose clock or network is slow must not lose a push for it.
const expiryGrace = 60 * time.Second

// identifier finds out who speaks.
type identifier struct {
	keyring *tokens.Keyring
	chain   *authn.Chain
	basic   bool          // passwords are taken under /v2/ too
	grace   time.Duration // how long after its end a token still continues an upload
	metrics *metrics.Metrics
}

// identify finds out who speaks: the token is verified, and the person's directory
// tells if they are still there, are who they were, and in which groups.
func (i *identifier) identify(x *exchange) error {
	scheme, credentials, ok := strings.Cut(x.r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && i.basic && ok:
		return i.identifyBasic(x)
	case scheme == "" && i.basic:
		return i.identifyCertificate(x)
	case !strings.EqualFold(scheme, "Bearer"):
		return errNoToken
	}
	token, late, err := i.verify(credentials, x.route.Kind)
	x.event.tokenID, x.event.credential = token.ID, token.Credential
	x.event.identity = authn.Identity{Directory: token.Subject.Directory, Username: token.Subject.Username}
	if err != nil {
		i.metrics.TokenValidation(validation(err))
		return err
	}
	id, err := i.keyring.Identify(x.r.Context(), i.chain, token, false)
	i.metrics.TokenValidation(liveness(err))
	if err != nil {
		return err
	}
	i.keyring.Note(token, x.peer.Client)
	x.event.identity = id
	x.caller = caller{identity: id, scope: token.Scope}
	x.known()
	if late && !token.Scope.Allows(x.route.Repository, authz.Push) {
		return fmt.Errorf("%w: the grace after its end is for uploads it carries push for", tokens.ErrExpired)
	}
	return nil
}

// verify takes a token that is good, or one on an upload session that is late: it
// lives on the upload grace alone. The keyring's clock decides both.
func (i *identifier) verify(text string, where route.Kind) (token tokens.Token, late bool, err error) {
	token, err = i.keyring.Verify(text, tokens.Access, expiryGrace)
	if where != route.Session || !errors.Is(err, tokens.ErrExpired) {
		return token, false, err
	}
	token, err = i.keyring.Verify(text, tokens.Access, i.grace)
	return token, true, err
}

func validation(err error) string {
	switch {
	case errors.Is(err, tokens.ErrExpired):
		return "expired"
	case errors.Is(err, tokens.ErrRevoked):
		return "revoked"
	}
	return "invalid"
}

func liveness(err error) string {
	switch {
	case err == nil:
		return "valid"
	case errors.Is(err, tokens.ErrInvalidToken):
		return "gone"
	}
	return "unavailable"
}

// identifyBasic takes a password, or what stands in its place, under /v2/, throttled as
// at the realm.
func (i *identifier) identifyBasic(x *exchange) error {
	attempt, err := basicCredentials(x.r.Header.Get("Authorization"), x.peer)
	if err != nil {
		return err
	}
	if attempt == nil {
		return i.identifyCertificate(x)
	}
	login, err := i.keyring.Login(x.r.Context(), i.chain, *attempt)
	return i.loggedIn(x, login, err)
}

// identifyCertificate takes the certificate of the connection in the place of a password.
// A browser shows it for any site that asks, so what another site made it ask for has none.
func (i *identifier) identifyCertificate(x *exchange) error {
	sent := certificates(x)
	if len(sent) == 0 || !i.chain.TakesCertificates() || foreign(x) {
		return errNoToken
	}
	login, err := i.keyring.LoginByCertificate(i.chain, sent)
	return i.loggedIn(x, login, err)
}

// loggedIn takes in what became of a login under /v2/.
func (i *identifier) loggedIn(x *exchange, login tokens.Login, err error) error {
	x.event.login = true
	x.event.identity, x.event.credential = login.Identity, login.Shown
	if err != nil {
		return tellToken(x, err)
	}
	x.caller = caller{identity: login.Identity, basic: true}
	x.known()
	return nil
}
