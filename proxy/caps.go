package proxy

import (
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// caps hold requests to what may be in flight.
type caps struct {
	limits *Limits
	load   *Load
}

// hold counts n against a limit until release; most 0: no limit.
func (c *caps) hold(x *exchange, h holder, n, most int) error {
	if most <= 0 {
		return nil
	}
	taken := holding{h, n}
	if !c.load.acquire(taken, most) {
		return &authn.ThrottledError{RetryAfter: time.Second, Limit: h.limit}
	}
	if x.held == nil {
		x.held = x.own.held[:0]
	}
	x.held = append(x.held, taken)
	return nil
}

// share counts n against a limit that all share until release; most 0: no limit.
func (c *caps) share(x *exchange, of *total, limit string, n, most int) error {
	if most <= 0 {
		return nil
	}
	if !of.add(n, most) {
		return &authn.ThrottledError{RetryAfter: time.Second, Limit: limit}
	}
	if x.shares == nil {
		x.shares = x.own.shares[:0]
	}
	x.shares = append(x.shares, share{of, n})
	return nil
}

// release ends what hold and share began.
func (c *caps) release(x *exchange) {
	for _, h := range x.held {
		c.load.give(h)
	}
	for _, s := range x.shares {
		s.of.n.Add(int64(-s.n))
	}
	x.held, x.shares = nil, nil
}

// holdStranger counts a request of which nobody knows yet whose it is, as if it were a
// connection of its own: HTTP/2 puts a hundred on one, and an answer that is not read
// holds each of them.
func (c *caps) holdStranger(x *exchange) error {
	var err error
	if proxy := x.peer.Trusted && x.peer.Client == x.peer.Direct; !proxy { // it speaks for many
		err = c.hold(x, x.holder("connections_per_address"), 1, c.limits.ConnectionsPerAddress)
	}
	if err == nil {
		err = c.share(x, &c.load.connections, "connections", 1, c.limits.Connections)
	}
	if err == nil {
		return nil
	}
	refusal := *asAPIError(err)
	refusal.unsaid = true
	return &refusal
}

// holdRequest counts a request under /v2/ that the policy allows: against its
// caller's caps first, so that who is over them takes nothing from all.
func (c *caps) holdRequest(x *exchange) error {
	if !x.caller.identity.Anonymous() {
		c.release(x) // it is no stranger's
	}
	err := c.hold(x, x.holder("requests_per_user"), 1, c.limits.RequestsPerUser)
	if err == nil && x.route.Need.Action == authz.Push {
		err = c.hold(x, x.holder("uploads_per_user"), 1, c.limits.UploadsPerUser)
	}
	if err == nil && x.caller.identity.Anonymous() {
		err = c.hold(x, x.holder("anonymous_requests"), 1, c.limits.AnonymousRequests)
	}
	if err == nil {
		err = c.share(x, &c.load.requests, "requests", 1, c.limits.Requests)
	}
	return err
}

// holdRealm counts a request to the realm that is or may turn out to be anybody's: its
// scopes cost the policy's time. Credentials have the throttle before that.
func (c *caps) holdRealm(x *exchange) error {
	return c.hold(x, x.holder("realm_requests"), 1, c.limits.RealmRequests)
}

// holdManifest counts the bytes of a manifest that is about to be read whole.
func (c *caps) holdManifest(x *exchange, n int) error {
	most := c.limits.ManifestBytes
	if most <= 0 {
		return nil
	}
	if err := c.hold(x, x.holder("manifest_bytes"), n, max(most/4, maxManifest)); err != nil {
		return err
	}
	return c.share(x, &c.load.manifestBytes, "manifest_bytes", n, max(most, maxManifest))
}
