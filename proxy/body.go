package proxy

import (
	"io"
	"math"
	"net/http"
	"time"
)

// checkBody refuses a body where the protocol has none. No content is no body,
// however it is framed: proxies and HTTP/2 clients end a request with a lone last
// chunk or an empty DATA frame. It must come in the time of a header.
func checkBody(x *exchange, within time.Duration) error {
	if x.route.CarriesBody() || x.r.ContentLength == 0 {
		return nil
	}
	if x.r.ContentLength > 0 {
		return errBody
	}
	body := newRequestBody(x.w, x.r.Body)
	body.needed, body.left = math.MaxInt, within
	defer body.finish()
	n, err := io.ReadFull(body, make([]byte, 1))
	switch {
	case n > 0:
		return errBody
	case err != io.EOF:
		return brokenBody(err)
	}
	x.r.ContentLength, x.r.Body = 0, http.NoBody
	return nil
}
