package proxy

import (
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// frozenRetry is what a client is told that is refused while there is no end to a freeze.
const frozenRetry = time.Minute

// frozen refuses what would change a repository that is closed. Upload sessions that are
// there were begun before, and go on to their end, but a manifest is needed to make
// anything of them.
func (g *Gateway) frozen(x *exchange) error {
	if action := x.route.Need.Action; action != authz.Push && action != authz.Delete || x.route.Kind == route.Session {
		return nil
	}
	if x.route.Kind == route.Manifest && x.route.Need.Action == authz.Push {
		x.ended = g.load.freeze.Begin()
	}
	o := g.load.freeze.Closes(x.route.Repository)
	if o == nil {
		return nil
	}
	retry := o.Left(time.Now())
	if retry == 0 {
		retry = frozenRetry
	}
	return &apiError{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", retry: max(retry, time.Second),
		message: "pushes and deletes are stopped here for now: " + o.Reason}
}
