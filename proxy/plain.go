package proxy

import (
	"net/http"
	"strings"
)

// redirect is the way of a request to the listener of plain HTTP: it is a challenge of
// the ACME server and answered, or led to HTTPS, or refused. What it carries besides is
// not looked at, so nobody learns there whether credentials are good, and nothing goes
// on to the upstream.
func (g *Gateway) redirect(x *exchange) error {
	if err := g.caps.holdStranger(x); err != nil {
		return err
	}
	if err := g.limits.checkHeader(x.r); err != nil {
		return err
	}
	if g.acme != nil && g.acme(x.w, x.r) {
		return nil
	}
	path := x.r.URL.RequestURI()
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead || !strings.HasPrefix(path, "/") {
		return errPlain
	}
	origin, err := g.edge.Secure(x.r, x.peer)
	if err != nil {
		return err
	}
	x.ownHeaders()
	header := x.w.Header()
	header.Set("Location", origin.String()+path)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}
