// Package upstream is the registry that the gateway stands in front of: one way to
// ask it for something (Do), by which requests are forwarded, the catalog is read,
// and readiness and the probe of `check` are found out. It knows routes; of callers,
// events and policies it knows nothing.
//
// What Do returns is fit for a client: only fields that a client has a use for, and
// Location and Link as paths of ours. What is not fit is an *Error.
package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"syscall"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
	"gatehouse/proxy/route"
)

// commitLimit is for the requests after which a registry may have to move a whole
// layer to its place.
const commitLimit = 15 * time.Minute

// Upstream is one address of a registry. It is safe for concurrent use.
type Upstream struct {
	base      url.URL // scheme, host and path prefix without a trailing slash
	username  string
	password  authn.Secret
	timeout   time.Duration
	mount     BlobMount
	redirects []string
	transport *transport
	metrics   *metrics.Metrics
	name      string // of its registry, for the metrics
}

// New checks the config. Its error joins *authn.KeyError values whose keys are
// relative to `upstream`. It dials nothing. Metrics may be nil.
func New(cfg Config, m *metrics.Metrics) (*Upstream, error) {
	base, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(&cfg, base)
	if err != nil {
		return nil, err
	}
	u := &Upstream{base: *base, username: cfg.Username, password: cfg.PasswordFile.Secret, timeout: cfg.Timeout, mount: cfg.BlobMount,
		redirects: cfg.RedirectHosts, transport: transport, metrics: m}
	if u.timeout <= 0 {
		u.timeout = defaultTimeout
	}
	if u.mount == "" {
		u.mount = MountAuto
	}
	return u, nil
}

// Close lets go of idle connections. Requests that still run end normally.
func (u *Upstream) Close() { u.transport.close() }

// BlobMount is whether mounts are passed on.
func (u *Upstream) BlobMount() BlobMount { return u.mount }

// Request is what the upstream is asked for.
type Request struct {
	Route  route.Route // gives the method, path and query
	Header http.Header // sent as it is, and owned by Do from then on; nil: none
	Body   io.Reader   // nil: none. A *bytes.Reader is held whole, so it can be sent once more.
	Length int64       // of Body, in bytes; -1: not known
	Aside  bool        // what becomes of it says nothing of the address, and it is not tried at another one
}

// Response is an answer that may go to a client.
type Response struct {
	Status int           // 200 to 599, and no 401 or 407
	Header http.Header   // what a client has a use for
	Body   io.ReadCloser // must be closed; it fails where the upstream stops in the middle
}

// Do asks for one thing. Redirects are not followed. Its error is an *Error, whose
// reason is one of this package's, or context.Canceled where ctx ended first.
func (u *Upstream) Do(ctx context.Context, r Request) (*Response, error) {
	start := time.Now()
	resp, err := u.ask(ctx, &r)
	if r.Route.Kind != route.Base { // whether it is ready is asked every second, and is no traffic
		code := 0
		if err == nil {
			code = resp.StatusCode
		}
		u.metrics.UpstreamRequest(u.name, code, time.Since(start))
	}
	if err != nil {
		return nil, err
	}
	if err := u.check(&r.Route, resp); err != nil {
		resp.Body.Close()
		return nil, &Error{Reason: ErrAnswer, Status: resp.StatusCode, Sent: true, Cause: err}
	}
	return &Response{Status: resp.StatusCode, Header: passed(resp.Header), Body: resp.Body}, nil
}

// ask sends the request and returns the answer as it came, with a body that does not
// wait for ever. Its error is an *Error.
func (u *Upstream) ask(ctx context.Context, r *Request) (*http.Response, error) {
	if r.Body == nil && repeatable(r) {
		resp, err := u.transport.client.do(ctx, u.request(r), u.limit(&r.Route))
		if err != nil {
			return nil, failed(ctx, nil, err)
		}
		return resp, nil
	}
	return awaited(ctx, u.limit(&r.Route), func(ctx context.Context, wait *wait) (*http.Response, *sentBody, error) {
		out, body := u.carry(u.request(r).WithContext(ctx), r, wait)
		resp, err := u.roundTrip(out, r)
		return resp, body, err
	})
}

// awaited is the answer to what send sends: its header comes within the limit of the wait,
// which send begins, and its body does not wait for ever. Its error is an *Error.
func awaited(ctx context.Context, limit time.Duration, send func(context.Context, *wait) (*http.Response, *sentBody, error)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	wait := startWait(limit, func() { cancel(errSilent) })
	resp, body, err := send(ctx, wait)
	wait.stop()
	if err != nil {
		defer cancel(nil)
		return nil, failed(ctx, body, err)
	}
	resp.Body = &answerBody{ReadCloser: resp.Body, cancel: cancel}
	return resp, nil
}

// limit is how long the response headers may take once the request is sent.
func (u *Upstream) limit(rt *route.Route) time.Duration {
	commits := rt.Method == "PUT" && (rt.Kind == route.Session || rt.Kind == route.Manifest) || rt.Kind == route.Upload && rt.Digest != ""
	if commits {
		return max(commitLimit, u.timeout)
	}
	return u.timeout
}

// request builds the outgoing request, without its body.
func (u *Upstream) request(r *Request) *http.Request {
	target := u.base
	target.Path += r.Route.Path()
	target.RawQuery = route.EncodeQuery(r.Route.Query)
	header := r.Header
	if header == nil {
		header = http.Header{}
	}
	out := &http.Request{Method: r.Route.Method, URL: &target, Host: u.base.Host, ContentLength: r.Length,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header}
	if u.username != "" {
		out.SetBasicAuth(u.username, string(u.password))
	}
	return out
}

// carry adds the body. The waiting for the answer begins when all of it was sent.
func (u *Upstream) carry(out *http.Request, r *Request, wait *wait) (*http.Request, *sentBody) {
	if r.Body == nil {
		wait.begin()
		return out, nil
	}
	if repeatable(r) {
		out.Header["Idempotency-Key"] = []string{} // net/http's sign, which is not sent
	}
	body := &sentBody{Reader: r.Body, atEnd: wait.begin}
	if whole, ok := r.Body.(*bytes.Reader); ok {
		start := *whole
		out.GetBody = func() (io.ReadCloser, error) {
			again := start
			return &sentBody{Reader: &again, atEnd: wait.begin}, nil
		}
	}
	out.Body = body
	return out, body
}

// repeatable reports whether a request may be sent once more when its connection
// turns out to be closed by the other side: where nothing of it can have taken
// effect, or where it is the same to do it twice.
func repeatable(r *Request) bool {
	switch r.Route.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return r.Body == nil
	case http.MethodPost:
		return r.Body == nil && r.Route.Kind == route.Upload
	}
	_, whole := r.Body.(*bytes.Reader)
	return whole && r.Route.Kind == route.Manifest
}

// roundTrip sends one request that has a body or may not be sent twice. net/http sends
// a repeatable one again where reading its answer shows that the connection was closed;
// where writing a body shows it, that is left to us.
func (u *Upstream) roundTrip(out *http.Request, r *Request) (*http.Response, error) {
	reused := false
	if out.GetBody != nil && repeatable(r) {
		out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}))
	}
	resp, err := u.transport.bodies.RoundTrip(out)
	if err != nil && reused && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		if out.Body, err = out.GetBody(); err == nil {
			resp, err = u.transport.bodies.RoundTrip(out)
		}
	}
	return resp, err
}
