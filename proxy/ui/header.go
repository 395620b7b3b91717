package ui

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gatehouse/proxy/listener"
)

// policyOf is the Content-Security-Policy of each page. 'self' would take in /v2/, where
// people push what they like: it stands only where the host cannot be written as a source, and
// there no script runs.
func policyOf(at listener.Origin) string {
	origin := at.String()
	static, pages := origin+"/ui/static/", origin+"/ui/"
	scripts := static
	if !source.MatchString(at.Host) {
		static, pages, scripts = "'self'", "'self'", "'none'"
	}
	return "default-src 'none'; style-src " + static + "; script-src " + scripts + "; img-src " + static + "; connect-src " + pages + "; form-action " + pages +
		"; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// source is a host that a browser takes for one (CSP 3, section 2.3.1, host-source): not an
// IPv6 address, nor a name with an underscore.
var source = regexp.MustCompile(`^[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*(:[0-9]+)?$`)

// sandbox is that of what somebody pushed.
const sandbox = "default-src 'none'; sandbox"

// headers are on every answer.
func (c *Call) headers(h http.Header) {
	Guard(h)
	h.Set("Content-Security-Policy", policyOf(c.Origin))
	h.Set("X-Request-Id", c.RequestID)
	h.Set("Cache-Control", "no-store")
}

// Guard sets what every answer under /ui/ has, also one that is given before it is known by
// which name the visitor came: it may load nothing.
func Guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
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
