package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"gatehouse/cmd/gatehouse/probe"
	"gatehouse/proxy/upstream"
)

// upstreams asks each address of each upstream for the API's base.
func (c *checker) upstreams(ctx context.Context) {
	for _, e := range c.loaded.Config.Entries() {
		subject := upstreamSubject(e.Name)
		for _, a := range e.Addresses() {
			limited, cancel := context.WithTimeout(ctx, onlineLimit)
			ok, meaning := probe.Base(limited, &a)
			cancel()
			c.say(ok, subject, "%s", meaning)
		}
	}
}

// probeWrites runs the probe at one address of each upstream.
func (c *checker) probeWrites(ctx context.Context) {
	for _, e := range c.loaded.Config.Entries() {
		if len(c.loaded.Config.Upstreams) > 0 {
			fmt.Fprintf(c.out, "upstream %s:\n", e.Name)
		}
		c.probe(ctx, &e.Addresses()[0])
	}
}

// probe says what the probe of an upstream means for a policy.
func (c *checker) probe(ctx context.Context, cfg *upstream.Config) {
	u, err := upstream.New(*cfg, nil)
	if err != nil {
		c.say(false, "probe", "%v", err)
		return
	}
	defer u.Close()
	p := probe.New(u, onlineLimit)
	defer func() {
		if p.Clean(context.WithoutCancel(ctx)) {
			fmt.Fprintln(c.out, "warning: probe: the upstream does not delete; a few bytes are left in gatehouse-probe/*")
		}
	}()
	if err := p.Prepare(ctx); err != nil {
		c.say(false, "probe", "nothing can be pushed to %s and its neighbours: %v", probe.Owner, err)
		return
	}
	faults := c.faults
	ok, meaning := probe.Reading(p.Own(ctx))
	c.say(ok, "probe", "%s", meaning)
	shared := c.judge("blob by GET", p.Read(ctx, http.MethodGet, ""))
	shared = c.judge("blob by GET of a part", p.Read(ctx, http.MethodGet, "bytes=0-3")) || shared
	shared = c.judge("blob by HEAD", p.Read(ctx, http.MethodHead, "")) || shared
	shared = c.judge("blob by GET after HEAD", p.Read(ctx, http.MethodGet, "")) || shared
	shared = c.judge("manifest that names it", p.Manifest(ctx)) || shared
	shared = c.mounts(ctx, p) || shared
	if c.faults == faults {
		c.verdict(shared)
	}
}

// judge prints one result; an upstream that shares blobs is no fault of the
// config, so it counts as a warning.
func (c *checker) judge(what string, r probe.Result) (reached bool) {
	switch {
	case r.Err != nil:
		c.say(false, "probe", "%s: %v", what, r.Err)
	case r.Reached:
		fmt.Fprintf(c.out, "warning: probe: %s: a repository reaches what was pushed to another\n", what)
	default:
		c.say(true, "probe", "%s: kept apart by repository", what)
	}
	return r.Reached
}

// mounts tries the three kinds of mounts and holds them against blob_mount. It
// reports whether the config lets one through that takes from any repository.
func (c *checker) mounts(ctx context.Context, p *probe.Probe) (open bool) {
	elsewhere, unnamed, named := p.Mount(ctx, probe.Empty), p.Mount(ctx, ""), p.Mount(ctx, probe.Owner)
	if err := errors.Join(elsewhere.Err, unnamed.Err, named.Err); err != nil {
		c.say(false, "probe", "mount: %v", err)
		return false
	}
	set := p.BlobMount()
	always := set == upstream.MountAlways
	switch {
	case elsewhere.Reached && always:
		fmt.Fprintln(c.out, "warning: probe: mount with from: the upstream does not look at from and takes a blob from any repository. "+
			"Set upstream.blob_mount: auto or false: what the gateway checks of from protects nothing here")
	case elsewhere.Reached && set == upstream.MountNever:
		c.say(true, "probe", "mount with from: the upstream takes a blob from any repository, whatever from says; the gateway passes no mount on, as upstream.blob_mount says")
	case elsewhere.Reached:
		c.say(true, "probe", "mount with from: the upstream takes a blob from any repository, whatever from says; the gateway looks first whether the source has it, as upstream.blob_mount: auto says, and true would be wrong")
	case named.Reached && set == upstream.MountNever:
		c.say(true, "probe", "mount with from: works; upstream.blob_mount: auto would save pushes (the gateway checks the source)")
	case named.Reached:
		c.say(true, "probe", "mount with from: works, as upstream.blob_mount says; the gateway checks that the caller may pull the source")
	case always:
		fmt.Fprintln(c.out, "warning: probe: mount with from: not supported; upstream.blob_mount: true is of no use")
	default:
		c.say(true, "probe", "mount with from: not supported; each becomes a plain upload")
	}
	if unnamed.Reached {
		c.say(true, "probe", "mount without from: the upstream takes a blob from any repository; the gateway never passes such a mount on")
	} else {
		c.say(true, "probe", "mount without from: not supported")
	}
	return elsewhere.Reached && always
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
