package proxy

import (
	"net/http"
	"strconv"
)

// checkHeader refuses a header over the limits (RFC 6585 section 5). Host, which the
// server takes out of the header, is a field as every other.
func (l *Limits) checkHeader(r *http.Request) error {
	fields, size := 1, len("Host")+len(r.Host)+4
	for key, values := range r.Header {
		fields += len(values)
		for _, v := range values {
			size += len(key) + len(v) + 4
		}
	}
	switch {
	case fields > l.HeaderFields:
		return errFields
	case size > l.HeaderBytes:
		return errHeaders
	}
	return nil
}

// checkFields refuses fields of which another reader might believe another value: a second
// one of those that count once, and a malformed length.
// The server checks a length only over HTTP/1.1; over HTTP/2 a malformed one would
// count as none (RFC 9113 section 8.1.1).
func checkFields(r *http.Request, once ...string) error {
	for _, key := range once {
		if len(r.Header[key]) > 1 {
			return badRequest("two " + key + " fields")
		}
	}
	for i, length := range r.Header["Content-Length"] {
		if _, err := strconv.ParseUint(length, 10, 63); err != nil || i > 0 {
			return badRequest("the Content-Length is malformed")
		}
	}
	return nil
}
