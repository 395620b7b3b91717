package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
	"gatehouse/proxy/audit"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// maxOrder is how long what somebody wants of a token may be.
const maxOrder = 16 << 10

// ownTokens is where people make, list and end their personal tokens by their password.
type ownTokens struct {
	desk    *personal.Desk // nil: there are none
	keyring *tokens.Keyring
	chain   *authn.Chain
	caps    *caps
	metrics *metrics.Metrics
}

// serve answers /auth/tokens and what is below it. A page of another site may make a
// browser send the password that it has: that is refused before it is looked at.
func (o *ownTokens) serve(x *exchange) error {
	if o.desk == nil {
		return &apiError{status: http.StatusNotFound, code: "UNSUPPORTED", message: "there is no such endpoint"}
	}
	if foreign(x) {
		return &apiError{status: http.StatusForbidden, code: "DENIED", message: "a request of another site", rule: "none"}
	}
	if err := o.caps.holdRealm(x); err != nil {
		return err
	}
	if err := checkBody(x, o.caps.limits.HeaderTimeout); err != nil {
		return err
	}
	login, err := o.login(x)
	if err == nil {
		err = o.answer(x, login)
	}
	return ofTokens(err)
}

// foreign reports whether a browser says that another site made the request.
func foreign(x *exchange) bool {
	site := x.r.Header.Get("Sec-Fetch-Site")
	if site == "cross-site" || site == "same-site" {
		return true
	}
	origins := x.r.Header.Values("Origin")
	return slices.ContainsFunc(origins, func(origin string) bool { return origin != x.origin.String() })
}

// login is that of who has shown a password, and may have tokens.
func (o *ownTokens) login(x *exchange) (tokens.Login, error) {
	x.event.login = true
	attempt, err := basicCredentials(x.r.Header.Get("Authorization"), x.peer)
	if err == nil && attempt == nil {
		err = &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "authentication required", basic: true}
	}
	if err != nil {
		return tokens.Login{}, err
	}
	login, err := o.keyring.Password(x.r.Context(), o.chain, *attempt)
	x.event.identity, x.event.credential = login.Identity, login.Shown
	if err != nil {
		return tokens.Login{}, err
	}
	x.caller = caller{identity: login.Identity}
	if !o.desk.Open(login.Identity) {
		return tokens.Login{}, personal.ErrForbidden
	}
	return login, nil
}

func (o *ownTokens) answer(x *exchange, login tokens.Login) error {
	switch x.r.Method {
	case http.MethodPost:
		return o.make(x, login)
	case http.MethodDelete:
		return o.end(x, login.Identity)
	}
	list, err := o.desk.List(x.r.Context(), login.Identity)
	if err != nil {
		return err
	}
	return x.writeValue(http.StatusOK, list)
}

func (o *ownTokens) make(x *exchange, login tokens.Login) error {
	order, err := o.order(x)
	if err != nil {
		return err
	}
	order.After = login.After
	secret, made, err := o.desk.Make(x.r.Context(), login.Identity, order)
	if err != nil {
		return err
	}
	o.changed(x, audit.Created, made)
	return x.writeValue(http.StatusCreated, struct {
		personal.Token
		Secret string `json:"token"`
	}{made, string(secret)})
}

func (o *ownTokens) end(x *exchange, owner authn.Identity) error {
	ended, err := o.desk.Revoke(x.r.Context(), owner, x.route.Reference)
	if err != nil {
		return err
	}
	o.changed(x, audit.Revoked, ended)
	x.ownHeaders()
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// changed is for the records.
func (o *ownTokens) changed(x *exchange, result audit.Result, t personal.Token) {
	x.event.credential = tokens.Credential{Kind: tokens.FromPersonal, ID: t.ID}
	x.event.change = credentialChange{result: result, by: "owner", name: t.Name, reason: "by /auth/tokens"}
}

// order reads what is wanted, in JSON alone: a form could be another site's.
func (o *ownTokens) order(x *exchange) (personal.Order, error) {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return personal.Order{}, &apiError{status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED", message: "tokens are made by application/json"}
	}
	body := newRequestBody(x.w, x.r.Body)
	body.needed, body.left = math.MaxInt, o.caps.limits.HeaderTimeout
	defer body.finish()
	text, err := io.ReadAll(io.LimitReader(body, maxOrder+1))
	x.event.bytesIn = body.count.Load()
	switch {
	case timedOut(err):
		return personal.Order{}, errFormTime
	case err != nil:
		return personal.Order{}, brokenBody(err)
	case len(text) > maxOrder:
		return personal.Order{}, &apiError{status: http.StatusRequestEntityTooLarge, code: "SIZE_INVALID", message: "what is wanted of a token may have 16 KiB at most"}
	}
	return readOrder(text)
}

// readOrder wants one object whose names are known, in their own letters, and stand once.
func readOrder(text []byte) (personal.Order, error) {
	var order struct {
		Name         string   `json:"name"`
		Lifetime     *string  `json:"lifetime"`
		Repositories []string `json:"repositories"`
		Actions      []string `json:"actions"`
	}
	if !plainObject(text, "name", "lifetime", "repositories", "actions") || json.Unmarshal(text, &order) != nil {
		return personal.Order{}, badRequest("the body has to be an object with name, lifetime, repositories and actions, each once and of its kind")
	}
	wanted := personal.Order{Name: order.Name, Repositories: order.Repositories, Actions: order.Actions}
	if order.Lifetime != nil {
		life, err := time.ParseDuration(*order.Lifetime)
		if err != nil {
			return personal.Order{}, badRequest("the lifetime has to be like 720h")
		}
		wanted.Lifetime = &life
	}
	return wanted, nil
}

// plainObject reports whether the text is one object of these names, each at most once and
// with a value; a list's items are no nothings either, which a parser would take for "".
func plainObject(text []byte, names ...string) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for decoder.More() {
		token, err := decoder.Token()
		name, _ := token.(string)
		at := slices.Index(names, name)
		var value json.RawMessage
		if err != nil || at < 0 || decoder.Decode(&value) != nil || bytes.Equal(value, []byte("null")) || hasNull(value) {
			return false
		}
		names = slices.Delete(slices.Clone(names), at, at+1)
	}
	if _, err := decoder.Token(); err != nil {
		return false
	}
	_, err := decoder.Token()
	return err == io.EOF
}

func hasNull(value json.RawMessage) bool {
	var list []json.RawMessage
	return json.Unmarshal(value, &list) == nil && slices.ContainsFunc(list, func(m json.RawMessage) bool { return string(m) == "null" })
}

// ofTokens gives what can be wrong with a token its status.
func ofTokens(err error) error {
	switch {
	case errors.Is(err, personal.ErrInvalid):
		return badRequest(err.Error())
	case errors.Is(err, personal.ErrTaken), errors.Is(err, personal.ErrTooMany):
		return &apiError{status: http.StatusConflict, code: "UNSUPPORTED", message: err.Error()}
	case errors.Is(err, personal.ErrNone):
		return &apiError{status: http.StatusNotFound, code: "UNSUPPORTED", message: err.Error()}
	case errors.Is(err, personal.ErrForbidden):
		return &apiError{status: http.StatusForbidden, code: "DENIED", message: err.Error(), rule: "none"}
	}
	return err
}

// tellToken says where to make the token that is required in the place of a password.
func tellToken(x *exchange, err error) error {
	if !errors.Is(err, tokens.ErrTokenRequired) {
		return err
	}
	return &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "use a token from " + x.origin.String() + "/ui/me/tokens", basic: true, cause: err}
}
