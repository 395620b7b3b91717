package proxy

import (
	"errors"
	"fmt"
	"net/http"

	"gatehouse/authz"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// mounter decides which mounts the upstream gets to see.
type mounter struct {
	upstreams destinations
	policy    *authz.Policy
	trial     *trial
	watcher   watcher
}

// settle passes a mount on, or makes it a plain upload start, which every client
// understands; a refusal would break containerd. Why it was not passed goes into the
// record, where nobody else would see it.
func (m *mounter) settle(x *exchange) {
	if x.route.Mount == "" {
		return
	}
	if why := m.refuseMount(x); why != "" {
		x.event.note = "mount not passed on: " + why
		return
	}
	x.route.PassMount()
}

// refuseMount is why a mount must not be passed on, "" where nothing is against it.
func (m *mounter) refuseMount(x *exchange) (why string) {
	source := route.Access{Repository: x.route.Source, Action: authz.Pull}
	switch {
	case source.Repository == "":
		return "it names no source (from)"
	case x.upstream.BlobMount() == upstream.MountNever:
		return "upstream.blob_mount is false"
	case !x.caller.carries(source):
		return "the token does not carry pull of " + source.Repository
	case !m.allowed(x, source):
		return "the policy does not allow pull of " + source.Repository
	case m.upstreams.of(x.origin, source.Repository) != x.upstream:
		return "the source is not at the same upstream"
	case x.upstream.BlobMount() == upstream.MountAlways:
		return ""
	}
	return m.missing(x)
}

// allowed asks the policy for the source.
func (m *mounter) allowed(x *exchange, source route.Access) bool {
	q := authz.Request{Repository: source.Repository, Action: source.Action, Source: x.peer.Client}
	d := m.policy.Decide(x.caller.identity, q)
	m.trial.pull(x, q, d)
	return d.Allowed
}

// missing asks the upstream for the blob in its source: registries differ in what
// they look at when they mount, but not in what they show.
func (m *mounter) missing(x *exchange) (why string) {
	header := http.Header{}
	forwardedHeader(x, header)
	head := route.Route{Kind: route.Blob, Method: http.MethodHead, Repository: x.route.Source, Reference: x.route.Mount}
	watch := m.watcher.looks(x.upstream, &head)
	resp, err := x.upstream.Do(x.r.Context(), upstream.Request{Header: header, Route: head})
	told(watch, resp, err)
	if failed := new(upstream.Error); errors.As(err, &failed) && failed.Status == 0 {
		return failed.Reason.Error()
	} else if err != nil {
		return fmt.Sprintf("the upstream answers %d to HEAD of the blob in %s", failed.Status, x.route.Source)
	}
	defer resp.Body.Close()
	if resp.Status != http.StatusOK {
		return fmt.Sprintf("the upstream answers %d to HEAD of the blob in %s", resp.Status, x.route.Source)
	}
	return ""
}
