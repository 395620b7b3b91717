package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

const (
	// catalogLimit bounds a listing over all the upstream's pages.
	catalogLimit = 60 * time.Second
	// maxCatalogPage bounds one page of the upstream's, in bytes.
	maxCatalogPage = 8 << 20
)

// catalog answers /v2/_catalog: the upstream's pages, as many as are needed for
// the caller's, with only those names that he may pull. The cursor is the last
// name that he was shown, so no header ever tells a hidden one.
func (g *Gateway) catalog(x *exchange) error {
	page := catalogPage{names: []string{}, limit: x.route.Page}
	if page.limit < 0 {
		page.limit = route.MaxPage
	}
	if page.limit > 0 {
		ctx, cancel := context.WithTimeout(x.r.Context(), g.catalogLimit)
		defer cancel()
		err := g.fillCatalog(ctx, x, &page)
		if own := new(catalogRefusal); errors.As(err, &own) {
			return g.passRefusal(x, own)
		}
		if err != nil {
			return err
		}
	}
	body, err := json.Marshal(map[string][]string{"repositories": page.names})
	if err != nil {
		return err
	}
	if page.more {
		next := route.EncodeQuery([]route.Pair{{Key: "last", Value: page.names[len(page.names)-1]}, {Key: "n", Value: strconv.Itoa(page.limit)}})
		x.w.Header().Set("Link", "</v2/_catalog?"+next+`>; rel="next"`)
	}
	g.writeJSON(x, append(body, '\n'))
	return nil
}

// catalogPage is the page that is being filled.
type catalogPage struct {
	names []string
	limit int
	more  bool
}

// add takes the visible names of one page of the upstream's and says whether
// ours is full. rest: the upstream has further pages.
func (p *catalogPage) add(names []string, visible func(string) bool, rest bool) (full bool) {
	for _, name := range names {
		if !visible(name) {
			continue
		}
		if len(p.names) == p.limit {
			p.more = true
			return true
		}
		p.names = append(p.names, name)
	}
	// Whether a further page holds a name for this caller is not known without
	// reading it; a page too many is better than a name too few.
	p.more = len(p.names) == p.limit && rest
	return p.more
}

func (g *Gateway) fillCatalog(ctx context.Context, x *exchange, page *catalogPage) error {
	caller := g.policy.For(x.caller.identity)
	visible := func(name string) bool {
		return caller.Decide(authz.Request{Repository: name, Action: authz.Pull, Source: x.peer.client}).Allowed
	}
	size, last := route.MaxPage, x.route.Last
	for {
		names, rest, err := g.upstream.catalogNames(ctx, x, size, last)
		if err == errPageSize {
			size = 0 // this upstream's pages are smaller: let it choose
			continue
		}
		if own := new(catalogRefusal); errors.As(err, &own) && last != x.route.Last {
			return upstreamError(http.StatusBadGateway, "the registry behind does not list the rest of its catalog", errors.New(own.Error()))
		}
		if err != nil {
			return err
		}
		if page.add(names, visible, rest != "") || rest == "" {
			return nil
		}
		if rest == last {
			return upstreamError(http.StatusBadGateway, "the registry behind does not get on with its catalog", errors.New("the cursor stays at "+last))
		}
		last = rest
	}
}

// errPageSize: the upstream refuses pages of that size (PAGINATION_NUMBER_INVALID).
var errPageSize = errors.New("the upstream refuses that page size")

// catalogRefusal is the upstream's own error where its first page was asked for,
// which passes as on any other endpoint.
type catalogRefusal struct {
	resp *http.Response
	body []byte
}

func (r *catalogRefusal) Error() string { return "the upstream answers " + r.resp.Status }

// maxRefusal bounds the body of an error of the upstream's that is read whole, in bytes.
const maxRefusal = 64 << 10

// refusedCatalog reads an answer that is no page.
func refusedCatalog(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if resp.StatusCode < 400 || resp.StatusCode > 599 || err != nil {
		return upstreamError(http.StatusBadGateway, "the registry behind does not list its catalog", errors.Join(errors.New(resp.Status), err))
	}
	return &catalogRefusal{resp, body}
}

// passRefusal sends it on under the checks of every answer.
func (g *Gateway) passRefusal(x *exchange, own *catalogRefusal) error {
	if err := g.upstream.checkResponse(&x.route, own.resp); err != nil {
		return err
	}
	own.resp.Body = io.NopCloser(bytes.NewReader(own.body))
	own.resp.Header.Set("Content-Length", strconv.Itoa(len(own.body)))
	return g.relay(x, own.resp, func(error) {})
}

// catalogNames reads one page of the upstream's catalog and the cursor of the
// next, empty at the end.
func (u *upstream) catalogNames(ctx context.Context, x *exchange, size int, last string) ([]string, string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wait := startWait(u.timeout, cancel)
	defer wait.stop()
	wait.begin()
	rt := x.route
	rt.Query = nil
	if size > 0 {
		rt.Query = append(rt.Query, route.Pair{Key: "n", Value: strconv.Itoa(size)})
	}
	if last != "" {
		rt.Query = append(rt.Query, route.Pair{Key: "last", Value: last})
	}
	rt.Method = http.MethodGet
	page := *x
	page.route = rt
	resp, err := u.roundTrip(u.request(ctx, &page, 0))
	if err != nil {
		return nil, "", failedCatalog(ctx, err)
	}
	defer resp.Body.Close()
	x.event.upstreamStatus = resp.StatusCode
	if resp.StatusCode == http.StatusBadRequest && size > 0 {
		return nil, "", errPageSize
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", refusedCatalog(resp)
	}
	var body struct{ Repositories []string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxCatalogPage)).Decode(&body); err != nil {
		return nil, "", failedCatalog(ctx, err)
	}
	next, err := catalogCursor(resp.Header.Values("Link"), body.Repositories)
	return body.Repositories, next, err
}

func failedCatalog(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return upstreamError(http.StatusGatewayTimeout, "the registry behind did not list its catalog in time", err)
	}
	return failedRoundTrip(ctx, nil, err)
}

// catalogCursor reads `last` out of the Link to the next page. A Link without one
// is an error: to stop there would show a part of the catalog as the whole.
func catalogCursor(fields, names []string) (string, error) {
	links, err := parseLinks(fields)
	for _, l := range links {
		if l.rel != "next" {
			continue
		}
		if _, query, ok := strings.Cut(l.url, "?"); ok {
			if values, err := url.ParseQuery(query); err == nil && values.Get("last") != "" {
				return values.Get("last"), nil
			}
		}
		err = fmt.Errorf("the link %q after %d names", l.url, len(names))
	}
	if err != nil {
		return "", upstreamError(http.StatusBadGateway, "the registry behind gave a catalog page without a cursor", err)
	}
	return "", nil
}

// Ready asks the upstream for the API's base. It wants 200, or 401 where the config
// has no credentials to answer it with (a registry that asks for some, and still
// serves the public). Anything else is an error that says what to do.
func (g *Gateway) Ready(ctx context.Context) error {
	target := g.upstream.base
	target.Path += "/v2/"
	out := (&http.Request{Method: http.MethodGet, URL: &target, Host: target.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}).WithContext(ctx)
	g.upstream.authorize(out)
	resp, err := g.upstream.transport.RoundTrip(out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized && g.upstream.username == "" {
		return nil
	}
	if location, err := resp.Location(); err == nil {
		return fmt.Errorf("the upstream answers /v2/ with %w", g.upstream.badRedirect(&route.Route{Kind: route.Base}, resp.Status, location, "that is no registry's answer"))
	}
	return fmt.Errorf("the upstream answers /v2/ with %s", resp.Status)
}
