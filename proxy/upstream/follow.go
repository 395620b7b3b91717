package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/proxy/route"
)

// mostHops is how many redirects within a repository are followed, one after the other.
const mostHops = 3

var errHops = errors.New("too many redirects")

// Follow reads behind the redirects that an answer of Do begins with, for our own use: they
// are those that may go to a client, so that a store is one of redirect_hosts. Any other answer
// is returned as it is. Header is sent to the registry again; a store gets none of it, and
// none of our credentials. The error is Do's.
func (r *Registry) Follow(ctx context.Context, rt route.Route, header http.Header, resp *Response) (*Response, error) {
	for hops := 0; ; hops++ {
		to := resp.Header.Get("Location")
		if resp.Status < 300 || resp.Status >= 400 || to == "" {
			return resp, nil
		}
		resp.Body.Close()
		switch {
		case !strings.HasPrefix(to, "/v2/"):
			return r.addresses[0].fetch(ctx, rt.Method, to)
		case hops == mostHops:
			return nil, &Error{Reason: ErrAnswer, Status: resp.Status, Sent: true, Cause: errHops}
		}
		next, err := route.Parse(rt.Method, to)
		if err != nil || next.Kind != rt.Kind {
			return nil, &Error{Reason: ErrAnswer, Status: resp.Status, Sent: true, Cause: errors.New("a redirect to something else of the repository")}
		}
		if resp, err = r.Do(ctx, Request{Route: next, Header: header.Clone()}); err != nil {
			return nil, err
		}
	}
}

// fetch reads from a store, that a redirect has led to. What it says counts as the registry's,
// but it leads nowhere.
func (u *Upstream) fetch(ctx context.Context, method, address string) (*Response, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, &Error{Reason: ErrAnswer, Sent: true, Cause: errors.New("a malformed URL")} // without it, as it may be a signed one
	}
	out := &http.Request{Method: method, URL: target, Host: target.Host, Header: http.Header{"User-Agent": {""}}}
	resp, err := awaited(ctx, u.timeout, func(ctx context.Context, wait *wait) (*http.Response, *sentBody, error) {
		wait.begin()
		resp, err := u.transport.stores.RoundTrip(out.WithContext(ctx))
		return resp, nil, err
	})
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300, resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusNotModified:
		return &Response{Status: resp.StatusCode, Header: passed(resp.Header), Body: resp.Body}, nil
	}
	resp.Body.Close()
	return nil, &Error{Reason: ErrAnswer, Status: resp.StatusCode, Sent: true, Cause: errors.New("the store that it led to answers " + resp.Status)}
}
