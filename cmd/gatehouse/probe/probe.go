// Package probe tests whether an upstream keeps blobs apart by repository: whether a blob
// that was pushed to one repository can be reached through another. It asks by the same
// way as the gateway does, in scratch repositories, and removes what it pushed.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// The scratch repositories. Their names are always the same: a registry keeps the
// name of a repository for ever once something was pushed there.
const (
	Owner = "gatehouse-probe/owner" // has the blob
	Other = "gatehouse-probe/other" // must not reach it
	Empty = "gatehouse-probe/empty" // exists, and has nothing of it
)

// Probe tests whether a blob that was pushed to one repository can be reached
// through another.
type Probe struct {
	// Upstream is what is tested.
	*upstream.Upstream

	limit  time.Duration // of one request
	blob   []byte
	digest string
	config []byte // what the other repositories have of their own; nobody else's, for it is deleted in the end, on some registries everywhere
	left   bool   // something could not be removed
}

// New makes a probe of an upstream. No single request of it takes longer than limit.
func New(u *upstream.Upstream, limit time.Duration) *Probe {
	p := &Probe{Upstream: u, limit: limit, blob: []byte("gatehouse probe " + rand.Text()),
		config: fmt.Appendf(nil, `{"author":"gatehouse probe %s"}`, rand.Text())}
	p.digest = digestOf(p.blob)
	return p
}

// Result is whether the blob was reached, or why that is not known.
type Result struct {
	// Reached: the other repository gave the blob away.
	Reached bool
	// Err is why that is not known; nil: it is.
	Err error
}

// StatusOf is what the upstream answered, whether or not that could go to a client; 0
// is no answer.
func StatusOf(resp *upstream.Response, err error) int {
	if failed := new(upstream.Error); errors.As(err, &failed) {
		return failed.Status
	}
	if resp == nil {
		return 0
	}
	return resp.Status
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// do sends a request to a path and query of the API, as the gateway would send it on.
// The answer's body is read and dropped.
func (p *Probe) do(ctx context.Context, method, target string, header http.Header, body []byte) (*upstream.Response, error) {
	rt, err := route.Parse(method, target)
	if err != nil {
		return nil, err
	}
	if rt.Mount != "" {
		rt.Query = append(rt.Query, mountQuery(rt)...)
	}
	r := upstream.Request{Route: rt, Header: header}
	if body != nil {
		r.Body, r.Length = bytes.NewReader(body), int64(len(body))
	}
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	resp, err := p.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, errors.Join(err, resp.Body.Close())
}

// mountQuery is a mount as the probe tries it, with a source or without.
func mountQuery(rt route.Route) []route.Pair {
	list := []route.Pair{{Key: "mount", Value: rt.Mount}}
	if rt.Source != "" {
		list = append(list, route.Pair{Key: "from", Value: rt.Source})
	}
	return list
}

// Prepare pushes the blob to its owner, and something else to the others, so that
// they exist.
func (p *Probe) Prepare(ctx context.Context) error {
	if err := p.Push(ctx, Owner, p.blob); err != nil {
		return err
	}
	for _, repository := range []string{Other, Empty} {
		if err := p.Push(ctx, repository, p.config); err != nil {
			return err
		}
	}
	return nil
}

// Own reads the blob from where it was pushed.
func (p *Probe) Own(ctx context.Context) (*upstream.Response, error) {
	return p.do(ctx, http.MethodGet, "/v2/"+Owner+"/blobs/"+p.digest, nil, nil)
}

// Push uploads a blob in one piece (distribution spec end-4a, end-6).
func (p *Probe) Push(ctx context.Context, repository string, blob []byte) error {
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil, nil)
	if err != nil {
		return err
	}
	location := resp.Header.Get("Location")
	if resp.Status != http.StatusAccepted || location == "" {
		return fmt.Errorf("status %d at the start of an upload", resp.Status)
	}
	path, query, _ := strings.Cut(location, "?")
	query = strings.TrimPrefix(query+"&digest="+digestOf(blob), "&")
	resp, err = p.do(ctx, http.MethodPut, path+"?"+query, http.Header{"Content-Type": {"application/octet-stream"}}, blob)
	if err == nil && resp.Status != http.StatusCreated {
		err = fmt.Errorf("status %d at the end of an upload", resp.Status)
	}
	return err
}

// Read asks the other repository for the blob, or for a part of it.
func (p *Probe) Read(ctx context.Context, method, part string) Result {
	header := http.Header{}
	if part != "" {
		header.Set("Range", part)
	}
	resp, err := p.do(ctx, method, "/v2/"+Other+"/blobs/"+p.digest, header, nil)
	return answered(resp, err, func(status int) bool { return status < http.StatusBadRequest })
}

// answered is the result of an answer. A fault of the upstream, or its wish for a
// login, says nothing about blobs.
func answered(resp *upstream.Response, err error, reached func(status int) bool) Result {
	switch code := StatusOf(resp, err); {
	case code == 0:
		return Result{Err: err}
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return Result{Err: fmt.Errorf("status %d", code)}
	default:
		return Result{Reached: reached(code)}
	}
}

// Manifest puts a manifest into the other repository that names the blob as a
// layer, and looks whether the blob came along: that a registry takes manifests of
// blobs it does not have harms nobody.
func (p *Probe) Manifest(ctx context.Context) Result {
	const kind = "application/vnd.oci.image.manifest.v1+json"
	text := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		kind, digestOf(p.config), len(p.config), p.digest, len(p.blob))
	resp, err := p.do(ctx, http.MethodPut, "/v2/"+Other+"/manifests/probe", http.Header{"Content-Type": {kind}}, text)
	r := answered(resp, err, func(status int) bool { return status == http.StatusCreated })
	if !r.Reached {
		return r
	}
	r = p.Read(ctx, http.MethodGet, "")
	p.remove(ctx, "/v2/"+Other+"/manifests/"+digestOf(text))
	return r
}

// Mount tries to take the blob over (end-11). An upload that starts instead is ended.
func (p *Probe) Mount(ctx context.Context, from string) Result {
	query := url.Values{"mount": {p.digest}}
	if from != "" {
		query.Set("from", from)
	}
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+Other+"/blobs/uploads/?"+query.Encode(), nil, nil)
	r := answered(resp, err, func(status int) bool { return status == http.StatusCreated })
	if err == nil && resp.Status == http.StatusAccepted {
		_, _ = p.do(ctx, http.MethodDelete, resp.Header.Get("Location"), nil, nil) // it would end by itself
	}
	return r // what was mounted goes in Clean: a registry that shares blobs might delete it everywhere
}

// remove deletes, and notes where that fails.
func (p *Probe) remove(ctx context.Context, path string) {
	resp, err := p.do(ctx, http.MethodDelete, path, nil, nil)
	p.left = p.left || err != nil || resp.Status >= http.StatusBadRequest && resp.Status != http.StatusNotFound
}

// Clean removes the blobs where the upstream lets anybody, and reports whether something
// is left.
func (p *Probe) Clean(ctx context.Context) (left bool) {
	p.remove(ctx, "/v2/"+Owner+"/blobs/"+p.digest)
	p.remove(ctx, "/v2/"+Other+"/blobs/"+p.digest)
	for _, repository := range []string{Other, Empty} {
		p.remove(ctx, "/v2/"+repository+"/blobs/"+digestOf(p.config))
	}
	return p.left
}
