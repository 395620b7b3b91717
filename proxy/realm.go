package proxy

import (
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/metrics"
	"gatehouse/tokens"
)

// formType is the one content type that the realm takes, and no registry may see.
const formType = "application/x-www-form-urlencoded"

// realm is the token realm.
type realm struct {
	granter *tokens.Granter
	chain   *authn.Chain
	caps    *caps
	metrics *metrics.Metrics
}

// serve answers in both dialects: distribution's GET with Basic
// credentials, and the OAuth2 form (RFC 6749 sections 4.3 and 6).
func (rl *realm) serve(x *exchange) error {
	x.event.grant = "anonymous" // until something is shown
	request, err := rl.tokenRequest(x)
	if err == nil {
		err = tellToken(x, rl.grant(x, request))
	}
	if x.event.grant == "exchange" {
		err = oauthError(err)
	}
	rl.metrics.TokenRequest(x.event.grant, grantResult(err))
	return err
}

// audience says who ID tokens should be for, so that a job need not be told.
func (rl *realm) audience(x *exchange) error {
	if err := checkBody(x, rl.caps.limits.HeaderTimeout); err != nil {
		return err
	}
	if err := rl.caps.holdRealm(x); err != nil {
		return err
	}
	audience := ""
	if rl.chain != nil {
		audience = rl.chain.Audience()
	}
	if audience == "" {
		return &apiError{status: http.StatusNotFound, code: "UNSUPPORTED", message: "there is no such endpoint"}
	}
	text, err := json.Marshal(map[string]string{"audience": audience})
	if err != nil {
		return err
	}
	x.writeJSON(text)
	return nil
}

func grantResult(err error) string {
	if err == nil {
		return "granted"
	}
	switch asAPIError(err).status {
	case http.StatusUnauthorized:
		return "refused"
	case http.StatusTooManyRequests:
		return "throttled"
	case http.StatusServiceUnavailable:
		return "unavailable"
	}
	return "invalid"
}

func (rl *realm) grant(x *exchange, request tokens.GrantRequest) error {
	reply, err := rl.granter.Grant(x.r.Context(), request)
	x.event.identity, x.event.refreshID, x.event.credential = reply.Identity, reply.RefreshID, reply.Credential
	if kind := reply.Credential.Kind; kind != "" && kind != tokens.FromPerson && request.Exchange == nil {
		x.event.grant = string(kind)
	}
	if err != nil {
		return err
	}
	x.event.tokenID, x.event.note = reply.Granted.ID, reply.NoRefresh
	if request.Exchange != nil {
		return writeExchange(x, reply)
	}
	body := struct {
		Token        string  `json:"token"`
		AccessToken  string  `json:"access_token"`
		ExpiresIn    int     `json:"expires_in"`
		Scope        *string `json:"scope,omitempty"`
		TokenType    string  `json:"token_type,omitempty"`
		RefreshToken string  `json:"refresh_token,omitempty"`
	}{Token: reply.Token, AccessToken: reply.Token, ExpiresIn: int(reply.ExpiresIn.Seconds()), RefreshToken: reply.RefreshToken}
	if x.r.Method == http.MethodPost {
		scope := reply.Granted.Scope.String()
		body.Scope, body.TokenType = &scope, "Bearer"
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	x.writeJSON(text)
	return nil
}

// tokenRequest reads a request for a token. `account` is informational, and
// proves nothing.
func (rl *realm) tokenRequest(x *exchange) (tokens.GrantRequest, error) {
	if x.r.Method == http.MethodPost {
		return rl.formRequest(x)
	}
	if err := checkBody(x, rl.caps.limits.HeaderTimeout); err != nil {
		return tokens.GrantRequest{}, err
	}
	query, err := rl.caps.limits.parseForm(x.r.URL.RawQuery)
	if err != nil {
		return tokens.GrantRequest{}, err
	}
	request := newGrantRequest(x, query)
	if request.Attempt, err = basicCredentials(x.r.Header.Get("Authorization"), x.peer); err != nil || request.Attempt != nil {
		x.event.grant = "basic"
		return request, err
	}
	return request, rl.caps.holdRealm(x)
}

func newGrantRequest(x *exchange, values url.Values) tokens.GrantRequest {
	return tokens.GrantRequest{Service: values.Get("service"), Scopes: values["scope"], Source: x.peer.Client, Certificates: certificates(x),
		Offline: values.Get("offline_token") == "true" || values.Get("access_type") == "offline"}
}

func (rl *realm) formRequest(x *exchange) (tokens.GrantRequest, error) {
	if err := rl.caps.holdRealm(x); err != nil {
		return tokens.GrantRequest{}, err
	}
	form, err := rl.readForm(x)
	if slices.Contains(form["grant_type"], exchangeGrant) {
		x.event.grant = "exchange"
	}
	if err != nil {
		return tokens.GrantRequest{}, err
	}
	request := newGrantRequest(x, form)
	switch form.Get("grant_type") {
	case exchangeGrant:
		return exchangeRequest(x, form, request)
	case "password":
		request.Attempt, err = passwordCredentials(x, form)
		if err != nil || request.Attempt != nil {
			x.event.grant = "password"
		}
		return request, err
	case "refresh_token":
		x.event.grant = "refresh"
		request.RefreshToken = authn.Secret(form.Get("refresh_token"))
		if request.RefreshToken == "" {
			return request, badRequest("the form has no refresh_token")
		}
		return request, nil
	}
	return request, badRequest("grant_type must be password, refresh_token or " + exchangeGrant)
}

// passwordCredentials reads username and password of the form, or, where it has
// none, the Basic credentials that some clients send along.
func passwordCredentials(x *exchange, form url.Values) (*authn.Attempt, error) {
	username, password := form.Get("username"), form.Get("password")
	if username == "" && password == "" {
		return basicCredentials(x.r.Header.Get("Authorization"), x.peer)
	}
	return newAttempt(username, password, x.peer), nil
}

// readForm reads a POST's fields (application/x-www-form-urlencoded only: a
// multipart body would be parsed by code that nobody here needs).
func (rl *realm) readForm(x *exchange) (url.Values, error) {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || media != formType {
		return nil, &apiError{status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED", message: "the realm takes " + formType}
	}
	most := int64(rl.caps.limits.FormBytes)
	if x.r.ContentLength > most {
		return nil, errFormSize
	}
	// Anybody may send a form, and what has come of it is held: all of it has to
	// come in the time of a header, or many slow ones would take the memory.
	body := newRequestBody(x.w, x.r.Body)
	body.needed, body.left = math.MaxInt, rl.caps.limits.HeaderTimeout
	defer body.finish()
	text, err := io.ReadAll(io.LimitReader(body, most+1))
	x.event.bytesIn = body.count.Load()
	if timedOut(err) {
		return nil, errFormTime
	}
	if err != nil {
		return nil, brokenBody(err)
	}
	return rl.caps.limits.parseForm(string(text))
}

var errFormSize = &apiError{status: http.StatusRequestEntityTooLarge, code: "SIZE_INVALID", message: "the realm form is too large", limit: "form_bytes"}

var errFormTime = &apiError{status: http.StatusRequestTimeout, code: "UNSUPPORTED", message: "the realm form came too slowly", limit: "header_timeout"}

// parseForm reads fields of which only scope may repeat. What could be read is returned
// beside an error.
func (l *Limits) parseForm(raw string) (url.Values, error) {
	if len(raw) > l.FormBytes {
		return nil, errFormSize
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return values, badRequest("the request's fields are malformed")
	}
	for key, list := range values {
		if key != "scope" && len(list) > 1 {
			return values, badRequest("the field " + clip(key) + " stands twice")
		}
	}
	scopes := 0
	for _, scope := range values["scope"] {
		scopes += len(strings.Fields(scope))
	}
	if scopes > l.Scopes {
		return values, &apiError{status: http.StatusBadRequest, code: "UNSUPPORTED", message: "too many scopes", limit: "scopes"}
	}
	return values, nil
}
