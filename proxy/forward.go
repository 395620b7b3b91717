package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"gatehouse/metrics"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// forwarder sends requests on, and answers back.
type forwarder struct {
	buffers *buffers
	caps    *caps
	guard   tagGuard
	metrics *metrics.Metrics
	watcher watcher
	changed func(x *exchange) // told of each answer, before its client is
}

func newForwarder(c *caps, m *metrics.Metrics) *forwarder {
	return &forwarder{caps: c, metrics: m, buffers: newBuffers()}
}

// forward sends the request on and streams the answer back.
func (f *forwarder) forward(x *exchange) error {
	body, err := f.requestBody(x)
	if err != nil {
		return err
	}
	held, err := f.guard.take(x, &body)
	if err != nil {
		return err
	}
	ctx, stop, err := f.guard.lasting(x, held)
	if err != nil {
		held.release()
		return err
	}
	defer stop()
	resp, err := f.ask(ctx, x, &body)
	held.release()
	if body.client != nil {
		defer body.client.finish()
		x.event.bytesIn = body.client.count.Load()
	}
	if err != nil {
		return held.outcome(err)
	}
	defer resp.Body.Close()
	return f.relay(x, resp)
}

// ask sends the request on. Who needs to know has heard of the answer when it returns.
func (f *forwarder) ask(ctx context.Context, x *exchange, body *outgoing) (*upstream.Response, error) {
	watch := f.watcher.watch(x, body.manifest)
	resp, err := x.send(ctx, upstream.Request{Route: x.route, Header: requestHeader(x), Body: body.reader(), Length: body.length})
	told(watch, resp, err)
	f.changed(x)
	return resp, err
}

// send asks the upstream for the one thing that the request wants; what becomes of it
// goes into the record.
func (x *exchange) send(ctx context.Context, r upstream.Request) (*upstream.Response, error) {
	resp, err := x.upstream.Do(ctx, r)
	if err != nil {
		return nil, x.unanswered(err)
	}
	x.event.sent, x.event.upstreamStatus = true, resp.Status
	return resp, nil
}

// unanswered notes what became of a request that has no answer.
func (x *exchange) unanswered(err error) error {
	if failed := new(upstream.Error); errors.As(err, &failed) {
		x.event.sent, x.event.upstreamStatus = failed.Sent, failed.Status
	}
	return err
}

// outgoing is a request's body on its way up: as the client sends it, or held whole,
// or none.
type outgoing struct {
	client   *requestBody
	whole    *bytes.Reader
	manifest []byte // what whole reads
	length   int64  // in bytes; -1: not known
}

func (o *outgoing) reader() io.Reader {
	switch {
	case o.whole != nil:
		return o.whole
	case o.client != nil:
		return o.client
	}
	return nil
}

// requestBody is what to send on. A manifest is read whole first: whether it is
// too large must be known before the upstream hears of it.
func (f *forwarder) requestBody(x *exchange) (outgoing, error) {
	if x.r.ContentLength == 0 || !x.route.CarriesBody() {
		return outgoing{}, nil
	}
	body := newRequestBody(x.w, x.r.Body)
	body.needed = f.caps.limits.progressNeeded()
	if x.route.Kind != route.Manifest {
		return outgoing{client: body, length: x.r.ContentLength}, nil
	}
	manifest, err := f.readManifest(x, body)
	if err != nil {
		return outgoing{}, err
	}
	return outgoing{whole: bytes.NewReader(manifest), manifest: manifest, length: int64(len(manifest))}, nil
}

// readManifest reads a manifest whole, into as much memory as it said it needs.
func (f *forwarder) readManifest(x *exchange, body *requestBody) ([]byte, error) {
	defer body.finish()
	length, known := x.r.ContentLength, x.r.ContentLength >= 0
	if length > maxManifest {
		return nil, errTooLarge
	}
	if !known {
		length = maxManifest
	}
	if err := f.caps.holdManifest(x, int(length)); err != nil {
		return nil, err
	}
	var manifest bytes.Buffer
	if known {
		manifest.Grow(int(length) + bytes.MinRead) // ReadFrom wants that much room at the end too
	}
	n, err := manifest.ReadFrom(io.LimitReader(body, maxManifest+1))
	x.event.bytesIn = n
	switch {
	case err != nil:
		return nil, brokenBody(err)
	case n > maxManifest:
		return nil, errTooLarge
	}
	return manifest.Bytes(), nil
}

// passedUp are the request fields that a registry has a use for. It is a list of
// what passes, because lists of what does not were always one spelling short.
var passedUp = []string{"Accept", "Accept-Encoding", "Content-Range", "Content-Type", "If-Match", "If-Modified-Since",
	"If-None-Match", "If-Range", "If-Unmodified-Since", "Range", "User-Agent"}

func requestHeader(x *exchange) http.Header {
	h := make(http.Header, 8) // most have no more, and a larger map costs
	for _, key := range passedUp {
		if values := x.r.Header[key]; len(values) > 0 {
			h[key] = values
		}
	}
	for key, values := range x.r.Header {
		if strings.HasPrefix(key, "Docker-") || strings.HasPrefix(key, "Oci-") {
			h[key] = values
		}
	}
	if x.route.Kind == route.Upload || x.route.Kind == route.Session || isForm(x.r.Header.Get("Content-Type")) {
		// A registry parses form bodies and believes the mount, from or tag that it
		// finds there; nobody has judged those. Clients that name no type of their own
		// (curl, urllib) send a form's.
		h["Content-Type"] = octets
	}
	forwardedHeader(x, h)
	return h
}

var octets = []string{"application/octet-stream"}

// forwardedHeader adds who asks the upstream, and whose request it is.
func forwardedHeader(x *exchange, h http.Header) {
	if h["User-Agent"] == nil {
		h["User-Agent"] = noAgent
	}
	values := make([]string, 4)
	if x.peer.Client.IsValid() {
		values[0] = x.peer.ClientText()
		h["X-Forwarded-For"] = values[:1:1]
	}
	values[1], values[2], values[3] = x.origin.Scheme, x.origin.Host, x.event.requestID
	h["X-Forwarded-Proto"], h["X-Forwarded-Host"], h["X-Request-Id"] = values[1:2:2], values[2:3:3], values[3:4:4]
}

// noAgent is no User-Agent; without it the library would put in its own.
var noAgent = []string{""}

// isForm takes every spelling of a content type of which a registry might parse
// parameters.
func isForm(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == formType || strings.HasPrefix(media, "multipart/")
}

// relay streams the answer. An upstream that dies in the middle aborts the
// client's connection, so that a part never looks like the whole.
func (f *forwarder) relay(x *exchange, resp *upstream.Response) error {
	h := x.w.Header()
	for key, values := range resp.Header {
		h[key] = values
	}
	x.ownHeaders()
	asTyped(h)
	if !x.route.Kind.Content() {
		h["Cache-Control"] = noStore
	}
	x.w.WriteHeader(resp.Status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	f.cut(x, f.buffers.stream(x.w, resp.Body, f.caps.limits.progressNeeded()))
	return nil
}

// asTyped keeps the server from making up a type where the registry named none.
func asTyped(h http.Header) {
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil
	}
}

// body sends one that is here already.
func (f *forwarder) body(x *exchange, body []byte) error {
	needed := f.caps.limits.progressNeeded()
	if len(body) <= copyBuffer && writeAllowance(len(body), needed) < progressWindow+nearly { // it is in time with the header
		_, err := x.w.Write(body)
		f.cut(x, err)
		return nil
	}
	var err error
	for len(body) > 0 && err == nil {
		n := min(len(body), copyBuffer)
		x.w.deadline(writeAllowance(n, needed))
		_, err = x.w.Write(body[:n])
		body = body[n:]
	}
	x.w.deadline(progressWindow) // for what is still in the server's buffer
	f.cut(x, err)
	return nil
}

// cut ends an exchange whose answer could not be sent to its end.
func (f *forwarder) cut(x *exchange, err error) {
	if err == nil {
		return
	}
	x.event.err = &apiError{message: "the answer was cut", cause: err}
	if timedOut(err) {
		f.metrics.LimitReached("min_rate")
	}
	if x.r.Context().Err() != nil {
		x.event.err.status = statusClientGone
	}
	x.abort()
}
