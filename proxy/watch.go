package proxy

import (
	"errors"
	"net/http"

	"gatehouse/proxy/content"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// subjectOf is what a request is about, for the cache.
func subjectOf(x *exchange) content.Subject {
	return subjectAt(x.upstream, x.route.Repository, x.route.Kind)
}

// subjectAt is what is of a kind in a repository of a registry.
func subjectAt(u *upstream.Registry, repository string, of route.Kind) content.Subject {
	kind := content.Blob
	if of == route.Manifest {
		kind = content.Manifest
	}
	return content.Subject{Upstream: u.Identity(), Repository: repository, Kind: kind}
}

// watcher tells the cache of what is forwarded.
type watcher struct {
	content *content.Cache // nil: nobody needs to know
}

// watch begins before a request is forwarded: what it does or shows, the cache has to
// know. The manifest is what it stores. nil: nobody needs to know.
func (t watcher) watch(x *exchange, manifest []byte) *content.Watch {
	rt := &x.route
	if t.content == nil || !rt.Kind.Content() && rt.Kind != route.Session {
		return nil
	}
	of := content.Forwarded{Subject: subjectOf(x), Reference: rt.Reference, Tag: rt.Tag, Accept: x.r.Header["Accept"]}
	switch {
	case rt.Method == http.MethodDelete && rt.Kind.Content():
		of.Act = content.Delete
	case rt.Method == http.MethodPut || rt.Method == http.MethodDelete:
		of.Act = content.Put
	case rt.Method != http.MethodGet && rt.Method != http.MethodHead:
		return nil
	}
	if of.Act != content.Look {
		of.Tags, of.Body, of.MediaType = rt.Tags, manifest, x.r.Header.Get("Content-Type")
	}
	return t.content.Watch(of)
}

// looks begins before the gateway itself looks whether something is there.
func (t watcher) looks(at *upstream.Registry, rt *route.Route) *content.Watch {
	if t.content == nil {
		return nil
	}
	return t.content.Watch(content.Forwarded{Subject: subjectAt(at, rt.Repository, rt.Kind), Reference: rt.Reference, Tag: rt.Tag})
}

// told ends a watch, before the client hears of the answer.
func told(w *content.Watch, resp *upstream.Response, err error) {
	switch {
	case w == nil:
	case resp != nil:
		w.Answered(resp.Status, content.Header(resp.Header))
	default:
		w.Answered(upstreamStatus(resp, err), nil)
	}
}

// upstreamStatus is that of an answer, passed on or not; 0: nothing came.
func upstreamStatus(resp *upstream.Response, err error) int {
	if resp != nil {
		return resp.Status
	}
	if a := saidNo(err); a != nil {
		return a.Status
	}
	return 0
}

// saidNo is the status of an answer that cannot be passed on; nil: nothing came.
func saidNo(err error) *content.Answer {
	if failed := new(upstream.Error); errors.As(err, &failed) && failed.Status != 0 {
		return &content.Answer{Status: failed.Status}
	}
	return nil
}
