package proxy

import (
	"gatehouse/authn"
	"gatehouse/authz"
	"time"
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
	if !c.load.take(taken, most) {
		return &authn.ThrottledError{RetryAfter: time.Second, Limit: h.limit}
	}
	x.held = append(x.held, taken)
	return nil
}

// release ends what hold began.
func (c *caps) release(x *exchange) {
	for _, h := range x.held {
		c.load.give(h)
	}
}

// holdRequest counts a request under /v2/ that the policy allows: against its
// caller's caps first, so that who is over them takes nothing from all.
func (c *caps) holdRequest(x *exchange) error {
	err := c.hold(x, x.holder("requests_per_user"), 1, c.limits.RequestsPerUser)
	if err == nil && x.route.Need.Action == authz.Push {
		err = c.hold(x, x.holder("uploads_per_user"), 1, c.limits.UploadsPerUser)
	}
	if err == nil && x.caller.identity.Anonymous() {
		err = c.hold(x, x.holder("anonymous_requests"), 1, c.limits.AnonymousRequests)
	}
	if err == nil {
		err = c.hold(x, holder{limit: "requests"}, 1, c.limits.Requests)
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
	return c.hold(x, holder{limit: "manifest_bytes"}, n, max(most, maxManifest))
}
