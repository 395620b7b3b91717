package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui/browse"
	"gatehouse/proxy/upstream"
)

// reader is the one way in which the pages for people reach the registry: it asks the
// policy, and only then the upstream, so no page can show what /v2/ would refuse.
type reader struct {
	upstreams destinations
	decider   *decider
	watcher   watcher
	records   *records
	frozen    func(*exchange) error
	tell      func(*exchange) // others, of what was changed
}

var errUnasked = errors.New("a page asks for nothing of that kind")

// Ask is browse.Registry's.
func (r *reader) Ask(ctx context.Context, c browse.Caller, asked route.Route, header http.Header) (*browse.Answer, error) {
	rt, err := route.Parse(asked.Method, asked.Target())
	if err != nil {
		return nil, err
	}
	x := newAsked(ctx, c, rt, header)
	switch reads := rt.Method == http.MethodGet || rt.Method == http.MethodHead; {
	case rt.Kind == route.Catalog && reads:
		return r.list(ctx, x)
	case reads && (rt.Kind.Content() || rt.Kind == route.Tags || rt.Kind == route.Referrers):
		return r.read(ctx, x)
	case rt.Kind == route.Manifest && rt.Method == http.MethodDelete:
		return r.remove(ctx, x)
	}
	return nil, errUnasked
}

// newAsked is a page's question as a request under /v2/.
func newAsked(ctx context.Context, c browse.Caller, rt route.Route, header http.Header) *exchange {
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	x := &exchange{w: &recorder{}, r: (&http.Request{Method: rt.Method, Header: h}).WithContext(ctx), route: rt, origin: c.Origin, peer: listener.Peer{Client: c.Source},
		caller: caller{identity: c.Identity, basic: true}, event: event{start: time.Now(), requestID: c.RequestID, identity: c.Identity, via: "ui"}}
	forwardedHeader(x, h)
	return x
}

// Refused is browse.Registry's.
func (r *reader) Refused(ctx context.Context, c browse.Caller, rt route.Route, by authz.Decision) {
	x := newAsked(ctx, c, rt, nil)
	x.found(by)
	x.event.err = refusal(x, by, fmt.Sprintf("%s of %s", rt.Need.Action, rt.Repository))
	_ = r.decider.decided(x, "denied", x.event.err)
	r.note(ctx, x, http.StatusForbidden)
}

// note leaves a deletion's record, and those of refusals for the pages.
func (r *reader) note(ctx context.Context, x *exchange, status int) {
	auditRequest(context.WithoutCancel(ctx), r.records.audit, r.records.allOf, x, status)
	r.records.pages.refusal(x, status)
}

// read asks for one thing that the caller may pull.
func (r *reader) read(ctx context.Context, x *exchange) (*browse.Answer, error) {
	if d, _ := askOf(r.decider.policy, x); !d.Allowed {
		return nil, &browse.Denied{Rule: d.Rule}
	}
	return r.send(ctx, x)
}

// remove deletes one manifest or tag, and leaves a record of it.
func (r *reader) remove(ctx context.Context, x *exchange) (*browse.Answer, error) {
	var answer *browse.Answer
	err := r.decider.decide(x)
	if x.event.decision == "denied" {
		x.event.err, err = asAPIError(err), &browse.Denied{Rule: x.event.rule}
	}
	if err == nil {
		err = r.frozen(x)
	}
	if err == nil {
		answer, err = r.send(ctx, x)
	}
	r.note(ctx, x, statusOf(answer, err))
	return answer, err
}

// statusOf is what a client under /v2/ would have been answered.
func statusOf(a *browse.Answer, err error) int {
	switch {
	case err == nil:
		return a.Status
	case errors.As(err, new(*browse.Denied)):
		return http.StatusForbidden
	}
	return asAPIError(err).status
}

// send asks the upstream that has the repository; where none has, that is a 404.
func (r *reader) send(ctx context.Context, x *exchange) (*browse.Answer, error) {
	if x.upstream = r.upstreams.of(x.origin, x.route.Repository); x.upstream == nil {
		return &browse.Answer{Status: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody}, nil
	}
	watch := r.watcher.watch(x, nil)
	resp, err := x.send(ctx, upstream.Request{Route: x.route, Header: x.r.Header.Clone()})
	told(watch, resp, err)
	r.tell(x)
	if err != nil {
		return nil, err
	}
	if x.route.Kind.Content() && x.route.Method != http.MethodDelete {
		if resp, err = x.upstream.Follow(ctx, x.route, x.r.Header, resp); err != nil {
			return nil, x.unanswered(err)
		}
	}
	return &browse.Answer{Status: resp.Status, Header: resp.Header, Body: resp.Body}, nil
}

// list gives all names of the origin's upstreams, each from the upstream that serves it.
func (r *reader) list(ctx context.Context, x *exchange) (*browse.Answer, error) {
	if d, _ := askOf(r.decider.policy, x); !d.Allowed {
		return nil, &browse.Denied{Rule: d.Rule}
	}
	return &browse.Answer{Status: http.StatusOK, Header: http.Header{}, Body: &names{ctx: ctx, x: x, at: r.upstreams.at(x.origin)}}, nil
}

// names reads the catalogs of some upstreams, one after the other, as lines.
type names struct {
	ctx     context.Context
	x       *exchange
	at      destinations
	reading *upstream.Listing // of the first of at; nil: not begun
	done    destinations      // those before at, which have what they serve
	buffer  bytes.Buffer
}

// Read is io.Reader's.
func (n *names) Read(p []byte) (int, error) {
	for n.buffer.Len() == 0 {
		if len(n.at) == 0 {
			return 0, io.EOF
		}
		if err := n.next(); err != nil {
			return 0, err
		}
	}
	return n.buffer.Read(p)
}

// next reads a page of the first upstream that is left.
func (n *names) next() error {
	if n.reading == nil {
		n.reading = n.at[0].Catalog(n.x.r.Header.Clone(), "", []string{""})
	}
	page, err := n.reading.Next(n.ctx)
	if err != nil {
		return err
	}
	if page.Refusal != nil {
		page.Refusal.Body.Close()
		return &upstream.Error{Reason: upstream.ErrAnswer, Status: page.Refusal.Status, Sent: true, Cause: errors.New("it does not list its catalog")}
	}
	for _, name := range page.Names {
		if authz.ValidRepository(name) && n.served(name) {
			n.buffer.WriteString(name + "\n")
		}
	}
	if !page.More {
		n.done, n.at, n.reading = append(n.done, n.at[0]), n.at[1:], nil
	}
	return nil
}

// served reports whether requests for the name go to the upstream that lists it.
func (n *names) served(name string) bool {
	return n.at[0].serves(name) && !slices.ContainsFunc(n.done, func(d *destination) bool { return d.serves(name) })
}

// Close is io.Closer's.
func (n *names) Close() error {
	n.at = nil
	return nil
}

// place stands for the upstreams that an origin leads to.
func (ds destinations) place(x *exchange) string {
	var list []string
	for _, d := range ds.at(x.origin) {
		list = append(list, d.Name())
	}
	return strings.Join(list, " ")
}
