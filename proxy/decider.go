package proxy

import (
	"fmt"
	"net/http"

	"gatehouse/authz"
	"gatehouse/metrics"
)

// decider holds a request against the policy and its token.
type decider struct {
	policy  *authz.Policy
	metrics *metrics.Metrics
}

// decide holds the need against the policy and the token. One rule to remember:
// 401 says that a better token would help, 403 that none would.
func (d *decider) decide(x *exchange) error {
	need, found := x.route.Need, d.ask(x)
	x.event.rule = found.Rule
	switch {
	case !found.Allowed && x.caller.identity.Anonymous():
		return d.decided(x, "denied", errLogin)
	case !found.Allowed:
		return d.decided(x, "denied", denied(x, found))
	case !x.caller.carries(need):
		return d.decided(x, "insufficient_scope", errNarrow)
	}
	return d.decided(x, "allowed", nil)
}

func (d *decider) ask(x *exchange) authz.Decision {
	need := x.route.Need
	if need.Action == authz.Catalog {
		return d.policy.Catalog(x.caller.identity)
	}
	return d.policy.Decide(x.caller.identity, authz.Request{Repository: need.Repository, Action: need.Action,
		Tags: x.route.Tags, Source: x.peer.Client})
}

func (d *decider) decided(x *exchange, result string, err error) error {
	x.event.decision = result
	d.metrics.Decision(string(x.route.Need.Action), result)
	return err
}

// denied is the 403 that a signed-in caller gets, with the rule to show their admin.
func denied(x *exchange, d authz.Decision) *apiError {
	need := x.route.Need
	e := &apiError{status: http.StatusForbidden, code: "DENIED", rule: d.Rule}
	what := fmt.Sprintf("%s of %s", need.Action, need.Repository)
	if need.Action == authz.Catalog {
		what = "listing the catalog"
	}
	if e.rule == "" {
		e.rule = "none"
		e.message = fmt.Sprintf("no rule of the policy allows %s to %s", what, x.caller.identity.Username)
		return e
	}
	e.message = fmt.Sprintf("the policy (%s) denies %s to %s", d.Rule, what, x.caller.identity.Username)
	return e
}
