package ui

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// policyOf is the Content-Security-Policy of each page. 'self' would take in /v2/, where
// people push what they like.
func policyOf(origin string) string {
	static := " " + origin + "/ui/static/; "
	return "default-src 'none'; style-src" + static + "script-src" + static + "img-src" + static + "connect-src " + origin + "/ui/; form-action " + origin +
		"/ui/; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// sandbox is that of what somebody pushed.
const sandbox = "default-src 'none'; sandbox"

// headers are on every answer.
func (c *Call) headers(h http.Header) {
	h.Set("Content-Security-Policy", policyOf(c.Origin.String()))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Request-Id", c.RequestID)
	h.Set("Cache-Control", "no-store")
}

// send answers with a whole document.
func send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a visitor who left has no use for the error
	}
}

// lead sends the visitor on to a path of ours.
func lead(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusSeeOther)
}

// retryAfter tells when to try again, in whole seconds.
func retryAfter(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
	}
}

// allow tells which methods a route has.
func allow(h http.Header, methods []string) {
	if methods != nil {
		h.Set("Allow", strings.Join(methods, ", "))
	}
}
