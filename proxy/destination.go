package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
)

// destination is an upstream, and what leads to it.
type destination struct {
	*upstream.Registry
	hosts        []string
	repositories []authz.Pattern
}

// destinations are those of the config, in its order: the first that matches counts.
type destinations []*destination

// newDestinations takes the upstreams of a config. Its error joins *authn.KeyError values
// with the config file's keys.
func newDestinations(cfg *Config) (destinations, error) {
	if len(cfg.Upstreams) == 0 {
		d, err := newDestination(upstream.Default(cfg.Upstream), cfg.Load, cfg.Metrics)
		return destinations{d}, under("upstream", err)
	}
	var list destinations
	var faults []error
	for i, e := range cfg.Upstreams {
		d, err := newDestination(e, cfg.Load, cfg.Metrics)
		if err == nil {
			err = list.unreachable(d)
		}
		err = errors.Join(list.named(e.Name), err)
		list, faults = append(list, d), append(faults, under(fmt.Sprintf("upstreams[%d]", i), err))
	}
	return list, errors.Join(faults...)
}

func newDestination(e upstream.Entry, load *Load, m *metrics.Metrics) (*destination, error) {
	var faults authn.Faults
	d := &destination{hosts: e.Hosts}
	for i, host := range e.Hosts {
		if !route.ValidHost(host) {
			faults.Add(fmt.Sprintf("hosts[%d]", i), errors.New("is no host or host:port, as in listen.public_urls"))
		}
	}
	for i, text := range e.Repositories {
		p, err := authz.NewPattern(text)
		faults.Add(fmt.Sprintf("repositories[%d]", i), err)
		d.repositories = append(d.repositories, p)
	}
	registry, err := upstream.NewRegistry(e, load.addresses, m)
	faults.Join(err)
	d.Registry = registry
	return d, faults.Err()
}

// CheckHosts warns of hosts of upstreams that no request has, as public (public_urls;
// empty: any) has none of them. Its error joins *authn.KeyError values with the config
// file's keys.
func CheckHosts(upstreams []upstream.Entry, public []string) error {
	var faults authn.Faults
	for i, e := range upstreams {
		for j, host := range e.Hosts {
			known := func(text string) bool {
				u, err := url.Parse(text)
				return err != nil || route.CanonicalHost(u.Scheme, u.Host) == route.CanonicalHost(u.Scheme, host)
			}
			if len(public) > 0 && !slices.ContainsFunc(public, known) {
				faults.Warn(fmt.Sprintf("upstreams[%d].hosts[%d]", i, j), fmt.Errorf("%q is the host of none of listen.public_urls, so a request for it is 421; add it there, or take it out here", host))
			}
		}
	}
	return faults.Err()
}

// named finds that a name is taken already.
func (ds destinations) named(name string) error {
	var faults authn.Faults
	for i, d := range ds {
		if d.Name() == name {
			faults.Add("name", fmt.Errorf("%q is the name of upstreams[%d] too; names must differ", name, i))
			break
		}
	}
	return faults.Err()
}

// unreachable finds what of a new last destination can get no request, because those
// before it get them all.
func (ds destinations) unreachable(last *destination) error {
	var faults authn.Faults
	if len(last.repositories) == 0 {
		if i := ds.taking(last.hosts, nil); i >= 0 {
			faults.Add("name", fmt.Errorf("gets no request: upstreams[%d] takes all before it; put this one first, or take it out", i))
		}
	}
	for n, p := range last.repositories {
		if i := ds.taking(last.hosts, &p); i >= 0 {
			faults.Add(fmt.Sprintf("repositories[%d]", n), fmt.Errorf("is never reached: upstreams[%d] takes all of it before; put this upstream first, or take the pattern out", i))
		}
	}
	return faults.Err()
}

// taking is the place of a destination that takes everything of some hosts (none: any)
// which a pattern (nil: any) matches, -1 where something is left. Where several take it
// together it is the last of those.
func (ds destinations) taking(hosts []string, p *authz.Pattern) int {
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	found := -1
	for _, host := range hosts {
		i := slices.IndexFunc(ds, func(d *destination) bool {
			return (len(d.hosts) == 0 || slices.ContainsFunc(d.hosts, func(h string) bool { return sameHost(h, host) })) && d.takes(p)
		})
		if i < 0 {
			return -1
		}
		found = max(found, i)
	}
	return found
}

func sameHost(a, b string) bool { return route.CanonicalHost("", a) == route.CanonicalHost("", b) }

// takes reports whether everything that a pattern (nil: any) matches is served here.
func (d *destination) takes(p *authz.Pattern) bool {
	if len(d.repositories) == 0 {
		return true
	}
	return slices.ContainsFunc(d.repositories, func(own authz.Pattern) bool {
		if p == nil {
			every, err := authz.NewPattern("**")
			return err == nil && own.Covers(every)
		}
		return own.Covers(*p)
	})
}

// leads reports whether a host is one of the destination's.
func (d *destination) leads(o listener.Origin) bool {
	return len(d.hosts) == 0 || slices.ContainsFunc(d.hosts, func(host string) bool {
		return route.CanonicalHost(o.Scheme, host) == route.CanonicalHost(o.Scheme, o.Host)
	})
}

// serves reports whether a repository is one of the destination's.
func (d *destination) serves(repository string) bool {
	return len(d.repositories) == 0 || slices.ContainsFunc(d.repositories, func(p authz.Pattern) bool { return p.Match(repository) })
}

// at are the destinations of a host, up to the first that takes all that is left.
func (ds destinations) at(o listener.Origin) (list destinations) {
	for _, d := range ds {
		if !d.leads(o) {
			continue
		}
		if list = append(list, d); d.takes(nil) {
			break
		}
	}
	return list
}

// of is where a repository of a host is; nil: nowhere.
func (ds destinations) of(o listener.Origin, repository string) *upstream.Registry {
	for _, d := range ds {
		if d.leads(o) && d.serves(repository) {
			return d.Registry
		}
	}
	return nil
}

var errUnserved = &apiError{status: http.StatusNotFound, code: "NAME_UNKNOWN", message: "no registry serves a repository of that name here"}

// direct finds the upstream of a request that the policy allows. That there is none is
// told to who may pull there, and looks like any other refusal to all others.
func (d *decider) direct(x *exchange, to destinations) error {
	if x.upstream = to.of(x.origin, x.route.Repository); x.upstream != nil {
		return nil
	}
	need := route.Access{Repository: x.route.Repository, Action: authz.Pull}
	found := d.policy.Decide(x.caller.identity, authz.Request{Repository: need.Repository, Action: need.Action, Source: x.peer.Client})
	if found.Allowed {
		return errUnserved
	}
	x.event.decision = "denied"
	x.found(found)
	if x.caller.identity.Anonymous() {
		return errLogin
	}
	return denied(x, need, found)
}
