package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"gatehouse/proxy/content"
)

// precondition is the status that a request's conditions lead to (RFC 9110 section
// 13.2.2), judged by the digest, which is the entity tag; 0: it goes on.
func precondition(r *http.Request, digest string) int {
	switch {
	case r.Header["If-Match"] != nil && !lists(r.Header["If-Match"], digest, false):
		return http.StatusPreconditionFailed
	case r.Header["If-None-Match"] != nil && lists(r.Header["If-None-Match"], digest, true):
		return http.StatusNotModified
	}
	return 0
}

// lists reports whether a list of entity tags has the digest; "" is in none. It may stand there
// without quotes, as registries take it too.
func lists(field []string, digest string, weak bool) bool {
	for _, value := range field {
		for tag := range strings.SplitSeq(value, ",") {
			tag = strings.TrimSpace(tag)
			if weak {
				tag = strings.TrimPrefix(tag, "W/")
			}
			if tag == "*" || digest != "" && strings.Trim(tag, `"`) == digest {
				return true
			}
		}
	}
	return false
}

// unsent answers without the content.
func unsent(x *exchange, h http.Header, status int) error {
	own := x.w.Header()
	for _, name := range []string{"Docker-Content-Digest", "Etag"} {
		if values := h[name]; values != nil {
			own[name] = values
		}
	}
	x.ownHeaders()
	for _, name := range []string{"Content-Type", "Content-Length", "Accept-Ranges"} {
		own.Del(name)
	}
	if status != http.StatusNotModified {
		own.Set("Content-Length", "0")
	}
	x.w.WriteHeader(status)
	return nil
}

// part answers a request for ranges of bytes (RFC 9110 section 14).
func (c *cache) part(x *exchange, e *content.Entry) error {
	wanted := &http.Request{Method: x.r.Method, Header: http.Header{"Range": x.r.Header["Range"]}}
	if since := x.r.Header["If-Range"]; since != nil && (len(since) > 1 || since[0] != `"`+e.Digest+`"`) {
		wanted.Header = http.Header{} // it has another version, so it needs the whole
	}
	var whole io.ReadSeeker = bytes.NewReader(e.Body)
	if e.File != nil {
		whole = e.File
	}
	http.ServeContent(&partWriter{x, c.forwarder.caps.limits.progressNeeded()}, wanted, "", time.Time{}, whole)
	return nil
}

// partWriter is a writer for http.ServeContent.
type partWriter struct {
	x      *exchange
	needed int // bytes in a progress window
}

// Header is the answer's.
func (w *partWriter) Header() http.Header { return w.x.w.Header() }

// WriteHeader puts back what the library takes off an error.
func (w *partWriter) WriteHeader(status int) {
	w.x.ownHeaders()
	w.x.w.WriteHeader(status)
}

// Write has a deadline for each part.
func (w *partWriter) Write(p []byte) (int, error) {
	w.x.w.deadline(writeAllowance(len(p), w.needed))
	return w.x.w.Write(p)
}
