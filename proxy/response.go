package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// checkResponse refuses what must not reach a client: the upstream's own
// challenge (it would ask for credentials that are none of its business), a
// protocol switch, and a Location or Link that leads elsewhere. What passes has
// its Location and Link rewritten to paths of ours.
func (u *upstream) checkResponse(rt *route, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return upstreamError(http.StatusBadGateway, "the registry behind asks for credentials", errors.New(resp.Status))
	case http.StatusSwitchingProtocols:
		return upstreamError(http.StatusBadGateway, "the registry behind answered with another protocol", errors.New(resp.Status))
	}
	if err := u.rewriteLocation(rt, resp); err != nil {
		return upstreamError(http.StatusBadGateway, "the registry behind points elsewhere", err)
	}
	if err := u.rewriteLinks(rt, resp); err != nil {
		return upstreamError(http.StatusBadGateway, "the registry behind points elsewhere", err)
	}
	return nil
}

// rewriteLocation makes Location a path of ours, whatever host the upstream
// thinks it has: a client that followed it would get around us. A redirect to
// another host passes if that host is listed.
func (u *upstream) rewriteLocation(rt *route, resp *http.Response) error {
	redirect := resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified
	values := resp.Header["Location"]
	if len(values) == 0 && !redirect {
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("%d Location fields", len(values))
	}
	target, err := url.Parse(values[0])
	if err != nil {
		return err
	}
	if redirect && target.Host != "" && !strings.EqualFold(target.Host, u.base.Host) {
		if (target.Scheme == "https" || target.Scheme == "http" || target.Scheme == "") && target.User == nil && u.mayRedirect(target) {
			return nil
		}
		return fmt.Errorf("a redirect to %s, which upstream.redirect_hosts does not list", target.Host)
	}
	if resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusPermanentRedirect {
		return fmt.Errorf("%s to %s", resp.Status, values[0])
	}
	local, err := u.localTarget(rt, target)
	if err != nil {
		return err
	}
	resp.Header["Location"] = []string{local}
	return nil
}

// mayRedirect holds a redirect's host against the list. An entry without a port
// stands for the scheme's own port.
func (u *upstream) mayRedirect(target *url.URL) bool {
	host := canonicalHost(target.Scheme, target.Host)
	for _, entry := range u.redirects {
		entry = canonicalHost(target.Scheme, entry)
		if suffix, ok := strings.CutPrefix(entry, "*"); ok && strings.HasSuffix(host, suffix) && len(host) > len(suffix) || host == entry {
			return true
		}
	}
	return false
}

// localTarget is the path and query of a URL of the upstream as the client is to
// see them. They must lead to the same repository.
func (u *upstream) localTarget(rt *route, target *url.URL) (string, error) {
	path := target.EscapedPath()
	if path == "" || target.Opaque != "" {
		return "", errors.New("a URL without a path")
	}
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("a relative path %q", path)
	}
	if u.base.Path != "" {
		if rest, ok := strings.CutPrefix(path, u.base.EscapedPath()); ok && strings.HasPrefix(rest, "/v2/") {
			path = rest
		}
	}
	clean, err := cleanPath(path)
	if err != nil {
		return "", err
	}
	var to route
	if err := to.classify(clean); err != nil || to.repository != rt.repository || to.repository == "" {
		return "", fmt.Errorf("%q is outside %s", path, rt.repository)
	}
	if target.RawQuery != "" {
		clean += "?" + target.RawQuery
	}
	return clean, nil
}

// rewriteLinks does the same for the next page of a list (RFC 8288). zot sends
// the URL unescaped, so what stands between the angle brackets is parsed leniently.
func (u *upstream) rewriteLinks(rt *route, resp *http.Response) error {
	links := resp.Header["Link"]
	for i, link := range links {
		rest, ok := strings.CutPrefix(strings.TrimSpace(link), "<")
		raw, params, found := strings.Cut(rest, ">")
		if !ok || !found {
			return fmt.Errorf("a malformed Link %q", link)
		}
		target, err := url.Parse(raw)
		if err != nil {
			return err
		}
		local, err := u.localTarget(rt, target)
		if err != nil {
			return err
		}
		links[i] = "<" + local + ">" + params
	}
	return nil
}

// passedDown are the response fields that a client has a use for.
var passedDown = []string{"Accept-Ranges", "Allow", "Blob-Upload-Uuid", "Content-Disposition", "Content-Encoding", "Content-Length",
	"Content-Range", "Content-Type", "Etag", "Last-Modified", "Link", "Location", "Range", "Retry-After", "Warning"}

func (u *upstream) copyHeader(x *exchange, resp *http.Response) {
	h := x.w.Header()
	for _, key := range passedDown {
		if values := resp.Header[key]; len(values) > 0 {
			h[key] = values
		}
	}
	for key, values := range resp.Header {
		if strings.HasPrefix(key, "Docker-") || strings.HasPrefix(key, "Oci-") {
			h[key] = values
		}
	}
}
