package main

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

	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// registry is the upstream as the gateway speaks with it; the config had no fault.
func (c *checker) registry(subject string) *upstream.Upstream {
	u, err := upstream.New(c.loaded.Config.Upstream, nil)
	if err != nil {
		c.say(false, subject, "%v", err)
	}
	return u
}

// upstream asks for the API's base.
func (c *checker) upstream(ctx context.Context) {
	const subject = "upstream"
	cfg, u := &c.loaded.Config.Upstream, c.registry(subject)
	if u == nil {
		return
	}
	defer u.Close()
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	resp, err := u.Do(ctx, upstream.Request{Route: route.Route{Kind: route.Base, Method: http.MethodGet}})
	if err == nil {
		resp.Body.Close()
	}
	switch status := statusOf(resp, err); {
	case status == 0:
		c.say(false, subject, "%v; is it running, and is upstream.url right?", err)
	case status == http.StatusOK:
		c.say(true, subject, "%s answers /v2/", cfg.URL)
	case status == http.StatusUnauthorized && cfg.Username == "":
		c.say(false, subject, "%s wants a login; give upstream.username and upstream.password_file", cfg.URL)
	case status == http.StatusUnauthorized:
		c.say(false, subject, "%s refuses upstream.username %q with its password", cfg.URL, cfg.Username)
	case err != nil:
		c.say(false, subject, "%s: %v", cfg.URL, err)
	default:
		c.say(false, subject, "%s answers /v2/ with status %d; is it a registry, and is the path right?", cfg.URL, status)
	}
}

// statusOf is what the upstream answered, whether or not that could go to a client; 0
// is no answer.
func statusOf(resp *upstream.Response, err error) int {
	if failed := new(upstream.Error); errors.As(err, &failed) {
		return failed.Status
	}
	return resp.Status
}

// The scratch repositories. Their names are always the same: a registry keeps the
// name of a repository for ever once something was pushed there.
const (
	scratchOwner = "gatehouse-probe/owner" // has the blob
	scratchOther = "gatehouse-probe/other" // must not reach it
	scratchEmpty = "gatehouse-probe/empty" // exists, and has nothing of it
)

// probe tests whether a blob that was pushed to one repository can be reached
// through another.
type probe struct {
	*upstream.Upstream
	blob   []byte
	digest string
	config []byte // what the other repositories have of their own; nobody else's, for it is deleted in the end, on some registries everywhere
	left   bool   // something could not be removed
}

// probeWrites runs the probe and says what it means for a policy.
func (c *checker) probeWrites(ctx context.Context) {
	u := c.registry("probe")
	if u == nil {
		return
	}
	defer u.Close()
	p := &probe{Upstream: u, blob: []byte("gatehouse probe " + rand.Text()), config: fmt.Appendf(nil, `{"author":"gatehouse probe %s"}`, rand.Text())}
	p.digest = digestOf(p.blob)
	defer p.clean(context.WithoutCancel(ctx), c.out)
	if err := p.prepare(ctx); err != nil {
		c.say(false, "probe", "nothing can be pushed to %s and its neighbours: %v", scratchOwner, err)
		return
	}
	faults := c.faults
	c.own(p.get(ctx, scratchOwner))
	shared := c.judge("blob by GET", p.read(ctx, http.MethodGet, ""))
	shared = c.judge("blob by GET of a part", p.read(ctx, http.MethodGet, "bytes=0-3")) || shared
	shared = c.judge("blob by HEAD", p.read(ctx, http.MethodHead, "")) || shared
	shared = c.judge("blob by GET after HEAD", p.read(ctx, http.MethodGet, "")) || shared
	shared = c.judge("manifest that names it", p.manifest(ctx)) || shared
	shared = c.mounts(ctx, p) || shared
	if c.faults == faults {
		c.verdict(shared)
	}
}

// result is whether the blob was reached, or why that is not known.
type result struct {
	reached bool
	err     error
}

// judge prints one result; an upstream that shares blobs is no fault of the
// config, so it counts as a warning.
func (c *checker) judge(what string, r result) (reached bool) {
	switch {
	case r.err != nil:
		c.say(false, "probe", "%s: %v", what, r.err)
	case r.reached:
		fmt.Fprintf(c.out, "warning: probe: %s: a repository reaches what was pushed to another\n", what)
	default:
		c.say(true, "probe", "%s: kept apart by repository", what)
	}
	return r.reached
}

// mounts tries the three kinds of mounts and holds them against blob_mount. It
// says whether the config lets one through that takes from any repository.
func (c *checker) mounts(ctx context.Context, p *probe) (open bool) {
	elsewhere, unnamed, named := p.mount(ctx, scratchEmpty), p.mount(ctx, ""), p.mount(ctx, scratchOwner)
	if err := errors.Join(elsewhere.err, unnamed.err, named.err); err != nil {
		c.say(false, "probe", "mount: %v", err)
		return false
	}
	set := p.BlobMount()
	always := set == upstream.MountAlways
	switch {
	case elsewhere.reached && always:
		fmt.Fprintln(c.out, "warning: probe: mount with from: the upstream does not look at from and takes a blob from any repository. "+
			"Set upstream.blob_mount: auto or false: what the gateway checks of from protects nothing here")
	case elsewhere.reached && set == upstream.MountNever:
		c.say(true, "probe", "mount with from: the upstream takes a blob from any repository, whatever from says; the gateway passes no mount on, as upstream.blob_mount says")
	case elsewhere.reached:
		c.say(true, "probe", "mount with from: the upstream takes a blob from any repository, whatever from says; the gateway looks first whether the source has it, as upstream.blob_mount: auto says, and true would be wrong")
	case named.reached && set == upstream.MountNever:
		c.say(true, "probe", "mount with from: works; upstream.blob_mount: auto would save pushes (the gateway checks the source)")
	case named.reached:
		c.say(true, "probe", "mount with from: works, as upstream.blob_mount says; the gateway checks that the caller may pull the source")
	case always:
		fmt.Fprintln(c.out, "warning: probe: mount with from: not supported; upstream.blob_mount: true is of no use")
	default:
		c.say(true, "probe", "mount with from: not supported; each becomes a plain upload")
	}
	if unnamed.reached {
		c.say(true, "probe", "mount without from: the upstream takes a blob from any repository; the gateway never passes such a mount on")
	} else {
		c.say(true, "probe", "mount without from: not supported")
	}
	return elsewhere.reached && always
}

// verdict says it in plain words.
func (c *checker) verdict(shared bool) {
	if !shared {
		c.say(true, "probe", "this upstream keeps blobs apart: a policy on a repository protects its manifests, tags and blobs alike")
		return
	}
	fmt.Fprint(c.out, "warning: probe: this upstream does not keep blobs apart. What a policy protects here: who may push and delete where, and the\n"+
		"  manifests and tags of each repository. What it cannot protect: a blob whose digest somebody knows, who may pull from or push\n"+
		"  to any repository at all; digests stand in every manifest and are no secrets. Keep what must stay apart in another\n"+
		"  registry, or switch off the sharing of blobs there (zot: dedupe)\n")
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// do sends a request to a path and query of the API, as the gateway would send it on.
// The answer's body is read and dropped.
func (p *probe) do(ctx context.Context, method, target string, header http.Header, body []byte) (*upstream.Response, error) {
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
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
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

// prepare pushes the blob to its owner, and something else to the others, so that
// they exist.
func (p *probe) prepare(ctx context.Context) error {
	if err := p.push(ctx, scratchOwner, p.blob); err != nil {
		return err
	}
	for _, repository := range []string{scratchOther, scratchEmpty} {
		if err := p.push(ctx, repository, p.config); err != nil {
			return err
		}
	}
	return nil
}

// get reads the blob, from where it was pushed or from elsewhere.
func (p *probe) get(ctx context.Context, repository string) (*upstream.Response, error) {
	return p.do(ctx, http.MethodGet, "/v2/"+repository+"/blobs/"+p.digest, nil, nil)
}

// own judges the reading of the blob where it was pushed: what comes here is what each
// pull gets.
func (c *checker) own(resp *upstream.Response, err error) {
	const subject = "probe"
	switch status := statusOf(resp, err); {
	case err != nil && status >= 300 && status < 400:
		c.say(false, subject, "reading a blob: %v; until that is settled every pull is 502. Either let the registry stream its blobs itself (distribution: storage.redirect.disable: true), or list the store in upstream.redirect_hosts", err)
	case err != nil:
		c.say(false, subject, "reading a blob: %v", err)
	case status >= 300 && status < 400:
		c.say(true, subject, "reading a blob: redirected to %s, which clients have to reach; what they read there does not pass the gateway", hostOf(resp.Header.Get("Location")))
	case status != http.StatusOK:
		c.say(false, subject, "what was pushed is not there: status %d", status)
	default:
		c.say(true, subject, "reading a blob: the upstream sends it itself")
	}
}

func hostOf(location string) string {
	if u, err := url.Parse(location); err == nil && u.Host != "" {
		return u.Host
	}
	return "another path of its own"
}

// push uploads a blob in one piece (distribution spec end-4a, end-6).
func (p *probe) push(ctx context.Context, repository string, blob []byte) error {
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

// read asks the other repository for the blob, or for a part of it.
func (p *probe) read(ctx context.Context, method, part string) result {
	header := http.Header{}
	if part != "" {
		header.Set("Range", part)
	}
	resp, err := p.do(ctx, method, "/v2/"+scratchOther+"/blobs/"+p.digest, header, nil)
	return answered(resp, err, func(status int) bool { return status < http.StatusBadRequest })
}

// answered is the result of an answer. A fault of the upstream, or its wish for a
// login, says nothing about blobs.
func answered(resp *upstream.Response, err error, reached func(status int) bool) result {
	switch code := statusOf(resp, err); {
	case code == 0:
		return result{err: err}
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return result{err: fmt.Errorf("status %d", code)}
	default:
		return result{reached: reached(code)}
	}
}

// manifest puts a manifest into the other repository that names the blob as a
// layer, and looks whether the blob came along: that a registry takes manifests of
// blobs it does not have harms nobody.
func (p *probe) manifest(ctx context.Context) result {
	const kind = "application/vnd.oci.image.manifest.v1+json"
	text := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		kind, digestOf(p.config), len(p.config), p.digest, len(p.blob))
	resp, err := p.do(ctx, http.MethodPut, "/v2/"+scratchOther+"/manifests/probe", http.Header{"Content-Type": {kind}}, text)
	r := answered(resp, err, func(status int) bool { return status == http.StatusCreated })
	if !r.reached {
		return r
	}
	r = p.read(ctx, http.MethodGet, "")
	p.remove(ctx, "/v2/"+scratchOther+"/manifests/"+digestOf(text))
	return r
}

// mount tries to take the blob over (end-11). An upload that starts instead is ended.
func (p *probe) mount(ctx context.Context, from string) result {
	query := url.Values{"mount": {p.digest}}
	if from != "" {
		query.Set("from", from)
	}
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+scratchOther+"/blobs/uploads/?"+query.Encode(), nil, nil)
	r := answered(resp, err, func(status int) bool { return status == http.StatusCreated })
	if err == nil && resp.Status == http.StatusAccepted {
		_, _ = p.do(ctx, http.MethodDelete, resp.Header.Get("Location"), nil, nil) // it would end by itself
	}
	return r // what was mounted goes in clean: a registry that shares blobs might delete it everywhere
}

// remove deletes, and notes where that fails.
func (p *probe) remove(ctx context.Context, path string) {
	resp, err := p.do(ctx, http.MethodDelete, path, nil, nil)
	p.left = p.left || err != nil || resp.Status >= http.StatusBadRequest && resp.Status != http.StatusNotFound
}

// clean removes the blobs where the upstream lets anybody.
func (p *probe) clean(ctx context.Context, out io.Writer) {
	p.remove(ctx, "/v2/"+scratchOwner+"/blobs/"+p.digest)
	p.remove(ctx, "/v2/"+scratchOther+"/blobs/"+p.digest)
	for _, repository := range []string{scratchOther, scratchEmpty} {
		p.remove(ctx, "/v2/"+repository+"/blobs/"+digestOf(p.config))
	}
	if p.left {
		fmt.Fprintln(out, "warning: probe: the upstream does not delete; a few bytes are left in gatehouse-probe/*")
	}
}
