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
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.CAs}, DisableKeepAlives: true}
	if cfg.Certificate != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*cfg.Certificate}
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &registryClient{base, cfg, &http.Client{Transport: transport, Timeout: onlineLimit, CheckRedirect: noRedirect}}, nil
}

// do sends a request to a path under the base, or to a Location. The answer's body
// is read and dropped.
func (r *registryClient) do(ctx context.Context, method, target, contentType string, body []byte) (*http.Response, error) {
	u, err := r.resolve(target)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if r.config.Username != "" {
		req.SetBasicAuth(r.config.Username, string(r.config.Password))
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp, errors.Join(err, resp.Body.Close())
}

// resolve keeps a Location on the upstream: credentials go nowhere else.
func (r *registryClient) resolve(target string) (*url.URL, error) {
	if strings.HasPrefix(target, "/v2/") && !strings.HasPrefix(target, r.base.Path+"/v2/") {
		target = r.base.Path + target
	}
	u, err := r.base.Parse(target)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host, u.User = r.base.Scheme, r.base.Host, nil
	return u, nil
}

// registry reads the upstream's part of the config once more; it had no fault.
func (c *checker) registry() (*registryClient, error) {
	return newRegistry(c.loaded.gatewayConfig(&parts{}).Upstream)
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

// probe tests with two scratch repositories whether a blob that was pushed to
// one can be reached by the other.
type probe struct {
	*registryClient
	a, b   string // repositories
	blob   []byte
	digest string
}

// probeWrites runs the probe and says what it means for a policy.
func (c *checker) probeWrites(ctx context.Context) {
	r, err := c.registry()
	if err != nil {
		c.say(false, "probe", "%v", err)
		return
	}
	scratch := "gatehouse-probe/" + strings.ToLower(rand.Text())
	p := &probe{registryClient: r, a: scratch + "/a", b: scratch + "/b", blob: []byte("gatehouse probe " + rand.Text())}
	p.digest = digestOf(p.blob)
	if err := p.push(ctx, p.a, p.blob); err != nil {
		c.say(false, "probe", "a blob cannot be pushed to %s: %v", p.a, err)
		return
	}
	defer p.clean(ctx, c.out)
	c.judge("blob by HEAD", p.reaches(ctx, http.MethodHead))
	c.judge("blob by GET", p.reaches(ctx, http.MethodGet))
	c.judge("manifest that names it", p.manifest(ctx))
	c.mounts(p.mount(ctx, p.a), p.mount(ctx, ""))
}

// judge prints one result; an upstream that shares blobs is no fault of the
// config, so it counts as a warning.
func (c *checker) judge(what string, reached bool) {
	if reached {
		fmt.Fprintf(c.out, "warning: probe: %s: a repository reaches what was pushed to another. Who knows a digest can read or claim that blob "+
			"from any repository he may use: a policy cannot protect blobs there by repository\n", what)
		return
	}
	c.say(true, "probe", "%s: kept apart by repository; a policy protects it", what)
}

func (c *checker) mounts(named, unnamed bool) {
	switch {
	case named && !c.loaded.cfg.Upstream.BlobMount:
		c.say(true, "probe", "mount with from: works; upstream.blob_mount: true would save pushes (the gateway checks the source)")
	case named:
		c.say(true, "probe", "mount with from: works, as upstream.blob_mount says")
	case c.loaded.cfg.Upstream.BlobMount:
		fmt.Fprintln(c.out, "warning: probe: mount with from: not supported; upstream.blob_mount: true is of no use")
	default:
		c.say(true, "probe", "mount with from: not supported, as upstream.blob_mount says")
	}
	if unnamed {
		c.say(true, "probe", "mount without from: the upstream takes a blob from any repository; the gateway never passes such a mount on")
		return
	}
	c.say(true, "probe", "mount without from: not supported")
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// push uploads a blob in one piece (distribution spec end-4a, end-6).
func (p *probe) push(ctx context.Context, repository string, blob []byte) error {
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	location := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusAccepted || location == "" {
		return fmt.Errorf("status %d at the start of an upload", resp.StatusCode)
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	resp, err = p.do(ctx, http.MethodPut, location+separator+"digest="+url.QueryEscape(digestOf(blob)), "application/octet-stream", blob)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("status %d at the end of an upload", resp.StatusCode)
	}
	return err
}

// reaches asks the other repository for the blob.
func (p *probe) reaches(ctx context.Context, method string) bool {
	resp, err := p.do(ctx, method, "/v2/"+p.b+"/blobs/"+p.digest, "", nil)
	return err == nil && resp.StatusCode < 400
}

// manifest puts a manifest into the other repository that names the blob as a layer.
func (p *probe) manifest(ctx context.Context) bool {
	config := []byte("{}")
	if err := p.push(ctx, p.b, config); err != nil {
		return false
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	text := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		kind, digestOf(config), len(config), p.digest, len(p.blob))
	resp, err := p.do(ctx, http.MethodPut, "/v2/"+p.b+"/manifests/probe", kind, text)
	if err != nil || resp.StatusCode != http.StatusCreated {
		return false
	}
	_, _ = p.do(ctx, http.MethodDelete, "/v2/"+p.b+"/manifests/"+digestOf(text), "", nil) // what is left is told by clean
	return true
}

// mount tries to take the blob over (end-11). An upload that starts instead is ended.
func (p *probe) mount(ctx context.Context, from string) bool {
	query := url.Values{"mount": {p.digest}}
	if from != "" {
		query.Set("from", from)
	}
	resp, err := p.do(ctx, http.MethodPost, "/v2/"+p.b+"/blobs/uploads/?"+query.Encode(), "", nil)
	if err != nil {
		return false
	}
	if resp.StatusCode == http.StatusAccepted && resp.Header.Get("Location") != "" {
		_, _ = p.do(ctx, http.MethodDelete, resp.Header.Get("Location"), "", nil) // it would end by itself
	}
	if resp.StatusCode != http.StatusCreated {
		return false
	}
	_, _ = p.do(ctx, http.MethodDelete, "/v2/"+p.b+"/blobs/"+p.digest, "", nil) // as in clean
	return true
}

// clean removes the blobs where the upstream lets anybody.
func (p *probe) clean(ctx context.Context, out io.Writer) {
	left := false
	for repository, digest := range map[string]string{p.a: p.digest, p.b: digestOf([]byte("{}"))} {
		resp, err := p.do(ctx, http.MethodDelete, "/v2/"+repository+"/blobs/"+digest, "", nil)
		left = left || err != nil || resp.StatusCode >= 400 && resp.StatusCode != http.StatusNotFound
	}
	if left {
		fmt.Fprintf(out, "warning: probe: the upstream does not delete; a few bytes are left in %s and %s\n", p.a, p.b)
	}
}
