package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gatehouse/authn"
	"gatehouse/proxy"
)

// registryClient speaks with the upstream as the gateway does, with its credentials.
type registryClient struct {
	base   *url.URL
	config proxy.UpstreamConfig
	client *http.Client
}

func newRegistry(cfg proxy.UpstreamConfig) (*registryClient, error) {
	base, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
	if err != nil {
		return nil, err
	}
	roots, rerr := authn.Roots(cfg.CAFile, authn.Folder{})
	pair, perr := authn.KeyPair(cfg.CertFile, cfg.KeyFile)
	if err := errors.Join(rerr, perr); err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, DisableKeepAlives: true}
	if pair != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*pair}
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &registryClient{base, cfg, &http.Client{Transport: transport, Timeout: onlineLimit, CheckRedirect: noRedirect}}, nil
}

// do sends a request to a path under the base, or to a Location.
func (r *registryClient) do(ctx context.Context, method, target, contentType string, body []byte) (*http.Response, error) {
	return r.doWith(ctx, method, target, http.Header{"Content-Type": {contentType}}, body)
}

// doWith sends a request with those fields of header that have a value. The
// answer's body is read and dropped.
func (r *registryClient) doWith(ctx context.Context, method, target string, header http.Header, body []byte) (*http.Response, error) {
	u, err := r.resolve(target)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for key := range header {
		if value := header.Get(key); value != "" {
			req.Header.Set(key, value)
		}
	}
	if r.config.Username != "" {
		req.SetBasicAuth(r.config.Username, string(r.config.PasswordFile.Secret))
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, errors.Join(err, resp.Body.Close())
}

// resolve keeps a Location on the upstream: credentials go nowhere else. A path
// without the prefix of upstream.url comes from a registry that does not know it.
func (r *registryClient) resolve(target string) (*url.URL, error) {
	u, err := r.base.Parse(target)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(u.Path, "/v2/") && !strings.HasPrefix(u.Path, r.base.Path+"/v2/") {
		u.Path, u.RawPath = r.base.Path+u.Path, ""
	}
	u.Scheme, u.Host, u.User = r.base.Scheme, r.base.Host, nil
	return u, nil
}

// registry reads the upstream's part of the config once more; it had no fault.
func (c *checker) registry() (*registryClient, error) {
	return newRegistry(c.loaded.Config.Upstream)
}

// upstream asks for the API's base.
func (c *checker) upstream(ctx context.Context) {
	const subject = "upstream"
	r, err := c.registry()
	if err != nil {
		c.say(false, subject, "%v", err)
		return
	}
	resp, err := r.do(ctx, http.MethodGet, "/v2/", "", nil)
	switch {
	case err != nil:
		c.say(false, subject, "%v; is it running, and is upstream.url right?", err)
	case resp.StatusCode == http.StatusOK:
		c.say(true, subject, "%s answers /v2/", r.base.Redacted())
	case resp.StatusCode == http.StatusUnauthorized && r.config.Username == "":
		c.say(false, subject, "%s wants a login; give upstream.username and upstream.password_file", r.base.Redacted())
	case resp.StatusCode == http.StatusUnauthorized:
		c.say(false, subject, "%s refuses upstream.username %q with its password", r.base.Redacted(), r.config.Username)
	default:
		c.say(false, subject, "%s answers /v2/ with status %d; is it a registry, and is the path right?", r.base.Redacted(), resp.StatusCode)
	}
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
	*registryClient
	blob   []byte
	digest string
	config []byte // what the other repositories have of their own; nobody else's, for it is deleted in the end, on some registries everywhere
	left   bool   // something could not be removed
}

// probeWrites runs the probe and says what it means for a policy.
func (c *checker) probeWrites(ctx context.Context) {
	r, err := c.registry()
	if err != nil {
		c.say(false, "probe", "%v", err)
		return
	}
	p := &probe{registryClient: r, blob: []byte("gatehouse probe " + rand.Text()), config: fmt.Appendf(nil, `{"author":"gatehouse probe %s"}`, rand.Text())}
	p.digest = digestOf(p.blob)
	defer p.clean(context.WithoutCancel(ctx), c.out)
	if err := p.prepare(ctx); err != nil {
		c.say(false, "probe", "nothing can be pushed to %s and its neighbours: %v", scratchOwner, err)
		return
	}
	faults := c.faults
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
	on := c.loaded.Config.Upstream.BlobMount
	switch {
	case elsewhere.reached && on:
		fmt.Fprintln(c.out, "warning: probe: mount with from: the upstream does not look at from and takes a blob from any repository. "+
			"Set upstream.blob_mount: false: what the gateway checks of from protects nothing here")
	case elsewhere.reached:
		c.say(true, "probe", "mount with from: the upstream takes a blob from any repository, whatever from says; the gateway passes no mount on, as upstream.blob_mount says, and it has to stay so")
	case named.reached && on:
		c.say(true, "probe", "mount with from: works, as upstream.blob_mount says; the gateway checks that the caller may pull the source")
	case named.reached:
		c.say(true, "probe", "mount with from: works; upstream.blob_mount: true would save pushes (the gateway checks the source)")
	case on:
		fmt.Fprintln(c.out, "warning: probe: mount with from: not supported; upstream.blob_mount: true is of no use")
	default:
		c.say(true, "probe", "mount with from: not supported, as upstream.blob_mount says")
	}
	if unnamed.reached {
		c.say(true, "probe", "mount without from: the upstream takes a blob from any repository; the gateway never passes such a mount on")
	} else {
		c.say(true, "probe", "mount without from: not supported")
	}
	return elsewhere.reached && on
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
	resp, err := p.do(ctx, http.MethodHead, "/v2/"+scratchOwner+"/blobs/"+p.digest, "", nil)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("what was pushed is not there: status %d", resp.StatusCode)
	}
	return err
}

// push uploads a blob in one piece (distribution spec end-4a, end-6).
func (p *probe) push(ctx context.Context, repository string, blob []byte) error {
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	location, err := resp.Location()
	if resp.StatusCode != http.StatusAccepted || err != nil {
		return fmt.Errorf("status %d at the start of an upload", resp.StatusCode)
	}
	location.RawQuery = strings.TrimPrefix(location.RawQuery+"&digest="+url.QueryEscape(digestOf(blob)), "&")
	resp, err = p.do(ctx, http.MethodPut, location.String(), "application/octet-stream", blob)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("status %d at the end of an upload", resp.StatusCode)
	}
	return err
}

// read asks the other repository for the blob, or for a part of it.
func (p *probe) read(ctx context.Context, method, part string) result {
	resp, err := p.doWith(ctx, method, "/v2/"+scratchOther+"/blobs/"+p.digest, http.Header{"Range": {part}}, nil)
	return answered(resp, err, func(status int) bool { return status < http.StatusBadRequest })
}

// answered is the result of an answer. A fault of the upstream, or its wish for a
// login, says nothing about blobs.
func answered(resp *http.Response, err error, reached func(status int) bool) result {
	if err != nil {
		return result{err: err}
	}
	switch code := resp.StatusCode; {
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
	resp, err := p.do(ctx, http.MethodPut, "/v2/"+scratchOther+"/manifests/probe", kind, text)
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
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+scratchOther+"/blobs/uploads/?"+query.Encode(), "", nil)
	r := answered(resp, err, func(status int) bool { return status == http.StatusCreated })
	if r.err == nil && resp.StatusCode == http.StatusAccepted {
		if location, err := resp.Location(); err == nil {
			_, _ = p.do(ctx, http.MethodDelete, location.String(), "", nil) // it would end by itself
		}
	}
	return r // what was mounted goes in clean: a registry that shares blobs might delete it everywhere
}

// remove deletes, and notes where that fails.
func (p *probe) remove(ctx context.Context, path string) {
	resp, err := p.do(ctx, http.MethodDelete, path, "", nil)
	p.left = p.left || err != nil || resp.StatusCode >= http.StatusBadRequest && resp.StatusCode != http.StatusNotFound
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
