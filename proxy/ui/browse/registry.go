// Package browse is what the pages of proxy/ui show of the registry, and what they delete
// there.
package browse

import (
	"context"
	"io"
	"net/http"
	"net/netip"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
)

// Caller is in whose name the registry is asked.
type Caller struct {
	// Identity is who it is, as their directory shows them now; zero: nobody.
	Identity authn.Identity
	// Source is their address, as in authz.Request.
	Source netip.Addr
	// Origin is the name by which they know the gateway; it leads to the upstream.
	Origin listener.Origin
	// Place stands for the upstreams that the origin leads to: what was read in one place
	// says nothing of another.
	Place string
	// RequestID is that of the page, for the upstream's log.
	RequestID string
}

// Answer is what the registry says. Of a catalog it is all of it: valid names of
// repositories, one a line, in no order, each read from the upstream when the reader comes
// to it, so whoever has enough closes the body.
type Answer struct {
	// Status is HTTP's.
	Status int
	// Header are the fields of the answer.
	Header http.Header
	// Body has to be closed.
	Body io.ReadCloser
}

// Registry is the one way to the registry. Ask asks the policy whether the caller may do
// what the route needs, and only then the upstream that has the repository; what it finds
// in the catalog is not yet judged, name by name. A deletion leaves its record in the
// audit stream.
type Registry interface {
	// Ask sends the route; only the fields of header go along. The error is *Denied, or
	// what kept the upstream from answering; an answer such as 404 is none.
	Ask(ctx context.Context, c Caller, r route.Route, header http.Header) (*Answer, error)
	// Refused leaves the record of a deletion that the policy has refused already, so
	// that Ask never hears of it.
	Refused(ctx context.Context, c Caller, r route.Route, by authz.Decision)
}

// Denied is the policy's refusal.
type Denied struct {
	// Rule is the one that denied it; empty: none allows it.
	Rule string
}

// Error says which rule it was.
func (d *Denied) Error() string {
	if d.Rule == "" {
		return "no rule of the policy allows it"
	}
	return "the policy (" + d.Rule + ") denies it"
}
