package proxy

import (
	"context"
	"sync"
	"time"

	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/shadow"
	"gatehouse/proxy/upstream"
)

// trial takes the decisions by a policy that is tried as well, and notes where they
// differ. No answer depends on it.
type trial struct {
	policy   *authz.Policy // nil: none is tried
	table    *shadow.Table
	metrics  *metrics.Metrics
	patience *patience
}

// patience is how long requests wait for an upstream to say what their tags name, for the
// trial alone. One that did not say it in time is not asked for a while: a registry that
// hangs holds up hardly anybody.
type patience struct {
	limit  time.Duration // of one request
	pause  time.Duration // in which it is not asked
	silent sync.Map      // *upstream.Registry: the time.Time until which it is not
}

func newPatience() *patience {
	return &patience{limit: 200 * time.Millisecond, pause: 10 * time.Second}
}

// lost reports whether the upstream is not to be asked now.
func (p *patience) lost(of *upstream.Registry) bool {
	until, silent := p.silent.Load(of)
	return silent && time.Now().Before(until.(time.Time))
}

// ask asks the policy that is tried, and compares where both decisions are final.
func (t *trial) ask(x *exchange, old authz.Decision) {
	if t.policy == nil {
		return
	}
	x.tried.decision, x.tried.open = askOf(t.policy, x)
	if len(x.open) == 0 && len(x.tried.open) == 0 {
		t.compare(x, x.route.Repository, x.route.Need.Action, old, x.tried.decision)
	}
}

// settle compares the decisions on a push of which at least one hung on what its tags
// name. Where that cannot be found out it is counted as not known.
func (t *trial) settle(x *exchange, digest func(like string) string, named func(ctx context.Context, tag string) (string, error)) {
	if t.policy == nil || len(x.open) == 0 && len(x.tried.open) == 0 {
		return
	}
	if !t.names(x, named) {
		t.table.Miss()
		return
	}
	old, d := ofHalf(x, x.by, digest), ofHalf(x, x.tried.decision, digest)
	for i, h := range x.tried.open {
		one, _ := half(h, x.names[h.Tag], digest)
		if i == 0 && h.Tag == x.route.Tags[0] {
			d = one
		}
		if !one.Allowed {
			d = one
			break
		}
	}
	t.compare(x, x.route.Repository, x.route.Need.Action, old, d)
}

// ofHalf is a decision on a push by the rule of the half that it is, where that is known.
func ofHalf(x *exchange, d authz.Decision, digest func(like string) string) authz.Decision {
	if !d.Allowed && len(x.route.Tags) > 1 { // one that is not the first may be why
		return d
	}
	if named := x.names[x.route.Tags[0]]; named != "" && named != digest(named) {
		return d.Overwriting()
	}
	return d
}

// names asks what the tags name of which only the trial wants to know it; false: the
// upstream does not say, or not in time.
func (t *trial) names(x *exchange, named func(ctx context.Context, tag string) (string, error)) bool {
	ctx, cancel := context.WithTimeout(x.r.Context(), t.patience.limit)
	defer cancel()
	for _, h := range x.tried.open {
		if _, known := x.names[h.Tag]; known {
			continue
		}
		if t.patience.lost(x.upstream) {
			return false
		}
		if _, err := named(ctx, h.Tag); err != nil {
			if ctx.Err() != nil && x.r.Context().Err() == nil {
				t.patience.silent.Store(x.upstream, time.Now().Add(t.patience.pause))
			}
			return false
		}
	}
	return true
}

// pull compares the decisions on a pull of another repository.
func (t *trial) pull(x *exchange, r authz.Request, old authz.Decision) {
	if t.policy != nil {
		t.compare(x, r.Repository, r.Action, old, t.policy.Decide(x.caller.identity, r))
	}
}

func (t *trial) compare(x *exchange, repository string, action authz.Action, old, next authz.Decision) {
	if old.Allowed == next.Allowed {
		return
	}
	d := shadow.Difference{User: x.caller.identity.Username, Directory: x.caller.identity.Directory, Repository: repository, Action: string(action), Old: labelOf(old), New: labelOf(next), Change: shadow.Refused}
	if next.Allowed {
		d.Change = shadow.Granted
	}
	if x.caller.identity.Anonymous() {
		d.User = shadow.Anonymous
	}
	t.metrics.ShadowDecision(d.Action, d.Change)
	t.table.Note(d, time.Now())
}

// labelOf is the rule that decided, none where no rule did.
func labelOf(d authz.Decision) string {
	if d.Rule == "" {
		return "none"
	}
	return d.Rule
}

// askOf asks a policy. Of the tags of a manifest that it returns as open, what they name
// decides.
func askOf(p *authz.Policy, x *exchange) (found authz.Decision, open []authz.Halves) {
	need := x.route.Need
	if need.Action == authz.Catalog {
		return p.Catalog(x.caller.identity), nil
	}
	q := authz.Request{Repository: need.Repository, Action: need.Action, Tags: x.route.Tags, Source: x.peer.Client}
	switch {
	case q.Action == authz.Push && len(q.Tags) == 0: // uploads, and manifests by digest
		q.Action = authz.Create
	case q.Action == authz.Push:
		return p.DecidePush(x.caller.identity, q)
	}
	return p.Decide(x.caller.identity, q), nil
}

// half is the decision on a manifest under a tag that names a digest, or nothing (empty);
// digest is that of the manifest by the same algorithm.
func half(h authz.Halves, named string, digest func(like string) string) (authz.Decision, authz.Action) {
	if named != "" && named != digest(named) {
		return h.Overwrite, authz.Overwrite
	}
	return h.Create, authz.Create
}
