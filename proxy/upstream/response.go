package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/proxy/route"
)

// check refuses what must not reach a client: the upstream's own challenge (it would
// ask for credentials that are none of its business), a protocol switch, and a
// Location or Link that leads elsewhere. What passes has its Location and Link
// rewritten to paths of ours.
func (u *Upstream) check(rt *route.Route, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return fmt.Errorf("it asks for credentials: %s", resp.Status)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 599 { // RFC 9110 section 15; the server cannot even write one below 100
		return fmt.Errorf("a status that is no answer: %s", resp.Status)
	}
	if err := u.rewriteLocation(rt, resp); err != nil {
		return err
	}
	if rt.Kind == route.Catalog {
		return nil // its Link is for our own reading, see Listing
	}
	return u.rewriteLinks(rt, resp)
}

// rewriteLocation makes Location a path of ours, whatever host the upstream
// thinks it has: a client that followed it would bypass us.
func (u *Upstream) rewriteLocation(rt *route.Route, resp *http.Response) error {
	redirect := resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified
	values := resp.Header["Location"]
	if len(values) == 0 && !redirect {
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("%d Location fields", len(values))
	}
	target, err := resolve(resp, values[0])
	if err != nil {
		return err
	}
	if redirect {
		if stays, err := u.checkRedirect(rt, resp, target); err != nil || !stays {
			return err
		}
	}
	local, err := u.localTarget(rt, target)
	if err != nil {
		return err
	}
	if redirect && local == rt.Target() {
		return u.badRedirect(rt, resp.Status, target, "it leads to itself")
	}
	resp.Header["Location"] = []string{local}
	return nil
}

// checkRedirect refuses a redirect that must not pass, and reports whether the
// other stays on the upstream. 301 and 308 are kept by clients, so that they would
// bypass us for good; one to a store is for reading content and nothing else.
func (u *Upstream) checkRedirect(rt *route.Route, resp *http.Response, target *url.URL) (stays bool, err error) {
	switch resp.StatusCode {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
	default:
		return false, u.badRedirect(rt, resp.Status, target, "only 302, 303 and 307 may pass")
	}
	reads := rt.Kind.Content() && (rt.Method == http.MethodGet || rt.Method == http.MethodHead)
	switch {
	case target.Host == "" || strings.EqualFold(target.Host, u.base.Host):
		return true, nil
	case target.Scheme != "https" && target.Scheme != "http" && target.Scheme != "" || target.User != nil || !u.mayRedirect(target):
		return false, u.badRedirect(rt, resp.Status, target, "upstream.redirect_hosts does not list that host")
	case !reads:
		return false, u.badRedirect(rt, resp.Status, target, "upstream.redirect_hosts is for GET and HEAD of blobs and manifests")
	}
	return false, nil
}

// badRedirect is the error of a redirect that does not pass. Where its path is the
// request's own, the registry itself has moved, and no entry of redirect_hosts helps.
// The query is left out: signed URLs have their secret there.
func (u *Upstream) badRedirect(rt *route.Route, status string, target *url.URL, why string) error {
	moved := url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path}
	if prefix, ok := strings.CutSuffix(target.Path, rt.Path()); ok {
		base := url.URL{Scheme: target.Scheme, Host: target.Host, Path: prefix}
		if base.Host == "" {
			base.Host = u.base.Host
		}
		if base.Scheme == "" {
			base.Scheme = u.base.Scheme
		}
		if base != u.base && (base.Scheme == "http" || base.Scheme == "https") {
			return fmt.Errorf("%s to %s: set upstream.url to %s", status, moved.String(), base.String())
		}
	}
	return fmt.Errorf("%s to %s: %s", status, moved.String(), why)
}

// mayRedirect holds a redirect's host against the list. An entry without a port
// stands for the scheme's own port.
func (u *Upstream) mayRedirect(target *url.URL) bool {
	host := route.CanonicalHost(target.Scheme, target.Host)
	for _, entry := range u.redirects {
		entry = route.CanonicalHost(target.Scheme, entry)
		if suffix, ok := strings.CutPrefix(entry, "*"); ok && strings.HasSuffix(host, suffix) && len(host) > len(suffix) || host == entry {
			return true
		}
	}
	return false
}

// resolve reads a URL of the upstream's. One without a leading slash is meant
// beside the request's own (RFC 3986 section 5.2).
func resolve(resp *http.Response, raw string) (*url.URL, error) {
	target, err := url.Parse(raw)
	if err != nil { // without the URL, which may be a signed one
		return nil, errors.Join(errors.New("a malformed URL"), errors.Unwrap(err))
	}
	if target.Host == "" && target.Opaque == "" && target.Scheme == "" && !strings.HasPrefix(target.Path, "/") && resp.Request != nil {
		target = resp.Request.URL.ResolveReference(target)
	}
	return target, nil
}

// localTarget is the path and query of a URL of the upstream as the client is to
// see them. They must lead to the same repository.
func (u *Upstream) localTarget(rt *route.Route, target *url.URL) (string, error) {
	path := target.EscapedPath()
	if path == "" || target.Opaque != "" {
		return "", errors.New("a URL without a path")
	}
	if u.base.Path != "" {
		if rest, ok := strings.CutPrefix(path, u.base.EscapedPath()); ok && strings.HasPrefix(rest, "/v2/") {
			path = rest
		}
	}
	to, clean, err := route.At(path)
	if err != nil || to.Repository != rt.Repository || to.Repository == "" {
		return "", fmt.Errorf("%q is outside %s", path, rt.Repository)
	}
	if target.RawQuery != "" {
		clean += "?" + target.RawQuery
	}
	return clean, nil
}

// rewriteLinks does the same for the next page of a list (RFC 8288). Of a Link
// only its URL and relation go on. One that leads elsewhere is left out, save in a
// list: without the next page a part would look like the whole.
func (u *Upstream) rewriteLinks(rt *route.Route, resp *http.Response) error {
	list := rt.Kind == route.Tags || rt.Kind == route.Referrers
	links, err := parseLinks(resp.Header["Link"])
	if err != nil && list {
		return err
	}
	resp.Header.Del("Link")
	for _, l := range links {
		local, err := u.localLink(rt, resp, l.url)
		if err != nil && list && l.rel == "next" {
			return err
		}
		if err == nil {
			resp.Header.Add("Link", "<"+local+`>; rel="`+l.rel+`"`)
		}
	}
	return nil
}

// localLink is the URL of a Link as the client is to see it. It has to be one that
// we would take, and to lead on: of what leads to the same page a client that
// follows it would never see the end.
func (u *Upstream) localLink(rt *route.Route, resp *http.Response, raw string) (string, error) {
	target, err := resolve(resp, raw)
	if err != nil {
		return "", err
	}
	local, err := u.localTarget(rt, target)
	if err != nil {
		return "", err
	}
	next, err := route.Parse(http.MethodGet, local)
	if err != nil {
		return "", err
	}
	if next.Path() == rt.Path() && route.EncodeQuery(next.Query) == route.EncodeQuery(rt.Query) {
		return "", fmt.Errorf("the link %q leads to the same page", raw)
	}
	return local, nil
}

// link is one link of a Link field. Without a relation it is the next page, as
// some clients take it.
type link struct{ url, rel string }

// parseLinks reads Link fields (RFC 8288 section 3). zot sends its URLs unescaped,
// so whatever stands between the angle brackets is one.
func parseLinks(fields []string) (links []link, err error) {
	for _, field := range fields {
		for rest := field; strings.Trim(rest, " \t,") != ""; {
			rest = strings.TrimLeft(rest, " \t,")
			raw, params, found := strings.Cut(rest, ">")
			if !found || !strings.HasPrefix(raw, "<") {
				return links, fmt.Errorf("a malformed Link %q", field)
			}
			rest = ""
			if i := strings.Index(params, "<"); i >= 0 {
				params, rest = params[:i], params[i:]
			}
			links = append(links, link{raw[1:], relation(params)})
		}
	}
	return links, nil
}

// relation is the parameter rel, a word.
func relation(params string) string {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(strings.Trim(param, " \t,"), "=")
		value = strings.ToLower(strings.Trim(value, `"`))
		if strings.EqualFold(key, "rel") && value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyz-") == "" {
			return value
		}
	}
	return "next"
}

// passedDown are the response fields that a client has a use for, beside those that
// begin with Docker- or Oci-.
var passedDown = map[string]bool{"Accept-Ranges": true, "Allow": true, "Blob-Upload-Uuid": true, "Content-Disposition": true,
	"Content-Encoding": true, "Content-Length": true, "Content-Range": true, "Content-Type": true, "Etag": true, "Last-Modified": true,
	"Link": true, "Location": true, "Range": true, "Retry-After": true, "Warning": true}

// passed takes all else out of the header.
func passed(h http.Header) http.Header {
	for key := range h {
		if !passedDown[key] && !strings.HasPrefix(key, "Docker-") && !strings.HasPrefix(key, "Oci-") {
			delete(h, key)
		}
	}
	return h
}
