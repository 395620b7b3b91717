package proxy

import (
	"context"
	"crypto"
	_ "crypto/sha256" // of digests
	_ "crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens/store"
)

const (
	holdLimit = time.Minute      // how long a push waits for another one of its tag
	heldFor   = 20 * time.Minute // and how long it may hold the tag; longer than the upstream has for a commit
)

// tagGuard finds out which half of a push a manifest is, where the policy wants to know.
type tagGuard struct {
	decider *decider
	holds   *sharedHolds
	limit   time.Duration // see holdLimit
}

// lasting is the context of a request to the upstream. While it holds tags that is
// answered, whether or not its client waits: what it does meanwhile nobody could know.
// It ends where they cannot be held any longer; an error means that they are not now.
func (g *tagGuard) lasting(x *exchange, l *lease) (context.Context, context.CancelFunc, error) {
	if !x.guarded {
		return x.r.Context(), func() {}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), heldFor)
	ctx, stop, err := l.during(ctx)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, func() { stop(); cancel() }, nil
}

// take holds the manifest's tags, and decides on those that are open.
func (g *tagGuard) take(x *exchange, body *outgoing) (*lease, error) {
	if !x.guarded {
		g.try(x, body)
		return nil, nil
	}
	limited, cancel := context.WithTimeout(x.r.Context(), g.limit)
	defer cancel()
	tags := slices.Sorted(slices.Values(x.route.Tags))
	l, err := g.holds.hold(limited, x.route.Repository, slices.Compact(tags))
	switch {
	case x.r.Context().Err() != nil && err != nil:
		return nil, x.r.Context().Err()
	case errors.Is(err, store.ErrUnavailable):
		return nil, fmt.Errorf("%w: %w", errLost, err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &apiError{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "another push of this tag is not answered yet", retry: retryAfter}
	case err != nil:
		return nil, err
	}
	if err = g.settle(x, body); err != nil {
		l.release()
		l = nil
	}
	if err == nil || x.event.decision == "denied" {
		g.try(x, body)
	}
	return l, err
}

// try has the trial look at the push too.
func (g *tagGuard) try(x *exchange, body *outgoing) {
	g.decider.trial.settle(x, body.digest, func(ctx context.Context, tag string) (string, error) { return g.named(ctx, x, tag, true) })
}

// settle decides on each open tag by what it names now: all have to be allowed.
func (g *tagGuard) settle(x *exchange, body *outgoing) error {
	if len(x.open) == 0 {
		return nil
	}
	for i, h := range x.open {
		named, err := g.named(x.r.Context(), x, h.Tag, false)
		if err != nil {
			return err
		}
		d, action := half(h, named, body.digest)
		if !d.Allowed {
			x.found(d)
			return g.decider.decided(x, "denied", deniedTag(x, d, action, h.Tag, named))
		}
		if i == 0 && h.Tag == x.route.Tags[0] {
			x.found(d)
		}
	}
	return g.decider.decided(x, "allowed", nil)
}

// manifestTypes are those that a registry may keep under a tag: it answers with the
// digest of what it would send, which has to be the one that the tag names.
var manifestTypes = []string{"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, " +
	"application/vnd.oci.artifact.manifest.v1+json, application/vnd.docker.distribution.manifest.v1+prettyjws, " +
	"application/vnd.docker.distribution.manifest.v1+json, */*"}

// named asks the upstream for the digest that a tag names, "" for none; aside as in
// upstream.Request.
func (g *tagGuard) named(ctx context.Context, x *exchange, tag string, aside bool) (string, error) {
	header := http.Header{"Accept": manifestTypes}
	forwardedHeader(x, header)
	resp, err := x.upstream.Do(ctx, upstream.Request{Header: header, Aside: aside,
		Route: route.Route{Kind: route.Manifest, Method: http.MethodHead, Repository: x.route.Repository, Reference: tag, Tag: true}})
	switch {
	case errors.Is(err, context.Canceled):
		return "", err
	case err != nil:
		return "", unnamed(tag, err)
	}
	defer resp.Body.Close()
	digests := resp.Header["Docker-Content-Digest"]
	switch {
	case resp.Status == http.StatusNotFound:
		x.name(tag, "")
		return "", nil
	case resp.Status != http.StatusOK:
		return "", unnamed(tag, fmt.Errorf("the upstream answers %d to HEAD", resp.Status))
	case len(digests) != 1 || !route.ValidDigest(digests[0]):
		return "", unnamed(tag, fmt.Errorf("the upstream answers HEAD with the digests %q", digests))
	}
	x.name(tag, digests[0])
	return digests[0], nil
}

// unnamed is the error of a push that cannot be decided.
func unnamed(tag string, cause error) *apiError {
	return &apiError{status: http.StatusBadGateway, code: "UNAVAILABLE", message: "the upstream does not tell what the tag " + tag + " names, so nothing was pushed", cause: cause}
}

// digest is that of a body held whole, by the algorithm of another digest; "" for one
// that is not known here.
func (o *outgoing) digest(like string) string {
	name, _, _ := strings.Cut(like, ":")
	algorithm, ok := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[name]
	if !ok {
		return ""
	}
	sum := algorithm.New()
	if o.whole != nil {
		_, _ = io.Copy(sum, io.NewSectionReader(o.whole, 0, o.whole.Size())) // both are memory
	}
	return name + ":" + hex.EncodeToString(sum.Sum(nil))
}
