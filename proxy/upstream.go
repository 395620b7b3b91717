package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatehouse/authn"
	"gatehouse/metrics"
	"gatehouse/proxy/route"
)

const (
	dialLimit = 3 * time.Second
	// commitLimit is for the requests after which a registry may have to move a
	// whole layer to its place.
	commitLimit = 15 * time.Minute
	maxManifest = 4 << 20
	copyBuffer  = 64 << 10 // clients decide how many are in use at once
)

var (
	errSilent  = errors.New("the upstream sent no response headers in time")
	errStalled = errors.New("the upstream stopped in the middle of its answer")
)

// upstream is the registry behind.
type upstream struct {
	base      url.URL // scheme, host and path prefix without a trailing slash
	username  string
	password  authn.Secret
	timeout   time.Duration
	blobMount bool
	redirects []string
	transport *http.Transport
	buffers   sync.Pool
	metrics   *metrics.Metrics
}

// newUpstream checks `upstream`.
func newUpstream(cfg UpstreamConfig, m *metrics.Metrics) (*upstream, []error) {
	var faults []error
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, []error{&authn.KeyError{Key: "upstream.url", Err: errors.New("is no URL such as http://127.0.0.1:5001 (credentials go into upstream.username and password_file)")}}
	}
	if path := strings.TrimRight(base.Path, "/"); strings.HasSuffix(path, "/v2") {
		better := url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimSuffix(path, "/v2")}
		faults = append(faults, &authn.KeyError{Key: "upstream.url", Err: fmt.Errorf("must not end in /v2, which the gateway adds itself: write %s", better.String())})
	}
	for i, host := range cfg.RedirectHosts {
		if name := strings.TrimPrefix(host, "*."); !route.ValidHost(name) {
			faults = append(faults, keyError("upstream.redirect_hosts", i, "is no host, host:port or *.suffix"))
		}
	}
	roots, err := authn.Roots(cfg.CAFile, authn.Folder{})
	faults = append(faults, inUpstream(err)...)
	pair, err := authn.KeyPair(cfg.CertFile, cfg.KeyFile)
	faults = append(faults, inUpstream(err)...)
	u := &upstream{base: url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimRight(base.Path, "/")},
		username: cfg.Username, password: cfg.PasswordFile.Secret, timeout: cfg.Timeout, blobMount: cfg.BlobMount,
		redirects: cfg.RedirectHosts, metrics: m, transport: newTransport(roots, pair)}
	if u.timeout <= 0 {
		u.timeout = 30 * time.Second
	}
	u.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	return u, faults
}

// inUpstream gives the faults of what the section names their whole keys.
func inUpstream(err error) (faults []error) {
	var k *authn.KeyError
	if errors.As(err, &k) {
		faults = append(faults, &authn.KeyError{Key: "upstream." + k.Key, Err: k.Err})
	}
	return faults
}

// newTransport speaks HTTP/1.1 with the registry, without a proxy of the
// environment and without compression, which would change what was digested.
func newTransport(roots *x509.CertPool, pair *tls.Certificate) *http.Transport {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if pair != nil {
		tlsConfig.Certificates = []tls.Certificate{*pair}
	}
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return progressConn{conn}, nil
		},
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: dialLimit,
		DisableCompression:  true,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		// Shorter than what servers keep a connection for: one that they close just
		// when a request goes out on it is a 502 where the request has a body.
		IdleConnTimeout:        45 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}
}

// progressConn ends a write that the other side does not take at all.
type progressConn struct{ net.Conn }

func (c progressConn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeAllowance(len(p), progressBytes))); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// forward sends the request on and streams the answer back.
func (g *Gateway) forward(x *exchange) error {
	body, length, err := g.requestBody(x)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	wait := startWait(g.upstream.limit(&x.route), cancel)
	defer wait.stop()
	out := g.upstream.request(ctx, x, length)
	if body == nil {
		wait.begin()
	} else {
		body.atEnd = wait.begin
		out.Body = body
	}
	resp, err := g.upstream.roundTrip(out)
	wait.stop()
	if body != nil {
		defer body.finish()
		x.event.bytesIn = body.count.Load()
	}
	x.event.sent = !neverSent(body, err)
	if err != nil {
		return failedRoundTrip(ctx, body, err)
	}
	defer resp.Body.Close()
	x.event.upstreamStatus = resp.StatusCode
	if err := g.upstream.checkResponse(&x.route, resp); err != nil {
		return err
	}
	return g.relay(x, resp, cancel)
}

// limit is how long the response headers may take once the request is sent.
func (u *upstream) limit(rt *route.Route) time.Duration {
	commits := rt.Kind == route.Session && rt.Method == "PUT" || rt.Kind == route.Upload && rt.Digest != "" || rt.Kind == route.Manifest && rt.Method == "PUT"
	if commits {
		return max(commitLimit, u.timeout)
	}
	return u.timeout
}

// requestBody is what to send on. A manifest is read whole first: whether it is
// too large must be known before the upstream hears of it.
func (g *Gateway) requestBody(x *exchange) (*requestBody, int64, error) {
	if x.r.ContentLength == 0 || !x.route.CarriesBody() {
		return nil, 0, nil
	}
	body := newRequestBody(x.w, x.r.Body)
	body.needed = g.limits.progressNeeded()
	if x.route.Kind != route.Manifest {
		return body, x.r.ContentLength, nil
	}
	manifest, err := g.readManifest(x, body)
	if err != nil {
		return nil, 0, err
	}
	whole := newRequestBody(nil, io.NopCloser(bytes.NewReader(manifest)))
	return whole, int64(len(manifest)), nil
}

// readManifest reads a manifest whole, into as much memory as it said it needs.
func (g *Gateway) readManifest(x *exchange, body *requestBody) ([]byte, error) {
	defer body.finish()
	length, known := x.r.ContentLength, x.r.ContentLength >= 0
	if length > maxManifest {
		return nil, errTooLarge
	}
	if !known {
		length = maxManifest
	}
	if err := g.holdManifest(x, int(length)); err != nil {
		return nil, err
	}
	var manifest bytes.Buffer
	if known {
		manifest.Grow(int(length) + bytes.MinRead) // ReadFrom wants that much room at the end too
	}
	switch n, err := manifest.ReadFrom(io.LimitReader(body, maxManifest+1)); {
	case err != nil:
		return nil, brokenBody(err)
	case n > maxManifest:
		return nil, errTooLarge
	}
	return manifest.Bytes(), nil
}

// request builds the outgoing request from the route. Of the client's header it
// takes what requestHeader lists.
func (u *upstream) request(ctx context.Context, x *exchange, length int64) *http.Request {
	target := u.base
	target.Path += x.route.Path()
	target.RawQuery = route.EncodeQuery(x.route.Query)
	out := (&http.Request{Method: x.route.Method, URL: &target, Host: u.base.Host, ContentLength: length,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: requestHeader(x)}).WithContext(ctx)
	u.authorize(out)
	return out
}

func (u *upstream) authorize(out *http.Request) {
	if u.username != "" {
		out.SetBasicAuth(u.username, string(u.password))
	}
}

// passedUp are the request fields that a registry has a use for. It is a list of
// what passes, because lists of what does not were always one spelling short.
var passedUp = []string{"Accept", "Accept-Encoding", "Content-Range", "Content-Type", "If-Match", "If-Modified-Since",
	"If-None-Match", "If-Range", "If-Unmodified-Since", "Range", "User-Agent"}

func requestHeader(x *exchange) http.Header {
	h := make(http.Header, 10)
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
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = []string{""} // else the library would put in its own
	}
	if x.peer.client.IsValid() {
		h["X-Forwarded-For"] = []string{x.peer.client.String()}
	}
	h["X-Forwarded-Proto"] = []string{x.origin.scheme}
	h["X-Forwarded-Host"] = []string{x.origin.host}
	h["X-Request-Id"] = []string{x.event.requestID}
	return h
}

// isForm takes every spelling of a content type of which a registry might parse
// parameters.
func isForm(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == formType || strings.HasPrefix(media, "multipart/")
}

// roundTrip sends one request and counts it.
func (u *upstream) roundTrip(out *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := u.transport.RoundTrip(out)
	code := 0
	if err == nil {
		code = resp.StatusCode
	}
	u.metrics.UpstreamRequest(code, time.Since(start))
	return resp, err
}

// neverSent says that the upstream cannot have got all of a request: nothing was
// there to take it, or its body never came to its end.
func neverSent(body *requestBody, err error) bool {
	var op *net.OpError
	return err != nil && (errors.As(err, &op) && op.Op == "dial" || body != nil && body.failed() != nil)
}

// failedRoundTrip says whose fault it was: the client's, who left or sent
// nonsense, or the upstream's.
func failedRoundTrip(ctx context.Context, body *requestBody, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return upstreamError(http.StatusGatewayTimeout, "the registry behind did not answer in time", errSilent)
	case body != nil && body.failed() != nil:
		return brokenBody(body.failed())
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", context.Canceled, err)
	}
	return upstreamError(http.StatusBadGateway, "the registry behind cannot be reached", err)
}

func brokenBody(err error) error {
	if timedOut(err) {
		return &apiError{status: http.StatusRequestTimeout, code: "SIZE_INVALID", message: "the body came too slowly", limit: "min_rate", cause: err}
	}
	return &apiError{status: http.StatusBadRequest, code: "SIZE_INVALID", message: "the body ended early or is malformed", cause: err}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// relay streams the answer. An upstream that dies in the middle aborts the
// client's connection, so that a part never looks like the whole.
func (g *Gateway) relay(x *exchange, resp *http.Response, cancel context.CancelCauseFunc) error {
	g.upstream.copyHeader(x, resp)
	g.ownHeaders(x)
	if !x.route.Kind.Content() {
		x.w.Header().Set("Cache-Control", "private, no-store")
	}
	x.w.WriteHeader(resp.StatusCode)
	if x.r.Method == http.MethodHead {
		return nil
	}
	if err := stream(x.w, resp.Body, &g.upstream.buffers, g.limits.progressNeeded(), func() { cancel(errStalled) }); err != nil {
		x.event.err = &apiError{message: "the answer was cut", cause: err}
		if timedOut(err) {
			g.metrics.LimitReached("min_rate")
		}
		if x.r.Context().Err() != nil {
			x.event.err.status = statusClientGone
		}
		x.abort()
	}
	return nil
}
