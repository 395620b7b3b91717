package proxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gatehouse/tokens"
)

// The names of RFC 8693, section 3.
const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeIDToken   = "urn:ietf:params:oauth:token-type:id_token"
	typeJWT       = "urn:ietf:params:oauth:token-type:jwt"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	typeRefresh   = "urn:ietf:params:oauth:token-type:refresh_token"
)

// exchangeRequest reads the form of a token exchange (RFC 8693 section 2.1).
func exchangeRequest(x *exchange, form url.Values, request tokens.GrantRequest) (tokens.GrantRequest, error) {
	asked := &tokens.Exchange{Audience: form.Get("audience")}
	request.Exchange, request.Offline = asked, false
	for _, key := range []string{"actor_token", "actor_token_type"} {
		if form.Has(key) {
			return request, badRequest("nobody acts for somebody else here: " + key)
		}
	}
	if asked.Audience == "" {
		asked.Audience = form.Get("resource")
	}
	if form.Get("subject_token") == "" {
		return request, badRequest("the form has no subject_token")
	}
	switch form.Get("subject_token_type") {
	case typeIDToken, typeJWT:
	default:
		return request, badRequest("subject_token_type must be " + typeIDToken + " or " + typeJWT)
	}
	switch form.Get("requested_token_type") {
	case "", typeAccess:
	case typeRefresh:
		asked.Refresh = true
	default:
		return request, badRequest("requested_token_type must be " + typeAccess + " or " + typeRefresh)
	}
	if text := form.Get("expires_in"); text != "" || form.Has("expires_in") {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil || seconds == 0 {
			return request, badRequest("expires_in must be a number of seconds")
		}
		asked.Most = time.Duration(seconds) * time.Second
	}
	request.Attempt = newAttempt("", form.Get("subject_token"), x.peer)
	return request, nil
}

// writeExchange answers with the token that was asked for (RFC 8693 section 2.2.1).
func writeExchange(x *exchange, reply tokens.Reply) error {
	body := struct {
		AccessToken string `json:"access_token"` // whichever it is
		IssuedType  string `json:"issued_token_type"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string `json:"scope"`
	}{reply.Token, typeAccess, "Bearer", int(reply.ExpiresIn.Seconds()), reply.Granted.Scope.String()}
	if reply.Granted.Kind == tokens.Refresh {
		body.IssuedType, body.TokenType = typeRefresh, "N_A"
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	x.writeJSON(text)
	return nil
}

// oauthError is an error with RFC 6749's word for it, which clients of OAuth read.
func oauthError(err error) error {
	if err == nil {
		return nil
	}
	e := *asAPIError(err)
	switch {
	case errors.Is(err, tokens.ErrTarget):
		e.oauth = "invalid_target" // RFC 8693 section 2.2.2
	case e.status == http.StatusUnauthorized:
		e.oauth = "invalid_grant"
	case e.status >= http.StatusInternalServerError, e.status == http.StatusTooManyRequests:
		e.oauth = "temporarily_unavailable"
	default:
		e.oauth = "invalid_request"
	}
	return &e
}
