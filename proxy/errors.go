package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"gatehouse/authn"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
	"gatehouse/tokens/store"
)

// apiError is what a client is told, in the registry's JSON (distribution
// specification, "Error Codes"). cause is for the log alone: it may name inner
// addresses.
type apiError struct {
	status    int
	code      string
	message   string
	challenge bool          // add WWW-Authenticate: Bearer
	reason    string        // the challenge's error (RFC 6750 section 3.1)
	basic     bool          // add WWW-Authenticate: Basic; the realm does
	rule      string        // the rule that denied, or "none"; policy only
	allow     []string      // the endpoint's methods, for 405
	retry     time.Duration // Retry-After
	oauth     string        // RFC 6749's word, in a token exchange
	limit     string        // the limit that was reached, for the metric
	unsaid    bool          // over HTTP/2 the stream is reset: nobody has to read that
	cause     error
}

func (e *apiError) Error() string {
	if e.cause != nil {
		return e.message + ": " + e.cause.Error()
	}
	return e.message
}

func (e *apiError) Unwrap() error { return e.cause }

// The refusals that need no detail.
var (
	errPlain    = &apiError{status: http.StatusForbidden, code: "DENIED", message: "HTTPS required"}
	errHost     = &apiError{status: http.StatusMisdirectedRequest, code: "UNSUPPORTED", message: "this gateway does not serve that host"}
	errFields   = &apiError{status: http.StatusRequestHeaderFieldsTooLarge, code: "UNSUPPORTED", message: "the request has too many header fields", limit: "header_fields"}
	errHeaders  = &apiError{status: http.StatusRequestHeaderFieldsTooLarge, code: "UNSUPPORTED", message: "the request's header is too large", limit: "header_bytes"}
	errNoToken  = &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "authentication required", challenge: true}
	errNarrow   = &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "the token does not carry this access", challenge: true, reason: "insufficient_scope"}
	errLogin    = &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "authentication required: log in for this access", challenge: true, reason: "insufficient_scope"}
	errBody     = badRequest("this request has no body in the protocol")
	errTooLarge = &apiError{status: http.StatusRequestEntityTooLarge, code: "SIZE_INVALID", message: "a manifest may have 4 MiB at most"}
)

func badRequest(message string) *apiError { return invalid("UNSUPPORTED", message) }

func invalid(code, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: message}
}

// upstreamError is what a client is told where the upstream has no answer for it.
func upstreamError(e *upstream.Error) *apiError {
	status := http.StatusBadGateway
	switch e.Reason {
	case upstream.ErrBody:
		return brokenBody(e.Cause)
	case upstream.ErrSilent:
		status = http.StatusGatewayTimeout
	case context.Canceled:
		return &apiError{status: statusClientGone, code: "UNAVAILABLE", message: "the client has gone", cause: e.Cause}
	}
	return &apiError{status: status, code: "UNAVAILABLE", message: e.Reason.Error(), cause: e.Cause}
}

// routeFaults are the statuses and codes of a request that has no route.
var routeFaults = map[route.Fault]struct {
	status int
	code   string
}{
	route.Malformed:  {http.StatusBadRequest, "UNSUPPORTED"},
	route.NoEndpoint: {http.StatusNotFound, "UNSUPPORTED"},
	route.NoMethod:   {http.StatusMethodNotAllowed, "UNSUPPORTED"},
	route.NoManifest: {http.StatusNotFound, "MANIFEST_UNKNOWN"},
	route.BadName:    {http.StatusBadRequest, "NAME_INVALID"},
	route.BadTag:     {http.StatusBadRequest, "TAG_INVALID"},
	route.BadDigest:  {http.StatusBadRequest, "DIGEST_INVALID"},
	route.BadPage:    {http.StatusBadRequest, "PAGINATION_NUMBER_INVALID"},
}

// asAPIError is the one table from what went wrong to what the client is told.
// What it does not know is a fault of ours: 500 would invite a retry that cannot
// help and shows nothing, so it is 503 with the cause in the log.
func asAPIError(err error) *apiError {
	var api *apiError
	var throttled *authn.ThrottledError
	var misrouted *route.Error
	var unanswered *upstream.Error
	var shown *ui.Fault
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &shown):
		return &apiError{status: shown.Status, code: shown.Code, message: shown.Message, retry: shown.Retry, cause: shown}
	case errors.As(err, &unanswered):
		return upstreamError(unanswered)
	case errors.Is(err, content.ErrMismatch), errors.Is(err, content.ErrBroken):
		return &apiError{status: http.StatusBadGateway, code: "UNAVAILABLE", message: upstream.ErrAnswer.Error(), cause: err}
	case err == listener.ErrPlaintext:
		return errPlain
	case err == listener.ErrHost:
		return errHost
	case errors.As(err, &misrouted):
		f := routeFaults[misrouted.Fault]
		return &apiError{status: f.status, code: f.code, message: misrouted.Message, allow: misrouted.Allow}
	case errors.As(err, &throttled):
		return &apiError{status: http.StatusTooManyRequests, code: "TOOMANYREQUESTS", message: throttled.Message(), retry: throttled.RetryAfter, limit: throttled.Limit, cause: err}
	case errors.Is(err, errLost):
		return &apiError{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: errLost.Error(), retry: retryAfter, cause: err}
	case errors.Is(err, errLostSent):
		return &apiError{status: http.StatusBadGateway, code: "UNAVAILABLE", message: errLostSent.Error(), cause: err}
	case errors.Is(err, authn.ErrUnavailable):
		return &apiError{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "directory unavailable", retry: 5 * time.Second, cause: err}
	case errors.Is(err, store.ErrUnavailable):
		return &apiError{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "the store of tokens is unavailable", retry: 5 * time.Second, cause: err}
	case errors.Is(err, authn.ErrBadToken): // shown in the place of a password
		return &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: badToken, basic: true, cause: err}
	case errors.Is(err, tokens.ErrInvalidToken): // before unknown user, which it wraps where its person is gone
		return &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: badToken, challenge: true, reason: "invalid_token", cause: err}
	case errors.Is(err, authn.ErrInvalidCredentials), errors.Is(err, authn.ErrUnknownUser):
		return &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "invalid username or password", basic: true, cause: err}
	case errors.Is(err, tokens.ErrInvalidRequest):
		return &apiError{status: http.StatusBadRequest, code: "UNSUPPORTED", message: err.Error(), cause: err}
	case errors.Is(err, context.Canceled):
		return &apiError{status: statusClientGone, code: "UNAVAILABLE", message: "the client has gone", cause: err}
	}
	return &apiError{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "the gateway is at fault", retry: 5 * time.Second, cause: err}
}

// retryAfter is for a push that may well succeed a moment later.
const retryAfter = 5 * time.Second

// badToken is all that is said of a token; the log has the reason.
const badToken = "the token is not valid (any more)"

// statusClientGone is logged where the client left before an answer (nginx' 499).
const statusClientGone = 499

func brokenBody(err error) *apiError {
	if timedOut(err) {
		return &apiError{status: http.StatusRequestTimeout, code: "SIZE_INVALID", message: "the body came too slowly", limit: "min_rate", cause: err}
	}
	return &apiError{status: http.StatusBadRequest, code: "SIZE_INVALID", message: "the body ended early or is malformed", cause: err}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
