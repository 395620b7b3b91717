package proxy

import (
	"slices"

	"gatehouse/authz"
)

// listed are the names that a page of a catalog comes by and of which the decisions differ.
// They are noted as the catalog's, where the page is answered: what lies behind its last
// name is the next one's.
type listed struct {
	trial  *trial
	x      *exchange
	page   *catalogPage
	caller *authz.Caller // of the policy that is tried
	found  []differing
	behind []differing // seen when the page was full
}

// differing is a name with the decisions on its pull.
type differing struct {
	repository string
	old, next  authz.Decision
}

// listing begins one; nil: no policy is tried, or it would list nothing at all.
func (t *trial) listing(x *exchange, page *catalogPage) *listed {
	if t.policy == nil || !x.tried.decision.Allowed {
		return nil
	}
	return &listed{trial: t, x: x, page: page, caller: t.policy.For(x.caller.identity)}
}

// see takes the decision on a name.
func (l *listed) see(r authz.Request, old authz.Decision) {
	if l == nil {
		return
	}
	next := l.caller.Decide(r)
	switch d := (differing{r.Repository, old, next}); {
	case old.Allowed == next.Allowed:
	case len(l.page.names) == l.page.limit:
		l.behind = append(l.behind, d)
	default:
		l.found = append(l.found, d)
	}
}

// cut leaves out the names that come after the page's last, where they are sorted by bytes.
func (l *listed) cut(last string) {
	if l != nil {
		l.found = slices.DeleteFunc(l.found, func(d differing) bool { return d.repository > last })
	}
}

// note notes them.
func (l *listed) note() {
	if l == nil {
		return
	}
	if !l.page.more {
		l.found = append(l.found, l.behind...)
	}
	for _, d := range l.found {
		l.trial.compare(l.x, d.repository, authz.Catalog, d.old, d.next)
	}
}
