package ui

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// askAgain is how long a directory at fault is given.
const askAgain = 5 * time.Second

// explainAnybody asks the policy about somebody, in the words of `gatehouse explain`.
func (u *UI) explainAnybody(w http.ResponseWriter, r *http.Request, c *Call) error {
	q := c.target.query
	box := testBox{User: q.Get("user"), Action: q.Get("action"), Ref: q.Get("ref"), IP: q.Get("ip"), Actions: actions}
	if len(q) > 0 {
		if err := u.ask(r.Context(), &box); err != nil {
			return err
		}
	}
	if wantsJSON(r) {
		if box.Answer == nil {
			return badRequest("The parameters user, action and ref ask what the policy says. " + box.Fault)
		}
		return sendJSON(w, r, box.Answer)
	}
	f := u.frame(r, c, atExplain, "Explain")
	f.Content = box
	return u.show(w, r, f, "explain")
}

// ask answers the question of a box; who is meant is looked up first. The error is that of a
// directory at fault: then nothing is known of them.
func (u *UI) ask(ctx context.Context, box *testBox) error {
	var source netip.Addr
	if box.IP != "" {
		address, err := netip.ParseAddr(box.IP)
		if err != nil {
			box.Fault = "That is not an address."
			return nil
		}
		source = address.Unmap().WithZone("")
	}
	if authn.NormalizeName(box.User) == "" {
		box.Fault = "Name a user; - is somebody who is not logged in."
		return nil
	}
	q := box.request(source)
	if box.Fault != "" {
		return nil
	}
	var id authn.Identity
	var err error
	if box.User != "-" {
		id, err = u.o.Chain.Find(ctx, box.User)
	}
	switch {
	case errors.Is(err, authn.ErrUnknownUser):
		box.Answer = new(authz.Unknown(authz.Person{User: box.User}, err))
	case err != nil:
		return &Fault{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Retry: askAgain, Cause: err,
			Message: "A directory is at fault, so nothing is known of " + box.User + "."}
	default:
		box.Answer = new(u.o.Policy.Answer(id, q))
	}
	return nil
}
